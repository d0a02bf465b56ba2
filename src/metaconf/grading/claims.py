"""What the words around a number make of it in prose: denied, one of two, a bound, an operand.

A grader that takes the last number of "No es 12", "13 oder 12", "al menos 12" or "12 squared" pays
for what was not said. The words are of many languages; where one is not known, `maths` decides.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import cache

from metaconf.grading.carriers import denies
from metaconf.grading.numbers import NUMBER
from metaconf.grading.short import affirm
from metaconf.grading.tables import matcher, table
from metaconf.grading.text import fold
from metaconf.grading.values import FILLER

_AND = re.compile(r"\s*(?:and|&)\s*")
_RATIO = re.compile(r"\d\s*[:∶]\s*\d")
_INEQUALITY = re.compile(
    r"[<>≥≤≧≦⩾⩽≠≈]|\\(?:ge|geq|geqslant|le|leq|leqslant|gt|lt|ne|neq)(?![a-zA-Z])"
    r"|[\d)}]\s*\+\s*$"
)
_TAG = re.compile(r"</?[a-zA-Z]{1,6}/?>")
_BOUND_AFTER = re.compile(
    r"[\s$)\\]*(?:\+(?!\s*[\d\\$(])|(?:[^\W\d_]{1,12}\s+)?(?:or|and) (?:more|less|fewer|above|below"
    r"|greater|higher|lower|over|under|larger|smaller|up)\b|(?:at|as a) (?:least|most|minimum"
    r"|maximum)\b|oder (?:mehr|weniger)|ou (?:plus|moins|mais|menos)|[ou] (?:más|menos|più|meno)"
    r"|или (?:более|менее|больше|меньше)|以上|以下|以内|未満|未满|超|이상|이하|미만|초과|ขึ้นไป"
    r"|या अधिक|(?:minimum|maximum|mindestens|höchstens)\b)",
    re.I,
)
_OPERATED_BEFORE = re.compile(
    r"(?:\b(?:root|log|logarithm|ln|sine|cosine|tangent|sin|cos|tan|factorial|power|square|cube"
    r"|reciprocal|inverse|half|third|quarter|percent|multiple|doble|double|mitad|moitié|hälfte"
    r"|половина|cuadrada|carrée) (?:of|de|von|to the base)|\bof the number|% of|\b(?:twice|thrice"
    r"|double|triple|doppelt|to the(?: power(?: of)?)?|wurzel (?:aus|von)|raíz de|racine de"
    r"|корень из)|\d (?:plus|times|minus|divided by|multiplied by|over|mod|modulo)|[√∛∜])[\s$]*$",
    re.I,
)
_OPERATED_AFTER = re.compile(
    r"[\s$]*(?:squared|cubed|factorial|to the \w+|tenths|hundredths|au carré|al cuadrado|au cube"
    r"|hoch \w+|в квадрате|в кубе)\b",
    re.I,
)
_COMPUTED = re.compile(
    rf"(?<![\w.\-/^])(?:(?P<base>{NUMBER}) (?P<how>squared|cubed|factorial)"
    rf"|(?:the )?(?P<of>square root of|half of|twice|double|triple) (?P<operand>{NUMBER}))"
    r"(?![\w/^]|\.\d| (?:squared|cubed|factorial|to the|million|[-+*]))",
    re.I,
)
_OPERATIONS = ("squared", "cubed", "factorial", "root of", "half of", "twice", "double", "triple")
_ASCII_WORDS = re.compile("[a-z]+")
_CLAUSES = re.compile(
    r"([,;:!?。，、；：！？\n](?!\d)|\.(?=\s|$)|\b(?:sondern|sino|mais|mas|ma|но|а|men|ale|but|maar"
    r"|ama)\b|而是)"
)
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_LETTERS = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_CAPITAL = re.compile(r"\b(?:Not|NOT|Never|Neither|Nor|Anything|Wrong|Incorrect|False)\b")


def _any(kind: str) -> str:
    """A pattern for the words of a kind in claims.txt."""
    said = sorted(table("claims")[kind], key=len, reverse=True)
    return "|".join(
        rf"(?<![^\W\d_]){re.escape(word)}(?![^\W\d_])" if word[0] < "\u0e00" else re.escape(word)
        for word in said
    )


@cache
def _or() -> re.Pattern[str]:
    """Words of choice ("or maybe"), alone between two values."""
    return re.compile(rf"[\s,;(]*(?:/|(?:{_any('or')})(?:\s+(?:{_any('or')}))*)[\s:,]*", re.I)


@cache
def _hedge() -> re.Pattern[str]:
    """The same with the ends of the values."""
    words = rf"(?:{_any('or')})(?:\s+(?:{_any('or')}))*"
    return re.compile(rf"[\d)}}\]%$]\s*[,;(]*\s*{words}\s*[-\d(\\$√π]", re.I)


@cache
def _range() -> re.Pattern[str]:
    return re.compile(rf"\s*(?:{_any('to')})\s*", re.I)


@cache
def _bound_before() -> re.Pattern[str]:
    return re.compile(rf"(?:{_any('bound')})[\s$(\\]*$", re.I)


def affirmed(text: str) -> str:
    """Prose without what it denies, "" where a later clause takes all of it back."""
    if text.isascii() and FILLER.issuperset(_ASCII_WORDS.findall(text.lower())):
        return text
    text = re.sub(r"(?<=n)['’]t\b", "t", _CAPITAL.sub(lambda m: m[0].lower(), text))
    text = affirm(text)
    pieces = _CLAUSES.split(text)
    for i in range(0, len(pieces), 2):
        if _denies(pieces[i]):
            if i and not re.search(r"\d", pieces[i]):
                return ""
            pieces[i] = ""
    return "".join(pieces)


def _denies(clause: str) -> bool:
    words = _LETTERS.findall(fold(_COMMAND.sub(" ", clause)))
    if not words:
        return False
    return denies(words) or bool(matcher("denies clause", re.I).search(clause))


def offers_two(between: list[str]) -> bool:
    """Whether what stands between numbers joins two of them: "or", "maybe", a range at the end."""
    last = between[-1:]
    return any(map(_or().fullmatch, between)) or any(
        _AND.fullmatch(text) or _range().fullmatch(text) for text in last
    )


def hedged(expression: str) -> bool:
    """Whether an expression is not one value: a bound, a ratio, or two with a word of choice."""
    bare = _TAG.sub("", expression)
    return bool(_INEQUALITY.search(bare) or _RATIO.search(bare) or _hedge().search(bare))


def altered(before: str, after: str) -> bool:
    """Whether the text at either side of a value makes it a bound or computes with it."""
    if not before.rstrip(" $").endswith((" is", ":", "=")):
        before = before[-40:]
        if _bound_before().search(before) or _OPERATED_BEFORE.search(before):
            return True
    if after in ("", "."):
        return False
    return bool(_BOUND_AFTER.match(after) or _OPERATED_AFTER.match(after))


def computed(text: str) -> str:
    """The text with simple operations in words done: "5 squared" is 25, "half of 10" is 5."""
    lower = text.lower()
    return _COMPUTED.sub(_compute, text) if any(word in lower for word in _OPERATIONS) else text


def _compute(match: re.Match[str]) -> str:
    digits = (match["base"] or match["operand"]).replace(",", "")
    number, how = Fraction(digits), (match["how"] or match["of"]).lower()
    if len(digits) > 12:
        return match[0]
    if how == "factorial":
        return str(math.factorial(int(number))) if number in range(60) else match[0]
    if how == "square root of":
        root = Fraction(math.isqrt(number.numerator), math.isqrt(number.denominator))
        return str(root) if root**2 == number else match[0]
    powers = {"squared": number**2, "cubed": number**3, "half of": number / 2}
    return str(powers.get(how, number * (3 if how == "triple" else 2)))
