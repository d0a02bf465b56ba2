"""Models whose thinking markers are special tokens: a draft keeps its tags, for all who decode."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tiny import DIGITS, Digits, tiny_tokenizer

from metaconf.generation.decoding import in_text, reply_text
from metaconf.generation.local import LocalModel
from metaconf.reply import parse_reply
from metaconf.training.encode import _offsets_by_prefixes, decode, locate

DRAFT = "Answer: Lima\nSelf-reflection: I know Lima.\nConfidence: 2\n"
REPLY = "Answer: Quito\nSelf-reflection: I know Quito well.\nConfidence: 9"
CONVENTIONS = {
    "Cohere": ("<|START_THINKING|>", "<|END_THINKING|>", "<|END_OF_TURN_TOKEN|>"),
    "Magistral": ("[THINK]", "[/THINK]", "</s>"),
    "Apertus": ("<|inner_prefix|>", "<|inner_suffix|>", "<|assistant_end|>"),
    "gpt-oss": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
        "<|return|>",
    ),
}
SPECIAL = sorted(
    {
        *("<|START_THINKING|>", "<|END_THINKING|>", "<|END_OF_TURN_TOKEN|>", "[THINK]", "[/THINK]"),
        *("</s>", "<|inner_prefix|>", "<|inner_suffix|>", "<|assistant_end|>", "<|channel|>"),
        *("<|message|>", "<|end|>", "<|start|>", "<|return|>"),
    }
)


def tokenizer_of(digits: Digits = "single") -> Any:
    tokenizer = copy.deepcopy(tiny_tokenizer(digits))
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    return tokenizer


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize("digits", DIGITS)
def test_a_draft_keeps_its_tags(digits: Digits, name: str) -> None:
    tokenizer = tokenizer_of(digits)
    opening, closing, ending = CONVENTIONS[name]
    whole = f"{opening}{DRAFT}{closing}{REPLY}"
    for text, answer in (
        (whole, "Quito"),
        (f"{DRAFT}{closing}{REPLY}", "Quito"),  # opened by the template
        (f"{opening}{DRAFT}", None),  # cut
        (f"{opening}{DRAFT}{closing}", None),
        (REPLY, "Quito"),
    ):
        if name == "gpt-oss" and text.startswith("Answer: Lima"):
            continue
        for end in ("", ending, f"{ending}<|im_end|>", "<|im_end|><|pad|><|pad|>"):
            tokens = tokens_of(tokenizer, text + end)
            said = parse_reply(reply_text(tokenizer, tokens))
            assert (said.answer, said.confidence) == (answer, answer and 0.9)
            assert LocalModel(None, tokenizer).decode(tokens) == reply_text(tokenizer, tokens)


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize("digits", DIGITS)
def test_spans_are_those_of_the_same_text(digits: Digits, name: str) -> None:
    tokenizer = tokenizer_of(digits)
    opening, closing, ending = CONVENTIONS[name]
    tokens = tokens_of(tokenizer, f"{opening}{DRAFT}{closing}{REPLY}{ending}<|im_end|>")
    text, offsets = decode(tokenizer, tokens)
    assert text == reply_text(tokenizer, tokens)
    assert offsets == _offsets_by_prefixes(tokenizer, tokens)
    assert [start for start, _ in offsets[1:]] == [end for _, end in offsets[:-1]]
    assert offsets[-1] == (len(text), len(text))
    reply = locate(tokenizer, tokens)
    assert reply.level_at is not None
    assert tokenizer.decode([tokens[reply.level_at]]).strip() == "9"
    start, end = reply.spans["answer"]
    assert tokenizer.decode(tokens[start:end]).strip().startswith("Quito")


def test_what_begins_ends_and_fills_a_reply_is_no_part_of_it() -> None:
    tokenizer = tokenizer_of()
    tokens = tokens_of(tokenizer, "<|im_start|>Quito<|end|><|start|>x</s><|im_end|><|pad|>")
    assert reply_text(tokenizer, tokens) == "Quito<|end|><|start|>x"
    # At the end those that mark thinking stay: without its closing one a draft may be the reply.
    assert reply_text(tokenizer, tokens_of(tokenizer, f"{DRAFT}[/THINK]</s>")) == f"{DRAFT}[/THINK]"
    assert reply_text(tokenizer, []) == ""
    ended = tokens_of(tokenizer, "</s><|im_end|>")
    assert (reply_text(tokenizer, ended), in_text(tokenizer, ended)) == ("", [False, False])
    assert decode(tokenizer, ended) == ("", [(0, 0), (0, 0)])


def test_special_tokens_within_a_character_change_no_span() -> None:
    tokenizer = tokenizer_of()
    fox = tokens_of(tokenizer, "🦊")
    marks = tokens_of(tokenizer, "[THINK]<|im_start|></s>")
    rows = [[*fox[:1], mark, *fox[1:], mark, *fox] for mark in marks]
    for tokens in rows:
        assert decode(tokenizer, tokens).offsets == _offsets_by_prefixes(tokenizer, tokens)


def test_offsets_are_found_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tokenizer_of()
    draft = f"[THINK]{DRAFT}[/THINK]" * 40
    tokens, plain = tokens_of(tokenizer, f"{draft}{REPLY}</s>"), tokenizer.decode
    lengths: list[int] = []

    def counted(some: list[int], **how: Any) -> str:
        lengths.append(len(some))
        return plain(some, **how)

    monkeypatch.setattr(tokenizer, "decode", counted)
    decode(tokenizer, tokens)
    assert len(tokens) > 500 and sum(lengths) < 2 * len(tokens)
