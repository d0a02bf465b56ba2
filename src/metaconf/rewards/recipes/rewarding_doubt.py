"""Rewarding Doubt (2025): a clipped, shifted and scaled log score to the confidence's tokens alone.

p = clip(c, .001, .999); s = log p if right, log(1 − p) if wrong; n = (s − m) / (M − m); +¼ if
right; × 10; malformed: −30. A graded answer counts as that share of a right one. Their PPO has a
value function as its baseline; here it is the group's mean.
"""

from __future__ import annotations

import numpy as np

from metaconf.rewards.recipe import CONFIDENCE, Recipe, RolloutBatch
from metaconf.rewards.targets import Array

CLIP = 0.001
LEAST, MOST = -3.453878, -0.0010005
RIGHT, TIMES, MALFORMED = 0.25, 10.0, -30.0


def parts(batch: RolloutBatch) -> dict[str, Array]:
    a = batch.correctness
    p = np.clip(batch.confidence, CLIP, 1 - CLIP)
    score = a * np.log(p) + (1 - a) * np.log1p(-p)
    pay = TIMES * ((score - LEAST) / (MOST - LEAST) + RIGHT * a)
    return {"log_score": batch.known(np.where(batch.stated, pay, MALFORMED))}


RECIPE = Recipe("rewarding-doubt", parts, {CONFIDENCE: {"log_score": 1.0}})
