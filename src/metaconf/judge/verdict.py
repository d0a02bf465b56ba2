"""A judge's reply as a verdict, or nothing: total, and never a score by accident."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from metaconf.prompts.judge import Field
from metaconf.prompts.slots import TICKET, clean

Verdict = dict[str, Any]
REASON = "reason"
MAX_REASON = 400
"""Characters of a judge's reason that are kept."""


def read_verdict(text: str, ticket: str, fields: Mapping[str, Field]) -> Verdict | None:
    """The fields of the one verdict in `text`, numbers as int, with "reason" (perhaps ""); None
    where there is none: no JSON object, cut JSON, another ticket, a field missing or out of range,
    or two verdicts that differ.

    Text around the object is passed over, and so are objects inside of objects.
    """
    found = [v for row in _objects(text) if (v := _verdict(row, ticket, fields)) is not None]
    scores = [{name: v[name] for name in fields} for v in found]
    return found[0] if found and all(s == scores[0] for s in scores) else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, from left to right."""
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            row, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            # What cannot be read to its end is passed over whole: a verdict inside of cut JSON may
            # be one that was only quoted.
            return
        if isinstance(row, dict):
            yield row
        start = text.find("{", end)


def _verdict(row: dict[str, Any], ticket: str, fields: Mapping[str, Field]) -> Verdict | None:
    if row.get(TICKET) != ticket:
        return None
    values = {name: _value(row.get(name), allowed) for name, allowed in fields.items()}
    if any(value is None for value in values.values()):
        return None
    reason = row.get(REASON)
    kept = clean(reason)[:MAX_REASON] if isinstance(reason, str) else ""
    return {**values, REASON: kept}


def _value(value: Any, allowed: Field) -> int | str | None:
    if isinstance(allowed[0], str):
        word = value.strip().casefold() if isinstance(value, str) else None
        return word if word in allowed else None
    low, high = allowed
    number = _whole(value)
    return number if number is not None and low <= number <= high else None  # type: ignore[operator]


def _whole(value: Any) -> int | None:
    """2, 2.0, "2" and " 2 " as 2; everything else is none, True and 1.5 among it."""
    if isinstance(value, str):
        bare = value.strip()
        return int(bare) if bare.isascii() and bare.isdecimal() and len(bare) < 5 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return int(value) if abs(value) < 10_000 and value == int(value) else None
