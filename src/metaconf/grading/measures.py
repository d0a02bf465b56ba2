"""Numbers with units: how they are read, and when two of them say the same."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache

from metaconf.grading.numbers import DIGITS_ALONE, NUMBER
from metaconf.grading.tables import heads, table
from metaconf.grading.units import LETTER, same_quantity, times_smaller, unit_name

Value = tuple[Fraction, bool]
"""A number and whether a percent sign followed it (the number is not divided by 100)."""

_MIXED = re.compile(r"(-?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)")
_RATIO = re.compile(rf"(-?)\s*[$€£¥₹]?\s*({NUMBER})(?:\s*/\s*(\d+))?")
_FRAC = re.compile(r"(\d*)\s*\\[dt]?frac\s*\{?\s*(\d+)\s*\}?\s*\{?\s*(\d+)\s*\}?")
_NUMBER_FIRST = re.compile(r"[\s-]*[$€£¥₹.\d\\]")
_PERCENT = re.compile(r"\s*(?:\\?%|per\s?cent\b|percent\b)\s*$", re.IGNORECASE)
_UNIT = re.compile(
    r"\s*(?:\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}|((?:°|º|\^?\{?\\circ\b\}?|\\degree\b)\s*[A-Za-z]?"
    rf"|{LETTER}(?:{LETTER}|[ ./^²³·*](?=[^\W\d_]|$)|(?<=[^\W\d_]{{3}})-(?=[^\W\d_]{{3}})"
    r"|(?<=\^)-?[23]|(?<=[^\W\d_])[23]|\^)*\.?))\s*$"
)
_LATEX_UNIT = re.compile(r"\s*\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}(?:\^\{?(-?[123])\}?)?\s*$")
_PRIMES = re.compile(r"(\d)\s*(['’′]|[\"”″]|''|′′)\s*$")
_COMPOUND = re.compile(
    rf"\s*({NUMBER})\s*([^\W\d_]{{1,16}}|['’′])\.?\s*,?\s*(?:and\s+|&\s*|und\s+|y\s+|et\s+)?"
    rf"({NUMBER})\s*([^\W\d_]{{1,16}}|[\"”″]|''|’’|′′)?\.?\s*$"
)
_MARKS = {"'": "foot", "’": "foot", "′": "foot"}
_WITHOUT = {"foot": "inch", "hour": "minute"}
"""What the second number counts where no unit stands behind it: "5 foot 10"."""
_KEPT = frozenset(["$", "pound", "pounds", "¢", "cent", "cents", "pence", "penny"])
_ASCII_WORDS = re.compile(r"[a-z]{2,}")
_EITHER = {"¥": {"JPY", "CNY"}}
"""Signs of more than one currency."""
_DECIMAL_COMMA = re.compile(r"\s*(-?\d{1,3}),(\d{2})\s*")
_ONE_LETTER = frozenset(
    "mgshlLVAWNJKCFTΩ\u2126Å°円元원年分時时秒日天月週周度米克升吨년분초일월주도мгсчл個个人名位只本冊册枚件条台次回歳岁개명번살세"
)
"""Of one letter, only these are units behind a number: 5x, 5i and 5π are other values."""
_CENTS = re.compile(rf"({NUMBER})\s*(?:cents?\b|¢|pence\b|(?P<p>p\b))", re.IGNORECASE)


def read_value(text: str) -> Value | None:
    """The number that the whole of a text is: decimal, fraction, mixed, LaTeX; None for others."""
    if DIGITS_ALONE.fullmatch(text) and len(text) < 400:
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


_JOINING = frozenset(("or", "and", "to", "maybe", "perhaps", "possibly", "oder", "или", "ou", "o"))


def with_unit(text: str) -> tuple[Value | None, str]:
    """The number that a text is and the unit behind it, "" for none; (None, "") for others."""
    if not _NUMBER_FIRST.match(text):
        return None, ""
    text = _spelled(text)
    value = read_value(text)
    compound = _compound(text) if value is None else None
    if compound is not None:
        return compound
    match = _UNIT.search(text) if value is None else None
    if match is None or not match.start():
        return value, ""
    unit = " ".join((match[1] or match[2]).split()).rstrip(".")
    if len(unit) == 1 and match[2] and unit not in _ONE_LETTER:
        return None, ""
    if unit.partition(" ")[0].lower() in _JOINING:
        return None, ""  # "0 or ten thousand": no unit, but another number
    return read_value(text[: match.start()]), unit


def _spelled(text: str) -> str:
    """Units in LaTeX and feet and inches in their signs as words: "5\\,\\Omega", "5'"."""
    if "\\" in text:
        text = re.sub(r"\\[ ,;:](?=\s*\\(?:mu|Omega|text|mathrm)\b)", " ", text)
        text = re.sub(r"\\Omega\b", "Ω", re.sub(r"\\mu\b\s*", "μ", text))
        text = re.sub(r"μ\s*\\(?:text|mathrm)\s*\{\s*", r"\\text{μ", text)
        text = _LATEX_UNIT.sub(lambda m: f" {m[1].strip()}" + (f"^{m[2]}" if m[2] else ""), text)
    return _PRIMES.sub(lambda m: f"{m[1]} {_MARKS.get(m[2], 'inch')}", text)


def _compound(text: str) -> tuple[Value, str] | None:
    """A quantity in two units, in the smaller: "5 ft 10 in", "2 h 30 min"."""
    match = _COMPOUND.match(text)
    if match is None or len(text) > 60:
        return None
    first = unit_name(_MARKS.get(match[2], match[2])) or ""
    second = "inch" if match[4] and not match[4].isalpha() else match[4]
    second = _WITHOUT.get(first, "") if second is None else second
    smaller = "minute" if first == "hour" and second == "m" else unit_name(second)
    factor = times_smaller(first, smaller) if first and smaller else None
    if factor is None:
        return None
    whole, rest = (Fraction(match[i].replace(",", "")) for i in (1, 3))
    return ((whole * factor + rest, False), str(smaller)) if rest < factor else None


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


@cache
def _currency(but: frozenset[str] = frozenset()) -> re.Pattern[str]:
    """Finds currencies, but some; codes only in capitals, names in any case."""
    said = [word for words in table("currencies").values() for word in words if word not in but]
    patterns: list[str] = []
    for text in sorted(said, key=len, reverse=True):
        word = re.escape(text)
        if text.isupper() and text.isascii() and text.isalpha():
            patterns.append(rf"(?<![^\W\d_]){word}(?![^\W\d_])")
        elif text[0].isalpha() and text[-1].isalpha() and text[0] < "\u3000":
            patterns.append(rf"(?<![^\W\d_])(?i:{word})(?![^\W\d_])")
        elif text[0].isalpha() and text[0] < "\u3000":
            patterns.append(rf"(?<![^\W\d_]){word}")
        else:
            patterns.append(word)
    return re.compile("|".join(patterns))


@cache
def _names() -> tuple[dict[str, str], frozenset[str]]:
    """Currencies in lower case → their signs, and the English words among them."""
    signs = {word.lower(): sign for word, sign in heads("currencies").items()}
    return signs, frozenset(word for name in signs for word in _ASCII_WORDS.findall(name))


def other_currency(gold: str, answer: str) -> bool:
    """Whether both texts name a currency, and none that both name."""
    said = [_currencies(text) for text in (gold, answer)]
    return bool(said[0] and said[1]) and said[0].isdisjoint(said[1])


def in_one_currency(text: str, other: str) -> str:
    """ "50 cents" as 0.50 beside an amount with a currency sign; any other text as it is."""
    beside = _currencies(other) - {"¢"}
    match = _CENTS.search(text) if beside and _currencies(text) <= {"¢"} else None
    if match is None or (match["p"] and "£" not in beside):
        return text
    value = Fraction(match[1].replace(",", "")) / 100
    return text[: match.start()] + f"{float(value):.6f}".rstrip("0").rstrip(".")


def bare_amount(text: str) -> tuple[str, bool | None]:
    """A text without the names and signs of currencies but "$", and whether it names one.

    "pounds" stays, which may be a weight: None.
    """
    if not may_name_currency(text) or not _currency().search(text):
        return text, False
    bare = _currency(_KEPT).sub("", text)
    amount = _DECIMAL_COMMA.fullmatch(bare)
    bare = f"{amount[1]}.{amount[2]}" if amount else bare
    money = bare != text or text.count("$") == 1
    return bare.strip(), money or (None if "$" not in text else False)


def _currencies(text: str) -> set[str]:
    if not may_name_currency(text):
        return set()
    found: list[str] = _currency().findall(text)
    said = {_names()[0][word.lower()] for word in found}
    return said.union(*(_EITHER.get(sign, ()) for sign in said))


def may_name_currency(text: str) -> bool:
    """Whether a look for currencies is worth it: a sign, or a word of one of them."""
    if not text.isascii() or "$" in text:
        return True
    return not (text.isdigit() or _names()[1].isdisjoint(_ASCII_WORDS.findall(text.lower())))
