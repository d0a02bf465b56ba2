"""SaySelf (2024): 2(½ − (a − c)²) to the confidence's tokens alone; −1 where none is stated.

Their PPO has a value function as its baseline; here it is the group's mean.
"""

from __future__ import annotations

import numpy as np

from metaconf.rewards.recipe import CONFIDENCE, Recipe, RolloutBatch
from metaconf.rewards.targets import Array

MISSING = -1.0


def parts(batch: RolloutBatch) -> dict[str, Array]:
    a, c = batch.correctness, batch.confidence
    pay = np.where(np.isnan(c), MISSING, 2 * (0.5 - (a - c) ** 2))
    return {"calibration": batch.known(pay)}


RECIPE = Recipe("sayself", parts, {CONFIDENCE: {"calibration": 1.0}})
