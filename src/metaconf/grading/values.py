"""Short answers that are values: dates, numbers and quantities, compared by what they mean."""

from __future__ import annotations

import re
from functools import lru_cache

from metaconf.grading.dates import Date, covers, find_dates, without_dotted
from metaconf.grading.measures import Value, same_measure, with_unit
from metaconf.grading.numbers import plain_numbers
from metaconf.grading.spelled import is_number
from metaconf.grading.text import fold, normal_form, numbers, visible, words
from metaconf.grading.units import unit_name
from metaconf.records import Target

_FILLER_WORDS = """
    am is was are were be been being it its this that these those there here he she they i we you
    his her their my in on at to from by as for with within into so then well yes ok okay a an the
    answer correct right final would will should think thought believe guess say suppose know sure
    called named known located found lies lie situated probably likely definitely certainly
    currently actually simply just only exactly about around approximately roughly circa has had
    have do does did won wrote made born died country city state town nation continent currency
    capital year date place person name number total result equals which who what where when how
    me think im ive id thats utc sir during throughout"""
FILLER = frozenset(_FILLER_WORDS.split())
_DECADE = re.compile(r"(?<!\d)(?:1\d|20)\d0['’]?s\b")
_LEADING_WORDS = re.compile(r"(?:[^\W\d_]+[\s:,]+)*(?=[-$€£¥₹]?\.?\d)")


@lru_cache(maxsize=65536)
def core(form: str) -> str:
    tokens = form.split()
    start, end = 0, len(tokens)
    while start < end and tokens[start] in FILLER:
        start += 1
    while end > start and tokens[end - 1] in FILLER:
        end -= 1
    return normal_form(" ".join(tokens[start:end]))


@lru_cache(maxsize=4096)
def whole_date(folded: str) -> Date | None:
    """The one date that a folded text is, filler words aside."""
    dates, rest = find_dates(folded)
    return dates[0] if len(dates) == 1 and not core(normal_form(rest)) else None


def valued(targets: tuple[Target, ...], prompt: str, text: str) -> set[int]:
    """The targets that are dates or numbers and whose value a folded text has."""
    values = _values(targets)
    if not values:
        return set()
    dates, _ = find_dates(text)
    alone = _only_numbers(without_dotted(text), prompt)
    year = dates[0].year if len(dates) == 1 else None
    return {i for i, gold in values if _agrees(gold, dates, {year}, alone)}


def measured(targets: tuple[Target, ...], answer: str) -> float | None:
    """The best credit of the targets that are the answer's quantity ("5 MW", "5 megawatts").

    A unit may be missing on one side, not differ in value.
    """
    golds = _quantities(targets)
    said = _quantity(answer) if golds else None
    if said is None:
        return None
    credits = [targets[i].credit for i, gold in golds if same_measure(*gold, *said, False)]
    return max(credits, default=None)


@lru_cache(maxsize=4096)
def _quantities(targets: tuple[Target, ...]) -> tuple[tuple[int, tuple[Value, str]], ...]:
    found = ((i, _quantity(text)) for i, target in enumerate(targets) for text in target.texts)
    return tuple((i, gold) for i, gold in found if gold and unit_name(gold[1]))


def _quantity(text: str) -> tuple[Value, str] | None:
    """The number and unit that a text is, filler words before them aside."""
    if len(text) > 100 or not any(map(str.isdecimal, text)):
        return None
    bare = plain_numbers(visible(text)).strip(" \n*.!")
    lead = _LEADING_WORDS.match(bare)
    if lead and not set(words(fold(lead[0]))) <= FILLER:
        return None
    value, unit = with_unit(bare[lead.end() :] if lead else bare)
    if unit == "s" and _DECADE.search(text):
        return None  # no seconds
    return (value, unit) if value else None


def _agrees(gold: Date | str, dates: list[Date], year: set[str | None], alone: set[str]) -> bool:
    if isinstance(gold, Date):
        return bool(dates) and all(covers(gold, date) for date in dates)
    return gold in year or alone == {gold}


@lru_cache(maxsize=4096)
def _values(targets: tuple[Target, ...]) -> tuple[tuple[int, Date | str], ...]:
    """(index of a target, its date or number), for each reference that is one."""
    found = ((i, _value(text)) for i, target in enumerate(targets) for text in target.texts)
    return tuple((i, value) for i, value in found if value)


def _value(gold: str) -> Date | str | None:
    folded = fold(gold)
    if date := whole_date(folded):
        return date
    form = normal_form(folded)
    single = len(numbers(form.split())) == 1 and _is_value(form) and not find_dates(folded)[0]
    return form if single else None


def _is_value(form: str) -> bool:
    number, _, unit = form.partition(" ")
    return is_number(number) and unit in ("", "percent", "bc")


def _only_numbers(text: str, prompt: str) -> set[str]:
    found = set(numbers(words(text.rpartition("=")[2])))
    return found - set(numbers(words(fold(prompt)))) or found
