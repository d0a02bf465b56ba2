"""Units of measure behind numbers: the same unit in another spelling, the same quantity in another.

pint knows the units and how they convert ("20 °C" is "68 °F", "5 MW" is not "5 mW"); it is loaded
when two texts state a unit, not before.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pint import UnitRegistry

_SHAPE = re.compile(r"[^\W\d_]{1,24}(?:[ _][^\W\d_]{1,24}){0,3}(?:\^?-?[23])?", re.UNICODE)
_PARTED = re.compile(r"\s*(?:/|·|⋅|\*|\bper\b)\s*")
# Habits of writers that pint reads otherwise or not at all.
_HABITS = {
    **dict.fromkeys(("celsius", "degc", "degree c", "degree celsius", "centigrade"), "degC"),
    **dict.fromkeys(("fahrenheit", "degf", "degree f", "degree fahrenheit"), "degF"),
    **dict.fromkeys(("kelvins", "degree kelvin"), "kelvin"),
    **dict.fromkeys(("°", "degree", "circ"), "degree"),
    **{"hr": "hour", "hrs": "hour", "mins": "minute", "sec": "second", "secs": "second"},
    **{"kmh": "km/hour", "kph": "km/hour", "kmph": "km/hour", "mps": "m/second"},
    **{"au": "astronomical_unit", "cm": "cm", "mm": "mm", "km": "km", "kg": "kg", "ms": "ms"},
    **{"in": "inch", "a": "", "pH": "", "ph": "", "d": "day", "t": "tonne", "sq": "", "mi": "mile"},
    **{"mb": "megabyte", "gb": "gigabyte", "tb": "terabyte", "lbs": "pound"},
    **{"м": "m", "км": "km", "см": "cm", "мм": "mm", "кг": "kg", "г": "gram", "ч": "hour"},
    **dict.fromkeys(("километр", "километра", "километров", "кілометр", "кілометрів"), "km"),
    **dict.fromkeys(("метр", "метра", "метров", "метрів"), "m"),
    **dict.fromkeys(("килограмм", "килограмма", "килограммов", "кило"), "kg"),
    **dict.fromkeys(("час", "часа", "часов"), "hour"),
    **dict.fromkeys(("kilometer", "kilómetros", "quilômetros", "chilometri", "kilomètres"), "km"),
    **{"с": "second", "мин": "minute", "мкм": "um", "米": "m", "公里": "km", "千米": "km"},
    **{"公斤": "kg", "千克": "kg", "克": "gram", "厘米": "cm", "度": "degree", "秒": "second"},
    **{"分钟": "minute", "小时": "hour", "時間": "hour", "メートル": "m", "キロ": "kg"},
    **{"كم": "km", "كغ": "kg", "متر": "m", "किमी": "km", "किग्रा": "kg", "मीटर": "m"},
}
_BITS = {"kb": "kilobit", "Mb": "megabit", "Gb": "gigabit", "Tb": "terabit"}
_TEMPERATURES = {"coulomb": "degree_Celsius", "farad": "degree_Fahrenheit"}
"""What "20 C" and "20 F" mean beside a temperature."""
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_CASED = re.compile(
    r"(?<=\d)\s*(?:(?:°|º|\bdeg(?:rees?)?\.?|\\circ|\^\\circ|\^\{\\circ\}|\\degree)\s*([CF])\b|([℃℉])"
    r"|([kmMGTµμ]?(?:Ω|\u2126)|[mM](?:m|Wh?|VA?|A|Hz|Pa|J|N|eV|bar|mol|cal|g|L|l|s)"
    r"|[kKMGT](?:B|b|bps|bit))(?![\w²³]))"
)
_NEVER_IN_PROSE = frozenset(("in", "a", "at", "as", "are", "on", "d", "t", "s", "m", "bar", "an"))


def spell_cased_units(text: str) -> str:
    """Behind a number, units in which a capital tells values apart as words: "5 MW", "20 °F"."""
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
        r"\s*(?:°|º|\^?\\circ)?\s*[^\W\d_]+(?:(?:\s*/\s*|\s+per\s+)[^\W\d_]+)?[²³]?", text
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
    text = " ".join(text.replace("\\", " ").rstrip(".").split())
    parts = _PARTED.split(text)
    if not text or len(parts) > 4 or not all(_SHAPE.fullmatch(part) for part in parts):
        return None
    units = [_one_unit(part) for part in parts]
    if any(unit is None for unit in units):
        return None
    return str(reduce(lambda above, below: above / below, units))


def _one_unit(part: str) -> Any:
    """pint's unit for a spelling without divisions, or None."""
    words, power = part.split(" "), 1
    if words[0].lower() in _POWERS and len(words) > 1:
        power, words = _POWERS[words[0].lower()], words[1:]
    name = " ".join(words)
    if exponent := re.search(r"\^?(-?[23])$", name):
        power, name = int(exponent[1]), name[: exponent.start()]
    unit = _known(_BITS.get(name, name)) if name not in _HABITS else None
    unit = unit or _known(_HABITS.get(name.lower(), name.lower()))
    return None if unit is None else unit**power


def _known(name: str) -> Any:
    """pint's unit of this name, None where it has none."""
    from pint.errors import PintError

    name = name.replace(" ", "_")
    if not name:
        return None
    try:
        return _registry().parse_units(_HABITS.get(name, name))
    except (PintError, ValueError, AttributeError):  # what pint raises for names it cannot read
        return None


@lru_cache(maxsize=1)
def _registry() -> UnitRegistry:
    from pint import UnitRegistry

    return UnitRegistry()


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
