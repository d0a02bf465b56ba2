"""What changes a short answer though its words stay: bounds, operations, signs behind a letter.

"At least 50", "50+" and "before 1969" name a number and do not say that it is the answer; f′ is
another function than f, and C-- another language than C.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import NamedTuple

from metaconf.grading.numbers import either
from metaconf.grading.tables import table
from metaconf.grading.text import fold, normalise, visible, words

_SIGNS = (
    (re.compile(r"(?<![-=~<])(?:>\s?=|[≥≧⩾]|\\geq?(?:slant)?(?![a-z]))"), "atleast"),
    (re.compile(r"(?:<\s?=|[≤≦⩽]|\\leq?(?:slant)?(?![a-z]))(?![-=>])"), "atmost"),
    (re.compile(r"≠|!=|\\neq?(?![a-z])"), "not"),
    (re.compile(r"(?<![-=~<\w/])>(?=\s?[-$€£]?[\d.])|[＞]|\\gt(?![a-z])"), "morethan"),
    (re.compile(r"<(?=\s?[-$€£]?[\d.])|[＜]|\\lt(?![a-z])"), "lessthan"),
)
_PLUS = re.compile(r"(?<![^\W_])([$€£]?\d[\d.,]*%?)\s?\+(?!\w|\+|\s*(?:[\d(\\$]|\.\d|[A-Za-z]\b))")
_MONTHS = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_PRIMED = re.compile(r"(?<![\w'’‘′\"])([A-Za-z])(['’′]{1,3}|--)(?![\w'’′-])")
_CHANGES = re.compile(r"\d|(?<!\w)[A-Za-z](?!\w)|['’′]|--")
_PROMPTED = re.compile(
    r"\b(?:least|most|min(?:imum)?|max(?:imum)?|more|less|fewer|over|under|before|after|above|below"
    r"|greater|inequality|range|bound|limit)\b|[<>≤≥]",
    re.IGNORECASE,
)
_SIGN = re.compile(r"[<>+=\\]")


class _Stated(NamedTuple):
    """Folded phrases of bounds.txt → their kinds, the first words of all, and what finds a number
    behind or before one."""

    kinds: dict[str, str]
    first_words: frozenset[str]
    lead: re.Pattern[str]
    trail: re.Pattern[str]


@cache
def _stated() -> _Stated:
    before, behind = (_by_phrase(side) for side in ("before", "behind"))
    kinds = before | behind
    first_words = frozenset(re.split(r"\W", phrase)[0] for phrase in kinds)
    lead = either({*before, *before.values(), "not"})
    return _Stated(
        kinds,
        first_words,
        re.compile(
            rf"(?<![a-z])(?P<word>{lead})\s*"
            rf"(?:the |year |about |around |in |{_MONTHS} )*(?P<number>-?\d[\d.]*)"
        ),
        re.compile(
            r"(?<![\d.])(?P<number>-?\d[\d.]*)(?: [a-z]+)?\s*"
            rf"(?P<word>{either(behind)})(?![a-z])"
        ),
    )


def _by_phrase(side: str) -> dict[str, str]:
    return {
        fold(phrase): head.split()[0]
        for head, phrases in table("bounds").items()
        if head.endswith(side)
        for phrase in phrases
    }


def may_differ(text: str) -> bool:
    """Whether a reference has a number, or a letter alone, that a bound or a prime may change."""
    return bool(_CHANGES.search(text)) or any(map(str.isdigit, normalise(text)))


def differs(text: str, answer: str, prompt: str) -> bool:
    """Whether one of a reference and an answer that names it states a bound, or a prime, that the
    other does not. A bound counts where it stands beside a number of the reference, and the prompt
    does not ask for one."""
    if _primes(text) != _primes(answer):
        return True
    wanted, said = _bounds(text), _bounds(answer)
    if wanted == said or (not wanted and _PROMPTED.search(prompt)):
        return False
    own = set(re.findall(r"\d[\d.]*", " ".join(words(fold(text)))))
    return {one for one in said if one[1] in own} != wanted


@lru_cache(maxsize=4096)
def _primes(text: str) -> frozenset[str]:
    found = _PRIMED.finditer(text)
    return frozenset(m[0].replace("’", "'").replace("′", "'") for m in found)


@lru_cache(maxsize=4096)
def _bounds(text: str) -> frozenset[tuple[str, str]]:
    """(kind, number) for each bound that a text states."""
    plain = text.isascii() and not _SIGN.search(text)
    kinds, first_words, lead, trail = _stated()
    if plain and first_words.isdisjoint(re.findall("[a-z]+", text.lower())):
        return frozenset()
    text = visible(text)
    for sign, kind in _SIGNS:
        text = sign.sub(f" {kind} ", text)
    said = " ".join(words(fold(_PLUS.sub(r"atleast \1 ", text))))
    found = [*lead.finditer(said), *trail.finditer(said)]
    return frozenset((kinds.get(m["word"], m["word"]), m["number"].rstrip(".")) for m in found)
