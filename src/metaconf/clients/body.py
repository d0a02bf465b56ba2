"""The JSON of a server's body, read as far as it can be: no odd field loses a paid reply."""

from __future__ import annotations

import json
import re
from typing import Any

from metaconf.safe_text import DEPTH, clean_value, loads_bounded

MOST_DIGITS = 400
_PIECES = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
"""Strings, whose brackets are none, and brackets."""


def parsed(text: str) -> Any:
    """The value, with None for whole numbers of too many digits and for what is nested deeper than
    `DEPTH`; None for what is no JSON."""
    try:
        return loads_bounded(text)
    except json.JSONDecodeError:
        return None
    except ValueError:
        pass
    try:
        return clean_value(json.loads(_shallow(text), parse_int=_whole))
    except (ValueError, RecursionError):
        return None


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= MOST_DIGITS else None


def _shallow(text: str) -> str:
    """The text with null for each list or object that stands deeper than `DEPTH`."""
    parts, at, depth = list[str](), 0, 0
    for piece in _PIECES.finditer(text):
        if piece[0] in "[{":
            if depth == DEPTH:
                parts += [text[at : piece.start()], "null"]
            depth += 1
        elif piece[0] in "]}":
            depth -= 1
            if depth == DEPTH:
                at = piece.end()
    return "".join([*parts, text[at:]]) if depth <= DEPTH else ""
