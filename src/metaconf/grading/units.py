"""Units of measure behind numbers: the same unit in another spelling, the same quantity in another.

pint knows the units and how they convert ("20 °C" is "68 °F", "5 MW" is not "5 mW"); it is loaded
when two texts state a unit, not before.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from metaconf.grading.tables import heads

if TYPE_CHECKING:
    from pint import UnitRegistry

LETTER = r"(?:[^\W\d_]|[\u0900-\u0963\u0970-\u0e3e\u0e40-\u0e4e])"
"""A letter or a vowel sign of the scripts that write vowels as signs."""
_SHAPE = re.compile(rf"{LETTER}{{1,24}}(?:[ _-]{LETTER}{{1,24}}){{0,3}}(?:\^?-?[123])?")
_NAME = re.compile(r"[^\W\d]+")
_PARTED = re.compile(r"\s*(/|·|⋅|\*|\bper\b|(?<=\s)an?(?=\s))\s*")
_BITS = {"kb": "kilobit", "Mb": "megabit", "Gb": "gigabit", "Tb": "terabit"}
_TEMPERATURES = {"coulomb": "degree_Celsius", "farad": "degree_Fahrenheit"}
"""What "20 C" and "20 F" mean beside a temperature."""
_RAISED = {"squared": 2, "cubed": 3}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_CASED = re.compile(
    r"(?<=\d)\s*(?:(?:°|º|\bdeg(?:rees?)?\.?|\\circ|\^\\circ|\^\{\\circ\}|\\degree)\s*([CF])\b|([℃℉])"
    r"|([pnµμ](?:A|F|V|W|C|H)|[Åå]|[kmMGTµμ]?(?:Ω|\u2126)|[mM](?:m|Wh?|VA?|A|Hz|Pa|J|N|eV|bar|mol|cal|g|L|l|s)"
    r"|[kKMGT](?:B|b|bps|bit))(?![\w²³]))"
)
_PRIME = re.compile(r"['’′]")
_FEET = re.compile(r"(?<![\w.])(\d{1,2})\s?['’′]\s?(\d{1,2})\s?(?:[\"”″]|''|’’|′′)")
_NEVER_IN_PROSE = frozenset(("in", "a", "at", "as", "are", "on", "d", "t", "s", "m", "bar", "an"))


def spell_cased_units(text: str) -> str:
    """Behind a number, units in which a capital tells values apart as words: "5 MW", "20 °F"."""
    if _PRIME.search(text):
        text = _FEET.sub(r"\1 foot \2 inch", text)
    return _CASED.sub(_spelled, text) if _CASED.search(text) else text


def _spelled(match: re.Match[str]) -> str:
    if sign := match[1] or match[2]:
        return " celsius" if sign in "C℃" else " fahrenheit"
    name = unit_name(match[3])
    return f" {name}" if name else match[0]


def stated_unit(text: str) -> str:
    """The known unit that starts a text ("km away" → "kilometer"), "" where none does.

    One-letter units and words such as "in" count only where nothing but punctuation follows.
    """
    match = re.match(
        r"\s*(?:°|º|\^?\\circ)?\s*[^\W\d_]+(?:-[^\W\d_]+)?(?:(?:\s*/\s*|\s+per\s+)[^\W\d_]+)?[²³]?",
        text,
    )
    if match is None:
        return ""
    raw, rest = match[0].strip(), text[match.end() :]
    if raw in _NEVER_IN_PROSE and re.search(r"\w", rest):
        return ""
    return unit_name(raw) or ""


@lru_cache(maxsize=4096)
def unit_name(raw: str) -> str | None:
    """The one name of a unit in any of its spellings ("km", "Kilometres"), None if unknown."""
    text = raw.replace("µ", "μ").replace("\u2126", "Ω").replace("²", "2").replace("³", "3")
    text = re.sub(r"°|º|\^?\{?\\circ\}?|\\degree|\bdeg(?:rees?)?\b\.?", "degree ", text).strip()
    text = " ".join(text.replace("\\", " ").rstrip(".").split()).removesuffix(" old")
    parts, joints = _PARTED.split(text)[::2], _PARTED.findall(text)
    if not text or len(parts) > 4 or not all(_SHAPE.fullmatch(part) for part in parts):
        return None
    units = [_one_unit(part) for part in parts]
    if any(unit is None for unit in units):
        return None
    product = units[0]
    for joint, unit in zip(joints, units[1:], strict=True):
        product = product * unit if joint in "·⋅*" else product / unit
    return str(product)


def _one_unit(part: str) -> Any:
    """pint's unit for a spelling without divisions, or None."""
    words, power = part.split(" "), 1
    if words[0].lower() in _POWERS and len(words) > 1:
        power, words = _POWERS[words[0].lower()], words[1:]
    if words[-1].lower() in _RAISED and len(words) > 1:
        power, words = _RAISED[words[-1].lower()], words[:-1]
    name = " ".join(words)
    if exponent := re.search(r"\^?(-?[123])$", name):
        power, name = int(exponent[1]), name[: exponent.start()]
    habits = heads("units")
    unit = _known(_BITS.get(name, name)) if name not in habits else None
    unit = unit or _known(habits.get(name.lower(), name.lower()))
    return None if unit is None else unit**power


def _known(name: str) -> Any:
    """pint's unit of this name, None where it has none."""
    from pint.errors import PintError

    name = name.replace(" ", "_")
    habits = heads("units")
    if name not in habits and not _NAME.fullmatch(name):
        return None  # pint would calculate with it: "non-ferrous"
    try:
        return _registry().parse_units(habits.get(name, name))
    except (PintError, ValueError, AttributeError, AssertionError):  # of names it cannot read
        return None


@lru_cache(maxsize=1)
def _registry() -> UnitRegistry:
    from pint import UnitRegistry

    return UnitRegistry()


def times_smaller(larger: str, smaller: str) -> Fraction | None:
    """How many of the smaller unit are one of the larger (names of `unit_name`); None if not."""
    from pint.errors import PintError

    try:
        factor = _registry().Quantity(1.0, larger).to(smaller).magnitude
    except (PintError, OverflowError):
        return None
    return Fraction(factor).limit_denominator(10**6) if factor > 1 else None


def same_quantity(gold: Fraction, gold_unit: str, answer: Fraction, answer_unit: str) -> bool:
    """Whether two numbers with units (names of `unit_name`) are one quantity, within 1e-6 of it."""
    from pint.errors import PintError

    registry = _registry()
    if "degree_" in gold_unit + answer_unit:
        gold_unit = _TEMPERATURES.get(gold_unit, gold_unit)
        answer_unit = _TEMPERATURES.get(answer_unit, answer_unit)
    try:
        wanted = registry.Quantity(float(gold), gold_unit)
        given = registry.Quantity(float(answer), answer_unit).to(wanted.units).magnitude
    except (PintError, OverflowError):
        return False
    return bool(abs(given - wanted.magnitude) <= 1e-6 * max(abs(wanted.magnitude), 1e-12))
