"""RLVR: correctness alone, to the whole reply. Calibration gets worse with it (RLCR, 2025).

No division by the group's standard deviation, as in rlcr, so that the two differ in the pay alone.
"""

from __future__ import annotations

from metaconf.rewards.recipe import WHOLE, Recipe, RolloutBatch
from metaconf.rewards.targets import Array


def parts(batch: RolloutBatch) -> dict[str, Array]:
    return {"accuracy": batch.correctness}


RECIPE = Recipe("rlvr", parts, {WHOLE: {"accuracy": 1.0}})
