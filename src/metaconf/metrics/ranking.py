"""Does confidence rank right answers above wrong ones? Invariant to any increasing map of it.

A reply of graded correctness y counts as right with weight y and as wrong with weight 1 − y;
this equals scikit-learn's `sample_weight` on doubled rows and is exact for 0/1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaconf.metrics.arrays import Array
from metaconf.metrics.table import Table, ratio, tabulate

BOTH = "nothing is right, or nothing is wrong; both are needed"


def auroc(confidence: ArrayLike, correctness: ArrayLike) -> float:
    """P(c of a right reply > c of a wrong one), ties ½; in [0, 1], 0.5 is chance (Hanley 1982).

    ValueError on bad rows, and when nothing is right or nothing wrong.
    """
    return defined(auroc_of(tabulate(confidence, correctness)), BOTH)


def auprc_right(confidence: ArrayLike, correctness: ArrayLike) -> float:
    """Average precision Σ (R_k − R_{k−1}) P_k at finding right replies by high confidence.

    In [0, 1]; chance level is the accuracy. One step a distinct confidence, so that ties have no
    order. ValueError on bad rows, and when nothing is right or nothing wrong.
    """
    return defined(auprc_right_of(tabulate(confidence, correctness)), BOTH)


def auprc_wrong(confidence: ArrayLike, correctness: ArrayLike) -> float:
    """As `auprc_right` for finding wrong replies by low confidence; chance is 1 − accuracy."""
    return defined(auprc_wrong_of(tabulate(confidence, correctness)), BOTH)


def effective_levels(confidence: ArrayLike) -> float:
    """Effective number of confidence levels, 1/Σp² over distinct values; in [1, n].

    The inverse of Simpson's index: 1 when the model always states one value. ValueError on bad
    rows.
    """
    return float(effective_levels_of(tabulate(confidence, np.zeros(np.size(confidence)))))


def auroc_of(table: Table) -> Array:
    """`auroc` of tables, (...,); NaN where only one class is present."""
    right, wrong = table.right, table.count - table.right
    below = np.cumsum(wrong, axis=-1) - 0.5 * wrong
    won = (right * below).sum(axis=-1)
    return ratio(won, right.sum(axis=-1) * wrong.sum(axis=-1))


def auprc_right_of(table: Table) -> Array:
    """`auprc_right` of tables, (...,); NaN where only one class is present."""
    return _precision(table.right[..., ::-1], table.count[..., ::-1])


def auprc_wrong_of(table: Table) -> Array:
    """`auprc_wrong` of tables, (...,); NaN where only one class is present."""
    return _precision(table.count - table.right, table.count)


def effective_levels_of(table: Table) -> Array:
    """`effective_levels` of tables, (...,); NaN where a table is empty."""
    total = table.complete
    return ratio(total * total, (table.count * table.count).sum(axis=-1))


def _precision(hits: Array, count: Array) -> Array:
    found, seen = np.cumsum(hits, axis=-1), np.cumsum(count, axis=-1)
    precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
    total = hits.sum(axis=-1)
    one_class = count.sum(axis=-1) - total <= 0
    return np.where(one_class, np.nan, ratio((hits * precision).sum(axis=-1), total))


def defined(value: Array, reason: str) -> float:
    """The value as a float; ValueError with the reason where it is NaN."""
    if np.isnan(value):
        raise ValueError(reason)
    return float(value)
