"""CoCA (2026): a to the answer, −(c − ā)² to the confidence; each normalised apart.

They state the confidence before the answer, so that it can only speak of the question; our reply
states it last, and is trained towards the same ā. The group's standard deviation divides, as in
GRPO. Not in the paper: a reply without a confidence is paid as the worst one, −1.
"""

from __future__ import annotations

import numpy as np

from metaconf.rewards.recipe import BEFORE, CONFIDENCE, Recipe, RolloutBatch
from metaconf.rewards.targets import Array, group_accuracy

MISSING = -1.0


def parts(batch: RolloutBatch) -> dict[str, Array]:
    a, c = batch.correctness, batch.confidence
    far = (c - group_accuracy(a, batch.group)) ** 2
    return {"accuracy": a, "distance": batch.known(np.where(np.isnan(c), MISSING, -far))}


CREDIT = {BEFORE: {"accuracy": 1.0}, CONFIDENCE: {"distance": 1.0}}
RECIPE = Recipe("coca", parts, CREDIT, scale="group")
