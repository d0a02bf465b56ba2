"""Numbers with units: how they are read, and when two of them say the same."""

from __future__ import annotations

import re
from fractions import Fraction

from metaconf.grading.numbers import NUMBER
from metaconf.grading.units import same_quantity, unit_name

Value = tuple[Fraction, bool]
"""A number and whether a percent sign followed it (the number is not divided by 100)."""

_MIXED = re.compile(r"(-?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)")
_RATIO = re.compile(rf"(-?)\s*[$€£¥₹]?\s*({NUMBER})(?:\s*/\s*(\d+))?")
_FRAC = re.compile(r"(\d*)\s*\\[dt]?frac\s*\{?\s*(\d+)\s*\}?\s*\{?\s*(\d+)\s*\}?")
_NUMBER_FIRST = re.compile(r"[\s-]*[$€£¥₹.\d\\]")
_NUMBER_ALONE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_PERCENT = re.compile(r"\s*(?:\\?%|per\s?cent\b|percent\b)\s*$", re.IGNORECASE)
_UNIT = re.compile(
    r"\s*(?:\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}|((?:°|º|\^?\{?\\circ\b\}?|\\degree\b)\s*[A-Za-z]?"
    r"|[^\W\d_](?:[^\W\d_]|[ ./^²³·*](?=[^\W\d_]|$)|(?<=\^)-?[23]|(?<=[^\W\d_])[23]|\^)*\.?))\s*$"
)
_CURRENCY = re.compile(r"[$€£¥₹]|\b(?:dollars?|euros?|pounds?|yen|rupees?|USD|EUR|GBP|JPY|INR)\b")
_CURRENCIES = {"dollar": "$", "euro": "€", "pound": "£", "yen": "¥", "rupee": "₹"}
_CURRENCIES |= {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹"}
_ONE_LETTER = frozenset("mgshlLVAWNJKCFTΩ\u2126°円元원")
"""Of one letter, only these are units behind a number: 5x, 5i and 5π are other values."""
_CENTS = re.compile(rf"({NUMBER})\s*(?:cents?\b|¢|pence\b)", re.IGNORECASE)


def read_value(text: str) -> Value | None:
    """The number that the whole of a text is: decimal, fraction, mixed, LaTeX; None for others."""
    if _NUMBER_ALONE.fullmatch(text) and len(text) < 400:
        return Fraction(text), False
    bare = _PERCENT.sub("", text)
    percent = bare != text
    bare = bare.strip()
    sign = -1 if bare.startswith("-") else 1
    fraction = _FRAC.fullmatch(bare.lstrip("- "))
    if fraction and len(bare) < 60 and int(fraction[3]):
        whole = Fraction(int(fraction[1] or 0))
        return sign * (whole + Fraction(int(fraction[2]), int(fraction[3]))), percent
    mixed = _MIXED.fullmatch(bare)
    if mixed and len(bare) < 60 and int(mixed[4]):
        return sign * (int(mixed[2]) + Fraction(int(mixed[3]), int(mixed[4]))), percent
    ratio = _RATIO.fullmatch(bare)
    if ratio is None or len(bare) > 400 or (ratio[3] and not int(ratio[3])):
        return None
    return sign * Fraction(ratio[2].replace(",", "")) / int(ratio[3] or 1), percent


def with_unit(text: str) -> tuple[Value | None, str]:
    """The number that a text is and the unit behind it, "" for none; (None, "") for others."""
    if not _NUMBER_FIRST.match(text):
        return None, ""
    value = read_value(text)
    match = _UNIT.search(text) if value is None else None
    if match is None or not match.start():
        return value, ""
    unit = " ".join((match[1] or match[2]).split()).rstrip(".")
    if len(unit) == 1 and match[2] and unit not in _ONE_LETTER:
        return None, ""
    return read_value(text[: match.start()]), unit


def same_measure(
    number: Value, unit: str, found: Value, found_unit: str, bare_percent: bool
) -> bool:
    """Whether two numbers with units say the same; a missing unit is no other unit."""
    if not unit or not found_unit or unit == found_unit:
        return equal_values(number, found, bare_percent)
    name, found_name = unit_name(unit), unit_name(found_unit)
    if name is None or found_name is None:
        return _stem(unit) == _stem(found_unit) and equal_values(number, found, bare_percent)
    if name == found_name:
        return equal_values(number, found, bare_percent)
    return same_quantity(number[0], name, found[0], found_name)


def _stem(unit: str) -> str:
    """What singular and plural of an unknown unit ("apples") share."""
    return unit.casefold().removesuffix("s") if len(unit) > 3 else unit.casefold()


def equal_values(gold: Value, answer: Value, bare_percent: bool) -> bool:
    """Whether two numbers are equal to six decimals, small ones to six digits.

    `bare_percent`: whether 35 and 35 % are equal too.
    """
    (a, a_percent), (b, b_percent) = gold, answer
    if a_percent == b_percent:
        return abs(a - b) <= min(1, 10 * max(abs(a), abs(b))) / Fraction(2_000_000)
    if bare_percent and a == b:
        return True
    return a * (1 if b_percent else Fraction(1, 100)) == b * (1 if a_percent else Fraction(1, 100))


def other_currency(gold: str, answer: str) -> bool:
    """Whether both texts name a currency, and none that both name."""
    said = [_currencies(text) for text in (gold, answer)]
    return bool(said[0] and said[1]) and said[0].isdisjoint(said[1])


def in_one_currency(text: str, other: str) -> str:
    """ "50 cents" as 0.50 beside an amount with a currency sign; any other text as it is."""
    match = _CENTS.search(text) if _currencies(other) and not _currencies(text) else None
    if match is None:
        return text
    value = Fraction(match[1].replace(",", "")) / 100
    return text[: match.start()] + f"{float(value):.6f}".rstrip("0").rstrip(".")


def _currencies(text: str) -> set[str]:
    found: list[str] = [] if text.isdigit() else _CURRENCY.findall(text)
    return {_CURRENCIES.get(word.lower().removesuffix("s"), word) for word in found}
