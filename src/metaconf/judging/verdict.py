"""A judge's reply as a verdict, or nothing: total, and never a score by accident."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from metaconf.prompts.judge import Field
from metaconf.prompts.slots import TICKET, clean
from metaconf.records import Span
from metaconf.thinking import find_drafts

Verdict = dict[str, Any]
REASON = "reason"
MAX_REASON = 400
"""Characters of a judge's reason that are kept."""
_STARTS = re.compile(r'\s*(?:```\w*\s*)?\{\s*"')
_JSON = re.compile(r'\{\s*(?:["}]|\Z)')
_BRACE = re.compile("[{}]")
FILLER = "x"
"""What stands for an object while drafts are looked for."""


def read_verdict(text: str, ticket: str, fields: Mapping[str, Field]) -> Verdict | None:
    """The fields of the one verdict in `text`, numbers as int, with "reason" (perhaps ""); None
    where there is none: no JSON object, cut JSON, another ticket, a field missing, out of range or
    given twice, or two verdicts that differ.

    Thinking and text around the object are passed over, and so are objects inside of objects.
    Line breaks may stand in its strings as they are.
    """
    rows = _objects(_without_thinking(text))
    found = [v for row, *_ in rows if (v := _verdict(row, ticket, fields)) is not None]
    scores = [{name: v[name] for name in fields} for v in found]
    return found[0] if found and all(s == scores[0] for s in scores) else None


def _without_thinking(text: str) -> str:
    """The text with blanks for the drafts in it; as it is where it starts with the verdict. Tags
    inside of an object are what its reason speaks of, and begin or end no draft."""
    if _STARTS.match(text):
        return text
    spans = [(start, end) for _, start, end in _objects(text)]
    mask = find_drafts(_replaced(text, spans, lambda start, end: FILLER * (end - start))).mask
    return _replaced(
        mask,
        spans,
        lambda start, end: text[start:end] if FILLER in mask[start:end] else mask[start:end],
    )


def _replaced(text: str, spans: list[Span], new: Callable[[int, int], str]) -> str:
    """The text with `new(start, end)`, which is as long, for each of the spans."""
    parts, at = list[str](), 0
    for start, end in spans:
        parts += [text[at:start], new(start, end)]
        at = end
    return "".join([*parts, text[at:]])


def _objects(text: str) -> Iterator[tuple[dict[str, Any], int, int]]:
    """The outermost JSON objects in a text with where they start and end, from left to right."""
    decoder = json.JSONDecoder(object_pairs_hook=_once, strict=False)
    start = text.find("{")
    while start >= 0:
        try:
            row, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            # What cannot be read to its end is passed over whole: a verdict inside of cut JSON may
            # be one that was only quoted.
            row, end = None, _set_end(text, start)
        if end is None:
            return
        if isinstance(row, dict):
            yield row, start, end
        start = text.find("{", end)


def _set_end(text: str, start: int) -> int | None:
    """Where braces end that are no JSON, such as those of a set {x}; None where they may be JSON,
    or do not end."""
    if _JSON.match(text, start):
        return None
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.end()
    return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of which the keys that were given twice hold nothing."""
    row = dict(pairs)
    if len(row) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        row |= {key: None for key, count in counts.items() if count > 1}
    return row


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
