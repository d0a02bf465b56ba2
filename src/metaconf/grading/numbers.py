"""Numbers as people and models write them, rewritten in plain ASCII: one reader for both sides.

"١٢٬٣٤٥", "12 345", "1.2345e4" and "12,345" are one number; "5 million" is not "5". Both graders
rewrite reference and answer with `plain_numbers` before they look for numbers, so that a spelling
is never mistaken for another value: "1½" is not 11/2, "1 000 000" does not end in the number 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from functools import cache, lru_cache
from itertools import pairwise
from math import prod
from typing import NamedTuple

from metaconf.grading.digits import BLANK, apart, ascii_digits
from metaconf.grading.spelled import CARDINALS, ORDINALS
from metaconf.grading.tables import heads

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
"""A number once it is plain: commas between thousands, a decimal point."""
DIGITS_ALONE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
"""A number that needs no reading: nothing but ASCII digits, a sign and a point."""
_MAX_EXPONENT = 400
_MAX_DIGITS = 400

_SMALL = tuple(CARDINALS)[:13]
"""The words up to twelve."""
_LETTERS = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_LIKE_ASCII = str.maketrans("ıİſ\u212a", "iisk")
"""What `re.IGNORECASE` takes for i, s and k."""


def either(words: Iterable[str]) -> str:
    """A pattern of these words, the longer ones first."""
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_TERM = rf"(?:\d+ +\d+/\d+|\d+/\d+|{NUMBER})"


class _Scales(NamedTuple):
    """Scale words and what each multiplies by, and what finds them behind numbers."""

    values: dict[str, int]
    word: re.Pattern[str]
    scaled: re.Pattern[str]
    part: re.Pattern[str]
    wrapped: re.Pattern[str]
    comma: re.Pattern[str]
    half: re.Pattern[str]


@cache
def _scales() -> _Scales:
    values = {word: int(Fraction(value)) for word, value in heads("scales").items()}
    # Behind a Han, Hangul or Thai scale word another word may follow at once ("500만원").
    touching = {w for w in values if "\u0e00" <= w[0] < "\u0e80" or w[0] > "\u3000"} - {"조"}
    word = rf"(?:{either(touching)}|(?:{either(values.keys() - touching)})(?![^\W\d_])\.?)"
    behind = rf"{_TERM}(?:[\s-]*(?:de\s+)?{word})+"
    return _Scales(
        values,
        re.compile(either(values), re.I),
        re.compile(
            rf"(?<![\w./^])(?i:(?P<terms>{behind}(?:\s*(?:and\s+)?{behind})*))"
            r"(?P<tail>(?<=[万萬億亿만억]) ?\d{1,4}(?!\d))?"
            rf"|(?<![\w./^])(?P<plain>{_TERM})(?P<letter> ?k|K|MM?|B|(?i:bn))(?![\w/^])"
            rf"|(?P<sign>[$€£¥₹]\s?)(?P<money>{NUMBER})\s?(?P<short>MM|[kmbtKMBT])(?!\w)"
            rf"|(?<![\w./^])(?P<euros>{NUMBER})\s?(?P<before>[kmbKMB])(?=[$€£¥₹])"
        ),
        re.compile(rf"(?i:({_TERM})((?:[\s-]*(?:de\s+)?{word})+))"),
        # "5\\text{ million}", "$5$ million", "**5** million", "5 (million)"
        re.compile(
            r"(?<=\d)\s*(?:\$|\*\*|\\\)|\\[,;:! ]|~)*\s*"
            r"(?:\\(?:text|textrm|textbf|mathrm|mbox|rm)\s*"
            rf"\{{\s*(?P<text>(?i:{word}(?:\s+{word})*))\s*\}}|\((?P<aside>(?i:{word}))\)"
            rf"|(?<=[$*)~])\s*(?P<after>(?i:{word}))|(?<=\\[,;:! ])\s*(?P<spaced>(?i:{word})))"
        ),
        # "1,5 Millionen"
        re.compile(rf"(?<![\w.,])(\d{{1,3}}),(\d{{1,2}})(?=\s*(?:de\s+)?(?i:{word}))"),
        re.compile(rf"\b(?:an? |one )?(half|quarter)(?: of)?(?: an?)? (?={word})", re.I),
    )


_POWER_WORDS = {word: value for word, value in (CARDINALS | ORDINALS).items() if value <= 12}
_SPACES = r"(?:\s|\\[,;:! ])*"
_TO_THE = (
    r"\s+to the (?:power (?:of )?)?(?P<%s>-?\d{1,3}(?:st|nd|rd|th)?|"
    + either(_POWER_WORDS)
    + r")\b(?: power)?"
)
_SCIENTIFIC = re.compile(
    rf"(?<![\w.^])(?P<number>{NUMBER}){_SPACES}"
    rf"(?:[xX×✕✖*·⋅∙•]|\\times|\\cdot|\btimes\b|\bmultiplied by\b){_SPACES}"
    rf"(?:10|\bten)\s*(?:(?:\^|\*\*)\s*[{{(]?{_SPACES}(?P<power>[+-]?\d{{1,4}})\s*[)}}]?"
    rf"|{_TO_THE % 'spoken'})(?!\d|\.\d)"
    rf"|(?<![\w.^])(?P<mantissa>{NUMBER})\s?[eE](?P<exponent>[+-]?\d{{1,4}})(?![\w.]\w|\w)"
    r"|(?<![\w.^)}*×·])10\s*(?:\^|\*\*)\s*[{(]?\s*(?P<ten>[+-]?\d{1,4})\s*[)}]?(?![\w^(]|\.\d)"
    rf"|(?<![\w.^)}}*×·,])(?<!times )(?<!by )10{_TO_THE % 'tenth'}(?!\d|\.\d)"
)
_GROUPED = re.compile(
    # Blanks, apostrophes and underscores, the same one throughout: 12 345 678, 12'345, 12_345.
    rf"(?<![\w.,/])(?P<groups>[1-9]\d{{0,2}}(?P<mark>[{BLANK}'’_])\d{{3}}(?:(?P=mark)\d{{3}})*)"
    r"(?:,(?P<cents>\d{1,2}))?(?![\d/])(?!,\d)"
    r"|(?<![\w.,/])(?P<dotted>[1-9]\d{0,2}(?:\.\d{3}){2,})(?:,(?P<dotted_cents>\d+))?(?!\d|\.\d)"
    r"|(?<![\w.,/])(?P<mixed>[1-9]\d{0,2}(?:\.\d{3})+),(?P<mixed_cents>\d{1,2})(?!\d|[.,]\d)"
    r"|(?<![\w.,/])(?P<indian>[1-9]\d?(?:,\d{2})+,\d{3})(?![\d,])"
)
_LATEX_GROUP = re.compile(
    r"(?<=\d)\s*(?:\\[,;:! ]|\\thinspace\b|\{,\}|~|&(?:nbsp|thinsp|#160|#8239);"
    r"|·(?=0\d\d))\s*(?=\d{3}(?!\d))"
)
_PER_MILLE = re.compile(
    rf"({NUMBER})\s*(‰|‱|per ?mille?\b|basis points?\b|bps\b|ppm\b|ppb\b"
    r"|parts per [mb]illion\b)",
    re.I,
)
_PERCENT = re.compile(
    rf"({NUMBER})\s*(?:pro[cz]ent\b|процент\w*|p[oe]r cento\b|por ciento\b|pour cent\b|pct\b"
    r"|パーセント|퍼센트|بالمئة|بالمائة|प्रतिशत)",
    re.I,
)
_MINUS = re.compile(
    r"(?<!\d )(?<!\) )(?<!\b\w )\b(?:minus|negative)\s+"
    rf"(?:({'|'.join(_SMALL)})\b(?![ -]\w)|(?=\.?\d))",
    re.I,
)
_MINUS_FIRST = re.compile(r"^\W*(?:moins|menos)\s+(?=\.?\d)", re.I)
_AND_A_HALF = re.compile(
    rf"\b(\d+|{'|'.join(_SMALL)}) and (?:(?:an?|one) (half|third|quarter)|(three) quarters"
    rf"|(?<=\d and )(\d{{1,2}}/\d{{1,2}}))\b",
    re.I,
)
_SPOKEN_POINT = re.compile(
    rf"\b(\d+|{'|'.join(_SMALL)}) point ((?:(?:{'|'.join(_SMALL[:10])}|\d)\b[ -]?)+)", re.I
)
_BELOW = {"half": 2, "halve": 2, "quarter": 4, "hundredth": 100, "thousandth": 1000}
_BELOW |= {"millionth": 10**6, "billionth": 10**9}
_BELOW |= {word: value for word, value in ORDINALS.items() if 3 <= value <= 10}
_SPOKEN_FRACTION = re.compile(
    rf"(?<![\w.,/])(?<!ty[ -])(\d+|{'|'.join(_SMALL[1:])})[ -]({'|'.join(_BELOW)})s?\b"
    r"(?! (?:of )?[a-z]+ \d)",
    re.I,
)
_DOZEN = re.compile(rf"\b(?:(half) an? |(an?|{'|'.join(_SMALL[1:])})[ -])dozens?\b", re.I)
_ALONE = {"half": "1/2", "a half": "1/2", "a third": "1/3", "a quarter": "1/4"}
_ALONE |= {"three quarters": "3/4"}
_SUP = re.compile(r"(?<=[\d)])<sup>\s*([-+−]?\d+)\s*</sup>")
_LATEX_FRACTION = re.compile(
    r"(?:(?<![\w.,])(\d+)\s*)?\\[dt]?frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))"
)
_FRACTION = re.compile(r"(?<![\w./])(?:(\d{1,3}) +)?(\d{1,9})/(\d{1,9})(?![\w/]|\.\d)")
_PARTS = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}
# What makes a text worth more than a look: spellings without digits, then those beside digits.
_SPOKEN_WORDS = """
    half halves third thirds quarter quarters point minus negative mille basis bps pct procent
    prozent cento ciento cent permille dozen dozens moins menos"""
_SPOKEN = frozenset(_SPOKEN_WORDS.split()) | {nth + s for nth in _BELOW for s in ("", "s")}
_BESIDE_DIGITS = frozenset("kmbte") | {"bn", "mm", "ppm", "ppb", "parts", "sup"}
_BESIDE_DIGITS |= {"nbsp", "thinsp", "ten", "to", "and", "times"}
_WORDS = re.compile(r"[^\W\d_]+")
_MARKED = re.compile(
    r"\d(?:[ '_’]\d\d\d|\.\d\d\d[.,]|,\d\d,| ?\\[,;:! t]|\{,|~|&)|10 ?(?:\^|\*\*|to )|[$€£¥₹‰‱]"
)
_ASKED_SCALE = re.compile(
    r"\b(?:how many|number of|in) (dozen|hundred|thousand|million|billion|trillion)s?\b",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_NUMERIC = re.compile(r"[\d²³¹¼-¾⅐-⅟↉⁰-₉零〇一二三四五六七八九十百千万萬億亿兆两兩]")


@lru_cache(maxsize=65536)
def plain_numbers(text: str) -> str:
    r"""The same text with its numbers in plain ASCII: digits, thousands joined, a decimal point.

    Read are decimal digits of every script, with their separators; vulgar fractions ("1½" becomes
    "1 1/2"); super- and subscripts behind a digit ("10²" becomes "10^2"); thousands parted by
    blanks, thin spaces, "\,", apostrophes, underscores, two or more dots, and by the Indian
    rule; "1.234,5" as 1234.5; scientific notation ("1.5e3", "1.5 × 10^3"); scale words of many
    languages and the suffixes k, M, bn ("5 million" becomes "5000000"); per mille and basis points
    (as per cent); "minus 5", "two and a half". A lone comma stays: "2,5" may be a list.
    """
    if text.isascii() or not _NUMERIC.search(text):
        return _plain_ascii(text)
    return apart(_plain_ascii(ascii_digits(text)))


def _worth_a_look(text: str) -> bool:
    words = _WORDS.findall(text.lower())
    if not _SPOKEN.isdisjoint(words):
        return True
    if not _DIGIT.search(text):
        return False
    if not text.isascii() or _MARKED.search(text) or not _BESIDE_DIGITS.isdisjoint(words):
        return True
    return not _scales().values.keys().isdisjoint(words)


def _plain_ascii(text: str) -> str:
    if not _worth_a_look(text):
        return text
    if part := _ALONE.get(text.strip(" .").lower()):
        return part
    scales = _scales()
    text = join_groups(_SUP.sub(r"^{\1}", text) if "<sup>" in text else text)
    text = _GROUPED.sub(_join_groups, text)
    text = _AND_A_HALF.sub(_add_part, text)
    text = _SPOKEN_POINT.sub(_spoken_point, text)
    text = _DOZEN.sub(lambda m: str(6 if m[1] else 12 * _small(m[2])), text)
    text = _SPOKEN_FRACTION.sub(_spoken_fraction, text)
    text = scales.half.sub(lambda m: f"{_decimal(_PARTS[m[1].lower()])} ", text)
    text = _SCIENTIFIC.sub(_expand_power, text)
    text = scales.wrapped.sub(lambda m: " " + next(filter(None, m.groups())), text)
    text = scales.scaled.sub(_multiply, scales.comma.sub(r"\1.\2", text))
    text = _PERCENT.sub(r"\1%", _PER_MILLE.sub(_as_percent, text))
    text = _MINUS_FIRST.sub("-", text)
    return _MINUS.sub(lambda m: f"-{_small(m[1])}" if m[1] else "-", text)


def join_groups(text: str) -> str:
    r"""The same text with commas where LaTeX or HTML parts digits in threes ("10\,000")."""
    return _LATEX_GROUP.sub(",", text)


def in_asked_scale(answer: str, prompt: str) -> str:
    """The answer without the scale word that the prompt asks in: "7 dozen" to "How many dozen?"."""
    asked = _ASKED_SCALE.search(prompt)
    if asked is None:
        return answer
    return re.sub(rf"(?<=\d)\s+{asked[1]}s?\b", "", answer, flags=re.IGNORECASE)


def decimal_fractions(text: str) -> str:
    """The same text with mixed numbers and proper fractions as decimals, where these end.

    "1 1/2" becomes "1.5", "3/4" becomes "0.75", "1 1/3" becomes "4/3"; 1/2/2001 and 10/5 stay.
    """
    if "frac" in text:
        text = _LATEX_FRACTION.sub(_slashed, text)
    return _FRACTION.sub(_as_decimal, text) if "/" in text else text


def _slashed(match: re.Match[str]) -> str:
    above, below = match[2] or match[3], match[4] or match[5]
    return f"{match[1]} {above}/{below}" if match[1] else f"{above}/{below}"


def _as_decimal(match: re.Match[str]) -> str:
    whole, above, below = int(match[1] or 0), int(match[2]), int(match[3])
    score = below < 2 or above % below == 0 or (below > 20 and above < 32)
    if not 0 < above < below and (match[1] or score):
        return match[0]  # a date, a score, 24/7
    value = whole + Fraction(above, below)
    return _decimal(value) if 10**6 % value.denominator == 0 else str(value)


def _decimal(value: Fraction) -> str:
    """A value as decimal digits where it has such, else as numerator/denominator."""
    below = value.denominator
    places = next((n for n in range(2 * _MAX_EXPONENT) if 10**n % below == 0), None)
    if places is None:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // below).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def _read(number: str) -> Fraction:
    """The value of a `_TERM`: an integer, a decimal, a fraction or a mixed number."""
    whole, _, part = number.replace(",", "").rpartition(" ")
    above, _, below = part.partition("/")
    value = Fraction(above) / int(below or 1) if int(below or 1) else Fraction(above)
    return value + int(whole or 0)


def _join_groups(match: re.Match[str]) -> str:
    groups = match["groups"] or match["dotted"] or match["mixed"] or match["indian"]
    cents = match["cents"] or match["dotted_cents"] or match["mixed_cents"]
    digits = re.sub(r"\D", "", groups)
    return f"{digits}.{cents}" if cents else digits


def _add_part(match: re.Match[str]) -> str:
    if match[4]:
        return f"{match[1]} {match[4]}"
    part = 3 * _PARTS["quarter"] if match[3] else _PARTS[match[2].lower()]
    return _decimal(_small(match[1]) + part)


def _small(word: str) -> int:
    word = word.translate(_LIKE_ASCII).lower()
    return int(word) if word.isdecimal() else 1 if word in ("a", "an") else CARDINALS[word]


def _spoken_point(match: re.Match[str]) -> str:
    digits = "".join(str(_small(word)) for word in re.split(r"[ -]", match[2]) if word)
    return f"{_small(match[1])}.{digits} ".rstrip(" " if match[2][-1:].isalnum() else "")


def _spoken_fraction(match: re.Match[str]) -> str:
    below = _BELOW[match[2].translate(_LIKE_ASCII).lower()]
    if below >= 100:
        return _decimal(Fraction(_small(match[1]), below))
    return f"{_small(match[1])}/{below}"


def _expand_power(match: re.Match[str]) -> str:
    number = match["number"] or match["mantissa"] or "1"
    spoken = (match["spoken"] or match["tenth"] or "").translate(_LIKE_ASCII).lower()
    digits = match["power"] or match["exponent"] or match["ten"] or spoken.rstrip("stndrh")
    power = _POWER_WORDS[spoken] if spoken in _POWER_WORDS else int(digits)
    if abs(power) > _MAX_EXPONENT or len(number) > _MAX_DIGITS:
        return f"n{re.sub(r'[^0-9A-Za-z]', '', match[0])}"  # a word, so that no part is a number
    return _decimal(_read(number) * Fraction(10) ** power)


def _multiply(match: re.Match[str]) -> str:
    if len(match[0]) > _MAX_DIGITS:
        return match[0]
    if match["terms"]:
        return _sum_terms(match["terms"], match["tail"])
    number = match["plain"] or match["money"] or match["euros"]
    letter = match["letter"] or match["short"] or match["before"]
    return f"{match['sign'] or ''}{_decimal(_read(number) * _LETTERS[letter.strip()[0].lower()])}"


def _sum_terms(terms: str, tail: str | None) -> str:
    """ "2 million 300 thousand" as one number; terms that do not fall in scale stay apart."""
    parts: list[tuple[Fraction, int]] = []
    for number, words in _scales().part.findall(terms):
        scale = prod(map(_scale, _scales().word.findall(words)))
        parts.append((_read(number) * scale, scale))
    if tail:
        parts.append((Fraction(tail.strip()), 1))
    if all(later[0] < earlier[1] for earlier, later in pairwise(parts)):
        return _decimal(sum((value for value, _ in parts), Fraction()))
    return " ".join(_decimal(value) for value, _ in parts)


def _scale(word: str) -> int:
    values = _scales().values
    return values.get(word.lower()) or values[word.translate(_LIKE_ASCII).lower()]


def _as_percent(match: re.Match[str]) -> str:
    sign = match[2].translate(_LIKE_ASCII).lower()
    per = 10 if sign.startswith(("‰", "per")) else 100
    per = 10**4 if sign == "ppm" or sign.endswith("million") else per
    per = 10**7 if sign == "ppb" or sign.endswith("billion") else per
    return f"{_decimal(_read(match[1]) / per)}%"
