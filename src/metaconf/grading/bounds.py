"""What changes a short answer though its words stay: bounds, operations, signs behind a letter.

"At least 50", "50+" and "before 1969" name a number and do not say that it is the answer; f′ is
another function than f, and C-- another language than C.
"""

from __future__ import annotations

import re
from functools import lru_cache

from metaconf.grading.numbers import either
from metaconf.grading.text import fold, normalise, visible, words


def _by_word(table: dict[str, str]) -> dict[str, str]:
    """Folded words → their kind."""
    return {fold(word): kind for kind, said in table.items() for word in said.split("|")}


# Kind → what stands before the number, and what stands behind it.
_BEFORE = {
    "atleast": "at least|no less than|no fewer than|not less than|not fewer than|minimum of"
    "|a minimum of|no later than|mindestens|al menos|por lo menos|como mínimo|au moins|almeno"
    "|pelo menos|no mínimo|не менее|не меньше|минимум|minst|mindst|ten minste|minimaal|minstens"
    "|co najmniej|cel puțin|en az|vähintään|legalább|nejméně|alespoň|至少|不少于|少なくとも"
    "|최소|على الأقل|لا يقل عن|kam az kam|कम से कम|ít nhất|setidaknya|อย่างน้อย|τουλάχιστον|לפחות",
    "morethan": "more than|greater than|larger than|over|above|beyond|exceeding|exceeds|upwards of"
    "|in excess of|after|later than|más de|mayor que|plus de|supérieur à|più di|oltre|mais de"
    "|maior que|mehr als|größer als|über|meer dan|groter dan|mer än|mere end|mer enn|ponad"
    "|więcej niż|более|больше|свыше|超过|大于|多于|超過|después de|despues de|après|dopo|depois de"
    "|nach dem|после|fazla",
    "atmost": "at most|no more than|not more than|up to|maximum of|a maximum of|not exceeding"
    "|höchstens|maximal|como máximo|a lo sumo|máximo|au plus|au maximum|al massimo|no máximo"
    "|не более|не больше|максимум|högst|ten hoogste|maximaal|co najwyżej|en fazla|最多|不超过"
    "|最大で|최대|nhiều nhất|paling banyak",
    "lessthan": "less than|fewer than|smaller than|under|below|before|prior to|earlier than"
    "|menos de|menor que|moins de|meno di|weniger als|unter|minder dan|mindre än|mniej niż|poniżej"
    "|менее|меньше|少于|小于|不到|antes de|avant|prima del|vor dem|до начала",
    "operated": "square root of|cube root of|half of|twice|double|triple|the reciprocal of",
}
_BEHIND = {
    "atleast": "or more|or greater|or higher|or above|or over|or later|or up|and above|and over"
    "|and up|plus|at least|minimum|at minimum|o más|ou plus|oder mehr|o più|ou mais|и более"
    "|или более|eller mer|lub więcej|以上|이상|及以上",
    "morethan": "超|초과",
    "atmost": "or fewer|or less|or lower|or below|or under|or earlier|and below|and under|at most"
    "|maximum|o menos|ou moins|oder weniger|и менее|или менее|以下|以内|이하",
    "lessthan": "未満|미만|未满",
    "operated": "squared|cubed|factorial",
}
_KIND_BEFORE, _KIND_BEHIND = _by_word(_BEFORE), _by_word(_BEHIND)
_KIND = _KIND_BEFORE | _KIND_BEHIND
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
_LEAD = re.compile(
    rf"(?<![a-z])(?P<word>{either([*_KIND_BEFORE, *_BEFORE, 'not'])})\s*"
    rf"(?:the |year |about |around |in |{_MONTHS} )*(?P<number>-?\d[\d.]*)"
)
_TRAIL = re.compile(
    rf"(?<![\d.])(?P<number>-?\d[\d.]*)(?: [a-z]+)?\s*(?P<word>{either(_KIND_BEHIND)})(?![a-z])"
)
_PRIMED = re.compile(r"(?<![\w'’‘′\"])([A-Za-z])(['’′]{1,3}|--)(?![\w'’′-])")
_CHANGES = re.compile(r"\d|(?<!\w)[A-Za-z](?!\w)|['’′]|--")
_PROMPTED = re.compile(
    r"\b(?:least|most|min(?:imum)?|max(?:imum)?|more|less|fewer|over|under|before|after|above|below"
    r"|greater|inequality|range|bound|limit)\b|[<>≤≥]",
    re.IGNORECASE,
)
_SIGN = re.compile(r"[<>+=\\]")
_FIRST_WORDS = frozenset(re.split(r"\W", word)[0] for word in _KIND)


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
    if plain and _FIRST_WORDS.isdisjoint(re.findall("[a-z]+", text.lower())):
        return frozenset()
    text = visible(text)
    for sign, kind in _SIGNS:
        text = sign.sub(f" {kind} ", text)
    said = " ".join(words(fold(_PLUS.sub(r"atleast \1 ", text))))
    found = [*_LEAD.finditer(said), *_TRAIL.finditer(said)]
    return frozenset((_KIND.get(m["word"], m["word"]), m["number"].rstrip(".")) for m in found)
