"""Targets of a confidence in stage 2: pure functions over the replies of one batch.

A reply's own correctness is the only unbiased label of "this answer is right", and only one bit of
it. The mean over the group is less noisy, but it measures the difficulty of the question: it is the
same for the right and the wrong answers to it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Groups = NDArray[np.int64]


def group_mean(values: Array, group: Groups) -> Array:
    """(N,) mean of `values` over the known members of each row's group; NaN where none is known."""
    _, place = np.unique(group, return_inverse=True)
    known = ~np.isnan(values)
    sums = np.bincount(place, np.where(known, values, 0.0))
    counts = np.bincount(place, known.astype(float))
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)[place]


def group_count(values: Array, group: Groups) -> Array:
    """(N,) how many of `values` are known in each row's group."""
    _, place = np.unique(group, return_inverse=True)
    return np.bincount(place, (~np.isnan(values)).astype(float))[place].astype(float)


def fill_with_group_mean(values: Array, group: Groups) -> Array:
    """`values`, with the mean of its group where one is not known: its advantage is then 0. NaN
    where nothing of the group is known."""
    return np.where(np.isnan(values), group_mean(values, group), values)


def group_accuracy(correctness: Array, group: Groups) -> Array:
    """(N,) ā, the mean correctness of the graded replies to a question, its own included; NaN where
    a reply was not graded."""
    return np.where(np.isnan(correctness), np.nan, group_mean(correctness, group))


def mixed_accuracy(correctness: Array, group: Groups) -> Array:
    """(N,) ½a + ½ā, the mean of own and group correctness; NaN where a reply was not graded."""
    return (correctness + group_mean(correctness, group)) / 2
