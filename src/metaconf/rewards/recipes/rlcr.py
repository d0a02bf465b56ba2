"""RLCR (2025): ½ format + ½ a + ½ (1 − (a − c)²) to the whole reply, nothing if the format fails.

The advantage is the reward less the group's mean, not divided by the standard deviation.
"""

from __future__ import annotations

import numpy as np

from metaconf.rewards.recipe import WHOLE, Recipe, RolloutBatch
from metaconf.rewards.targets import Array


def parts(batch: RolloutBatch) -> dict[str, Array]:
    a, ok = batch.correctness, batch.stated

    def gated(values: Array) -> Array:
        return batch.known(np.where(ok, values, 0.0))

    return {
        "format": gated(np.ones(len(a))),
        "accuracy": gated(a),
        "calibration": gated(1 - (a - batch.confidence) ** 2),
    }


RECIPE = Recipe("rlcr", parts, {WHOLE: {"format": 0.5, "accuracy": 0.5, "calibration": 0.5}})
