"""Dates in an answer, and when one date answers for another.

Dates are found in the folded text before numbers are: once "12.03.2025" has been cut into words, it
cannot be told from 12.03. Months are known by their names in 60 languages (months.txt).

One rule for dates in numbers, by how they are written:

* year first ("2025-03-12", "2025/3/12", "2025年3月12日") is year, month, day;
* dots ("12.03.2025") are day, month, year, as everywhere where dots are in use;
* slashes, hyphens and blanks ("04/07/1776") have two readings where both numbers can be months,
  and a date agrees with either; two such dates compare as they are written. Where only one order
  gives a date, with dots too, that one counts;
* years of two digits are 1969 to 2068 (POSIX).

What no calendar holds ("31.02.2025", "13/13/2020") is no date.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from metaconf.grading.digits import han_digits
from metaconf.grading.spelled import CARDINALS, ORDINALS, ordinal_form
from metaconf.grading.text import fold, words

_SPELLED = re.compile(rf"\b(twenty|thirty)?[ -]?\b({'|'.join(ORDINALS)})\b")
_ROMAN_MONTH = re.compile(
    r"(?<=\d)(?:\s?\.\s?(i{1,3}|i?v|vi{1,3}|ix|xi{0,2})\.\s?|\s(i{2,3}|iv|vi{1,3}|ix|xi{1,2})\s)(?=\d{4}(?!\d))"
)
_ROMAN_MONTHS = "i ii iii iv v vi vii viii ix x xi xii"
_ROMAN = {numeral: i + 1 for i, numeral in enumerate(_ROMAN_MONTHS.split())}
_HAN = re.compile(r"[〇零一二三四五六七八九十]+(?=[年月日號号])")
_MAYBE = re.compile(
    r"\d|th\b|\b(?:first|second|third)\b|[〇一二三四五六七八九十][年月]|\bthousand\b"
)

_NOT_INSIDE = r"(?<![\w.,/-])"
_END = r"(?!\d|[./-]\d)"
_TAIL = r"(?:st|nd|rd|th|er|re|e|a|o|-?го|-?[ea]n)?(?!\w)"
_DAY = rf"(\d{{1,2}}){_TAIL}"
_NAME = r"(?<!\w)([^\W\d_][^\s\d.,;:/()'\"\-]{2,})"
_OF = r"(?:(?:of|de|del|di|den)\s+)?"
_SPACE = r"[\s.,/\-]*"
_ERA = r"\s?(?:b\.?c\.?(?:e\b\.?)?|a\.?d\b\.?|c\.?e\b\.?)"
_YEAR = rf"(\d{{1,4}}{_ERA}|\d{{3,4}}(?!\d|[.,]\d)(?:{_ERA})?|\d\d(?=\s*(?:$|[.;)\n])))"
_NAME_ALONE = re.compile(_NAME)
_PARTED = re.compile(r"\d ?[-/. ] ?\d|[年년月월]|\bthang\b")
"""Cheaper than the patterns of dates, and part of each that is written in numbers."""
_NAMED = re.compile(
    rf"{_NOT_INSIDE}{_DAY}[\s.\-]*{_OF}{_NAME}(?:{_SPACE}{_OF}{_YEAR})?"
    rf"|(?<!\w)(\d{{3,4}})[\s.\-]+{_NAME}[\s.\-]*{_DAY}"
    rf"|{_NAME}[\s.\-]*(?:the\s+)?(\d{{1,2}}){_TAIL}(?![:%]|[.,]\d)(?:{_SPACE}{_OF}{_YEAR})?"
    rf"|(?<!\d[ .-]){_NAME}[\s.,]*{_OF}(\d{{3,4}}(?!\d|[.,]\d)(?:{_ERA})?|\d{{1,4}}{_ERA})"
)
_ORDERS = ((1, "dmy"), (4, "ymd"), (7, "mdy"), (10, "my"))
_NUMERIC = re.compile(
    rf"{_NOT_INSIDE}(\d{{4}})(\s?[-/.] ?| )(\d{{1,2}})\2(\d{{1,2}}){_END}"
    rf"|{_NOT_INSIDE}(\d{{1,2}})(\s?[-/.] ?| )(\d{{1,2}})\6(\d{{4}}|(?<! )\d\d){_END}"
    rf"|{_NOT_INSIDE}(0\d|1[0-2])/(\d{{4}}){_END}"
    r"|(?<!\d)(?:(\d{4}|\d{1,4} bc)\s*[年년]\s*)?(\d{1,2})\s*[月월](?:\s*(\d{1,2})\s*[日號号일])?"
    rf"|{_NOT_INSIDE}(?:ngay )?(\d{{1,2}}) thang (\d{{1,2}})(?:,? nam (\d{{4}}))?"
)
# "12 to 14 March": the month is told, not the day.
_RANGE = re.compile(
    r"\d(?:st|nd|rd|th)?\s*(?:-|to|and|or|&|/|till|until|bis|oder|und|et|ou|o|y|e|al?)\s*$"
)
_TIME = re.compile(
    r"(?:\b(?:at|um|a las|t))?(?<!\d)(\d{1,2}):(\d\d)(?::\d\d(?:\.\d+)?)?"
    r"(?:\s*([ap])\.?m\b\.?)?(?:\s*(?:z|utc|gmt|[+-]\d\d:?\d\d)\b)?"
)
_DOTTED = re.compile(r"(?<![\w.])\d{1,4}\.\d{1,2}\.\d{1,4}(?!\w|\.\d)")
_ENGLISH_WORDS = "jan feb mar apr may jun jul aug sep sept oct nov dec"
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
# Names of other things too: alone with a year or a day they are no date ("Mars 2020").
_OTHER_THINGS = frozenset(("mars", "mart", "medi"))
_YEAR_WORDS = frozenset(("года", "год", "г", "року", "р", "roku", "m", "d", "j"))


@dataclass(frozen=True, slots=True)
class Date:
    """A date with unknown parts as None; `swapped` is the other reading of 04/07/1776."""

    year: str | None
    month: int
    day: int | None
    swapped: tuple[int, int] | None = None
    time: tuple[int, int] | None = None


def find_dates(folded: str) -> tuple[list[Date], str]:
    """The dates that name at least month and day or year, and the rest of the folded text.

    A time and the day of the week belong to a date that they stand beside.
    """
    if not _MAYBE.search(folded):
        return [], folded
    text, dates = _plain(folded), list[Date]()
    rest = _take(_NUMERIC, text, dates) if _PARTED.search(text) else text
    rest = _take(_NAMED, rest, dates) if _names_month(rest) else rest
    if not dates and "thousand" in text:
        rest = _take(_NAMED, " ".join(words(text)), dates)
    return _with_time(dates, rest) if dates else ([], rest)


def _names_month(text: str) -> bool:
    """Whether a text may name a month: other scripts attach words to its name."""
    return not text.isascii() or not _months().keys().isdisjoint(_NAME_ALONE.findall(text))


def without_dotted(text: str) -> str:
    """Text without three numbers joined by dots: a date or a version, and no decimal number."""
    return _DOTTED.sub(" ", text) if "." in text else text


def covers(gold: Date, answer: Date) -> bool:
    """Whether the answer agrees with all that the gold states: it may say more, not less."""
    if gold.year not in (None, answer.year) or gold.time not in (None, answer.time):
        return False
    if gold.swapped and answer.swapped:
        return (gold.month, gold.day) == (answer.month, answer.day)
    return any(
        wanted[0] == said[0] and wanted[1] in (None, said[1])
        for wanted in _readings(gold)
        for said in _readings(answer)
    )


def _readings(date: Date) -> list[tuple[int, int | None]]:
    return [(date.month, date.day), *([date.swapped] if date.swapped else [])]


def _plain(text: str) -> str:
    """Ordinals and the numerals of a Han date in digits."""
    text = _HAN.sub(lambda match: han_digits(match[0]), text)
    text = _ROMAN_MONTH.sub(lambda match: f".{_ROMAN[match[1] or match[2]]}.", text)
    return _SPELLED.sub(_ordinal, text)


def _ordinal(match: re.Match[str]) -> str:
    day = CARDINALS.get(match[1], 0) + ORDINALS[match[2]]
    return f" {ordinal_form(day)} " if day <= 31 else match[0]


def _take(pattern: re.Pattern[str], text: str, dates: list[Date]) -> str:
    """Text without the dates that a pattern finds, which are added to `dates`."""
    kept, done, at = "", 0, 0
    while match := pattern.search(text, at):
        date = _numeric(match) if pattern is _NUMERIC else _named(match)
        at = match.end() if date else match.start() + 1
        if date:
            dates.append(date)
            kept, done = f"{kept}{text[done : match.start()]} ", match.end()
    return kept + text[done:]


def _numeric(match: re.Match[str]) -> Date | None:
    part = match.group
    if part(1):
        return _date(part(1), int(part(3)), int(part(4)))
    if part(5):
        return _either(int(part(5)), int(part(7)), part(8), "." in part(6))
    if part(9):
        return _date(part(10), int(part(9)), None)
    if part(12):
        return _date(part(11), int(part(12)), part(13)) if part(11) or part(13) else None
    return _date(part(16), int(part(15)), part(14))


def _either(first: int, second: int, year: str, dotted: bool) -> Date | None:
    day_first, month_first = _date(year, second, first), _date(year, first, second)
    if dotted or not (day_first and month_first):
        return day_first or month_first
    swapped = None if first == second else (second, first)
    return Date(month_first.year, first, second, swapped)


def _named(match: re.Match[str]) -> Date | None:
    group, order = next(start for start in _ORDERS if match[start[0]])
    parts = {key: match[group + i] for i, key in enumerate(order)}
    name = parts["m"]  # Hebrew writes "in" as one word with the month
    month, weak = _months().get(name) or _months().get(name.removeprefix("ב"), (0, False))
    day = parts.get("d")
    if order == "dmy" and _RANGE.search(match.string[: match.start()][-12:]):
        day = None
    if weak and (" of " in match[0] or not (day and parts["y"])):  # "10 out of 2020"
        return None
    if not month or not (day or parts["y"]):
        return None
    return _date(parts["y"], month, day)


def _date(year: str | None, month: int, day: int | str | None) -> Date | None:
    number, before_christ = _year(year)
    day = int(day) if day else None
    try:
        datetime.date(2000 if before_christ or not number else number, month, day or 1)
    except ValueError:
        return None
    return Date(f"{number} bc" if before_christ else str(number) if year else None, month, day)


def _year(year: str | None) -> tuple[int, bool]:
    found = re.match(r"\d+", year or "")
    number = int(found[0]) if found else 0
    era = (year or "")[len(found[0]) :].strip() if found else ""
    if found and len(found[0]) == 2 and not era:
        number += 1900 if number >= 69 else 2000
    return number, era.startswith("b")


@cache
def _months() -> dict[str, tuple[int, bool]]:
    """Folded name → number of the month, and whether it needs a day and a year beside it."""
    months: dict[str, tuple[int, bool]] = {}
    for number, width, names in _table():
        for name in names if number else []:
            weak = name in _OTHER_THINGS or (width == "short" and name not in _ENGLISH)
            months.setdefault(name, (number, weak))
    return months


@cache
def _weekdays() -> frozenset[str]:
    return frozenset(name for number, _, names in _table() if not number for name in names)


def _table() -> list[tuple[int, str, list[str]]]:
    text = files("metaconf.grading").joinpath("months.txt").read_text(encoding="utf-8")
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return [(int(line[0]), line[1], [fold(name) for name in line[2:]]) for line in lines]


def _with_time(dates: list[Date], rest: str) -> tuple[list[Date], str]:
    """The dates, a single one with the time beside it, and the rest without time and weekday."""
    beside = _weekdays() | _YEAR_WORDS
    kept = [word for word in rest.split() if word.strip(".,;()") not in beside]
    rest = " ".join(kept)
    match = _TIME.search(rest) if len(dates) == 1 else None
    if match is None:
        return dates, rest
    hour, half = int(match[1]), match[3]
    hour = hour % 12 + (12 if half == "p" else 0) if half else hour
    date = dates[0]
    timed = Date(date.year, date.month, date.day, date.swapped, (hour, int(match[2])))
    return [timed], rest[: match.start()] + rest[match.end() :]
