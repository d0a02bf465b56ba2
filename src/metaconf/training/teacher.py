"""The LLM teacher of stage 1 writes each reflection from what the model itself sampled.

A reflection that leaks (see `grading.leaks`) is requested once more, with the reason. A row is
dropped where the second version leaks as well, where the call fails, and where the text is cut or
cannot stand in a reply. The teacher's thinking is removed. All of it is counted.
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
class TeacherOutput:
    """Reflections by question id, and counts of what happened to the others.

    Of the `asked` reflections: `leaking` first versions leaked, for the reasons counted in
    `leaked`; `rewritten` second versions were used; `dropped` counts the reasons of the second
    versions that leaked too; `contradicting` ones are left out of the set, because they sound like
    the opposite of the confidence target. `failed` calls gave no text that can stand in a reply.
    `calls`, `tokens` and `cost` include failed and repeated calls; `cost` is None where a price is
    unknown.
    """

    asked: int = 0
    reflections: dict[str, str] = field(default_factory=dict)
    rewritten: int = 0
    failed: int = 0
    leaked: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    leaking: int = 0
    contradicting: int = 0
    calls: int = 0
    tokens: int = 0
    cost: float | None = 0.0

    def counts(self) -> dict[str, Any]:
        """All but the texts, whose number is "reflections"."""
        return {**vars(self), "reflections": len(self.reflections)}


def write_reflections(
    rows: Sequence[Answered], endpoint: Endpoint, cache: Path, max_dropped: float = 1.0
) -> TeacherOutput:
    """Ask the teacher for the reflection of each row; `cache` stores the responses.

    Raises UserError as `complete_all`, and where more than the share `max_dropped` of the rows, or
    all of them, are left without a reflection.
    """
    output = TeacherOutput(asked=len(rows))
    first = _ask(rows, [()] * len(rows), endpoint, cache, output, "teacher")
    again: list[tuple[Answered, list[str]]] = []
    for row, text in zip(rows, first, strict=True):
        if text is None:
            continue
        if amiss := _leaks(row, text):
            again.append((row, amiss))
            output.leaked.update(amiss)
        else:
            output.reflections[row.question.id] = text
    output.leaking = len(again)
    wrong = [tuple(amiss) for _, amiss in again]
    second = _ask([r for r, _ in again], wrong, endpoint, cache, output, "teacher, again")
    for (row, _), text in zip(again, second, strict=True):
        if text is None:
            continue
        if amiss := _leaks(row, text):
            output.dropped.update(amiss)
        else:
            output.reflections[row.question.id] = text
            output.rewritten += 1
    _refuse_few(output, endpoint, max_dropped)
    return output


def _refuse_few(output: TeacherOutput, endpoint: Endpoint, most: float) -> None:
    lost = output.asked - len(output.reflections)
    if lost and (lost > most * output.asked or not output.reflections):
        causes = ", ".join(f"{n} × {what}" for what, n in output.dropped.most_common(3))
        raise UserError(
            f"teacher.max_dropped {most:g}: {lost} of {output.asked} reflections of"
            f" {endpoint.model} came to nothing ({output.failed} failed calls; {causes}); use a"
            " stronger teacher, or raise the limit; what was paid for is kept"
        )


def _ask(
    rows: Sequence[Answered],
    amiss: Sequence[Sequence[str]],
    endpoint: Endpoint,
    cache: Path,
    output: TeacherOutput,
    label: str,
) -> list[str | None]:
    """One reflection a row; None where the call failed, which is counted."""
    if not rows:
        return []
    requests = [_request(row, wrong) for row, wrong in zip(rows, amiss, strict=True)]
    outcomes = complete_all(requests, endpoint, cache=cache, label=label)
    return [_text(outcome, output) for outcome in outcomes]


def _request(row: Answered, amiss: Sequence[str]) -> Request:
    question = row.question.prompt
    chat = reflection_messages(question, row.answer, row.alternatives, row.agreement, amiss)
    return Request(tuple(chat), temperature=0.7, max_tokens=MAX_TOKENS, version=VERSION)


def _text(outcome: Outcome, output: TeacherOutput) -> str | None:
    """The reflection of a call, which is counted; None where it has none that can be used."""
    output.calls += 1
    _pay(outcome, output)
    text = _reflection(outcome) if isinstance(outcome, Completion) else ""
    output.failed += not text
    return text or None


def _pay(outcome: Outcome, output: TeacherOutput) -> None:
    output.tokens += outcome.wasted_tokens
    own: float | None = 0.0
    if isinstance(outcome, Completion):
        output.tokens += (outcome.tokens_in or 0) + (outcome.tokens_out or 0)
        own = outcome.cost
    known = output.cost is not None and own is not None
    output.cost = output.cost + own + outcome.wasted_cost if known else None  # type: ignore[operator]


def _reflection(completion: Completion) -> str:
    """The text on one line, without the teacher's thinking; "" where a reply cannot hold it."""
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
