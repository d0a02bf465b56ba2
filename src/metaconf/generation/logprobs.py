"""Probability of a part of a served reply, from the log-probabilities that came with it."""

from __future__ import annotations

import math
from typing import Any

from metaconf.records import Span


def span_probability(logprobs: Any, text: str, span: Span) -> tuple[float, int] | None:
    """Product of the probabilities of the tokens that reach into text[span], and how many they are.

    `logprobs` is a chat completion's own ({"content": [{"token", "logprob", "bytes"}, …]}). None
    where there are none, where they do not spell `text`, and for an empty span: not known.
    """
    start, end = (len(text[:place].encode()) for place in span)
    tokens = _tokens(logprobs)
    written, whole = b"".join(piece for piece, _ in tokens), text.encode()
    # Servers may strip what surrounds the text, and may list the token that ended the turn.
    begin = len(written) - len(written.lstrip()) if whole.lstrip() == whole else 0
    if start == end or not written[begin:].startswith(whole):
        return None
    place, found = -begin, list[float]()
    for piece, logprob in tokens:
        if place < end and place + len(piece) > start:
            found.append(logprob)
        place += len(piece)
    total = math.exp(sum(found))
    return (total, len(found)) if math.isfinite(total) else None


def _tokens(logprobs: Any) -> list[tuple[bytes, float]]:
    """Bytes and log-probability of each token; none where the form is another."""
    try:
        return [(_piece(entry), float(entry["logprob"])) for entry in logprobs["content"]]
    except (KeyError, TypeError, ValueError):
        return []


def _piece(entry: dict[str, Any]) -> bytes:
    given = entry.get("bytes")  # a part of a character has no text of its own
    return bytes(given) if given is not None else str(entry["token"]).encode()
