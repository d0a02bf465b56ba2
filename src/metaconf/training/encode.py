"""Replies as token rows for training: which token belongs to which segment, where the level is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metaconf.records import Span
from metaconf.reply import parse_reply, token_spans


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens of a reply (the end token included), token spans of its segments, and the place of
    the first token of the confidence's value (None where there is none)."""

    tokens: list[int]
    spans: dict[str, Span]
    level_at: int | None


def encode_reply(tokenizer: Any, text: str) -> Encoded:
    """Tokenize a reply by itself, as generation would write it after the prompt.

    Prompt and reply are never tokenized together: a token merged over their border would shift
    the loss mask (the end of a chat prompt is a template's own token anyway).
    """
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens: list[int] = list(coded["input_ids"])
    return _encoded([*tokens, tokenizer.eos_token_id], text, list(coded["offset_mapping"]))


def locate(tokenizer: Any, tokens: list[int]) -> Encoded:
    """The same for tokens that a model wrote: their own pieces, not a new tokenization."""
    pieces = [
        tokenizer.decode(tokens[:i], skip_special_tokens=True) for i in range(len(tokens) + 1)
    ]
    whole = [len(piece.rstrip("\ufffd")) for piece in pieces]
    # A token that ends inside a character reaches into the one after what is whole.
    ends = [end + (end < len(piece)) for end, piece in zip(whole, pieces, strict=True)]
    return _encoded(tokens, pieces[-1], list(zip(whole, ends[1:], strict=False)))


def _encoded(tokens: list[int], text: str, offsets: list[Span]) -> Encoded:
    parsed = parse_reply(text)
    spans = token_spans(parsed, offsets)
    # A refused confidence ("85%") has a span but no level: it stays ordinary text.
    stated = parsed.confidence is not None and "confidence" in spans
    return Encoded(tokens, spans, spans["confidence"][0] if stated else None)
