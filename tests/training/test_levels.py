"""The confidence as a distribution over tokens, and the place where a reply states it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from training import product

from metaconf.reply import format_reply
from metaconf.training.encode import encode_reply, locate
from metaconf.training.levels import (
    LEVELS,
    LevelTokens,
    lead_in,
    level_logprobs,
    level_probabilities,
    level_tokens,
    soft_labels,
)

VARIANTS = ("single", "glued", "ten", "metaspace")


@pytest.mark.parametrize("digits", VARIANTS)
def test_levels_are_the_tokens_that_replies_hold(
    tokenizer_of: Callable[..., Any], digits: str
) -> None:
    tokenizer = tokenizer_of(digits)
    levels = level_tokens(tokenizer)
    assert (levels.ten_next is None) == (digits == "ten")
    for k in range(LEVELS):
        reply = encode_reply(tokenizer, format_reply("Quito", "I know 3 of 10.", k / 10))
        assert reply.level_at is not None
        assert reply.tokens[reply.level_at] == levels.first[k]
        assert tokenizer.decode([levels.first[k]]).strip() == ("1" if k == 10 else str(k)) or (
            k == 10 and digits == "ten"
        )
    if levels.ten_next is not None:
        ten = encode_reply(tokenizer, format_reply("Quito", "I know 3 of 10.", 1.0))
        assert ten.level_at is not None and ten.tokens[ten.level_at + 1] == levels.ten_next


@pytest.mark.parametrize("digits", ["single", "glued", "ten"])
def test_the_lead_in_is_what_replies_hold_before_the_level(
    tokenizer_of: Callable[..., Any], digits: str
) -> None:
    tokenizer = tokenizer_of(digits)
    reply = encode_reply(tokenizer, format_reply("Quito", "I know it well", 0.5))
    label = lead_in(tokenizer)
    assert label and reply.tokens[: reply.level_at][-len(label) :] == label


def test_a_tokenizer_that_cannot_tell_digits_apart_is_refused() -> None:
    class Blind:
        def encode(self, text: str, **_: Any) -> list[int]:
            return [1, 2, 3]

    with pytest.raises(ValueError, match="apart"):
        level_tokens(Blind())


def test_soften_keeps_the_mean() -> None:
    target = np.array([0.0, 0.04, 0.1, 0.55, 0.999, 1.0, 0.3])
    weights = soft_labels(target)
    assert weights.shape == (7, LEVELS)
    assert weights @ np.linspace(0, 1, LEVELS) == pytest.approx(target, abs=1e-12)
    assert weights.sum(1) == pytest.approx(np.ones(7)) and (weights >= 0).all()
    assert weights[0, 0] == weights[5, 10] == 1
    assert ((weights > 1e-9).sum(1) <= 2).all()
    assert weights[3, 5] == pytest.approx(0.5) and weights[3, 6] == pytest.approx(0.5)


def test_level_logprobs_are_over_the_vocabulary() -> None:
    torch.manual_seed(0)
    hidden, after, head = torch.randn(4, 8), torch.randn(4, 8), torch.randn(40, 8)
    whole, ten = (torch.softmax(states @ head.T, -1) for states in (hidden, after))
    said = level_logprobs(
        hidden, after, product(head), LevelTokens((*range(20, 30), 21), 20), 9
    ).exp()
    assert torch.allclose(said[:, 10], whole[:, 21] * ten[:, 20], atol=1e-6)
    assert torch.allclose(said[:, 1], whole[:, 21] * ten[:, 9], atol=1e-6)
    assert torch.allclose(said[:, [0, *range(2, 10)]], whole[:, [20, *range(22, 30)]])
    own = level_logprobs(
        hidden, after, product(head), LevelTokens(tuple(range(20, 31)), None), 9
    ).exp()
    assert torch.allclose(own, whole[:, 20:31])


def test_level_probabilities() -> None:
    torch.manual_seed(0)
    hidden, head, ten = torch.randn(4, 8), torch.randn(40, 8), torch.rand(4)
    shared = LevelTokens((*range(20, 30), 21), 20)
    levels = level_probabilities(hidden, product(head), shared, ten)
    first = torch.softmax((hidden @ head.T)[:, 20:30], -1)
    assert torch.allclose(levels.sum(1), torch.ones(4))
    assert torch.allclose(levels[:, 10], first[:, 1] * ten)
    assert torch.allclose(levels[:, 1], first[:, 1] * (1 - ten))
    assert torch.allclose(levels[:, [0, *range(2, 10)]], first[:, [0, *range(2, 10)]])
    own = LevelTokens(tuple(range(20, 31)), None)
    alone = level_probabilities(hidden, product(head), own, ten)
    assert torch.allclose(alone, torch.softmax((hidden @ head.T)[:, 20:31], -1))


REPLIES = (
    format_reply("Quito", "I know Quito well; I might also say Lima.", 0.7),
    format_reply("日本 é", "Ich weiß 12 🦝 nicht – so I doubt it.", 1.0),
    format_reply("7", "It is 7, not 70.", 0.1, thinking="Answer: 3 or 7?"),
)


@pytest.mark.parametrize(
    ("digits", "text"),
    # The sentencepiece-like vocabulary knows no other characters than ASCII.
    [(d, t) for d in VARIANTS for t in REPLIES if d != "metaspace" or t.isascii()],
)
@pytest.mark.parametrize("how", ["encode", "locate"])
def test_spans_are_the_tokens_of_each_value(
    tokenizer_of: Callable[..., Any], digits: str, text: str, how: str
) -> None:
    tokenizer = tokenizer_of(digits)
    reply = encode_reply(tokenizer, text)
    if how == "locate":
        reply = locate(tokenizer, reply.tokens)
    assert reply.tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(reply.tokens[:-1]) == text
    body = text.split("</think>")[-1].split("\n")[-3:]
    values = {
        name: line.split(": ", 1)[1]
        for name, line in zip(("answer", "reflection", "confidence"), body, strict=True)
    }
    for name, value in values.items():
        start, end = reply.spans[name]
        assert value in tokenizer.decode(reply.tokens[start:end])
        # Not a token too many at either end.
        assert value not in tokenizer.decode(reply.tokens[start + 1 : end])
        assert value not in tokenizer.decode(reply.tokens[start : end - 1])
    assert reply.level_at == reply.spans["confidence"][0]


@pytest.mark.parametrize("digits", ["single", "glued", "ten"])
def test_locate_reads_the_models_own_pieces(tokenizer_of: Callable[..., Any], digits: str) -> None:
    tokenizer = tokenizer_of(digits)
    text = format_reply("Łódź 日本", "I know é.", 0.4)
    bytes_ = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    tokens = tokenizer.convert_tokens_to_ids([ch for piece, _ in bytes_ for ch in piece])
    assert len(tokens) == len(text.encode()) > len(encode_reply(tokenizer, text).tokens)
    reply = locate(tokenizer, tokens)
    start, end = reply.spans["answer"]
    assert tokenizer.decode(tokens[start:end]).strip() == "Łódź 日本"
    assert tokenizer.decode([tokens[reply.level_at or 0]]) == "4"


@pytest.mark.parametrize("digits", VARIANTS)
def test_special_tokens_inside_do_not_shift_the_spans(
    tokenizer_of: Callable[..., Any], digits: str
) -> None:
    tokenizer = tokenizer_of(digits)
    plain = encode_reply(tokenizer, REPLIES[0])
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    odd = locate(tokenizer, [start, start, *plain.tokens])
    assert odd.level_at == (plain.level_at or 0) + 2
    assert odd.spans == {name: (a + 2, b + 2) for name, (a, b) in plain.spans.items()}


@pytest.mark.parametrize(
    "text", ["", "Answer: Quito", "Answer: Quito\nSelf-reflection: hm\nConfidence: 85%"]
)
def test_no_confidence_has_no_place(tokenizer_of: Callable[..., Any], text: str) -> None:
    assert encode_reply(tokenizer_of(), text).level_at is None
    assert locate(tokenizer_of(), encode_reply(tokenizer_of(), text).tokens).level_at is None
