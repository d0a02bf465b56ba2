"""Do words and number agree? Figures of how sure reflections sound beside what replies state.

A *reading* is how sure the writer of a reflection sounds, in [0, 1] (`metaconf.grading.reading`;
decisiveness in Yona et al. 2024); it never saw the number. Faithfulness of a reply is
1 − |reading − confidence|. NaN in a reading or a confidence is unknown: the reply is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from metaconf.metrics.arrays import Array, Index, Partial, check_partial, number_questions
from metaconf.metrics.bins import edges, mass_bins, scatter, width_bins, wilson
from metaconf.metrics.bootstrap import interval, replicate
from metaconf.metrics.figures import Figure
from metaconf.metrics.summary import Ids, ScoredReplies, summarise
from metaconf.metrics.table import Cells, coarsen, group, ratio, segment_sums, starts_of
from metaconf.metrics.within import auroc_within_figure

BINS = 10
"""Bins of confidence in cMFG and cMFG*."""
SURE, UNSURE = 0.6, 0.2
"""A reply that states SURE or more, or UNSURE or less, can contradict its reflection."""
SOUNDS_UNSURE, SOUNDS_SURE = 0.4, 0.6
"""What its reflection must read as to do so: at most, at least."""
_LEVELS = 200
"""With more distinct confidences the resamples use so many neighbourhoods."""


class ReadReplies(NamedTuple):
    """One run's replies, each (n,) in [0, 1]: NaN or None where unknown."""

    confidence: Partial
    reading: Partial
    question_ids: Ids


class _Statistic(NamedTuple):
    """A function of (confidence (C,), reading (C,), weights (..., C)), confidence ascending, to
    (...,), NaN where undefined; its range; why it may be undefined."""

    of: Callable[[Array, Array, Array], Array]
    low: float
    high: float
    needs: str


def rank_correlation(confidence: Partial, reading: Partial) -> float:
    """Spearman's correlation of reading and confidence, ties at their mean rank, in [−1, 1]; NaN
    where one of them does not vary."""
    return _value("reading_rank_correlation", confidence, reading)


def contradicts(confidence: Partial, reading: Partial) -> Array:
    """(n,): 1.0 where words and number contradict each other, 0.0 where they could, NaN elsewhere.

    A contradiction states SURE or more and reads as SOUNDS_UNSURE or less, or states UNSURE or less
    and reads as SOUNDS_SURE or more.
    """
    c, r = check_partial(confidence, reading)
    found = np.where(_contradicting(c, r), 1.0, 0.0)
    return np.where(_can_contradict(c) & ~np.isnan(r), found, np.nan)


def agreement_figures(
    run: ReadReplies, *, seed: int = 0, replicates: int = 1000
) -> dict[str, Figure]:
    """`mfg`, `cmfg`, `cmfg_star`, `reading_rank_correlation`, `reading_gap` (mean of reading less
    confidence), `contradiction_rate` (n: the replies that could contradict), each with its 95 %
    interval by question; `cmfg_bins`, the bins that hold a reply.

    Raises ValueError as `check_partial`.
    """
    c, r = check_partial(run.confidence, run.reading)
    read = ~(np.isnan(c) | np.isnan(r))
    drawn = _replicate([run], replicates, seed)[0]
    figures = {name: _figure(name, c, r, drawn.get(name), run.question_ids) for name in STATISTICS}
    bins = len(np.unique(width_bins(c[read], BINS))) or None
    reason = f"bins of {BINS} that hold a reply; a count has no interval"
    return {**figures, "cmfg_bins": Figure(bins, n=int(read.sum()), reason=reason)}


def agreement_differences(
    a: ReadReplies, b: ReadReplies, *, seed: int = 0, replicates: int = 1000
) -> dict[str, Figure]:
    """The figures of run `a` minus those of run `b` on the same questions, with paired 95 %
    intervals; n is the number of questions."""
    first, second = _replicate([a, b], replicates, seed)
    n = len(number_questions(a.question_ids)[0])
    found: dict[str, Figure] = {}
    for name, statistic in STATISTICS.items():
        value = _value(name, *a[:2]) - _value(name, *b[:2])
        drawn = first[name] - second[name] if first else None
        span = statistic.high - statistic.low
        found[name] = (
            Figure(n=n, reason=statistic.needs)
            if np.isnan(value)
            else Figure.with_ends(value, interval(value, drawn, -span, span), n)
        )
    return found


