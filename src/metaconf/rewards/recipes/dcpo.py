"""DCPO (2026): a to the answer, −|c − t| to the confidence, t = ½a + ½ā; each normalised apart.

Which part goes to which segment is the paper's (the published code swaps them). The group's
standard deviation divides, as in GRPO. Not in the paper: a reply without a confidence is paid as
the worst one, −1.
"""

from __future__ import annotations

import numpy as np

from metaconf.rewards.recipe import BEFORE, CONFIDENCE, Recipe, RolloutBatch
from metaconf.rewards.targets import Array, mixed_accuracy

MISSING = -1.0


def parts(batch: RolloutBatch) -> dict[str, Array]:
    a, c = batch.correctness, batch.confidence
    far = np.abs(c - mixed_accuracy(a, batch.group))
    pay = np.where(np.isnan(c), MISSING, -far)
    return {"accuracy": a, "distance": batch.known(pay)}


CREDIT = {BEFORE: {"accuracy": 1.0}, CONFIDENCE: {"distance": 1.0}}
RECIPE = Recipe("dcpo", parts, CREDIT, scale="group")
