"""What a confidence in stage 2 is held against: pure functions over the replies of one batch.

Which one is right depends on what the confidence is to mean. A reply's own correctness is the only
unbiased label of "this answer is right", one bit of it. The mean over the group is less noisy, but
it is the question's difficulty: it says the same for the right and the wrong answers to it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Groups = NDArray[np.int64]
Goal = Literal["own", "group", "mixture", "shrunk", "probe"]


def group_mean(values: Array, group: Groups) -> Array:
    """(N,) mean of `values` over the known members of each row's group; NaN where none is known."""
    _, place = np.unique(group, return_inverse=True)
    known = ~np.isnan(values)
    sums = np.bincount(place, np.where(known, values, 0.0))
    counts = np.bincount(place, known.astype(float))
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)[place]


def filled(values: Array, group: Groups) -> Array:
    """`values` with the mean of its group where one is not known: it is neither paid for nor
    against. NaN where nothing of the group is known."""
    return np.where(np.isnan(values), group_mean(values, group), values)


def target(goal: Goal, correctness: Array, group: Groups, prior: float = 2.0) -> Array:
    """(N,) targets in [0, 1], NaN where a reply was not graded.

    * own: its own correctness a.
    * probe: the same here; the trainer, which has hidden states, puts a probe's prediction in its
      place (`train.moving_probe`).
    * group: ā, the mean of the n graded replies to its question, its own included.
    * mixture: ½a + ½ā.
    * shrunk: (n·ā + prior·m) / (n + prior), m the mean over the whole batch: the posterior mean of
      the share right under a Beta prior with mean m that counts as much as `prior` replies. A mean
      of few replies sits at 0 or 1 far more often than the chance behind it does.
    """
    if goal in ("own", "probe"):
        return correctness
    mean = group_mean(correctness, group)
    if goal == "mixture":
        return (correctness + mean) / 2
    if goal == "shrunk":
        known = (~np.isnan(correctness)).astype(float)
        count = group_mean(known, group) * group_size(group)
        overall = correctness[known > 0].mean() if known.any() else np.nan
        mean = (count * mean + prior * overall) / (count + prior)
    return np.where(np.isnan(correctness), np.nan, mean)


def group_size(group: Groups) -> NDArray[Any]:
    """(N,) how many rows each row's group has."""
    _, place, count = np.unique(group, return_inverse=True, return_counts=True)
    return count[place]