def reading_aurocs(
    reading: Partial,
    correctness: Partial,
    question_ids: Ids,
    kinds: Sequence[Hashable],
    *,
    seed: int = 0,
    replicates: int = 1000,
) -> dict[str, Figure]:
    """`reading_auroc`: how well the reading alone ranks right answers above wrong ones;
    `reading_auroc_within`: over pairs of one kind; with 95 % intervals by question."""
    how = {"seed": seed, "replicates": replicates}
    run = ScoredReplies(reading, correctness, question_ids)
    return {
        "reading_auroc": summarise(*run, ["auroc"], **how)["auroc"],
        "reading_auroc_within": auroc_within_figure(run, kinds, **how),
    }


# Statistics of weighted pairs


def _mfg(c: Array, r: Array, w: Array) -> Array:
    """Mean faithfulness 1 − |reading − confidence|."""
    return ratio(w @ (1 - np.abs(r - c)), w.sum(axis=-1))


def _cmfg(c: Array, r: Array, w: Array) -> Array:
    """Mean over BINS equal-width bins of confidence of their mean faithfulness: each bin counts
    alike, so that a text of one tone gets about .5 whatever the confidences (Liu et al. 2025).
    Bins without a reply are left out; `cmfg_bins` says how many are left."""
    starts = starts_of(width_bins(c, BINS))
    count = segment_sums(w, starts)
    faithful = segment_sums(w * (1 - np.abs(r - c)), starts)
    mean = np.divide(faithful, count, out=np.zeros_like(faithful), where=count > 0)
    return ratio(mean.sum(axis=-1), (count > 0).sum(axis=-1))


def _cmfg_star(c: Array, r: Array, w: Array) -> Array:
    """Mean faithfulness of BINS bins of equal mass, weighted by their width; equal confidences stay
    in one. A bin reaches to the middle between its confidences and the next bin's, the first to 0
    and the last to 1 (Liu et al. 2026 end them at the least and the greatest confidence). Bins
    that ties leave empty are left out."""
    starts = starts_of(c)
    levels, count = c[starts], segment_sums(w, starts)
    place = mass_bins(count, BINS)
    mass = scatter(count, place, BINS)
    faithful = scatter(segment_sums(w * (1 - np.abs(r - c)), starts), place, BINS)
    mean = np.divide(faithful, mass, out=np.zeros_like(faithful), where=mass > 0)
    wide = _widths(levels, count, place)
    return ratio((wide * mean).sum(axis=-1), wide.sum(axis=-1))


def _widths(levels: Array, count: Array, place: Index) -> Array:
    """Width (..., BINS) of each bin on the confidence axis; 0 for those without a reply."""
    inside = [(place == b) & (count > 0) for b in range(BINS)]
    low = np.stack(
        [np.where(i, levels, np.inf).min(axis=-1, initial=np.inf) for i in inside], axis=-1
    )
    high = np.stack(
        [np.where(i, levels, -np.inf).max(axis=-1, initial=-np.inf) for i in inside], axis=-1
    )
    after = np.full_like(low, np.inf)
    after[..., :-1] = np.minimum.accumulate(low[..., :0:-1], axis=-1)[..., ::-1]
    before = np.full_like(high, -np.inf)
    before[..., 1:] = np.maximum.accumulate(high[..., :-1], axis=-1)
    with np.errstate(invalid="ignore"):  # a bin without a reply lies between infinities
        upper = np.where(np.isfinite(after), (high + after) / 2, 1.0)
        lower = np.where(np.isfinite(before), (low + before) / 2, 0.0)
        return np.where(np.isfinite(low), upper - lower, 0.0)


def _rank_correlation(c: Array, r: Array, w: Array) -> Array:
    """Spearman's correlation of reading and confidence, ties at their mean rank."""
    half = w.sum(axis=-1, keepdims=True) / 2
    a, b = _ranks(c, w) - half, _ranks(r, w) - half
    spread = np.sqrt((w * a * a).sum(axis=-1) * (w * b * b).sum(axis=-1))
    return ratio((w * a * b).sum(axis=-1), np.where(spread > 1e-9, spread, 0.0))


