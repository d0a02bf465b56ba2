"""Does confidence rank right answers above wrong ones? Invariant to any increasing map of it.

A reply of graded correctness y counts as right with weight y and as wrong with weight 1 − y;
this equals scikit-learn's `sample_weight` on doubled rows and is exact for 0/1. Each function takes
tables with leading axes (...,) and returns (...,), NaN where it is undefined.
"""

from __future__ import annotations

import numpy as np

from metaconf.metrics.arrays import Array
from metaconf.metrics.table import Table, ratio

BOTH = "nothing is right, or nothing is wrong; both are needed"


def auroc_of(table: Table) -> Array:
    """P(c of a right reply > c of a wrong one), ties ½; in [0, 1], 0.5 is chance (Hanley 1982)."""
    right, wrong = table.right, table.count - table.right
    below = np.cumsum(wrong, axis=-1) - 0.5 * wrong
    won = (right * below).sum(axis=-1)
    return ratio(won, right.sum(axis=-1) * wrong.sum(axis=-1))


def auprc_right_of(table: Table) -> Array:
    """Average precision Σ (R_k − R_{k−1}) P_k at finding right replies by high confidence.

    In [0, 1]; chance level is the accuracy. One step a distinct confidence, so that ties have no
    order.
    """
    return _precision(table.right[..., ::-1], table.count[..., ::-1])


def auprc_wrong_of(table: Table) -> Array:
    """As `auprc_right_of` for finding wrong replies by low confidence; chance is 1 − accuracy."""
    return _precision(table.count - table.right, table.count)


def effective_levels_of(table: Table) -> Array:
    """Effective number of confidence levels, 1/Σp² over distinct values; in [1, n].

    The inverse of Simpson's index: 1 when the model always states one value.
    """
    total = table.complete
    return ratio(total * total, (table.count * table.count).sum(axis=-1))


def _precision(hits: Array, count: Array) -> Array:
    found, seen = np.cumsum(hits, axis=-1), np.cumsum(count, axis=-1)
    precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
    total = hits.sum(axis=-1)
    one_class = count.sum(axis=-1) - total <= 0
    return np.where(one_class, np.nan, ratio((hits * precision).sum(axis=-1), total))
