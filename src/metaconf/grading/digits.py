"""Digits of every script, superscripts, vulgar fractions and Han numerals as ASCII."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import regex

BLANK = " \u00a0\u202f\u2007\u2009\u200a\u2008\u3000"
SUPER = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
_SUB = "₀₁₂₃₄₅₆₇₈₉"
_PLAIN_SCRIPT = str.maketrans(SUPER + _SUB, "0123456789+-0123456789")
_SCRIPT_FRACTION = re.compile(rf"[{SUPER[:10]}]+[⁄/][{_SUB}]+")
_SUPERSCRIPT = re.compile(rf"(?<=[\d)])[{SUPER}]+")
_SUBSCRIPT = re.compile(rf"(?<=\d)([{_SUB}]+)")
_SIGNS = {
    **dict.fromkeys(map(ord, "٫．"), "."),
    **dict.fromkeys(map(ord, "٬،，、"), ","),
    **dict.fromkeys(map(ord, "٪％﹪"), "%"),
    **dict.fromkeys(map(ord, "−﹣－‐‑‒"), "-"),
    **dict.fromkeys(map(ord, "⁄∕／"), "/"),
    **dict.fromkeys(map(ord, BLANK), " "),
    **{ord("＋"): "+", ord("。"): ". "},
}
# Scripts written without blanks, or with particles that touch the number.
_TOUCHING = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Hangul}\p{Arabic}"
    r"\p{Hebrew}\p{Devanagari}\p{Bengali}\p{Tamil}\p{Telugu}\p{Tibetan}]"
)
_BORDER = regex.compile(rf"(?<={_TOUCHING})(?=[-.]?\d)|(?<=\d)(?={_TOUCHING})")
_HAN_DIGIT = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000}
_HAN_MYRIADS = {"万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8, "兆": 10**12}
_HAN = re.compile(f"[{''.join([*_HAN_DIGIT, *_HAN_UNITS, *_HAN_MYRIADS])}]{{1,20}}")
_HAN_POINT = re.compile(
    r"(\d+|[零〇一二三四五六七八九十百千]+)[点點]([\d零〇一二三四五六七八九]+)(?!\s*[分刻钟鐘\d])"
)


def ascii_digits(text: str) -> str:
    """The same text with its digits, their separators and its fractions in ASCII.

    Superscripts behind a digit are powers, subscripts follow a "_". A blank parts a number from a
    script that touches it.
    """
    text = _SCRIPT_FRACTION.sub(lambda m: "\0" + m[0].translate(_PLAIN_SCRIPT), text)
    text = _SUPERSCRIPT.sub(as_power, text)
    text = _SUBSCRIPT.sub(lambda m: "_" + m[1].translate(_PLAIN_SCRIPT), text)
    text = _HAN.sub(_han_number, _HAN_POINT.sub(_han_decimal, text))
    text = "".join(map(_ascii_character, text.translate(_SIGNS)))
    return apart(re.sub(r"(?<=\d)\0", " ", text).replace("\0", ""))


def apart(text: str) -> str:
    """A blank between a number and a letter of a script that touches numbers."""
    return _BORDER.sub(" ", text)


def as_power(superscripts: re.Match[str]) -> str:
    """ "²" as "^2", "⁻²" as "^{-2}"."""
    exponent = superscripts[0].translate(_PLAIN_SCRIPT)
    return f"^{exponent}" if exponent.isdecimal() and len(exponent) == 1 else f"^{{{exponent}}}"


@lru_cache(maxsize=4096)
def _ascii_character(character: str) -> str:
    """The ASCII digit of a decimal digit, NUL and "1/2" for ½; any other character as it is."""
    if character.isascii():
        return character
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    above, _, below = unicodedata.normalize("NFKC", character).partition("⁄")
    return f"\0{above}/{below}" if below else character


def _han_number(match: re.Match[str]) -> str:
    """A number in Han characters as digits; one character alone is a word, but for a whole text."""
    run, text = match[0], match.string
    alone = len(text.strip(" .,。、!！?？「」“”\"'")) == len(run)
    units = not _HAN_DIGIT.keys() >= set(run)
    starts = run[0] in _HAN_DIGIT or run[0] == "十"
    return han_digits(run) if starts and (alone or (units and len(run) > 1)) else run


def _han_decimal(match: re.Match[str]) -> str:
    whole = match[1] if match[1].isascii() else str(_han_value(match[1]))
    return f"{whole}.{''.join(str(_HAN_DIGIT.get(c, c)) for c in match[2])}"


def han_digits(run: str) -> str:
    """Han numerals as digits: 十二 as 12, 二〇二五, which has no units, as 2025."""
    plain = _HAN_DIGIT.keys() >= set(run)
    return "".join(str(_HAN_DIGIT[c]) for c in run) if plain else str(_han_value(run))


def _han_value(run: str) -> int:
    total = section = digit = 0
    for c in run:
        if c in _HAN_DIGIT:
            digit = digit * 10 + _HAN_DIGIT[c]
        elif c in _HAN_UNITS:
            section += (digit or 1) * _HAN_UNITS[c]
            digit = 0
        else:
            total += (section + digit or 1) * _HAN_MYRIADS[c]
            section = digit = 0
    return total + section + digit
