"""Replies counted by confidence: the one form that every metric is computed from.

Confidences that a model states are heavily tied and no metric here depends on the order of rows,
so a table by distinct confidence loses nothing, and a bootstrap resample is the same table with
other counts. All counts carry leading axes (...,), one table for each resample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metaconf.metrics.arrays import Array, Index, check_pair


@dataclass(frozen=True, slots=True)
class Table:
    """Replies by distinct confidence (L of them) and by distinct correctness (T of them).

    `levels` (L,) and `grades` (T,) ascend. Over the replies that have both values: `count`,
    `right`, `square` (..., L) hold the number, Σ correctness and Σ correctness² at each level,
    `grade_count` (..., T) the number at each grade, `complete` (...,) all of them. Over the others
    too: `replies`, `parsed` (with a confidence), `graded` (with a correctness), Σ correctness of
    the graded and Σ confidence of the parsed, all (...,).
    """

    levels: Array
    count: Array
    right: Array
    square: Array
    grades: Array
    grade_count: Array
    complete: Array
    replies: Array
    parsed: Array
    graded: Array
    graded_right: Array
    parsed_confidence: Array


@dataclass(frozen=True, slots=True)
class Cells:
    """Distinct (confidence, correctness) pairs, sorted; NaN stands for "missing" and comes last.

    `confidence`, `correctness`, `count` are (C,); `of_row` (n,) is the cell of each reply.
    """

    confidence: Array
    correctness: Array
    count: Array
    of_row: Index

    def table(self, weights: Array) -> Table:
        """The table in which cell i stands `weights[..., i]` times; weights (..., C) ≥ 0."""
        parsed, graded = np.isfinite(self.confidence), np.isfinite(self.correctness)
        both = np.flatnonzero(parsed & graded)
        w, c, y = weights[..., both], self.confidence[both], self.correctness[both]
        starts = starts_of(c)
        by_grade = np.argsort(y, kind="stable")
        grade_starts = starts_of(y[by_grade])
        wy = w * y
        return Table(
            levels=c[starts],
            count=segment_sums(w, starts),
            right=segment_sums(wy, starts),
            square=segment_sums(wy * y, starts),
            grades=y[by_grade][grade_starts],
            grade_count=segment_sums(w[..., by_grade], grade_starts),
            complete=w.sum(axis=-1),
            replies=weights.sum(axis=-1),
            parsed=weights @ parsed.astype(np.float64),
            graded=weights @ graded.astype(np.float64),
            graded_right=weights @ np.where(graded, self.correctness, 0.0),
            parsed_confidence=weights @ np.where(parsed, self.confidence, 0.0),
        )


def tabulate(confidence: ArrayLike, correctness: ArrayLike) -> Table:
    """The table of checked replies; ValueError as `check_pair` raises it."""
    c, y = check_pair(confidence, correctness)
    cells = group(c, y)
    return cells.table(cells.count)


def group(confidence: Array, correctness: Array) -> Cells:
    """Cells of replies; both (n,), NaN where missing."""
    levels, level = _distinct(confidence)
    grades, grade = _distinct(correctness)
    code = level * max(grades.size, 1) + grade
    present, of_row, count = _count(code, levels.size * grades.size)
    return Cells(
        confidence=levels[present // max(grades.size, 1)],
        correctness=grades[present % max(grades.size, 1)],
        count=count.astype(np.float64),
        of_row=of_row,
    )


def coarsen(confidence: Array, groups: int, edges: Array) -> Array:
    """Confidences (n,) merged to about `groups` neighbourhoods of equal mass, each at its mean.

    Equal values stay together and no neighbourhood spans one of the `edges`. NaN stays NaN.
    """
    levels, level, count = np.unique(confidence, return_inverse=True, return_counts=True)
    return coarse_levels(levels, count, groups, edges)[level]


def coarse_levels(levels: Array, count: Array | Index, groups: int, edges: Array) -> Array:
    """The neighbourhood's mean for each of `levels` (L,), ascending, held by `count` (L,) rows."""
    middle = (np.cumsum(count) - count / 2) / max(count.sum(), 1)
    key = np.floor(middle * groups) * edges.size + np.searchsorted(edges, levels, side="right")
    key[np.isnan(levels)] = -1.0
    starts = starts_of(key)
    mean = segment_sums(levels * count, starts) / segment_sums(count * 1.0, starts)
    return np.repeat(mean, np.diff(np.append(starts, levels.size)))


def segment_sums(values: NDArray[Any], starts: Index) -> NDArray[Any]:
    """Sums (..., S) of `values` (..., K) over the runs that begin at `starts` (S,), ascending."""
    if not starts.size:
        return np.zeros((*values.shape[:-1], 0), dtype=values.dtype)
    if starts.size == values.shape[-1]:
        return values
    return np.add.reduceat(values, starts, axis=-1)


def ratio(part: Array, whole: Array) -> Array:
    """part / whole, NaN where the whole is 0; shapes broadcast."""
    part, whole = np.broadcast_arrays(part, whole)
    out = np.full(part.shape, np.nan)
    return np.divide(part, whole, out=out, where=whole > 0)


def starts_of(ordered: NDArray[Any]) -> Index:
    """Where the runs of equal values begin in `ordered` (K,)."""
    if not ordered.size:
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))


def _distinct(values: Array) -> tuple[Array, Index]:
    """Sorted distinct values (NaN last, once) and each row's place among them."""
    distinct = np.unique(values)
    if distinct.size <= 4096:
        # A search among few levels beats the argsort that return_inverse needs.
        return distinct, np.searchsorted(distinct, values)
    distinct, place = np.unique(values, return_inverse=True)
    return distinct, place


def _count(code: Index, size: int) -> tuple[Index, Index, Index]:
    """Distinct codes, each row's place among them, and how often each occurs."""
    if size > max(4 * code.size, 1024):
        return np.unique(code, return_inverse=True, return_counts=True)
    count = np.bincount(code, minlength=size)
    present = np.flatnonzero(count)
    place = np.cumsum(count > 0) - 1
    return present, place[code], count[present]
