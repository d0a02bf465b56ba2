"""Every metric of a run at once, with intervals, ready for JSON; and differences between runs.

Missing values are counted and never dropped in silence: a reply without a confidence still counts
in the accuracy, and each figure says over how many replies it was taken.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaconf.metrics.arrays import Array, Index, Partial, check_partial, number_questions
from metaconf.metrics.bins import BINS, edges, null_band_of, wilson
from metaconf.metrics.bootstrap import interval, replicate
from metaconf.metrics.figures import Figure
from metaconf.metrics.registry import METRICS, Rows, known, rows_of, value_of
from metaconf.metrics.table import Cells, Table, coarsen, group

Ids = Sequence[Hashable] | NDArray[Any]

# Beyond this many distinct confidences the resamples use neighbourhoods of equal mass.
_FINEST, _GROUPS = 4096, 2048


class ScoredReplies(NamedTuple):
    """One run's replies, each (n,): NaN or None for a missing confidence or correctness."""

    confidence: Partial
    correctness: Partial
    question_ids: Ids


class _Counted(NamedTuple):
    """A run ready to be resampled: `cells` may be coarse, `table` is exact."""

    cells: Cells
    question: Index
    questions: list[Any]
    table: Table
    coarse: bool


def summarise(
    confidence: Partial,
    correctness: Partial,
    question_ids: Ids,
    names: Iterable[str] | None = None,
    *,
    seed: int = 0,
    replicates: int = 1000,
) -> dict[str, Figure]:
    """`METRICS` (or those of `names`), n and the ECE's null band, as strict JSON (no NaN).

    All inputs (n,): confidence in [0, 1], NaN where none was stated; correctness in [0, 1], NaN
    where not graded. Accuracy is over all graded replies, those without a confidence included;
    calibration and ranking are over replies that have both. Intervals: bootstrap of questions,
    see `bootstrap.interval`; none for one question or 0 replicates. With more than 4096 distinct
    confidences the resamples, not the values, use about 2048 neighbourhoods of equal mass. The
    null band's value is the mean ECE of calibrated replies. `smooth_ece` takes most of the time.
    ValueError names wrong rows and unknown names.
    """
    names = known(METRICS if names is None else names)
    run = _count(ScoredReplies(confidence, correctness, question_ids))
    drawn = _replicate([run], names, replicates, seed)[0]
    n = int(run.table.replies)
    figures = {"n": Figure(n, None, None, n, "a count has no interval")}
    for name in names:
        value = value_of(name, run.table)
        figures[name] = _with_interval(name, value, rows_of(name, run.table), drawn, [run])
    figures["ece_null_band"] = _null_figure(run.table, replicates, seed)
    return figures


def paired_difference(
    name: str, a: ScoredReplies, b: ScoredReplies, *, seed: int = 0, replicates: int = 1000
) -> Figure:
    """Metric `name` of run `a` minus that of run `b`, with a paired 95 % interval.

    Each resample draws the same questions for both, so what a question does to both cancels.
    n is the number of questions. ValueError on wrong rows, on an unknown name and when the two
    runs do not answer the same questions; the numbers of replies a question may differ.
    """
    return paired_differences(a, b, [name], seed=seed, replicates=replicates)[name]


def paired_differences(
    a: ScoredReplies,
    b: ScoredReplies,
    names: Iterable[str] = tuple(METRICS),
    *,
    seed: int = 0,
    replicates: int = 1000,
) -> dict[str, Figure]:
    """`paired_difference` for several metrics, from one set of resamples."""
    names = known(names)
    runs = [_count(a), _count(b)]
    _same_questions(runs[0].questions, runs[1].questions)
    first, second = _replicate(runs, names, replicates, seed)
    drawn = {name: first[name] - second[name] for name in first}
    n = len(runs[0].questions)
    return {
        name: _with_interval(name, _minus(name, runs), n, drawn, runs, signed=True)
        for name in names
    }


def _count(run: ScoredReplies) -> _Counted:
    confidence, correctness = check_partial(run.confidence, run.correctness)
    questions, question = number_questions(run.question_ids)
    if question.size != confidence.size:
        raise ValueError(
            f"{question.size} question ids for {confidence.size} replies; give one a reply"
        )
    cells = group(confidence, correctness)
    table = cells.table(cells.count)
    coarse = table.levels.size > _FINEST
    if coarse:
        cells = group(coarsen(confidence, _GROUPS, edges(BINS)), correctness)
    return _Counted(cells, question, questions, table, coarse)


def _replicate(
    runs: list[_Counted], names: list[str], replicates: int, seed: int
) -> list[dict[str, Array]]:
    """Each run's metrics over the same resamples of questions, as `bootstrap.replicate`."""

    def of(cells: Cells, weights: Array) -> dict[str, Array]:
        table = cells.table(weights)
        return {name: METRICS[name].of(table) for name in names}

    pairs = [(run.cells, run.question) for run in runs]
    return replicate(pairs, len(runs[0].questions), of, replicates, seed)


def _with_interval(
    name: str,
    value: float | str,
    n: int,
    drawn: dict[str, Array],
    runs: list[_Counted],
    signed: bool = False,
) -> Figure:
    if isinstance(value, str):
        return Figure(n=n, reason=value)
    metric = METRICS[name]
    low, high = metric.low, metric.high
    low, high = (low - high, high - low) if signed else (low, high)
    ends = interval(value, drawn.get(name), low, high)
    if name == "effective_levels" and any(run.coarse for run in runs):
        ends = "nearly every reply is its own level"
    elif isinstance(ends, str) and drawn and metric.share and not signed:
        # All alike: the bootstrap sees no spread, but the questions bound the share all the same.
        ends = wilson(value, _questions(runs[0], metric.rows))
    return Figure.with_ends(value, ends, n)


def _questions(run: _Counted, rows: Rows) -> int:
    """How many questions have a reply among `rows`."""
    confidence, correctness = (
        np.isfinite(of)[run.cells.of_row] for of in (run.cells.confidence, run.cells.correctness)
    )
    among = {
        "replies": np.ones_like(confidence),
        "parsed": confidence,
        "graded": correctness,
        "complete": confidence & correctness,
    }
    return len(np.unique(run.question[among[rows]]))


def _null_figure(table: Table, replicates: int, seed: int) -> Figure:
    n = int(table.complete)
    if not n or replicates < 1:
        reason = "no resamples" if n else "no reply has both a confidence and a grade"
        return Figure(n=n, reason=reason)
    return Figure(*null_band_of(table, seed, replicates), n, None)


def _minus(name: str, runs: list[_Counted]) -> float | str:
    first, second = (value_of(name, run.table) for run in runs)
    if isinstance(first, str):
        return f"first run: {first}"
    return f"second run: {second}" if isinstance(second, str) else first - second


def _same_questions(first: list[Any], second: list[Any]) -> None:
    apart = sorted(set(first) ^ set(second), key=str)
    if apart:
        shown = ", ".join(repr(question) for question in apart[:5])
        raise ValueError(
            f"{len(apart)} questions stand in one run only ({shown}); compare the shared ones"
        )
