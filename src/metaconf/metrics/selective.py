"""Answer the most confident share, abstain from the rest: what error remains?

Loss is 1 − y. Equal confidences cannot be told apart, so each carries its group's mean loss and
thresholds lie only between groups: no figure here depends on the order of rows. With n replies,
AURC and what is built on it sum over n discrete coverages as in the literature, so repeating all
replies changes them by O(log n / n); the others do not change at all. Each function `…_of` takes
tables with leading axes (...,) and returns (...,), NaN where it is undefined.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metaconf.metrics.arrays import Array
from metaconf.metrics.table import Table, ratio, tabulate

ALIKE = "all replies are equally right; no order of them is better than another"


class RiskCoverage(NamedTuple):
    """One point a distinct confidence, falling thresholds: answer where c ≥ threshold. All (L,)."""

    threshold: Array
    coverage: Array
    risk: Array


def risk_coverage(confidence: ArrayLike, correctness: ArrayLike) -> RiskCoverage:
    """The risk–coverage curve (El-Yaniv & Wiener 2010), all in [0, 1]; ValueError on bad rows."""
    table = tabulate(confidence, correctness)
    coverage, risk = _curve(table)
    return RiskCoverage(table.levels[::-1].copy(), coverage, risk)


def aurc_of(table: Table) -> Array:
    """Mean risk over coverages 1/n … 1, in [0, 1], 0 is best (Geifman & El-Yaniv 2017)."""
    return _mean_risk(table.count[..., ::-1], (table.count - table.right)[..., ::-1])


def eaurc_of(table: Table) -> Array:
    """AURC above that of the best order of the same replies, ≥ 0 (Geifman et al. 2019)."""
    return np.maximum(aurc_of(table) - _oracle(table), 0.0)


def augrc_of(table: Table) -> Array:
    """Area under P(answered and wrong) over coverage, in [0, ½], 0 is best (Traub et al. 2024).

    For 0/1 it equals (1 − AUROC)·a·(1 − a) + (1 − a)²/2 with accuracy a.
    """
    count, loss = table.count[..., ::-1], (table.count - table.right)[..., ::-1]
    area = (count * (np.cumsum(loss, axis=-1) - 0.5 * loss)).sum(axis=-1)
    return ratio(area, table.complete**2)


def prr_of(table: Table) -> Array:
    """Prediction–rejection ratio, 1 for the best order, 0 for chance (Malinin et al. 2021).

    (A − A_random)/(A_oracle − A_random) for A = 1 − AURC; A_random is the accuracy, exactly.
    """
    chance = 1.0 - ratio(table.right.sum(axis=-1), table.complete)
    alike = (table.grade_count > 0).sum(axis=-1) < 2
    gained, possible = chance - aurc_of(table), chance - _oracle(table)
    return np.where(alike, np.nan, ratio(gained, possible))


def coverage_at_risk_of(table: Table, risk: float) -> Array:
    """Greatest coverage whose risk is ≤ `risk`, in [0, 1]; 0 when none is.

    Chosen on these very replies: an optimistic figure, no guarantee for new ones.
    """
    coverage, risks = _curve(table)
    # A hair of slack: 0.1 as a mean of ten losses need not be the float 0.1.
    reached = np.where(risks <= risk + 1e-12, coverage, 0.0)
    return np.where(table.complete > 0, reached.max(axis=-1, initial=0.0), np.nan)


def risk_at_coverage_of(table: Table, coverage: float) -> Array:
    """Risk at the least coverage ≥ `coverage`, in [0, 1], that a threshold reaches."""
    coverages, risks = _curve(table)
    if not table.levels.size:
        return np.full(table.complete.shape, np.nan)
    # The first level in use also stands for coverage 0: the least that a threshold reaches.
    enough = (coverages >= coverage - 1e-12) & (coverages > 0)
    first = np.argmax(enough, axis=-1)[..., None]
    return np.take_along_axis(risks, first, axis=-1)[..., 0]


def _curve(table: Table) -> tuple[Array, Array]:
    """Coverage and risk (..., L) from the most confident level down; NaN risk at coverage 0."""
    count = np.cumsum(table.count[..., ::-1], axis=-1)
    loss = np.cumsum((table.count - table.right)[..., ::-1], axis=-1)
    return ratio(count, np.asarray(table.complete)[..., None]), ratio(loss, count)


def _oracle(table: Table) -> Array:
    count = table.grade_count[..., ::-1]
    return _mean_risk(count, count * (1.0 - table.grades[::-1]))


def _mean_risk(count: Array, loss: Array) -> Array:
    """Mean over i = 1 … n of (loss of the first i) / i; groups (..., K) in order, ties averaged.

    In a group of m replies after a others with loss A, the i-th sum is A + (i − a)·l with l the
    group's mean loss, so the group adds m·l + (A − a·l)(H(a + m) − H(a)), H the harmonic numbers.
    """
    ends = np.cumsum(count, axis=-1)
    before = np.cumsum(loss, axis=-1) - loss
    starts = ends - count
    mean = np.divide(loss, count, out=np.zeros_like(loss), where=count > 0)
    total = count.sum(axis=-1)
    sums = _harmonic(max(int(total.max(initial=1.0)), 1).bit_length())
    span = sums[ends.astype(np.intp)] - sums[starts.astype(np.intp)]
    return ratio((loss + (before - starts * mean) * span).sum(axis=-1), total)


@lru_cache(maxsize=2)
def _harmonic(bits: int) -> Array:
    """H(0) … H(2^bits − 1)."""
    return np.append(0.0, np.cumsum(1.0 / np.arange(1, 2**bits)))
