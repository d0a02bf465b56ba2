"""What reflections tell a reader: whether the answer is right, beyond question and answer.

The reader is a small one of words (`judge.reader`), fitted on the same method's replies to other
questions; it sees no confidence. Two controls: the reflection on another question of the family,
and one and the same text for all, which must not help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from metaconf.evaluation.reflections import partners
from metaconf.evaluation.rows import EvaluatedReply, in_domain
from metaconf.judging.reader import FEWEST, ReaderInput, cross_fitted
from metaconf.metrics import Figure, ScoredReplies, paired_difference, summarise

MOST = 4000
"""So many replies are read at most."""


class Read(NamedTuple):
    """The chance in [0, 1] that one answer is right, as read from question and answer, with the
    reflection, with another question's, and with the text that all were given."""

    without: float
    with_reflection: float
    swapped: float
    same: float
    correctness: float


def readings(rows: Sequence[EvaluatedReply], seed: int = 0) -> dict[str, Read]:
    """By question id: the in-domain replies that have an answer, a reflection, a grade and another
    question of their family (the first MOST). Empty where they are fewer than FEWEST."""
    other = partners(rows, seed)
    usable = [
        row
        for row in in_domain(rows)
        if row.answer
        and row.reflection
        and row.correctness is not None
        and row.question_id in other
    ][:MOST]
    if len({row.question_id for row in usable}) < FEWEST:
        return {}
    common = usable[0].reflection or ""
    reflections: tuple[Callable[[EvaluatedReply], str], ...] = (
        lambda row: row.reflection or "",
        lambda row: other[row.question_id].reflection or "",
        lambda row: common,
    )
    own, swapped, same = (
        [ReaderInput(row.prompt, row.answer or "", text(row)) for row in usable]
        for text in reflections
    )
    ids = [row.question_id for row in usable]
    right = [row.correctness for row in usable if row.correctness is not None]
    read, another, alike = cross_fitted(own, right, ids, (swapped, same))
    columns = (read.without, *(one.with_reflection for one in (read, another, alike)))
    rows_read = zip(*(column.tolist() for column in columns), right, strict=True)
    return {i: Read(*values) for i, values in zip(ids, rows_read, strict=True)}


def reader_figures(
    rows: Sequence[EvaluatedReply], seed: int = 0, replicates: int = 1000
) -> dict[str, Figure]:
    """Figures of one method's reflections, with 95 % intervals by question; none where too few
    replies can be read.

    * reader_auroc_without, reader_auroc: how well the reader ranks answers by question and answer
      alone, and with the reflection.
    * reflection_brier_gain: what the reflection takes off the reader's Brier score.
    * reflection_brier_gain_swapped, reflection_brier_gain_same: what another question's
      reflection, and one text for all, take off it.
    """
    read = readings(rows, seed)
    if not read:
        return {}
    ids, right = list(read), [one.correctness for one in read.values()]
    runs = {
        name: ScoredReplies([getattr(one, name) for one in read.values()], right, ids)
        for name in ("without", "with_reflection", "swapped", "same")
    }
    found: dict[str, Figure] = {}
    for name, key in (("reader_auroc_without", "without"), ("reader_auroc", "with_reflection")):
        found[name] = summarise(*runs[key], ["auroc"], seed=seed, replicates=replicates)["auroc"]
    for name, key in (("", "with_reflection"), ("_swapped", "swapped"), ("_same", "same")):
        found[f"reflection_brier_gain{name}"] = paired_difference(
            "brier", runs["without"], runs[key], seed=seed, replicates=replicates
        )
    return found
