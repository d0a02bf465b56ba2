"""Chat prompts: the one place where an instruction meets a chat template.

Training, evaluation and serving all render prompts here, so that the format instruction is the
same everywhere, and a template without a system role gets it in the user turn everywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from metaconf.errors import UserError
from metaconf.thinking import closing_of_prompt

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


PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}{{ m['content'] }}"
    "{{ eos_token }}\n\n{% elif m['role'] == 'user' %}Question: {{ m['content'] }}\n"
    "{% else %}{{ m['content'] }}\n\n{% endif %}{% endfor %}"
)
"""For base models, which have none: plain text, without tokens that they never saw."""


def with_template(tokenizer: Any) -> Any:
    """The tokenizer, with PLAIN_TEMPLATE where it has no template, which is said once on stderr. It
    is saved with what is trained, so that the model is served with it."""
    if not getattr(tokenizer, "chat_template", None):
        tokenizer.chat_template = PLAIN_TEMPLATE
        _say_plain(_named(tokenizer))
    return tokenizer


@lru_cache
def _say_plain(name: str) -> None:
    print(
        f"metaconf: {name}: has no chat template (a base model?), so a plain one is used, and saved"
        " with what is trained; for another put its chat_template.jinja into the model's folder",
        file=sys.stderr,
    )


def render(tokenizer: Any, chat: Sequence[Message]) -> list[int]:
    """Token ids of the conversation up to where the assistant's reply begins.

    A template that refuses the system role (it raises), or leaves its text out, gets the
    instruction in the user turn. One that opens a block of thinking for the assistant gets it
    closed, empty: a reply begins with its answer, and stage 1 would train answers as thoughts.
    Training and evaluation ask alike.
    Raises UserError for a tokenizer without a chat template, for one that fails or drops a turn,
    and for a block that cannot be closed.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"{_named(tokenizer)}: has no chat template: a "
            "base model? Name its instruct or chat version, or set tokenizer.chat_template"
        )
    lost = _lost(tokenizer, tokenizer.chat_template)
    if "system" in lost:
        chat = without_system(chat)
    if "turns" in lost and len(chat) > 2:
        raise UserError(
            f"{_named(tokenizer)}: its chat template drops earlier turns of a conversation; set"
            " tokenizer.chat_template to one that keeps them"
        )
    tokens = _apply(tokenizer, chat, tokenize=True)
    if closing_of_prompt(tokenizer.decode(tokens[-_TAIL:])) == "":
        return tokens
    return _closed(tokenizer, chat, tokens)


_PROBE = messages("last7", "system7", [("first7", "reply7")])


@lru_cache(maxsize=8)
def _lost(tokenizer: Any, template: Any) -> frozenset[str]:
    """What of a conversation `template` leaves out or refuses: "system", "turns"; the first is said
    on stderr, once. Raises UserError where it fails, or leaves the question out."""
    from jinja2.exceptions import TemplateError

    lost = set[str]()
    try:
        text = _apply(tokenizer, _PROBE, tokenize=False)
    except TemplateError:
        text, lost = _without(tokenizer), {"system"}
    if "system" not in lost and "system7" not in text:
        lost.add("system")
        print(
            f"metaconf: {_named(tokenizer)}: its chat template leaves the system message out; the"
            " instruction goes into the user's turn",
            file=sys.stderr,
        )
    if "last7" not in text:
        raise UserError(
            f"{_named(tokenizer)}: its chat template leaves the question out; set"
            " tokenizer.chat_template to the model's own"
        )
    if "first7" not in text or "reply7" not in text:
        lost.add("turns")
    return frozenset(lost)


def _without(tokenizer: Any) -> str:
    from jinja2.exceptions import TemplateError

    try:
        return _apply(tokenizer, without_system(_PROBE), tokenize=False)
    except TemplateError as error:
        raise UserError(
            f"{_named(tokenizer)}: its chat template fails ({error}); set tokenizer.chat_template"
            " to the model's own"
        ) from error


_TAIL = 48
"""So many tokens at the end of a prompt show whether it leaves thinking open."""
_NO_THINKING = {"enable_thinking": False, "thinking": False}
"""The switches that templates have for it; jinja passes over those that one has not."""


def _apply(tokenizer: Any, chat: Sequence[Message], tokenize: bool, **switches: Any) -> Any:
    return tokenizer.apply_chat_template(
        list(chat), add_generation_prompt=True, tokenize=tokenize, return_dict=False, **switches
    )


def _closed(tokenizer: Any, chat: Sequence[Message], tokens: list[int]) -> list[int]:
    """The prompt with its block of thinking closed: by the template's own switch where that does
    it, else by the marker of its convention."""
    text = _apply(tokenizer, chat, tokenize=False)
    if not (opened := text[_reply_at(tokenizer, chat, text) :]) or closing_of_prompt(opened) == "":
        return tokens  # what looked open is the question's
    without = _apply(tokenizer, chat, tokenize=False, **_NO_THINKING)
    if closing_of_prompt(without[_reply_at(tokenizer, chat, without, **_NO_THINKING) :]) == "":
        return _tokens(tokenizer, without)
    closing = closing_of_prompt(opened)
    if not closing or closing_of_prompt(opened + closing) != "":
        raise UserError(
            f"{_named(tokenizer)}: its chat template ends in thinking that is not closed"
            f" ({opened[-40:]!r}), and how to close it is not known; set tokenizer.chat_template to"
            " one that does not open it"
        )
    return _tokens(tokenizer, text + closing)


def _reply_at(tokenizer: Any, chat: Sequence[Message], text: str, **switches: Any) -> int:
    """Where in a rendered prompt the conversation ends and the assistant's turn begins."""
    whole = tokenizer.apply_chat_template(list(chat), tokenize=False, **switches)
    if text.startswith(whole) and len(whole) < len(text):
        return len(whole)
    said = chat[-1]["content"].strip()
    return text.rfind(said) + len(said) if said in text else 0


def _tokens(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _named(tokenizer: Any) -> str:
    return getattr(tokenizer, "name_or_path", None) or "the tokenizer"
