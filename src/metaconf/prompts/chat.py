"""Chat prompts: the one place where an instruction meets a chat template.

Training, evaluation and serving all render prompts here, so that the format instruction is the
same everywhere, and a template without a system role gets it in the user turn everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metaconf.errors import UserError

Message = dict[str, str]

INSTRUCTION = """Reply in three lines.
Answer: a short answer
Self-reflection: why it may be right or wrong
Confidence: 0 to 10"""

ANSWER_ONLY = """Reply with the answer only.
Answer: a short answer"""

DIRECT = """Reply in two lines.
Answer: a short answer
Confidence: 0 to 10"""

THINK_FIRST = """Think first, then reply in three lines.
<think>what you know of it</think>
Answer: a short answer
Self-reflection: why it may be right or wrong
Confidence: 0 to 10"""

REVIEW = """Review your reply: is the answer right, and is the confidence fair? Then reply again in
the same three lines."""

EXAMPLES: tuple[tuple[str, str, str, int], ...] = (
    ("In which country is the city of Lyon?", "France", "Lyon is a large city that I know.", 9),
    ("What is 3 + 4?", "7", "The sum 3 + 4 is a short calculation.", 10),
    ("In which US state is Milwaukee County?", "Wisconsin", "I may confuse the county.", 6),
    ("In which country is the city of Osaka?", "Japan", "Osaka is a name I know well.", 9),
    ("What is the currency of Bhutan?", "Ngultrum", "My knowledge of Bhutan is thin.", 4),
)
"""Worked examples (question, answer, reflection, confidence 0–10) for a model that has not been
trained yet. None of these entities stands in the embedded questions."""


def messages(
    question: str, instruction: str = INSTRUCTION, turns: Sequence[tuple[str, str]] = ()
) -> list[Message]:
    """The conversation for one question: system instruction, worked turns, the question."""
    chat = [{"role": "system", "content": instruction}]
    for user, assistant in turns:
        chat += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return [*chat, {"role": "user", "content": question}]


def p_true_question(question: str, answer: str) -> str:
    """Question and proposed answer as one turn that asks whether the answer is true, (A) or (B)."""
    return "\n".join(
        (
            f"Question: {question}",
            f"Proposed answer: {answer}",
            "Is the proposed answer true?",
            "(A) True",
            "(B) False",
            "Reply with (A) or (B).",
        )
    )


def answer_turns() -> list[tuple[str, str]]:
    """Worked turns for short answers alone."""
    return [(question, f"Answer: {answer}") for question, answer, _, _ in EXAMPLES]


def without_system(chat: Sequence[Message]) -> list[Message]:
    """The same conversation with the system text in front of the first user turn."""
    if not chat or chat[0]["role"] != "system":
        return list(chat)
    first, *rest = chat[1:]
    return [{**first, "content": f"{chat[0]['content']}\n\n{first['content']}"}, *rest]


def render(tokenizer: Any, chat: Sequence[Message]) -> list[int]:
    """Token ids of the conversation up to where the assistant's reply begins.

    A template that refuses the system role (it raises) gets the instruction in the user turn.
    Raises UserError for a tokenizer without a chat template.
    """
    from jinja2.exceptions import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"{getattr(tokenizer, 'name_or_path', 'the tokenizer')}: has no chat template: a "
            "base model? Name its instruct or chat version, or set tokenizer.chat_template"
        )
    try:
        return _apply(tokenizer, chat)
    except TemplateError:
        return _apply(tokenizer, without_system(chat))


def _apply(tokenizer: Any, chat: Sequence[Message]) -> list[int]:
    return tokenizer.apply_chat_template(
        list(chat), add_generation_prompt=True, tokenize=True, return_dict=False
    )
