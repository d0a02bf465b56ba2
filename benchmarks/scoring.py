"""Scores over seeds, with intervals that resample questions and seeds together."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import record

from metaconf import metrics
from metaconf.evaluation.rows import EvaluatedReply

REPLICATES = 1000
Score = Callable[[np.ndarray, np.ndarray], float]
Pairs = dict[str, tuple[float, float]]
"""Question id → (confidence, correctness)."""


def pairs(rows: Sequence[EvaluatedReply]) -> Pairs:
    """Question id → (confidence, correctness) of rows that have both."""
    return {
        row.question_id: (row.confidence, row.correctness)
        for row in rows
        if row.confidence is not None and row.correctness is not None
    }


def graded(rows: Sequence[EvaluatedReply]) -> Pairs:
    """Question id → (0, correctness): unlike `pairs`, replies that state no confidence count."""
    return {row.question_id: (0.0, row.correctness) for row in rows if row.correctness is not None}


def well_formed(rows: Sequence[EvaluatedReply]) -> Pairs:
    """Question id → (0, whether the reply is in the format): unlike `pairs`, broken ones count."""
    return {row.question_id: (0.0, float(not row.problems)) for row in rows}


def slim(rows: Sequence[EvaluatedReply]) -> list[dict[str, Any]]:
    """What of the rows is kept beside the figures, as JSON; `EvaluatedReply.from_json` reads it."""
    names = ("question_id", "confidence", "correctness", "split", "problems")
    return [{name: whole[name] for name in names} for whole in (row.to_json() for row in rows)]


def over_seeds(runs: Sequence[Pairs], score: Score) -> record.Figure:
    """Mean of `score(confidence, correctness)` over seeds with its interval."""
    return _over_seeds(_table(runs, shared(runs)), score)


def apart_over_seeds(
    runs: Sequence[Pairs],
    others: Sequence[Pairs],
    score: Score,
    apart: Callable[[float, float], float] = operator.sub,
) -> record.Figure:
    """How much more `score` is for `runs` than for `others`, seed by seed and on the same
    questions: those that all of them have. `apart`: their difference, or `operator.truediv`."""
    ids = shared([*runs, *others])
    both = np.concatenate([_table(runs, ids), _table(others, ids)], axis=2)

    def compared(c: np.ndarray, y: np.ndarray, d: np.ndarray, z: np.ndarray) -> float:
        return apart(score(c, y), score(d, z))

    return _over_seeds(both, compared)


def shared(runs: Sequence[Pairs]) -> list[str]:
    """The questions that all of them have."""
    return sorted(set.intersection(*(set(run) for run in runs))) if runs else []


def _table(runs: Sequence[Pairs], ids: Sequence[str]) -> np.ndarray:
    return np.array([[run[i] for i in ids] for run in runs])  # (seeds, questions, 2)


def _over_seeds(table: np.ndarray, score: Callable[..., float]) -> record.Figure:
    """`table` (seeds, questions, columns); `score` takes one seed's columns, each (questions,)."""
    rng = np.random.default_rng(0)
    value = float(np.mean([score(*run.T) for run in table]))
    drawn = [_resampled(table, score, rng) for _ in range(REPLICATES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    # ECE is biased upward under resampling: shift the interval to the value, as metaconf.metrics.
    shift = value - float(np.mean(drawn))
    return record.figure(round(value, 4), (min(low + shift, value), max(high + shift, value)))


def _resampled(table: np.ndarray, score: Callable[..., float], rng: np.random.Generator) -> float:
    seeds = rng.integers(0, len(table), len(table))
    questions = rng.integers(0, table.shape[1], table.shape[1])
    return float(np.mean([score(*table[s][questions].T) for s in seeds]))


def mean_right(_: np.ndarray, correctness: np.ndarray) -> float:
    return float(correctness.mean())


def mean_known(_: np.ndarray, values: np.ndarray) -> float:
    """Mean of the `values` that are known, the others being NaN."""
    return float(np.nanmean(values))


def mean_confidence(confidence: np.ndarray, _: np.ndarray) -> float:
    return float(confidence.mean())


SCORES: dict[str, Score] = {"ece": metrics.ece, "brier": metrics.brier, "auroc": metrics.auroc}


def scores(key: str, runs: Sequence[Pairs]) -> dict[str, record.Figure]:
    """SCORE_key → figure over seeds."""
    return {f"{name}_{key}": over_seeds(runs, score) for name, score in SCORES.items()}


def in_domain(rows: Sequence[EvaluatedReply]) -> list[EvaluatedReply]:
    return [row for row in rows if row.split != "ood"]


def inside(rows: Sequence[EvaluatedReply]) -> Pairs:
    return pairs(in_domain(rows))


def both_classes(run: Pairs) -> bool:
    """Enough right and wrong ones that a resample without one of them does not happen."""
    right = sum(y > 0.5 for _, y in run.values())
    return min(right, len(run) - right) >= 15
