"""The four-part reward of MetaConf and the one rule for parts that are unknown.

Stage 2, `reward_function` (TRL) and `compute_score` (verl) all call these functions.

* A reply whose correctness is unknown takes no part in the update.
* A reply without a confidence earns 0 for calibration, and one without an answer or a reflection
  earns 0 for the reflection: both are known, not missing.
* A reflection whose judgement failed gets the mean of its group, so that it is rewarded neither for
  nor against and the other parts are still learnt from.
* Where no reflection of the group was judged, or the reply is alone, the part is left out of the
  sum and of the weights: the total is the weighted mean of the known parts times the sum of all
  weights. To leave it out of the sum alone would count it as 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from metaconf.records import Grade, Reward
from metaconf.rewards.recipe import RolloutBatch
from metaconf.rewards.targets import Array, fill_with_group_mean


def four_parts(batch: RolloutBatch) -> dict[str, Array]:
    """The parts (N,) by name, each in [0, 1] or NaN where it is unknown.

    `calibration` is 1 − (a − c)², the Brier score as a reward.
    """
    a, c = batch.correctness, batch.confidence
    return {
        "calibration": batch.known(np.where(np.isnan(c), 0.0, 1 - (a - c) ** 2)),
        "reflection": fill_with_group_mean(batch.quality, batch.group),
        "accuracy": a,
        "format": batch.well_formed,
    }


def fill_unknown(
    parts: Mapping[str, Array], weights: Mapping[str, float], batch: RolloutBatch
) -> dict[str, Array]:
    """The parts that `weights` names. An unknown part gets the weighted mean of the reply's known
    ones, which is the same as leaving it out of the sum and of the weights. All parts are NaN where
    the reply was not graded, or where no part with a weight is known."""
    used = {name: weight for name, weight in weights.items() if weight}
    known = {name: ~np.isnan(parts[name]) for name in used}
    none = np.zeros(len(batch.correctness))
    summed = sum((w * np.where(known[n], parts[n], 0.0) for n, w in used.items()), none)
    weighed = sum((w * known[n] for n, w in used.items()), none)
    mean = np.divide(summed, weighed, out=np.full(len(none), np.nan), where=weighed > 0)
    takes_part = batch.graded & (~np.isnan(mean) | (not used))

    def filled(name: str) -> Array:
        values = parts[name]
        return np.where(np.isnan(values), mean, values) if name in used else values

    return {name: np.where(takes_part, filled(name), np.nan) for name in weights}


def total_reward(
    parts: Mapping[str, Array], weights: Mapping[str, float], batch: RolloutBatch
) -> Array:
    """(N,) weighted sum of the parts; NaN where the reply takes no part (see `fill_unknown`)."""
    filled = fill_unknown(parts, weights, batch)
    start = np.where(batch.graded, 0.0, np.nan)
    return sum((weight * filled[name] for name, weight in weights.items() if weight), start)


def reward_records(grades: list[Grade], parts: Mapping[str, Array], total: Array) -> list[Reward]:
    """One `Reward` a reply; NaN becomes None."""
    return [
        Reward(
            grade.question_id,
            grade.sample,
            _known(total[row]),
            {name: _known(values[row]) for name, values in parts.items()},
        )
        for row, grade in enumerate(grades)
    ]


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
