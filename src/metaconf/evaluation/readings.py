"""Whether the words of replies agree with the number that they state: readings, figures, warning.

A reading is how sure a reflection sounds, from its text alone (`grading.reading`, or a judge).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from metaconf.evaluation.rows import EvaluatedReply, in_domain
from metaconf.evaluation.tables import scored, share
from metaconf.grading.reading import reading
from metaconf.judging.contradictions import contradiction_warning
from metaconf.metrics import (
    Figure,
    ReadReplies,
    agreement_differences,
    agreement_figures,
    paired_difference,
    reading_aurocs,
)

COMPARED = ("contradiction_rate", "cmfg_star", "reading_rank_correlation", "reading_auroc")
"""The figures that `metaconf compare` shows."""


def with_readings(rows: Sequence[EvaluatedReply]) -> list[EvaluatedReply]:
    """The rows, each reflection read. A method that a judge has read keeps the judge's readings
    alone: two readers are never mixed."""
    if any(row.reading is not None for row in rows):
        return list(rows)
    return [replace(row, reading=reading(row.reflection)) for row in rows]


def reading_figures(
    rows: Sequence[EvaluatedReply], seed: int = 0, replicates: int = 1000
) -> dict[str, Figure]:
    """Figures of one method's rows with 95 % intervals by question; none where no row has a
    reading.

    Those of `metrics.agreement_figures` and `metrics.reading_aurocs` (by the rows' kinds), and
    `reading_coverage`, the share of reflections that say how sure they are.
    """
    reflecting = [row for row in rows if row.reflection]
    if all(row.reading is None for row in reflecting):
        return {}
    read = _read(reflecting)
    right = [row.correctness for row in reflecting]
    kinds = [row.kind for row in reflecting]
    known = [float(row.reading is not None) for row in reflecting]
    how = {"seed": seed, "replicates": replicates}
    aurocs = reading_aurocs(read.reading, right, read.question_ids, kinds, **how)
    coverage = share(known, [row.question_id for row in reflecting], seed, replicates)
    return {**agreement_figures(read, **how), **aurocs, "reading_coverage": coverage}


def samples_figure(
    rows: Sequence[EvaluatedReply], agreement: Mapping[str, float | None], seed: int = 0
) -> Figure:
    """cMFG* of the readings beside the share of own samples that agree (by question id)."""
    reflecting = [row for row in in_domain(rows) if row.reflection]
    shares = [agreement.get(row.question_id) for row in reflecting]
    return agreement_figures(_read(reflecting)._replace(confidence=shares), seed=seed)["cmfg_star"]


def reading_differences(
    a: Sequence[EvaluatedReply], b: Sequence[EvaluatedReply], seed: int
) -> dict[str, Figure]:
    """COMPARED of `a` minus that of `b`, rows of the same questions, paired."""
    found = agreement_differences(_read(a), _read(b), seed=seed)
    runs = (scored(rows)._replace(confidence=_read(rows).reading) for rows in (a, b))
    found["reading_auroc"] = paired_difference("auroc", *runs, seed=seed)
    return {name: found[name] for name in COMPARED}


def warning(rows: Sequence[EvaluatedReply]) -> str | None:
    """`judging.contradictions.contradiction_warning` of the rows by the readings that they have."""
    return contradiction_warning(rows, [row.reading for row in rows])


def _read(rows: Sequence[EvaluatedReply]) -> ReadReplies:
    return ReadReplies(
        [row.confidence for row in rows],
        [row.reading for row in rows],
        [row.question_id for row in rows],
    )
