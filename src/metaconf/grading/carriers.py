"""Sentences of other languages that carry an answer: "Es Quito.", "答えは東京です。".

A sentence is opened only where all of it is known: a word for "it is" or "the answer", at most a
complement of that ("La capital de Ecuador es …"), and at the end nothing but what belongs to the
verb. A denial anywhere ("No es Quito", "東京ではありません") leaves it shut, and what is inside is
graded by the rules for any answer, so that "Es Quito o Lima" stays a hedge.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from metaconf.grading.tables import lines, matcher
from metaconf.grading.text import fold, visible

# The parts of a block of carriers.txt, which says what they are.
_PARTS = ("opens", "asked", "verb", "thinks", "article", "denies")
_VERB_LAST = re.compile(
    r"[\u0600-\u06ff\u0900-\u0dff\u0e00-\u0fff\u3000-\uffef]|['’][dt][ıiuüIİUÜ]r|tır|dır"
)
_COMPLEMENT = r"(?:\s+[^\s,;:.!?]+){0,7}?"
_GAP = r"(?:\s+|(?<=')\s*)"
_FIRST = re.compile(r"[\s\W]*([^\W\d_]+)")
_MAX_CHARS = 200
_TWO = frozenset(("no", "nu", "ne", "ez", "nid"))


def carried(text: str) -> tuple[str, ...]:
    """What a sentence of another language says that the answer is, () where it is none.

    Two forms where an article stands before it, with and without: "Es la India." → "la India",
    "India".
    """
    if len(text) > _MAX_CHARS:
        return ()
    first = _FIRST.match(text)
    rows = _by_first_word().get(first[1].casefold(), ()) if first else ()
    verb_last = _VERB_LAST.search(text)
    if not rows and not verb_last:
        return ()
    return _carried(visible(text).replace("’", "'").strip(' \t\n*_"“”«»¡¿'), rows, bool(verb_last))


def denies(words: list[str]) -> bool:
    """Whether a word among folded ones denies, in a language other than English."""
    return not _denials().isdisjoint(words)


def denies_within(folded: str, words: list[str]) -> bool:
    """Whether folded text denies where words are not set apart, or in two words ("no es")."""
    if not folded.isascii() and _within().search(folded):
        return True
    return not _TWO.isdisjoint(words) and bool(_in_words().search(folded))


@cache
def _within() -> re.Pattern[str]:
    return re.compile("|".join(re.escape(fold(one)) for one in _bars("denies within")))


@cache
def _in_words() -> re.Pattern[str]:
    said = "|".join(re.escape(fold(one)) for one in _bars("denies in words"))
    return re.compile(rf"(?<!\w)(?:{said})(?!\w)")


def _bars(name: str) -> list[str]:
    return _said(name)[0].split("|")


@cache
def _denials() -> frozenset[str]:
    return frozenset(fold(word) for word in _said("denies anywhere")[0].split())


@lru_cache(maxsize=4096)
def _carried(text: str, rows: tuple[int, ...], verb_last: bool) -> tuple[str, ...]:
    for pattern in _verb_last() if verb_last else ():
        if match := pattern.fullmatch(text):
            it = match["it"].strip(' :：。．！「『“"」』”।')
            return () if matcher("denies last").search(text) else (it,)
    matches = [(row, match) for row in rows if (match := _pattern(row).fullmatch(text))]
    if not matches or any(_denied(row, match) for row, match in matches):
        return ()
    # "Es ist Berlin" is opened by Spanish "es" too.
    match = min((match for _, match in matches), key=lambda match: len(match["it"]))
    it = match["it"].strip()
    return (match["article"] + it, it) if match["article"] else (it,)


def _denied(row: int, match: re.Match[str]) -> bool:
    """Whether the sentence denies; "La respuesta es no" does not."""
    denials = set(_rows()[row]["denies"].split("|"))
    head, it = match.string[: match.start("it")], match["it"]
    words = re.findall(r"[^\s,.;:!?]+", it.casefold())
    said = re.findall(r"[^\s,.;:!?]+", head.casefold()) + (words if len(words) > 1 else [])
    return not denials.isdisjoint(said)


@cache
def _pattern(row: int) -> re.Pattern[str]:
    bare, nouns, verbs, thinks, articles, _ = (_rows()[row][part] for part in _PARTS)
    article = f"(?:{articles}){_GAP}" if articles else "(?!)"
    return re.compile(
        rf"(?:(?:{thinks})\s+)?"
        rf"(?:(?:{article})?(?:{nouns}){_COMPLEMENT}(?:\s+(?:{verbs})\s*:?{_GAP}|\s*[:：]\s*)"
        rf"|(?:{bare})\s*:?{_GAP})"
        rf"(?P<article>{article})?(?P<it>[^\s:].*?)[\s.!。۔।*\"”»]*",
        re.IGNORECASE | re.DOTALL,
    )


@cache
def _by_first_word() -> dict[str, tuple[int, ...]]:
    """First words of sentences that a row may open → the rows."""
    found: dict[str, list[int]] = {}
    for i, row in enumerate(_rows()):
        openings = "|".join(row[part] for part in ("opens", "asked", "thinks", "article"))
        for opening in openings.split("|"):
            first = _FIRST.match(opening)
            if first and i not in found.setdefault(first[1].casefold(), []):
                found[first[1].casefold()].append(i)
    return {word: tuple(rows) for word, rows in found.items()}


@cache
def _verb_last() -> list[re.Pattern[str]]:
    return [re.compile(pattern + r"[\s.。．!！।」』]*") for pattern in _said("last")]


@cache
def _rows() -> list[dict[str, str]]:
    """The blocks of carriers.txt, a dict of its parts each; "" for a part that it lacks."""
    rows: list[dict[str, str]] = []
    for name, said in lines("carriers"):
        if name == _PARTS[0]:
            rows.append(dict.fromkeys(_PARTS, ""))
        if name in _PARTS:
            rows[-1][name] = said
    return rows


def _said(wanted: str) -> list[str]:
    return [said for name, said in lines("carriers") if name == wanted]
