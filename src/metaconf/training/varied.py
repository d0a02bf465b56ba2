"""Which of a question's sampled answers is taught: the likeliest, or one that fills the set.

A model that is right nearly always, or nearly never, gives a set in which one confidence stands
on every row, and from which no other can be learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

from metaconf.records import Question, Reply
from metaconf.training.evidence import Answered, answered, speakable

EDGES = (0.3, 0.65)
"""Bounds of low, middle and high confidence, as the reflections' wording has them."""
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


def _others(greedy: Reply, samples: Sequence[Reply]) -> list[Reply]:
    """The sampled answers that differ in their words, each once."""
    seen = {greedy.text}
    found: list[Reply] = []
    for reply in samples:
        if reply.status == "ok" and reply.text not in seen:
            seen.add(reply.text)
            found.append(reply)
    return found
