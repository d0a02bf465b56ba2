"""Replies as compact JSON blocks: what repeats is stored once, what stands in the text is a span.

A page of 100,000 replies must open in seconds. Questions, references and reasons go to one table
of strings; answer and reflection are ranges of the reply they stand in; columns replace rows. The
head holds what filters need, the blocks hold the texts and are only unpacked when asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from metaconf.metrics.figures import number
from metaconf.report.load import Row

BUDGET = 50_000_000
"""Bytes of replies that a page may hold; beyond it the longest texts are cut, and it says so."""
_CHUNK = 5000
_SHARED = (
    "method",
    "question_id",
    "prompt",
    "family",
    "cause",
    "truth",
    "why",
    "judged",
    "problems",
)


@dataclass(frozen=True, slots=True)
class Packed:
    """JSON texts, safe inside a script element. `limit`: bytes at which long texts were cut."""

    head: str
    blocks: list[str]
    limit: int | None

    @property
    def size(self) -> int:
        return sum(_bytes(block) for block in (self.head, *self.blocks))


@dataclass(slots=True)
class _Strings:
    """A table of distinct strings; asking for one gives its place."""

    places: dict[str, int] = field(default_factory=dict)

    def place(self, text: str | None) -> int | None:
        return None if text is None else self.places.setdefault(text, len(self.places))


def pack(rows: list[Row], names: dict[str, str], budget: int = BUDGET) -> Packed:
    """Pack replies. `names` maps a method's key to the name to show; rows may use either.

    Odd rows never raise: what is absent or no number becomes null.
    """
    keys = {name: key for key, name in names.items() if name not in names}
    rows = [{**row, "method": keys.get(str(method := row.get("method")), method)} for row in rows]
    packed = _pack(rows, names, None)
    if packed.size <= budget:
        return packed
    limit = _limit([size for row in rows for size in _sizes(row)], budget)
    return _pack(rows, names, limit)


def _pack(rows: list[Row], names: dict[str, str], limit: int | None) -> Packed:
    strings = _Strings()
    columns: dict[str, list[Any]] = {
        name: [strings.place(_cut(_text(row.get(name)), limit)) for row in rows] for name in _SHARED
    }
    for name in ("confidence", "correctness"):
        columns[name] = [number(row.get(name)) for row in rows]
    head = {"count": len(rows), "chunk": _CHUNK, "names": names, "columns": columns}
    starts = range(0, len(rows), _CHUNK)
    blocks = [_json(_block(rows[start : start + _CHUNK], limit)) for start in starts]
    return Packed(_json({**head, "strings": list(strings.places)}), blocks, limit)


def _block(rows: list[Row], limit: int | None) -> dict[str, list[Any]]:
    texts = [_cut(_text(row.get("text")), limit) for row in rows]
    block: dict[str, list[Any]] = {"text": texts}
    for name in ("answer", "reflection"):
        block[name] = [
            _span(_cut(_text(row.get(name)), limit), text)
            for row, text in zip(rows, texts, strict=True)
        ]
    return block


def _span(part: str | None, text: str | None) -> list[int] | str | None:
    """[start, end) of the last occurrence, in UTF-16 units as JavaScript counts; else the part."""
    start = -1 if part is None or text is None else text.rfind(part)
    if part is None or text is None or start < 0:
        return part
    before = _utf16(text[:start])
    return [before, before + _utf16(part)]


def _utf16(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _text(value: object) -> str | None:
    """A cell as text. Lists (problems) are joined; an empty one is nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(str(part) for part in value) or None
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str | None, limit: int | None) -> str | None:
    if text is None or limit is None or len(text) * 4 <= limit:
        return text
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= limit:
        return text
    return data[:limit].decode("utf-8", "ignore") + " […]"


def _sizes(row: Row) -> Iterator[int]:
    texts = (_text(row.get(name)) for name in ("text", "answer", "reflection", *_SHARED))
    return (_bytes(text) for text in texts if text)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _limit(sizes: list[int], budget: int) -> int:
    """Largest limit at which the cut sizes fit in the budget (bisection to about 1 %)."""
    low, high = 0, max(sizes, default=0)
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        fits = sum(min(size, middle) for size in sizes) <= budget
        low, high = (middle, high) if fits else (low, middle)
    return low


def _json(value: object) -> str:
    """JSON that cannot end the script element that holds it, nor open a comment in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
