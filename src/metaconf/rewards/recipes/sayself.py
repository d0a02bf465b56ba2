"""SaySelf (2024): 2(½ − (a − c)²) to the confidence's tokens alone; −1 where none is stated.

Their PPO has a value function as its baseline; here it is the group's mean.
"""

from __future__ import annotations

import numpy as np

from metaconf.rewards.recipes.base import CONFIDENCE, Recipe, Replies
from metaconf.rewards.targets import Array

MISSING = -1.0


def parts(replies: Replies) -> dict[str, Array]:
    a, c = replies.correctness, replies.confidence
    pay = np.where(np.isnan(c), MISSING, 2 * (0.5 - (a - c) ** 2))
    return {"calibration": replies.known(pay)}


RECIPE = Recipe("sayself", parts, {CONFIDENCE: {"calibration": 1.0}})
