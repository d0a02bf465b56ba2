"""What an evaluation is going to ask, shown before the model is loaded: prompts as they are sent,
the grader at work on them, and how much there is to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from metaconf.evaluation.methods import ANSWER_TOKENS, METHODS, REPLY_TOKENS, THINKING_TOKENS
from metaconf.grading import grade_answer
from metaconf.prompts.chat import messages
from metaconf.records import Question

if TYPE_CHECKING:
    from metaconf.clients import Endpoint

EXAMPLES = 3
LETTERS = 4
"""So many characters make about a token of English."""


def preview(
    model: str,
    questions: Sequence[Question],
    calibration: Sequence[Question],
    methods: Sequence[str],
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
    count = (len(questions) + len(calibration)) * replies_each(methods)
    cost = _cost([*questions, *calibration], methods, endpoint) if endpoint else "none, it is local"
    parts.append(f"── {count} replies to draw ({', '.join(methods)}); cost: {cost}")
    return "\n".join(parts)


def conversation(question: str) -> str:
    """What is sent to a server, which puts it into the model's template; a turn a line."""
    return "\n".join(f"[{turn['role']}] {turn['content']}" for turn in messages(question))


def _template(model: str) -> Callable[[str], str]:
    """The text that a local model is given for a question."""
    from metaconf.generation.local import LocalModel, load_tokenizer

    local = LocalModel(None, load_tokenizer(model))
    return lambda question: local.tokenizer.decode(local.reply_prompt(question))


def _cost(questions: Sequence[Question], methods: Sequence[str], endpoint: Endpoint) -> str:
    """About how many tokens a server reads and at most writes, and what that costs at most; a
    judge's verdicts and repeated calls come on top."""
    limits = endpoint.limits
    asked = sum(len(conversation(question.prompt)) for question in questions) / LETTERS
    read = asked * replies_each(methods)
    write = len(questions) * sum(n * _longest(file) for file, n in _drawn(methods).items())
    tokens = f"about {read:,.0f} tokens read and at most {write:,} written"
    if limits.input_price is None or limits.output_price is None:
        return (
            f"{tokens}; with --input_price and --output_price of a million tokens it is worked out"
        )
    most = (read * limits.input_price + write * limits.output_price) / 1e6
    return f"{tokens}, that is at most {most:,.2f} at the prices given"


def _longest(file: str) -> int:
    if file == METHODS["samples8"].file:
        return ANSWER_TOKENS
    return REPLY_TOKENS + THINKING_TOKENS * (file == METHODS["cot"].file)


def replies_each(methods: Sequence[str]) -> int:
    """Replies to a question, those that methods share counted once."""
    return sum(_drawn(methods).values())


def _drawn(methods: Sequence[str]) -> dict[str, int]:
    """Replies to a question by the file that keeps them."""
    most: dict[str, int] = {}
    for method in methods:
        file = METHODS[method].file
        most[file] = max(most.get(file, 0), METHODS[method].replies)
    return most


def _graded(question: Question, other: Question) -> str:
    """How the grader takes the reference, and another question's."""
    lines: list[str] = []
    for what, source in (("reference", question), ("another's", other)):
        if not source.targets:
            lines.append(f"   {what}: none")
            continue
        text = source.targets[0].texts[0]
        grade, why = grade_answer(question, text)
        shown = "not graded" if grade is None else f"{grade:g}"
        lines.append(f"   graded ({question.task}): {what} {printable(text)!r} → {shown} ({why})")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Text without the control characters that could drive a terminal; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
