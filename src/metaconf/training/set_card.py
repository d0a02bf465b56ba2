"""README.md of a prepared set: how it was made, what was left out, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metaconf.training.teacher import Lessons
from metaconf.training.varied import shares

BINS = 10


@dataclass(frozen=True, slots=True)
class Made:
    """How a set came about. `lessons` None: the offline teacher wrote the reflections."""

    model: str
    questions: str
    asked: int
    samples: int
    target: str
    answers: str
    teacher: str
    seconds: float
    usable: int
    ungraded: int
    lessons: Lessons | None


def write_set_card(path: Path, made: Made, confidences: Sequence[float]) -> None:
    """Write the card; `confidences` are the targets of the rows, in [0, 1]."""
    sections = ["# Rows for stage 1", "\n".join(_facts(made, len(confidences)))]
    if made.lessons is not None:
        sections.append("\n".join(_taught(made.lessons)))
    sections.append("\n".join(_histogram(confidences)))
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _facts(made: Made, rows: int) -> list[str]:
    return [
        f"- {rows} rows from {made.asked} questions of {made.questions}; {made.samples} answers and"
        f" the likeliest one were sampled for each from {made.model}.",
        f"- Answers taught: {made.answers}; {made.asked - made.usable} questions without a usable"
        f" answer and {made.ungraded} that could not be graded were left out.",
        f"- Confidence: {made.target} (see `confidence.target`). Reflections: {made.teacher}.",
        f"- Time: {made.seconds:.0f} s.",
        "",
        "`sft.jsonl` is in sharegpt form; `target` beside it is the exact confidence."
        " `curriculum.jsonl` holds the same for LLaMA-Factory (`dataset_info.json`): answers with"
        " their confidence alone, then whole replies.",
    ]


def _taught(lessons: Lessons) -> list[str]:
    cost = "not known (no prices were given)" if lessons.cost is None else f"{lessons.cost:.4f}"
    lines = [
        "## Teacher",
        "",
        f"- {lessons.calls} calls, {lessons.tokens} tokens, cost {cost}; {lessons.failed} failed.",
        f"- {lessons.leaking} of {lessons.asked} first versions leaked; {lessons.rewritten} were"
        f" mended by a second one, {lessons.asked - len(lessons.written)} rows were dropped.",
    ]
    for title, counts in (("leaked", lessons.leaked), ("dropped", lessons.dropped)):
        lines += [f"- {title}: {number} × {what}" for what, number in counts.most_common()]
    return lines


def _histogram(confidences: Sequence[float]) -> list[str]:
    bands = ", ".join(f"{name} {share:.0%}" for name, share in shares(confidences).items())
    lines = ["## Confidences", "", bands, "", "| confidence | rows |", "|---|---|"]
    for i in range(BINS):
        number = sum(min(int(c * BINS), BINS - 1) == i for c in confidences)
        lines.append(f"| {i / BINS:.1f}–{(i + 1) / BINS:.1f} | {number} |")
    return lines
