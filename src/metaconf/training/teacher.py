"""The LLM teacher of stage 1: it writes each reflection from what the model itself sampled.

A reflection that leaks (see `graders.leaks`) is written once more, with what was amiss; one that
still leaks is dropped with its row. So is one whose call failed, and one that was cut or cannot
stand in a reply: what a teacher thought before it wrote is no part of it. All of it is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaconf.clients import Completion, Endpoint, Outcome, Request, complete_all
from metaconf.errors import UserError
from metaconf.grading.leaks import leaks
from metaconf.prompts.reflection import reflection_messages
from metaconf.prompts.slots import clean
from metaconf.reply import format_reply
from metaconf.thinking import find_drafts
from metaconf.training.evidence import Answered

VERSION = "teacher-1"
MAX_TOKENS = 200


@dataclass
class Lessons:
    """Reflections by question id, and what became of those that are not among them.

    `leaked` counts what was amiss with first versions, `dropped` with second ones, `failed` the
    calls without a text that can stand in a reply. `tokens` and `cost` are those of failed and
    repeated calls as well; `cost` is None where a price is not known.
    """

    asked: int = 0
    written: dict[str, str] = field(default_factory=dict)
    rewritten: int = 0
    failed: int = 0
    leaked: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    leaking: int = 0
    """How many first versions leaked, in whatever ways."""
    calls: int = 0
    tokens: int = 0
    cost: float | None = 0.0

    def counts(self) -> dict[str, Any]:
        """All but the texts."""
        counts = {name: value for name, value in vars(self).items() if name != "written"}
        return {**counts, "written": len(self.written)}


def write_reflections(
    rows: Sequence[Answered], endpoint: Endpoint, cache: Path, max_dropped: float = 1.0
) -> Lessons:
    """Ask the teacher for the reflection of each row; what was paid for is kept in `cache`.

    Raises UserError as `complete_all`, and where more than the share `max_dropped`, or all of them,
    came to nothing.
    """
    lessons = Lessons(asked=len(rows))
    first = _ask(rows, [()] * len(rows), endpoint, cache, lessons, "teacher")
    again: list[tuple[Answered, list[str]]] = []
    for row, text in zip(rows, first, strict=True):
        if text is None:
            continue
        if amiss := _leaks(row, text):
            again.append((row, amiss))
            lessons.leaked.update(amiss)
        else:
            lessons.written[row.question.id] = text
    lessons.leaking = len(again)
    wrong = [tuple(amiss) for _, amiss in again]
    second = _ask([r for r, _ in again], wrong, endpoint, cache, lessons, "teacher, again")
    for (row, _), text in zip(again, second, strict=True):
        if text is None:
            continue
        if amiss := _leaks(row, text):
            lessons.dropped.update(amiss)
        else:
            lessons.written[row.question.id] = text
            lessons.rewritten += 1
    _refuse_few(lessons, endpoint, max_dropped)
    return lessons


def _refuse_few(lessons: Lessons, endpoint: Endpoint, most: float) -> None:
    lost = lessons.asked - len(lessons.written)
    if lost and (lost > most * lessons.asked or not lessons.written):
        causes = ", ".join(f"{n} × {what}" for what, n in lessons.dropped.most_common(3))
        raise UserError(
            f"teacher.max_dropped {most:g}: {lost} of {lessons.asked} reflections of"
            f" {endpoint.model} came to nothing ({lessons.failed} failed calls; {causes}); use a"
            " stronger teacher, or raise the limit; what was paid for is kept"
        )


def _ask(
    rows: Sequence[Answered],
    amiss: Sequence[Sequence[str]],
    endpoint: Endpoint,
    cache: Path,
    lessons: Lessons,
    label: str,
) -> list[str | None]:
    """One reflection a row; None where the call failed, which is counted."""
    if not rows:
        return []
    requests = [_request(row, wrong) for row, wrong in zip(rows, amiss, strict=True)]
    outcomes = complete_all(requests, endpoint, cache=cache, label=label)
    return [_text(outcome, lessons) for outcome in outcomes]


def _request(row: Answered, amiss: Sequence[str]) -> Request:
    question = row.question.prompt
    chat = reflection_messages(question, row.answer, row.alternatives, row.agreement, amiss)
    return Request(tuple(chat), temperature=0.7, max_tokens=MAX_TOKENS, version=VERSION)


def _text(outcome: Outcome, lessons: Lessons) -> str | None:
    """The reflection of a call, which is counted; None where it has none that can be taught."""
    lessons.calls += 1
    _pay(outcome, lessons)
    text = _reflection(outcome) if isinstance(outcome, Completion) else ""
    lessons.failed += not text
    return text or None


def _pay(outcome: Outcome, lessons: Lessons) -> None:
    lessons.tokens += outcome.wasted_tokens
    own: float | None = 0.0
    if isinstance(outcome, Completion):
        lessons.tokens += (outcome.tokens_in or 0) + (outcome.tokens_out or 0)
        own = outcome.cost
    known = lessons.cost is not None and own is not None
    lessons.cost = lessons.cost + own + outcome.wasted_cost if known else None  # type: ignore[operator]


def _reflection(completion: Completion) -> str:
    """What was written, on the one line that a reply has for it; "" where that cannot be taught."""
    if completion.finish_reason == "length":
        return ""
    text = " ".join(clean(find_drafts(completion.text).mask).split())
    try:
        format_reply("answer", text, 0.5)
    except ValueError:
        return ""
    return text


def _leaks(row: Answered, text: str) -> list[str]:
    truths = [text for target in row.question.targets for text in target.texts]
    return leaks(text, row.question.prompt, row.answer, row.alternatives, truths)
