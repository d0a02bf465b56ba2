"""The cues of sureness in `cues.txt`, and texts as the words that they are compared with.

The file holds wording of sureness with its strength, and words with a role: what negates, what
strengthens, where contrast begins. Its head says how a line is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from metaconf.safe_text import as_seen

KINDS = (
    *("sure", "alone", "view", "right", "wrong", "know", "held", "grade", "ease", "mood"),
    *("work", "runs", "aside", "skip"),
)
PASSED = ("not", "through", "full", "more", "less", "bit", "half", "over")
"""Roles of words that may stand between a negation and what it negates."""
GAP = 7
"""Words that "*" in a cue stands for at most."""
_WRITTEN_OUT = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r'["\u201c][^"\u201d\n]{0,80}["\u201d]', " "),  # what is quoted is not the writer's
        (r"\b(?:can't|cannot)\b", "can not"),
        (r"\bnot can\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"'m\b", " am"),
        (r"'re\b", " are"),
        (r"'ve\b", " have"),
        (r"'ll\b", " will"),
        (r"'d\b", " would"),
        (r"(?<=it|at|re|he)'s\b", " is"),
        (r"'s?\b", ""),
        (r"\ba (?:little|bit)\b", "slightly"),
        (r"\bto me\b", "for me"),
        (r"\ba certain\b", "some"),
        (r"\b(?:kind|sort) of\b", "somewhat"),
        (r"\bper ?cent\b", "%"),
        (r"(?<=\w)-(?=\w)", " "),
    )
)
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[%/]|[a-z]+(?:-[a-z]+)*|[.,;:!?()\n]|(?<=\s)-(?=\s)")
_ARTICLES = frozenset(("a", "an", "the"))

Words = frozenset[str]
Pattern = tuple[Words, ...]
"""A phrase: at each place the words that may stand there; the empty set is a gap."""


class Cue(NamedTuple):
    """Wording of sureness: what it sounds like in [0, 1], plain and negated."""

    kind: str
    value: float | None
    """None: a cue only where it is negated."""
    negated: float


class Lexicon(NamedTuple):
    """Cues by their first word, the longest phrase first; words by role; and what finds words that
    count as one, such as "far from"."""

    cues: Mapping[str, Sequence[tuple[Pattern, Cue]]]
    roles: Mapping[str, Words]
    joined: re.Pattern[str]


@cache
def lexicon() -> Lexicon:
    """The lexicon of `cues.txt`."""
    text = files("metaconf.grading.reading").joinpath("cues.txt").read_text(encoding="utf-8")
    lines = [line for line in text.replace("\n  ", " ").splitlines() if line and line[0] != "#"]
    rows = [line.split(maxsplit=1) for line in lines]
    roles = {role: frozenset(rest.split("; ")) for role, rest in rows if role not in KINDS}
    roles["passed"] = frozenset[str]().union(*(roles[role] for role in PASSED))
    joined = _joined(roles)
    cues: dict[str, list[tuple[Pattern, Cue]]] = {}
    for kind, rest in rows:
        if kind not in KINDS:
            continue
        value, negated, phrases = rest.split(maxsplit=2)
        cue = Cue(kind, None if value == "-" else float(value), float(negated))
        for phrase in joined.sub(_hyphened, phrases).split("; "):
            pattern = _pattern(phrase, roles)
            for first in pattern[0]:
                cues.setdefault(first, []).append((pattern, cue))
    for found in cues.values():
        found.sort(key=lambda one: -sum(bool(words) for words in one[0]))
    return Lexicon(cues, roles, joined)


def words_of(text: str) -> list[str]:
    """Lower-case words, numbers and marks; contractions written out, articles left out."""
    plain = as_seen(text)[0].lower().replace("\u2019", "'")
    for pattern, instead in _WRITTEN_OUT:
        plain = pattern.sub(instead, plain)
    plain = lexicon().joined.sub(_hyphened, plain)
    return [word for word in _TOKEN.findall(plain) if word not in _ARTICLES]


class Match(NamedTuple):
    """A cue in a text: where it ends, and where its part after a gap begins (its start without)."""

    cue: Cue
    end: int
    tail: int


def matches(words: Sequence[str], place: int) -> Iterator[Match]:
    """The cues that begin at `place`, the longest first."""
    following = words[place + 1] if place + 1 < len(words) else ""
    for pattern, cue in lexicon().cues.get(words[place], ()):
        # Most candidates fail at their second word: half of the reader's time.
        if len(pattern) > 1 and pattern[1] and following not in pattern[1]:
            continue
        if found := _span(pattern, words, place):
            yield Match(cue, *found)


def _span(pattern: Pattern, words: Sequence[str], start: int) -> tuple[int, int] | None:
    """(end, tail) of the pattern that begins at `start`; None where it does not stand there."""
    place = start
    for number, allowed in enumerate(pattern):
        if not allowed:
            rest = pattern[number + 1 :]
            starts = range(place, min(place + GAP, len(words)) + 1)
            return next((found for at in starts if (found := _span(rest, words, at))), None)
        if place >= len(words) or words[place] not in allowed:
            return None
        place += 1
    return place, start


def _pattern(phrase: str, roles: Mapping[str, Words]) -> Pattern:
    """Words of a phrase; "@role" stands for the words of a role."""
    return tuple(_alternatives(part, roles) for part in phrase.split())


def _alternatives(part: str, roles: Mapping[str, Words]) -> Words:
    if part == "*":
        return frozenset()
    words = part.split("/")
    named = [roles[word[1:]] for word in words if word[0] == "@"]
    return frozenset(word for word in words if word[0] != "@").union(*named)


def _joined(roles: Mapping[str, Words]) -> re.Pattern[str]:
    """Finds in a text what the roles write with hyphens."""
    found = sorted({w for words in roles.values() for w in words if "-" in w}, key=len)
    return re.compile(rf"\b(?:{'|'.join(w.replace('-', ' ') for w in reversed(found))})\b")


def _hyphened(found: re.Match[str]) -> str:
    return found[0].replace(" ", "-")
