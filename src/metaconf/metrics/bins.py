"""Calibration error over bins, the diagram's bins, and the ECE that pure chance would show.

Every figure states its scheme because defaults differ widely between libraries (10 to 50 bins).
Confidence c and correctness y lie in [0, 1]; y may be graded. Each function `…_of` takes tables
with leading axes (...,) and returns (...,), NaN where it is undefined.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaconf.metrics.arrays import Array, Index, check_bins, check_pair, number_questions
from metaconf.metrics.figures import Bin
from metaconf.metrics.table import Table, coarse_levels, ratio, segment_sums, starts_of, tabulate

BINS = 15
MCE_LEAST = 20
"""Bins with fewer replies say nothing about a maximum and stay out of MCE."""
_Z = 1.959963984540054  # the 97.5 % point of the standard normal distribution
_NULL_GROUPS = 2048


def ece(confidence: ArrayLike, correctness: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error Σ_b |Σ_{i in b} (c − y)| / n, in [0, 1], 0 is best.

    Bins of equal width are [k/B, (k+1)/B), the last one closed (Naeini et al. 2015, Guo et al.
    2017). Biased upward: read it beside `null_band_of`. ValueError on bad rows or bins.
    """
    return float(ece_of(tabulate(confidence, correctness), check_bins(bins)))


def reliability_bins(
    confidence: ArrayLike,
    correctness: ArrayLike,
    question_ids: Sequence[Hashable] | NDArray[Any] | None = None,
    bins: int = BINS,
) -> list[Bin]:
    """The non-empty bins of a reliability diagram, of equal width, ascending.

    With `question_ids` (n,) the interval counts each question once a bin: replies to one question
    may agree completely, so this is the cautious end. Graded correctness only narrows the truth
    (its variance is at most that of 0/1), so Wilson's interval stays valid. ValueError on bad rows.
    """
    c, y = check_pair(confidence, correctness)
    place = width_bins(c, check_bins(bins))
    question = np.arange(c.size) if question_ids is None else number_questions(question_ids)[1]
    if question.size != c.size:
        raise ValueError(f"{question.size} question ids for {c.size} replies; give one a reply")
    pairs = np.unique(place * c.size + question)
    units = np.bincount(pairs // c.size, minlength=bins)
    found: list[Bin] = []
    for b in np.unique(place):
        inside = place == b
        accuracy = float(y[inside].mean())
        values = int(inside.sum()), float(c[inside].mean()), accuracy
        found.append(Bin(b / bins, (b + 1) / bins, *values, *wilson(accuracy, int(units[b]))))
    return found


def null_band_of(table: Table, seed: int, replicates: int) -> tuple[float, float, float]:
    """ECE that calibrated replies would show: mean, 2.5 % and 97.5 % points; of one table with at
    least one complete reply.

    Correctness is drawn as Bernoulli(c), independently for each reply: an ECE within the band is
    no sign of miscalibration (Bröcker & Smith 2007). Replies to one question that agree with
    one another widen the true band. More than 2048 distinct confidences are merged to about as
    many neighbourhoods within bins, which changes a bin's variance by less than 1e-5 of its n.
    """
    levels, count = _merged(table)
    starts = starts_of(width_bins(levels, BINS))
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(count, levels, size=(replicates, levels.size))
    errors = np.abs(segment_sums(levels * count - drawn, starts)).sum(axis=-1) / count.sum()
    low, high = np.quantile(errors, (0.025, 0.975))
    return float(errors.mean()), float(low), float(high)


def _merged(table: Table) -> tuple[Array, Index]:
    """Levels and their counts, neighbours within a bin merged where there are too many."""
    levels, count = table.levels, table.count.astype(np.intp)
    if levels.size <= _NULL_GROUPS:
        return levels, count
    merged = coarse_levels(levels, count, _NULL_GROUPS, edges(BINS))
    starts = starts_of(merged)
    return np.clip(merged[starts], 0.0, 1.0), segment_sums(count, starts)


def ece_of(table: Table, bins: int = BINS) -> Array:
    """`ece`."""
    _, gap = _gaps(table, bins)
    return ratio(gap.sum(axis=-1), table.complete)


def ece_equal_mass_of(table: Table, bins: int = BINS) -> Array:
    """`ece` over bins of equal mass, equal confidences always in one bin."""
    gap = scatter(_surplus(table), mass_bins(table.count, bins), bins)
    return ratio(np.abs(gap).sum(axis=-1), table.complete)


def ace_of(table: Table) -> Array:
    """Average calibration error: mean over non-empty bins of |mean c − mean y|, in [0, 1]."""
    count, gap = _gaps(table, BINS)
    mean = np.divide(gap, count, out=np.zeros_like(gap), where=count > 0)
    return ratio(mean.sum(axis=-1), (count > 0).sum(axis=-1))


def mce_of(table: Table) -> Array:
    """Maximum calibration error over bins with at least MCE_LEAST replies, in [0, 1]."""
    count, gap = _gaps(table, BINS)
    enough = count >= MCE_LEAST
    mean = np.divide(gap, count, out=np.full_like(gap, -1.0), where=enough)
    return np.where(enough.any(axis=-1), mean.max(axis=-1, initial=-1.0), np.nan)


def _surplus(table: Table) -> Array:
    """Σ(c − y) at each level, (..., L)."""
    return table.levels * table.count - table.right


def _gaps(table: Table, bins: int) -> tuple[Array, Array]:
    """Replies and |Σ(c − y)| in each bin of equal width that holds a level, (..., B)."""
    starts = starts_of(width_bins(table.levels, bins))
    return segment_sums(table.count, starts), np.abs(segment_sums(_surplus(table), starts))


def scatter(values: Array, place: Index, bins: int) -> Array:
    """Sums (..., B) of `values` (..., L) by bin."""
    tables = int(np.prod(values.shape[:-1]))
    flat = place.reshape(tables, -1) + bins * np.arange(tables)[:, None]
    sums: Array = np.bincount(flat.ravel(), values.ravel(), tables * bins).astype(np.float64)
    return sums.reshape(*values.shape[:-1], bins)


def edges(bins: int) -> Array:
    """Edges (B + 1,) of equal-width bins of [0, 1]."""
    # k/B rather than floor(c·B): 0.29·100 is 28.999…, but 29/100 == 0.29.
    return np.arange(bins + 1) / bins


def width_bins(levels: Array, bins: int) -> Index:
    return np.minimum(np.searchsorted(edges(bins), levels, side="right") - 1, bins - 1)


def mass_bins(count: Array, bins: int) -> Index:
    """Bin of each level (..., L): where the middle of its replies falls, so ties never part."""
    ends = np.cumsum(count, axis=-1)
    total = np.maximum(ends[..., -1:], 1.0)
    # Whole numbers up to the division, so that doubling every count moves no level.
    middle = (2.0 * ends - count) * bins / (2.0 * total)
    return np.minimum(middle.astype(np.intp), bins - 1)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a share in [0, 1] seen in n ≥ 1 independent trials."""
    shrink = 1.0 + _Z**2 / n
    middle = (share + _Z**2 / (2 * n)) / shrink
    half = _Z / shrink * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
