"""Text and JSON from models, servers and files, made safe to keep before anything looks at it.

Half a surrogate pair cannot be written as UTF-8, so that it would end a run long after it was
paid for, and brackets without end would end the parser, or whoever writes the value again. Both
are met here once, where such text comes in.
"""

from __future__ import annotations

import json
import re
from typing import Any

DEPTH = 100
"""Deepest nesting of JSON that is read. Python's own limit depends on who calls, and a value just
below it can be read and then not be written."""
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile("[\ud800-\udfff]")
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
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [clean_value(item) for item in value]
    if isinstance(value, dict):
        return {clean_value(name): clean_value(item) for name, item in value.items()}
    return value


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
