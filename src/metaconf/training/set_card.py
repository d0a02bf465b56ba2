"""README.md of a prepared set: how it was made, what was left out, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metaconf.training.teacher import TeacherOutput

BINS = 10


@dataclass(frozen=True, slots=True)
class DatasetStats:
    """How a set was made; `teacher_output` is None for the offline teacher. `asked` questions with
    `samples` answers each gave `usable` answers, of which `ungraded` were left out. `learnable`
    says what the rows can teach."""

    model: str
    questions: str
    asked: int
    samples: int
    target: str
    teacher: str
    seconds: float
    usable: int
    ungraded: int
    learnable: str
    teacher_output: TeacherOutput | None


def write_set_card(path: Path, stats: DatasetStats, confidences: Sequence[float]) -> None:
    """Write the card; `confidences` are the targets of the rows, in [0, 1]."""
    sections = ["# Rows for stage 1", "\n".join(_facts(stats, len(confidences)))]
    if stats.teacher_output is not None:
        sections.append("\n".join(_teacher(stats.teacher_output)))
    sections.append("\n".join(_histogram(confidences)))
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _facts(stats: DatasetStats, rows: int) -> list[str]:
    return [
        f"- {rows} rows from {stats.asked} questions of {stats.questions}; {stats.samples} answers"
        f" and the likeliest one were sampled for each from {stats.model}.",
        f"- Answers taught: the greedy ones; {stats.asked - stats.usable} questions without a"
        f" usable answer and {stats.ungraded} that could not be graded were left out.",
        f"- Confidence: {stats.target} (see `confidence.target`). Reflections: {stats.teacher}.",
        f"- {stats.learnable}",
        f"- Time: {stats.seconds:.0f} s.",
        "",
        "`sft.jsonl` is in sharegpt form; `target` beside it is the exact confidence."
        " `curriculum.jsonl` holds the same for LLaMA-Factory (`dataset_info.json`): answers with"
        " their confidence alone, then whole replies.",
    ]


def _teacher(output: TeacherOutput) -> list[str]:
    cost = "not known (no prices were given)" if output.cost is None else f"{output.cost:.4f}"
    lines = [
        "## Teacher",
        "",
        f"- {output.calls} calls, {output.tokens} tokens, cost {cost}; {output.failed} failed.",
        f"- {output.leaking} of {output.asked} first versions leaked; {output.rewritten} were"
        f" mended by a second one, {output.asked - len(output.reflections)} rows were dropped;"
        f" {output.contradicting} more, whose reflection sounds like the opposite of the target.",
    ]
    for title, counts in (("leaked", output.leaked), ("dropped", output.dropped)):
        lines += [f"- {title}: {number} × {what}" for what, number in counts.most_common()]
    return lines


def _histogram(confidences: Sequence[float]) -> list[str]:
    lines = ["## Confidences", "", "| confidence | rows |", "|---|---|"]
    for i in range(BINS):
        number = sum(min(int(c * BINS), BINS - 1) == i for c in confidences)
        lines.append(f"| {i / BINS:.1f}–{(i + 1) / BINS:.1f} | {number} |")
    return lines
