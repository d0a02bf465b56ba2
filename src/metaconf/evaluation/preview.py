"""What an evaluation is going to ask, shown before the model is loaded: prompts as they are sent,
the grader at work on them, and how much there is to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from metaconf.evaluation.names import WAYS
from metaconf.graders import grade_answer
from metaconf.prompts.chat import messages
from metaconf.records import Question

if TYPE_CHECKING:
    from metaconf.client import Endpoint

EXAMPLES = 3


def preview(
    model: str,
    questions: Sequence[Question],
    calibration: Sequence[Question],
    ways: Sequence[str],
    endpoint: Endpoint | None = None,
) -> str:
    """Text for a terminal. Raises UserError where the model has no tokenizer or chat template."""
    shown_as = conversation if endpoint else _template(model)
    parts = [
        f"{len(questions)} questions"
        + (f" and {len(calibration)} to calibrate on" if calibration else "")
        + f", asked of {model}{f' at {endpoint.url}' if endpoint else ''}:"
    ]
    shown = questions[:EXAMPLES]
    for place, question in enumerate(shown):
        prompt = printable(shown_as(question.prompt).strip())
        parts.append(f"── prompt {place + 1} of {len(questions)}\n{prompt}")
        parts.append(_graded(question, questions[(place + 1) % len(questions)]))
    count = (len(questions) + len(calibration)) * replies_each(ways)
    cost = "at the server's prices" if endpoint else "none, the model is local"
    parts.append(f"── {count} replies to draw ({', '.join(ways)}); cost: {cost}")
    return "\n".join(parts)


def conversation(question: str) -> str:
    """What is sent to a server, which puts it into the model's template; a turn a line."""
    return "\n".join(f"[{turn['role']}] {turn['content']}" for turn in messages(question))


def _template(model: str) -> Callable[[str], str]:
    """The text that a local model is given for a question."""
    from metaconf.engines.local import LocalModel, load_tokenizer

    local = LocalModel(None, load_tokenizer(model))
    return lambda question: local.tokenizer.decode(local.reply_prompt(question))


def replies_each(ways: Sequence[str]) -> int:
    """Replies to a question, those that ways share counted once."""
    most: dict[str, int] = {}
    for way in ways:
        file = WAYS[way].file
        most[file] = max(most.get(file, 0), WAYS[way].drawn)
    return sum(most.values())


def _graded(question: Question, other: Question) -> str:
    """How the grader takes the reference, and another question's."""
    lines: list[str] = []
    for what, source in (("reference", question), ("another's", other)):
        if not source.targets:
            lines.append(f"   {what}: none")
            continue
        text = source.targets[0].texts[0]
        grade, why = grade_answer(question, text)
        told = "not graded" if grade is None else f"{grade:g}"
        lines.append(f"   graded ({question.task}): {what} {printable(text)!r} → {told} ({why})")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Text without the control characters that could drive a terminal; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