def _ranks(values: Array, w: Array) -> Array:
    """Middle rank (..., C) of each cell among all replies by its value; ties share it."""
    order = np.argsort(values, kind="stable")
    starts = starts_of(values[order])
    count = segment_sums(w[..., order], starts)
    middle = np.cumsum(count, axis=-1) - count / 2
    lengths = np.diff(np.append(starts, values.size))
    ranks = np.empty(w.shape)
    ranks[..., order] = np.repeat(middle, lengths, axis=-1)
    return ranks


def _gap(c: Array, r: Array, w: Array) -> Array:
    return ratio(w @ (r - c), w.sum(axis=-1))


def _contradiction_rate(c: Array, r: Array, w: Array) -> Array:
    return ratio(w @ _contradicting(c, r).astype(float), w @ _can_contradict(c).astype(float))


def _can_contradict(c: Array) -> np.ndarray:
    return (c >= SURE) | (c <= UNSURE)


def _contradicting(c: Array, r: Array) -> np.ndarray:
    return ((c >= SURE) & (r <= SOUNDS_UNSURE)) | ((c <= UNSURE) & (r >= SOUNDS_SURE))


_READ = "no reply has both a confidence and a reading"
STATISTICS: dict[str, _Statistic] = {
    "mfg": _Statistic(_mfg, 0.0, 1.0, _READ),
    "cmfg": _Statistic(_cmfg, 0.0, 1.0, _READ),
    "cmfg_star": _Statistic(_cmfg_star, 0.0, 1.0, _READ),
    "reading_rank_correlation": _Statistic(
        _rank_correlation, -1.0, 1.0, "the reading or the confidence does not vary"
    ),
    "reading_gap": _Statistic(_gap, -1.0, 1.0, _READ),
    "contradiction_rate": _Statistic(
        _contradiction_rate,
        0.0,
        1.0,
        f"no reply that was read states {SURE:g} or more, or {UNSURE:g} or less",
    ),
}
"""By the name of their figure."""


# Values, resamples, figures


def _read(confidence: Partial, reading: Partial) -> tuple[Array, Array, Index]:
    """Confidence and reading of the complete replies, and where they stand among all."""
    c, r = check_partial(confidence, reading)
    rows = np.flatnonzero(~(np.isnan(c) | np.isnan(r)))
    return c[rows], r[rows], rows


def _value(name: str, confidence: Partial, reading: Partial) -> float:
    c, r, _ = _read(confidence, reading)
    order = np.argsort(c, kind="stable")
    return float(STATISTICS[name].of(c[order], r[order], np.ones(len(order))))


def _replicate(runs: Sequence[ReadReplies], replicates: int, seed: int) -> list[dict[str, Array]]:
    """Each run's statistics over the same resamples of questions, as `bootstrap.replicate`."""
    questions, _ = number_questions([i for run in runs for i in run.question_ids])
    number = {question: i for i, question in enumerate(questions)}

    def of(cells: Cells, weights: Array) -> dict[str, Array]:
        pair = cells.confidence, cells.correctness
        return {name: one.of(*pair, weights) for name, one in STATISTICS.items()}

    cells = [_cells(run, number) for run in runs]
    return replicate(cells, len(questions), of, replicates, seed)


def _cells(run: ReadReplies, number: dict[Hashable, int]) -> tuple[Cells, Index]:
    c, r, rows = _read(run.confidence, run.reading)
    if np.unique(c).size > _LEVELS:
        c = coarsen(c, _LEVELS, edges(BINS))
    place = np.array([number[i] for i in run.question_ids], dtype=np.intp)
    return group(c, np.round(r, 2)), place[rows]


def _figure(name: str, c: Array, r: Array, drawn: Array | None, ids: Ids) -> Figure:
    statistic = STATISTICS[name]
    counted = ~(np.isnan(c) | np.isnan(r))
    if name == "contradiction_rate":
        counted &= _can_contradict(c)
    value, n = _value(name, c, r), int(counted.sum())
    if np.isnan(value):
        return Figure(n=n, reason=statistic.needs)
    ends = interval(value, drawn, statistic.low, statistic.high)
    if isinstance(ends, str) and name == "contradiction_rate":
        # None or all contradict: n questions bound the share all the same.
        ends = wilson(value, len(np.unique(number_questions(ids)[1][counted])))
    return Figure.with_ends(value, ends, n)
