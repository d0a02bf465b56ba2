"""Replies as token rows for training: which token belongs to which segment, where the level is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from metaconf.generation.decoding import in_text, reply_text
from metaconf.records import Parsed, Span
from metaconf.reply import parse_reply, token_spans

BROKEN = "\ufffd"
"""What a decoder writes for bytes that are no whole character."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens of a reply (the end token included), token spans of its segments, and the place of
    the first token of the confidence's value (None where there is none)."""

    tokens: list[int]
    spans: dict[str, Span]
    level_at: int | None


class Decoded(NamedTuple):
    """The text of some tokens, by `reply_text`, and the characters (start, end) of each."""

    text: str
    offsets: list[Span]


def encode_reply(tokenizer: Any, text: str) -> Encoded:
    """Tokenize a reply by itself, as generation would write it after the prompt.

    Prompt and reply are never tokenized together: a token merged over their border would shift
    the loss mask (the end of a chat prompt is a template's own token anyway).
    """
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens: list[int] = [*coded["input_ids"], tokenizer.eos_token_id]
    return encoded(tokens, list(coded["offset_mapping"]), parse_reply(text))


def locate(tokenizer: Any, tokens: list[int]) -> Encoded:
    """The same for tokens that a model wrote: their own pieces, not a new tokenization."""
    text, offsets = decode(tokenizer, tokens)
    return encoded(tokens, offsets, parse_reply(text))


def encoded(tokens: list[int], offsets: Sequence[Span], parsed: Parsed) -> Encoded:
    """The segments of a parsed reply as token spans; `offsets` (start, end) of each token's
    characters."""
    spans = token_spans(parsed, offsets)
    # A refused confidence ("85%") has a span but no level: it stays ordinary text.
    stated = parsed.confidence is not None and "confidence" in spans
    return Encoded(tokens, spans, spans["confidence"][0] if stated else None)


def decode(tokenizer: Any, tokens: list[int]) -> Decoded:
    """Text and offsets of tokens that a model wrote, in time linear in their number.

    Each token is decoded after the few before it, since decoders look back (a blank before a word,
    a character of several tokens). A token that ends inside a character reaches into it.
    """
    text, kept = reply_text(tokenizer, tokens), in_text(tokenizer, tokens)
    part = lambda some: tokenizer.backend_tokenizer.decode(some, skip_special_tokens=False)  # noqa: E731
    before, waiting = list[int](), list[int]()  # tokens of the last whole text, and those since
    known, found, offsets, start = "", "", list[Span](), 0
    for token, seen in zip(tokens, kept, strict=True):
        more = [token] if seen else []
        new = part([*before, *waiting, *more])[len(known) :]
        end = len(found) + len(new.rstrip(BROKEN))
        broken = new.endswith(BROKEN)
        offsets.append((start, end + broken))
        start = end
        if broken:
            waiting += more
        elif new:  # an end token has no text
            before, waiting = [*waiting, *more], []
            known, found = part(before), found + new
    if text.rstrip(BROKEN) == found.rstrip(BROKEN):
        return Decoded(text, offsets)
    return Decoded(text, _offsets_by_prefixes(tokenizer, tokens))


def _offsets_by_prefixes(tokenizer: Any, tokens: list[int]) -> list[Span]:
    """The same offsets from the text of each prefix, for tokenizers that change the text before
    (cleaning up of spaces); quadratic."""
    kept = in_text(tokenizer, tokens)
    prefixes = [
        tokenizer.decode([t for t, seen in zip(tokens[:i], kept, strict=False) if seen])
        for i in range(len(tokens) + 1)
    ]
    whole = [len(prefix.rstrip(BROKEN)) for prefix in prefixes]
    ends = [end + (end < len(prefix)) for end, prefix in zip(whole, prefixes, strict=True)]
    return list(zip(whole, ends[1:], strict=False))
