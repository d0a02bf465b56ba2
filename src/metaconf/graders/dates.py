"""Dates in normalised words, and when one date answers for another."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MONTHS = "january february march april may june july august september october november december"
_MONTH = {name: i + 1 for i, name in enumerate(_MONTHS.split())}
_MONTH |= {name[:3]: number for name, number in _MONTH.items()} | {"sept": 9}
_NAME = "|".join(sorted(_MONTH, key=len, reverse=True))
_DAY, _YEAR = r"(\d{1,2})(?:st|nd|rd|th)?", r"(\d{1,4} bc|\d{3,4})"
_PATTERNS = (
    (re.compile(rf"\b{_DAY} (?:of )?({_NAME})\b(?: (?:of )?{_YEAR}\b)?"), "dmy"),
    (re.compile(rf"\b({_NAME}) {_DAY}\b(?! \d+ )(?: {_YEAR}\b)?"), "mdy"),
    (re.compile(rf"\b{_YEAR} ({_NAME}) {_DAY}\b"), "ymd"),
    (re.compile(rf"\b({_NAME}) (?:of )?{_YEAR}\b"), "my"),
    (re.compile(r"\b(\d{4}) (\d{1,2}) (\d{1,2})\b"), "ymd"),
    (re.compile(r"\b(\d{1,2}) (\d{1,2}) (\d{4})\b"), "nny"),
)


@dataclass(frozen=True, slots=True)
class Date:
    """A date with unknown parts as None; `swapped` is the other reading of 04/07/1776."""

    year: str | None
    month: int | None
    day: int | None
    swapped: tuple[int, int] | None = None


def find_dates(form: str) -> tuple[list[Date], str]:
    """The dates in a normal form that name at least month and day or year, and the other words."""
    dates: list[Date] = []
    for pattern, order in _PATTERNS:
        for match in pattern.finditer(form):
            date = _date(match.groups(), order)
            if date:
                dates.append(date)
                form = form.replace(match[0], " ", 1)
    return dates, form


def covers(gold: Date, answer: Date) -> bool:
    """Whether the answer agrees with all that the gold states: it may say more, not less."""
    pairs = [(answer.month, answer.day), answer.swapped or (answer.month, answer.day)]
    return gold.year in (None, answer.year) and any(
        gold.month == month and gold.day in (None, day) for month, day in pairs
    )


def _date(groups: tuple[str | None, ...], order: str) -> Date | None:
    if order == "nny":
        first, second = int(groups[0] or 0), int(groups[1] or 0)
        either = _valid(first, second), _valid(second, first)
        if not any(either):
            return None
        month, day = (first, second) if either[0] else (second, first)
        return Date(groups[2], month, day, (day, month) if all(either) else None)
    parts = dict(zip(order, groups, strict=True))
    name = parts["m"] or ""
    month = _MONTH.get(name) or (int(name) if name.isdecimal() else 0)
    digits = parts.get("d")
    day = int(digits) if digits else None
    return Date(parts.get("y"), month, day) if _valid(month, day or 1) else None


def _valid(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31
