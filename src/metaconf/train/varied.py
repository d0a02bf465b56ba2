"""Which of a question's sampled answers is taught: the likeliest, one that fills the set, or for
some questions another than the likeliest.

A model that is right nearly always, or nearly never, gives a set in which one confidence stands
on every row, and from which no other can be learnt. And a model that has been trained does not
always answer what was likeliest before: of those answers too it must know how sure it may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metaconf.records import Question, Reply
from metaconf.train.evidence import Answered, answered, speakable

EDGES = (0.3, 0.65)
"""Bounds of low, middle and high confidence, as the reflections' wording has them."""
OTHERS = 3
"""A third of the greedy answers of a model that has been taught differ from those before."""
NAMES = ("low", "middle", "high")


def band(confidence: float) -> int:
    """0, 1 or 2: low, middle or high."""
    return sum(confidence >= edge for edge in EDGES)


def shares(confidences: Sequence[float]) -> dict[str, float]:
    """The share of low, middle and high confidences; all 0 where there is none."""
    found = [band(c) for c in confidences]
    return {name: found.count(i) / max(len(found), 1) for i, name in enumerate(NAMES)}


def vary(
    questions: Sequence[Question], answers: Sequence[tuple[Reply, Sequence[Reply]]]
) -> list[Answered]:
    """One answer a question, by (greedy reply, samples): the one whose agreement with the samples
    falls into the band of which there are fewest so far, the likeliest answer where several do."""
    counts = [0, 0, 0]
    chosen: list[Answered] = []
    for question, (greedy, samples) in zip(questions, answers, strict=True):
        rows = [answered(question, reply, samples) for reply in (greedy, *_others(greedy, samples))]
        usable = [row for row in rows if row.answer and speakable(row.answer)]
        if not usable:
            continue
        best = min(usable, key=lambda row: (counts[band(row.agreement)], -row.agreement))
        counts[band(best.agreement)] += 1
        chosen.append(best)
    return chosen


def with_others(
    questions: Sequence[Question], answers: Sequence[tuple[Reply, Sequence[Reply]]]
) -> list[Answered]:
    """The likeliest answer of each question, but of every third one (OTHERS) the first sampled
    answer that differs from it, where there is one."""
    chosen: list[Answered] = []
    for place, (question, (greedy, samples)) in enumerate(zip(questions, answers, strict=True)):
        found = [reply for reply in _others(greedy, samples) if speakable(reply.text)]
        if found and place % OTHERS == OTHERS - 1:
            chosen.append(replace(answered(question, found[0], samples), likeliest=False))
        else:
            chosen.append(answered(question, greedy, samples))
    return chosen


def _others(greedy: Reply, samples: Sequence[Reply]) -> list[Reply]:
    """The sampled answers that differ in their words, each once."""
    seen = {greedy.text}
    found: list[Reply] = []
    for reply in samples:
        if reply.status == "ok" and reply.text not in seen:
            seen.add(reply.text)
            found.append(reply)
    return found
