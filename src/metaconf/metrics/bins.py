"""Calibration error over bins, the diagram's bins, and the ECE that pure chance would show.

Every figure states its scheme because defaults differ widely between libraries (10 to 50 bins).
Confidence c and correctness y lie in [0, 1]; y may be graded.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaconf.metrics.arrays import (
    Array,
    Index,
    check_bins,
    check_pair,
    check_scheme,
    number_questions,
)
from metaconf.metrics.figures import Bin
from metaconf.metrics.table import Table, coarse_levels, ratio, segment_sums, starts_of, tabulate

Scheme = Literal["width", "mass"]
"""Bins of equal width, or of equal mass with equal confidences always in one bin."""

BINS = 15
MCE_LEAST = 20
"""Bins with fewer replies say nothing about a maximum and stay out of MCE."""
_Z = 1.959963984540054  # the 97.5 % point of the standard normal distribution
_NULL_GROUPS = 2048


def ece(
    confidence: ArrayLike,
    correctness: ArrayLike,
    bins: int = BINS,
    scheme: Scheme = "width",
) -> float:
    """Expected calibration error Σ_b |Σ_{i in b} (c − y)| / n, in [0, 1], 0 is best.

    Bins of equal width are [k/B, (k+1)/B), the last one closed (Naeini et al. 2015, Guo et al.
    2017). Biased upward: read it beside `ece_null_band`. ValueError on bad rows,
    bins or scheme.
    """
    return float(ece_of(tabulate(confidence, correctness), check_bins(bins), scheme))


def ace(
    confidence: ArrayLike,
    correctness: ArrayLike,
    bins: int = BINS,
    scheme: Scheme = "width",
) -> float:
    """Average calibration error: mean over non-empty bins of |mean c − mean y|, in [0, 1]."""
    return float(ace_of(tabulate(confidence, correctness), check_bins(bins), scheme))


def mce(
    confidence: ArrayLike,
    correctness: ArrayLike,
    bins: int = BINS,
    scheme: Scheme = "width",
    least: int = MCE_LEAST,
) -> float:
    """Maximum calibration error over bins with at least `least` replies, in [0, 1].

    ValueError on bad rows, and when no bin holds that many replies.
    """
    worst = float(mce_of(tabulate(confidence, correctness), check_bins(bins), scheme, least))
    if np.isnan(worst):
        raise ValueError(f"no bin holds {least} replies; lower least or give more replies")
    return worst


def reliability_bins(
    confidence: ArrayLike,
    correctness: ArrayLike,
    question_ids: Sequence[Hashable] | NDArray[Any] | None = None,
    bins: int = BINS,
    scheme: Scheme = "width",
) -> list[Bin]:
    """The non-empty bins of a reliability diagram, ascending.

    With `question_ids` (n,) the interval counts each question once a bin: replies to one question
    may agree completely, so this is the cautious end. Graded correctness only narrows the truth
    (its variance is at most that of 0/1), so Wilson's interval stays valid. ValueError on bad rows.
    """
    c, y = check_pair(confidence, correctness)
    place = _row_bins(c, y, check_bins(bins), scheme)
    question = np.arange(c.size) if question_ids is None else number_questions(question_ids)[1]
    if question.size != c.size:
        raise ValueError(f"{question.size} question ids for {c.size} replies; give one a reply")
    pairs = np.unique(place * c.size + question)
    units = np.bincount(pairs // c.size, minlength=bins)
    return [_bin(b, c, y, place, int(units[b]), bins, scheme) for b in np.unique(place)]


def null_band(
    confidence: ArrayLike, bins: int = BINS, *, seed: int = 0, replicates: int = 1000
) -> tuple[float, float, float]:
    """ECE (equal width) that calibrated replies would show: mean, 2.5 % and 97.5 % points.

    Correctness is drawn as Bernoulli(c), independently for each reply: an ECE within the band is
    no sign of miscalibration (Bröcker & Smith 2007). Replies to one question that agree with
    one another widen the true band. More than 2048 distinct confidences are merged to about as
    many neighbourhoods within bins, which changes a bin's variance by less than 1e-5 of its n.
    """
    table = tabulate(confidence, np.zeros(np.size(confidence)))
    return null_band_of(table, check_bins(bins), seed, replicates)


def null_band_of(table: Table, bins: int, seed: int, replicates: int) -> tuple[float, float, float]:
    """`null_band` of one table with at least one complete reply."""
    levels, count = _merged(table, bins)
    starts = starts_of(width_bins(levels, bins))
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(count, levels, size=(replicates, levels.size))
    errors = np.abs(segment_sums(levels * count - drawn, starts)).sum(axis=-1) / count.sum()
    low, high = np.quantile(errors, (0.025, 0.975))
    return float(errors.mean()), float(low), float(high)


def _merged(table: Table, bins: int) -> tuple[Array, Index]:
    """Levels and their counts, neighbours within a bin merged where there are too many."""
    levels, count = table.levels, table.count.astype(np.intp)
    if levels.size <= _NULL_GROUPS:
        return levels, count
    merged = coarse_levels(levels, count, _NULL_GROUPS, edges(bins))
    starts = starts_of(merged)
    return np.clip(merged[starts], 0.0, 1.0), segment_sums(count, starts)


def ece_of(table: Table, bins: int = BINS, scheme: Scheme = "width") -> Array:
    """`ece` of tables, (...,); NaN where a table is empty."""
    _, gap = _gaps(table, bins, scheme)
    return ratio(gap.sum(axis=-1), table.complete)


def ace_of(table: Table, bins: int = BINS, scheme: Scheme = "width") -> Array:
    """`ace` of tables, (...,); NaN where a table is empty."""
    count, gap = _gaps(table, bins, scheme)
    mean = np.divide(gap, count, out=np.zeros_like(gap), where=count > 0)
    return ratio(mean.sum(axis=-1), (count > 0).sum(axis=-1))


def mce_of(
    table: Table, bins: int = BINS, scheme: Scheme = "width", least: int = MCE_LEAST
) -> Array:
    """`mce` of tables, (...,); NaN where no bin holds `least` replies."""
    count, gap = _gaps(table, bins, scheme)
    enough = count >= least
    mean = np.divide(gap, count, out=np.full_like(gap, -1.0), where=enough)
    return np.where(enough.any(axis=-1), mean.max(axis=-1, initial=-1.0), np.nan)


def _gaps(table: Table, bins: int, scheme: Scheme) -> tuple[Array, Array]:
    """Replies and |Σ(c − y)| in each bin, (..., B); levels decide B for equal width."""
    surplus = table.levels * table.count - table.right
    if check_scheme(scheme) == "width":
        starts = starts_of(width_bins(table.levels, bins))
        return segment_sums(table.count, starts), np.abs(segment_sums(surplus, starts))
    place = mass_bins(table.count, bins)
    return scatter(table.count, place, bins), np.abs(scatter(surplus, place, bins))


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


def _row_bins(c: Array, y: Array, bins: int, scheme: Scheme) -> Index:
    if check_scheme(scheme) == "width":
        return width_bins(c, bins)
    table = tabulate(c, y)
    return mass_bins(table.count, bins)[np.searchsorted(table.levels, c)]


def _bin(b: int, c: Array, y: Array, place: Index, units: int, bins: int, scheme: Scheme) -> Bin:
    inside = place == b
    n, mean, accuracy = int(inside.sum()), float(c[inside].mean()), float(y[inside].mean())
    edges = (b / bins, (b + 1) / bins)
    if scheme == "mass":
        edges = (float(c[inside].min()), float(c[inside].max()))
    return Bin(*edges, n, mean, accuracy, *wilson(accuracy, units))


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a share in [0, 1] seen in n ≥ 1 independent trials."""
    shrink = 1.0 + _Z**2 / n
    middle = (share + _Z**2 / (2 * n)) / shrink
    half = _Z / shrink * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
