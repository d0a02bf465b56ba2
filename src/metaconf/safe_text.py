"""Text and JSON from models, servers and files, made safe to keep before anything looks at it.

Half a surrogate pair cannot be written as UTF-8, so that it would end a run long after it was
paid for, and brackets without end would end the parser, or whoever writes the value again. Both
are met here once, where such text comes in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import isfinite
from typing import Any

import regex

DEPTH = 100
"""Deepest nesting of JSON that is read. Python's own limit depends on who calls, and a value just
below it can be read and then not be written."""
INVISIBLE = r"\p{Default_Ignorable_Code_Point}"
"""What draws nothing, so that no reader can tell a text with it from one without; for `regex`."""
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile("[\ud800-\udfff]")
_UNSEEN = regex.compile(f"{INVISIBLE}+")
_DASHES = (
    "\u058a\u05be\u1400\u1806\u2010-\u2015\u2043\u2212\u2e17\u2e1a\u2e3a\u2e3b\u2e40\ufe58\ufe63"
)
_COLONS = "\u02d0\u02f8\u05c3\u2236\ua789\ufe13\ufe55"
_BLANKS = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_LINE_ENDS = "\r\u0085\u2028\u2029"
_DRESSED = regex.compile(f"[{INVISIBLE}{_DASHES}{_COLONS}{_BLANKS}{_LINE_ENDS}\uff01-\uff5e]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """The same text with U+FFFD for half a surrogate pair; two halves that fit become a sign.

    What comes out can be encoded as UTF-8. Text without surrogates is returned as it is.
    """
    if text.isascii() or not _HALF.search(text):
        return text
    return _HALF.sub("\ufffd", _PAIR.sub(_joined, text))


def clean_value(value: Any) -> Any:
    """`clean_text` for every text in a JSON value, keys included."""
    return changed(value, lambda one: clean_text(one) if isinstance(one, str) else one)


def finite(value: Any) -> Any:
    """A JSON value with None for NaN and infinities, which strict JSON cannot hold."""
    return changed(value, lambda one: None if isinstance(one, float) and not isfinite(one) else one)


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """A JSON value with `change` made to every text, number, truth value and None, and to keys."""
    if isinstance(value, list | tuple):
        return [changed(item, change) for item in value]
    if isinstance(value, dict):
        return {change(name): changed(item, change) for name, item in value.items()}
    return change(value)


def as_seen(text: str) -> tuple[str, list[int] | None]:
    """The text as a reader sees it, in plain signs, and the place of each character in `text`.

    What is invisible is gone; dashes, colons, blanks, line ends and full-width forms are ASCII's.
    Nothing else is folded: a superscript two is no 2. None for the places where all stayed in
    place.
    """
    if "\r" in text:
        text = text.replace("\r\n", " \n").replace("\r", "\n")
    if text.isascii() or _plain_latin(text) or not _DRESSED.search(text):
        return text, None
    plain = text.translate(_PLAIN)
    if not _UNSEEN.search(plain):
        return plain, None
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for start, end in [*(run.span() for run in _UNSEEN.finditer(plain)), (len(plain),) * 2]:
        parts.append(plain[at:start])
        places.extend(range(at, start))
        at = end
    return "".join(parts), places


def loads_bounded(text: str | bytes) -> Any:
    """The JSON value in `text`, its texts cleaned.

    Raises ValueError, never RecursionError, for what is no JSON, for nesting deeper than `DEPTH`
    and for whole numbers of more digits than Python reads.
    """
    if not isinstance(text, str):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise ValueError("a whole number of too many digits") from error
    if text.count("[") + text.count("{") > DEPTH and _deeper(value, DEPTH):
        raise ValueError(_TOO_DEEP)
    return clean_value(value) if _ESCAPED_HALF.search(text) else value


def _plain_latin(text: str) -> bool:
    """Whether no regular expression is needed to see that nothing is dressed up."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return not any(sign in text for sign in "\xa0\xad\x85")


def _signs(ranges: str) -> list[int]:
    """The characters of a character class."""
    found = re.findall("(.)(?:-(.))?", ranges)
    return [c for first, last in found for c in range(ord(first), ord(last or first) + 1)]


_PLAIN = {
    **dict.fromkeys(_signs(_DASHES), "-"),
    **dict.fromkeys(_signs(_COLONS), ":"),
    **dict.fromkeys(_signs(_BLANKS), " "),
    **dict.fromkeys(_signs(_LINE_ENDS), "\n"),
    **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
}
_TOO_DEEP = f"brackets nested more than {DEPTH} deep"


def _deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects in `value` are nested more than `limit` deep, without recursion."""
    level = [value]
    for _ in range(limit + 1):
        level = [item for item in level if isinstance(item, list | dict)]
        if not level:
            return False
        level = [i for v in level for i in (v.values() if isinstance(v, dict) else v)]
    return True


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")
