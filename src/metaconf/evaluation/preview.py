"""What an evaluation is going to ask, shown before the model is loaded: prompts as they are sent,
the grader at work on them, and how much there is to draw.
"""

from __future__ import annotations

from collections.abc import Sequence

from metaconf.evaluation.names import WAYS
from metaconf.graders import grade_answer
from metaconf.records import Question

EXAMPLES = 3


def preview(
    model: str, questions: Sequence[Question], calibration: Sequence[Question], ways: Sequence[str]
) -> str:
    """Text for a terminal. Raises UserError where the model has no tokenizer or chat template."""
    from metaconf.engines.local import LocalModel, load_tokenizer

    local = LocalModel(None, load_tokenizer(model))
    parts = [
        f"{len(questions)} questions"
        + (f" and {len(calibration)} to calibrate on" if calibration else "")
        + f", asked of {model}:"
    ]
    shown = questions[:EXAMPLES]
    for place, question in enumerate(shown):
        prompt = local.tokenizer.decode(local.reply_prompt(question.prompt))
        parts.append(f"── prompt {place + 1} of {len(questions)}\n{printable(prompt.strip())}")
        parts.append(_graded(question, questions[(place + 1) % len(questions)]))
    count = (len(questions) + len(calibration)) * replies_each(ways)
    parts.append(f"── {count} replies to draw ({', '.join(ways)}); cost: none, the model is local")
    return "\n".join(parts)


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
