"""One value in the many ways in which people and models write it.

A style is a function from a value to a text, or None where that style cannot write it exactly or
not without doubt: "1.234" alone may group or not, so dots group here only beside a comma or
another dot.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction

from hypothesis import strategies as st

Style = Callable[[Fraction], str | None]
ZEROS = [chr(c) for c in range(0x110000) if unicodedata.decimal(chr(c), None) == 0 and c != 0x30]
VULGAR = {
    Fraction(unicodedata.numeric(sign)).limit_denominator(10): sign for sign in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
}
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
BLANKS = (" ", "\u00a0", "\u202f", "\u2009", "'", "’", "_")
SCALES = {
    10**3: (" thousand", "k", " tisíc", "\\text{ thousand}"),
    10**5: (" lakh",),
    10**6: (
        " million",
        "M",
        " Mio.",
        " millones",
        " миллионов",
        " milioane",
        " میلیون",
        " (million)",
    ),
    10**7: (" crore",),
    10**9: (" billion", "bn"),
    10**12: (" trillion",),
    10**4: ("万", "만"),
    10**8: ("億", "亿"),
}
ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def digits(value: Fraction) -> str | None:
    """Plain decimal digits, exactly; None where there is no end to them."""
    for places in range(7):
        if (value * 10**places).denominator == 1:
            return format(Decimal((value * 10**places).numerator).scaleb(-places), "f")
    return None


def grouped(sign: str, point: str = ".") -> Style:
    """Groups of three; with a comma as the point, dots group."""

    def write(value: Fraction) -> str | None:
        text = digits(value)
        if text is None or abs(value) < 1000:
            return None
        whole, _, rest = text.partition(".")
        if sign == "." and not rest and abs(value) < 10**6:
            return None
        return f"{int(whole):,}".replace(",", sign) + (point + rest if rest else "")

    return write


def indian(value: Fraction) -> str | None:
    if value.denominator != 1 or value < 10**5:
        return None
    text = str(value)
    head, tail = text[:-3], text[-3:]
    groups = [head[max(end - 2, 0) : end] for end in range(len(head), 0, -2)]
    return ",".join([*reversed(groups), tail])


def of_script(zero: str) -> Style:
    signs = {ord("0") + i: chr(ord(zero) + i) for i in range(10)}

    def write(value: Fraction) -> str | None:
        text = digits(value)
        if text is not None and "ARABIC-INDIC" in unicodedata.name(zero):
            text = (grouped(",")(value) or text).replace(",", "٬").replace(".", "٫")
        return None if text is None else text.translate(signs)

    return write


def scientific(between: str, after: str = "", raised: bool = False) -> Style:
    def write(value: Fraction) -> str | None:
        text = digits(value)
        if text is None or not value:
            return None
        if not (exponent := Decimal(text).adjusted()):
            return None
        if (mantissa := digits(value / Fraction(10) ** exponent)) is None:
            return None
        power = str(exponent).translate(SUPERSCRIPT) if raised else str(exponent)
        return f"{mantissa}{between}{power}{after}"

    return write


def scaled(factor: int, name: str) -> Style:
    def write(value: Fraction) -> str | None:
        text = digits(value / factor)
        return None if text is None or not 1 <= abs(value / factor) < 1000 else text + name

    return write


def slashed(pattern: str) -> Style:
    def write(value: Fraction) -> str | None:
        if value.denominator == 1:
            return None
        minus = "-" if value < 0 else ""
        return minus + pattern % (abs(value.numerator), value.denominator)

    return write


def mixed(pattern: str) -> Style:
    def write(value: Fraction) -> str | None:
        whole, rest = divmod(abs(value), 1)
        if not whole or not rest or whole > 999:
            return None
        minus = "-" if value < 0 else ""
        return minus + pattern % (whole, rest.numerator, rest.denominator)

    return write


def vulgar(value: Fraction) -> str | None:
    whole, rest = divmod(abs(value), 1)
    if rest not in VULGAR or whole > 999:
        return None
    return ("-" if value < 0 else "") + (str(whole) if whole else "") + VULGAR[rest]


def percent(sign: str) -> Style:
    def write(value: Fraction) -> str | None:
        text = digits(value * 100)
        return None if text is None or not 0 < value < 1 else text + sign

    return write


def spelled(value: Fraction) -> str | None:
    if value.denominator != 1 or abs(value) >= 10**6:
        return None
    return ("minus " if value < 0 else "") + _words(abs(value.numerator))


def _words(number: int) -> str:
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = number % size
    return f"{_words(number // size)} {name}" + (f" {_words(rest)}" if rest else "")


def money(before: str, after: str) -> Style:
    def write(value: Fraction) -> str | None:
        text = grouped(",")(value) or digits(value)
        return None if text is None or value <= 0 else before + text + after

    return write


PLAIN: list[Style] = [digits, grouped(",")]
NUMBERS: list[Style] = [
    *PLAIN,
    *(grouped(blank) for blank in BLANKS),
    grouped(".", ","),
    indian,
    *(of_script(zero) for zero in ZEROS),
    scientific("e"),
    scientific("E"),
    scientific(" x 10^"),
    scientific("×10", raised=True),
    scientific(" × 10^"),
    scientific("*10^"),
    *(scaled(factor, name) for factor, names in SCALES.items() for name in names),
    slashed("%d/%d"),
    mixed("%d %d/%d"),
    vulgar,
    spelled,
]
# A share as percent is the same number in maths; in other questions it may be another thing.
MATHS: list[Style] = [
    scientific(" \\times 10^{", "}"),
    scientific(" \\cdot 10^{", "}"),
    slashed("\\frac{%d}{%d}"),
    slashed("\\dfrac{%d}{%d}"),
    mixed("%d\\frac{%d}{%d}"),
    grouped("\\,"),
    grouped("{,}"),
    percent("\\%"),
    percent("%"),
    percent(" percent"),
    percent("％"),
]
MONEY: list[Style] = [money("$", ""), money("£", ""), money("", " €"), money("", " dollars")]
CARRIERS = (
    "%s", "**%s**", "The answer is %s.", "It is %s", "So the total is %s.", "%s.", " %s\n",
    "Answer: %s", "答案是%s。", "Das Ergebnis ist %s.", "La respuesta es %s.", "Ответ: %s",
)  # fmt: skip
TASKS: dict[str, list[Style]] = {"short": NUMBERS, "math": NUMBERS + MATHS}


def values() -> st.SearchStrategy[Fraction]:
    """Whole numbers, decimals that end, and simple fractions; none of them 0 but 0 itself."""
    whole = st.one_of(st.integers(-30, 3000), st.integers(-(10**12), 10**12)).map(Fraction)
    round_ones = st.builds(
        lambda a, b: Fraction(a * 10**b), st.integers(1, 999), st.integers(0, 10)
    )
    decimal = st.builds(
        lambda a, b: Fraction(a, 10**b), st.integers(-(10**7), 10**7), st.integers(1, 4)
    )
    simple = st.builds(Fraction, st.integers(-60, 60), st.integers(1, 12))
    return st.one_of(whole, round_ones, decimal, simple)


def near(value: Fraction) -> Iterator[Fraction]:
    """What a misreading would make of it."""
    yield from (value * 10, value * 1000, value * 10**6, value / 10, value / 1000, -value)
    yield from (value + 1, value - 1, value + Fraction(1, 2), abs(value) % 10, abs(value) % 1000)
    yield Fraction(value.numerator)
    yield Fraction(value.denominator)
    yield Fraction(int(value))
    text = digits(value)
    if text is not None:
        yield Fraction(text.replace(".", "").rstrip("0") or "0")


def differ(one: Fraction, other: Fraction) -> bool:
    """Clearly: not by rounding, and not as 35 and 35 %, which may both be meant."""
    gap = Fraction(1, 10_000) if digits(one) and digits(other) else Fraction(1, 100)
    if one.denominator == other.denominator == 1:
        gap = Fraction(0)
    apart = abs(one - other) > gap * max(abs(one), abs(other))
    return apart and one != 100 * other and other != 100 * one


@st.composite
def written(draw: st.DrawFn, value: Fraction, styles: list[Style]) -> str:
    """The value in one of the styles that can write it; every value has one."""
    able = [text for text in (style(value) for style in styles) if text is not None]
    text = draw(st.sampled_from(able))
    return text.replace("-", "−", 1) if text[0] == "-" and draw(st.booleans()) else text
