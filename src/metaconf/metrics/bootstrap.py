"""Resampling of questions, exact in law and fast: what is alike is drawn together.

Replies to one question are not independent, so questions are drawn, with all their replies.
Where each question has one reply, questions in the same (confidence, correctness) cell are
exchangeable, and one multinomial draw over the few cells equals a draw over all questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metaconf.metrics.arrays import Array, Index
from metaconf.metrics.table import Cells, segment_sums, starts_of

_BLOCK = 2**18  # numbers a block of resamples holds: small enough for the cache
_DENSE = 8  # entries of a matrix product that cost as much as one gathered reply


@dataclass(frozen=True, slots=True)
class _Link:
    """Which units a cell's replies belong to: `unit` (M,) sorted by cell, `starts` (C,).

    `dense` (U, C) holds the same as counts where that is the quicker way.
    """

    unit: Index
    starts: Index
    dense: Array | None

    def weigh(self, units: Array) -> Array:
        """Cell counts (R, C) from unit counts (R, U)."""
        if self.dense is not None:
            return units @ self.dense
        # Row by row: a gather over several rows at once leaves the cache.
        return np.stack([segment_sums(row[self.unit], self.starts) for row in units])


def resamples(
    runs: Sequence[tuple[Cells, Index]], questions: int, replicates: int, seed: int
) -> Iterator[list[Array]]:
    """Blocks of resampled cell counts, an array (R, C_run) a run; the R add up to `replicates`.

    A run is its cells and the question (0 … questions − 1) of each of its rows; all runs share the
    draw of questions, which is what pairs them.
    """
    unit_counts, links = _units(runs, questions)
    widest = max(unit_counts.size // 4, *(cells.count.size for cells, _ in runs), 1)
    block = max(1, min(replicates, _BLOCK // widest))
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, block):
        drawn = _draw(rng, unit_counts, questions, min(block, replicates - start))
        yield [link.weigh(drawn) for link in links]


def replicate(
    runs: Sequence[tuple[Cells, Index]],
    questions: int,
    of: Callable[[Cells, Array], dict[str, Array]],
    replicates: int,
    seed: int,
) -> list[dict[str, Array]]:
    """Each run's statistics over the same resamples of questions: name → (replicates,). `of` gives
    them by name, (R,), for cells and their counts (R, C). Empty for one question or 0 replicates.
    """
    if questions < 2 or replicates < 1:
        return [{} for _ in runs]
    found: list[dict[str, list[Array]]] = [{} for _ in runs]
    for block in resamples(runs, questions, replicates, seed):
        for (cells, _), weights, parts in zip(runs, block, found, strict=True):
            for name, values in of(cells, weights).items():
                parts.setdefault(name, []).append(values)
    return [{name: np.concatenate(parts) for name, parts in one.items()} for one in found]


def interval(
    value: float, replicated: Array | None, low: float, high: float
) -> tuple[float, float] | str:
    """95 % interval from replicates (R,) of `replicate`, or the reason why there is none.

    Percentiles moved by value − mean of the replicates, within the metric's range [low, high]. The
    move takes out the bootstrap's own bias: resampled replies show a higher ECE than the replies
    they come from, and plain percentiles may not even hold the value. The estimate's own bias
    stays: in simulations intervals of ECE held the truth 79, 91 and 93 times in 100 with 100, 400
    and 2000 replies (Brier and AUROC: 92 to 95), so read small samples with the null band.
    """
    if replicated is None:
        return "one question, or no resamples"
    usable = replicated[np.isfinite(replicated)]
    if usable.size < 0.9 * replicated.size:
        return "undefined in more than a tenth of the resamples"
    ends = np.quantile(usable, (0.025, 0.975))
    if ends[1] - ends[0] <= 1e-12:
        return "the resamples do not vary"
    # The value bounds the ends: what was seen never lies outside its own interval.
    moved = np.clip(ends + (value - usable.mean()), low, high)
    return min(float(moved[0]), value), max(float(moved[1]), value)


def _units(runs: Sequence[tuple[Cells, Index]], questions: int) -> tuple[Index, list[_Link]]:
    """What is drawn: classes of exchangeable questions with their sizes, else the questions."""
    if all(_one_each(question, questions) for _, question in runs):
        return _classes(runs, questions)
    single = np.ones(questions, dtype=np.intp)
    return single, [
        _link(question, cells.of_row, (questions, cells.count.size)) for cells, question in runs
    ]


def _one_each(question: Index, questions: int) -> bool:
    return question.size == questions and bool((np.bincount(question) == 1).all())


def _classes(runs: Sequence[tuple[Cells, Index]], questions: int) -> tuple[Index, list[_Link]]:
    cell_of = [_by_question(cells, question) for cells, question in runs]
    code = np.zeros(questions, dtype=np.intp)
    for (cells, _), cell in zip(runs, cell_of, strict=True):
        # Numbered anew after each run, so that codes stay below questions · cells.
        code = np.unique(code * cells.count.size + cell, return_inverse=True)[1]
    counts = np.bincount(code)
    example = np.empty(counts.size, dtype=np.intp)
    example[code] = np.arange(questions)
    units = np.arange(counts.size)
    links = [
        _link(units, cell[example], (counts.size, cells.count.size))
        for (cells, _), cell in zip(runs, cell_of, strict=True)
    ]
    return counts, links


def _by_question(cells: Cells, question: Index) -> Index:
    """The cell of each question's only reply, (questions,)."""
    cell = np.empty(question.size, dtype=np.intp)
    cell[question] = cells.of_row
    return cell


def _link(unit: Index, cell: Index, shape: tuple[int, int]) -> _Link:
    """Replies of `unit` (M,) in `cell` (M,); shape (U, C)."""
    order = np.argsort(cell, kind="stable")
    dense = None
    if shape[0] * shape[1] <= _DENSE * unit.size:
        dense = np.zeros(shape)
        np.add.at(dense, (unit, cell), 1.0)
    return _Link(unit[order], starts_of(cell[order]), dense)


def _draw(rng: np.random.Generator, counts: Index, questions: int, replicates: int) -> Array:
    """How often each unit (U,) is drawn in `questions` draws, (replicates, U)."""
    if counts.size * 4 <= questions:
        return rng.multinomial(questions, counts / questions, size=replicates).astype(np.float64)
    # One binomial a unit costs more than one integer a question when units are many.
    unit = np.repeat(np.arange(counts.size), counts)
    drawn = np.empty((replicates, counts.size))
    for row in drawn:
        picked = unit[rng.integers(questions, size=questions)]
        row[:] = np.bincount(picked, minlength=counts.size)
    return drawn
