"""How sure a reflection sounds, in [0, 1], read from its words alone.

The field calls it decisiveness (Yona et al. 2024). The reader sees neither question, answer,
stated number nor grade, and is fitted on no reflections: `cues.txt` lists English wording of
sureness with its strength, and the rules below handle negation, degree, contrast and what is
called wrong. The scale is that of 123 people who put numbers to probability words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from metaconf.safe_text import as_seen

LONGEST = 4000
"""Characters of a reflection that are read: the reader's time is bounded by them."""
GAP = 5
"""Words that "*" in a cue stands for at most."""
FAR = 9
"""Words before a cue among which its negation is looked for."""
NEAR, AT_ONCE = 6, 2
"""Words between two cues of which one speaks of the other, at most; and where the other follows
that is "another answer"."""
WEIGHTS = {"sure": 3.0, "alone": 3.0, "view": 3.0, "right": 2.0, "wrong": 2.0, "know": 2.0, "work": 2.0, "runs": 2.0}
"""A cue's weight by kind: words about the answer count more than words about the subject."""
AFTER_BUT, LEADING, TRAILING, EXCEPTION, LATER = 3.0, 0.35, 0.6, 0.25, 1.3
"""A clause's weight after "but", in "although …,", in "…, although …", in "…, unless …", and how
much more each sentence counts than the one before."""
DOUBT = 2.0
"""How much more the greatest doubt counts than the greatest assurance."""
HIGH, LOW = 0.75, 0.35
"""From HIGH on a cue claims sureness, up to LOW it denies it."""
PARTLY = 0.55
"""What "not entirely certain" sounds like."""
EXCEPTED = 0.6
"""What an exception sounds like, whatever it names: "unless I made a mistake"."""
INVENTED = 0.13
"""Below it a cue confesses an invention, which no word about other answers turns round."""
CONTRARY = 0.3
"""How far what follows "but" without a cue ("but not its capital") says the contrary."""
ASKED = 0.3
"""What a question in a reflection sounds like: "Was it Brahms?"."""
SUBJECTS = frozenset(("neither", "none", "nothing", "nobody", "no", "few", "little"))
"""Words that negate all that is said of them: "none of the names rings a bell"."""
_WRITTEN_OUT = (
    (r'["\u201c][^"\u201d\n]{0,80}["\u201d]', " "),
    (r"\b(?:can't|cannot)\b", "can not"),
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
    (r"\ba certain\b", "some"),
    (r"\b(?:kind|sort) of\b", "somewhat"),
    (r"\bper ?cent\b", "%"),
    (r"(?<=\w)-(?=\w)", " "),
)
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_TEENS = ("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
_VALUES = {
    **{word: float(i) for i, word in enumerate((*_NUMBERS, *_TEENS))},
    **{word: 10.0 * i for i, word in enumerate(_TENS, 2)},
    "dozen": 12.0,
}
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[%/]|[a-z]+(?:-[a-z]+)*|[.,;:!?()\n]|(?<=\s)-(?=\s)")
_ARTICLES = frozenset(("a", "an", "the"))
_ENDS = frozenset(".!?;:\n")
_BREAKS = frozenset(",()-")
_ASKING = frozenset("am do did is was are were could can would might may or have".split())
_COUNTED = frozenset("time times chance chances attempts tries samples runs drafts votes".split())
_BEING = frozenset("is are was were be been being had has have felt seemed very quite so".split())
_OTHERS = frozenset(("he", "she", "they", "who"))
_JOINTS = _BREAKS | {"and", "or", "because", "since", "so", "which", "as"}
_OF_CHANCE = frozenset(
    ["sure", "certain", "confident", "confidence", "chance", "chances", "probability", "likely", "likelihood", "odds", "right", "correct", "wrong", "put", "give", "say", "attempts", "tries", "samples", "times", "runs", "drafts", "cases"]
)


_CLAIMS = ("sure", "view", "runs")
"""Kinds of cues that say how sure something is, so that what is called wrong turns them round."""


class _Cue(NamedTuple):
    kind: str
    value: float | None
    """None: a cue only where it is negated."""
    negated: float


class _Hit(NamedTuple):
    """A cue at the words [start, end) of a clause."""

    kind: str
    value: float
    start: int
    end: int


Words = frozenset[str]
Pattern = tuple[Words, ...]
"""A phrase: at each place the words that may stand there; the empty set is a gap."""


class _Lexicon(NamedTuple):
    cues: dict[str, list[tuple[Pattern, _Cue]]]
    """By first word, the longest phrase first."""
    roles: dict[str, Words]
    joined: re.Pattern[str]
    """Words that count as one, such as "far from"."""


class _Clause(NamedTuple):
    weight: float
    words: list[str]
    asked: bool
    contrasts: bool
    excepted: bool


def reading(reflection: str | None) -> float | None:
    """How sure the writer of `reflection` sounds, in [0, 1]; None where its words do not tell.

    English only; at most LONGEST characters are read.
    """
    read: list[tuple[float, float]] = []
    for clause in _clauses(_words((reflection or "")[:LONGEST])):
        weight, value = _sureness(clause)
        if clause.excepted and clause.words:
            read.append((clause.weight * WEIGHTS["work"], EXCEPTED))
        elif weight:
            read.append((clause.weight * weight, value))
        elif clause.contrasts and read:
            read.append((clause.weight * WEIGHTS["work"], 0.5 - CONTRARY * (read[-1][1] - 0.5)))
    return round(_mean(read), 4) if read else None


def _mean(read: Sequence[tuple[float, float]]) -> float:
    """Mean of the values of (weight, value), where a doubt counts more than an assurance."""
    weights = [weight * (1 + DOUBT * (1 - value)) for weight, value in read]
    return sum(w * value for w, (_, value) in zip(weights, read, strict=True)) / sum(weights)


@cache
def _lexicon() -> _Lexicon:
    lines = files("metaconf.judging").joinpath("cues.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split(maxsplit=1) for line in lines if line.strip() and line[0] != "#"]
    cues: dict[str, list[tuple[Pattern, _Cue]]] = {}
    roles = {k: frozenset(rest.split("; ")) for k, rest in rows if k not in (*WEIGHTS, "skip")}
    joined = _joined(roles)
    for kind, rest in rows:
        if kind in roles:
            continue
        value, negated, phrases = (
            ("-", "0", rest) if kind == "skip" else rest.split(maxsplit=2)
        )
        cue = _Cue(kind, None if value == "-" else float(value), float(negated))
        for phrase in joined.sub(_hyphened, phrases).split("; "):
            pattern = _pattern(phrase)
            for first in pattern[0]:
                cues.setdefault(first, []).append((pattern, cue))
    for found in cues.values():
        found.sort(key=lambda one: -sum(bool(words) for words in one[0]))
    return _Lexicon(cues, roles, joined)


def _joined(roles: Mapping[str, Words]) -> re.Pattern[str]:
    """Finds what the roles write with hyphens, such as "far-from", in texts that have none."""
    found = sorted({w for words in roles.values() for w in words if "-" in w}, key=len)
    return re.compile(rf"\b(?:{'|'.join(w.replace('-', ' ') for w in reversed(found))})\b")


def _hyphened(found: re.Match[str]) -> str:
    return found[0].replace(" ", "-")


def _pattern(phrase: str) -> Pattern:
    parts = phrase.split()
    return tuple(frozenset[str]() if p == "*" else frozenset(p.split("/")) for p in parts)


def _words(text: str) -> list[str]:
    """Lower-case words, numbers and marks; contractions written out, articles left out."""
    plain = as_seen(text)[0].lower().replace("\u2019", "'")
    for pattern, instead in _WRITTEN_OUT:
        plain = re.sub(pattern, instead, plain)
    plain = _lexicon().joined.sub(_hyphened, plain)
    return [word for word in _TOKEN.findall(plain) if word not in _ARTICLES]


def _clauses(words: Sequence[str]) -> list[_Clause]:
    """The clauses with their weights."""
    sentences = list(_sentences(words))
    found: list[_Clause] = []
    for place, sentence in enumerate(sentences):
        last = LATER**place
        asked = sentence[-1] == "?"
        for weight, part in _parts(sentence):
            kinds = (weight == AFTER_BUT and len(part) > 2, weight == EXCEPTION)
            found.append(_Clause(last * weight, part, asked, *kinds))
    return found


def _sentences(words: Sequence[str]) -> Iterator[list[str]]:
    """Words up to a mark that ends a sentence, the mark included."""
    start = 0
    for place, word in enumerate(words):
        if word in _ENDS:
            if place > start:
                yield list(words[start : place + 1])
            start = place + 1
    if start < len(words):
        yield list(words[start:])


def _parts(sentence: Sequence[str]) -> Iterator[tuple[float, list[str]]]:
    """(weight, words) of the parts of a sentence, cut where contrast or concession begins."""
    roles = _lexicon().roles
    weight, part, leading = 1.0, list[str](), False
    for word in sentence:
        opens = not part or part[-1] in _BREAKS
        exception = word in roles["unless"]
        contrast = word in roles["but"] or (word in roles["opens"] and opens)
        if contrast or exception or word in roles["though"]:
            yield weight, part
            leading = not contrast and weight == 1.0 and not part
            weight = AFTER_BUT if contrast else LEADING if leading else TRAILING
            weight = EXCEPTION if exception else weight
            part = []
        elif leading and word == ",":
            yield weight, part
            weight, part, leading = 1.0, [], False
        else:
            part.append(word)
    yield weight, part


def _sureness(clause: _Clause) -> tuple[float, float]:
    """(weight, value) of a clause; weight 0 where it holds no cue."""
    hits = _resolved(_hits(clause.words), clause.words)
    if not hits:
        return (WEIGHTS["work"], ASKED) if clause.asked and len(clause.words) > 1 else (0.0, 0.0)
    value = _mean([(WEIGHTS[hit.kind], hit.value) for hit in hits])
    value = min(value, 0.5) if _lexicon().roles["cap"].intersection(clause.words) else value
    asked = clause.asked and clause.words[0] in _ASKING
    return max(WEIGHTS[h.kind] for h in hits), min(value, ASKED) if asked else value


def _hits(words: Sequence[str]) -> list[_Hit]:
    """The cues of a clause from left to right, each with the value that its surroundings give."""
    cues, found, place = _lexicon().cues, list[_Hit](), 0
    while place < len(words):
        if (number := _number(words, place)) is not None:
            found.append(number)
            place = number.end
            continue
        end, cue = _match(cues.get(words[place], ()), words, place)
        if cue is not None and cue.kind == "alone" and len(words) > 3:
            end, cue = place, None
        if cue is not None and cue.kind != "skip":
            value = _in_place(cue, words, place, end)
            found += [] if value is None else [_Hit(cue.kind, value, place, end)]
        place = max(end, place + 1)
    return found


def _match(
    candidates: Sequence[tuple[Pattern, _Cue]], words: Sequence[str], place: int
) -> tuple[int, _Cue | None]:
    """(end, cue) of the first of the candidates that stands at `place`."""
    for pattern, cue in candidates:
        end = _end(pattern, words, place)
        if end:
            return end, cue
    return 0, None


def _end(pattern: Pattern, words: Sequence[str], place: int) -> int:
    """Where the pattern ends that begins at `place`; 0 where it does not stand there."""
    for number, allowed in enumerate(pattern):
        if not allowed:
            rest = pattern[number + 1 :]
            starts = range(place, min(place + GAP, len(words)) + 1)
            return next((end for at in starts if (end := _end(rest, words, at))), 0)
        if place >= len(words) or words[place] not in allowed:
            return 0
        place += 1
    return place


def _in_place(cue: _Cue, words: Sequence[str], start: int, end: int) -> float | None:
    """The cue's value with what negates, strengthens or weakens it; None where it is none."""
    roles = _lexicon().roles
    before, negations = _before(words, start)
    if cue.kind in ("sure", "know", "view") and _of_others(words, start):
        return None
    degree = [word for word in before if word not in roles["not"]]
    if negations % 2 == 0:
        return None if cue.value is None else _by_degree(cue.value, degree[:1])
    wholly = any(w in roles["over"] for w in (*degree, *words[end : end + 1]))
    if wholly:
        return cue.negated / 2 if cue.negated < 0.5 else (1 + cue.negated) / 2
    if cue.value is not None and cue.value >= HIGH and any(w in roles["full"] for w in degree):
        return PARTLY
    return cue.negated


def _of_others(words: Sequence[str], start: int) -> bool:
    """Whether the cue tells what somebody else thinks: "he was certain of victory"."""
    at = start - 1
    while at > 0 and words[at] in _BEING:
        at -= 1
    return at >= 0 and words[at] in _OTHERS


def _before(words: Sequence[str], start: int) -> tuple[list[str], int]:
    """Words before a cue that bear on it, the nearest first, and how many of them negate."""
    roles = _lexicon().roles
    passed, negations = list[str](), 0
    for word in reversed(words[max(0, start - FAR) : start]):
        if word in roles["not"]:
            negations += 1
        elif not any(word in roles[role] for role in ("full", "more", "less", "bit", "over")):
            if word not in roles["through"]:
                break
        passed.append(word)
    stretch = _stretch(words, start)
    if stretch and stretch[0] in SUBJECTS and stretch[0] not in passed:
        negations += 1
    return passed, negations


def _stretch(words: Sequence[str], end: int) -> Sequence[str]:
    """The words before `end` back to the last comma."""
    start = end
    while start and words[start - 1] not in _JOINTS:
        start -= 1
    return words[start:end]


def _by_degree(value: float, nearest: Sequence[str]) -> float:
    """The value after "very", "fairly" or "slightly"."""
    roles = _lexicon().roles
    if not nearest:
        return value
    if nearest[0] in roles["less"]:
        return 0.5 + 0.7 * (value - 0.5)
    if nearest[0] in roles["bit"]:
        return 0.5 + 0.4 * (value - 0.5)
    if nearest[0] in roles["more"] or nearest[0] in roles["full"]:
        return (1 + value) / 2 if value > 0.5 else value / 2
    return value


def _number(words: Sequence[str], place: int) -> _Hit | None:
    """A probability in numbers: "70 %", "seven in ten", "nine of my ten tries"."""
    value = _value(words[place])
    if value is None or not _OF_CHANCE.intersection(words):
        return None
    rest = words[place + 1 : place + 6]
    if rest[:1] == ["%"] and value <= 100:
        return _Hit("sure", _inside(value / 100), place, place + 2)
    rest = rest[1:] if rest[:1] and rest[0] in _COUNTED else rest
    if value < 1 and "." in words[place]:
        return _Hit("sure", _inside(value), place, place + 1)
    if rest[:1] not in (["in"], ["of"], ["out"], ["/"]):
        return None
    for step, word in enumerate(rest[1:], 1):
        whole = _value(word)
        if whole is not None:
            fits = value <= whole and whole > 1
            end = words.index(word, place + 1) + 1
            return _Hit("runs", _inside(value / whole), place, end) if fits else None
    return None


def _value(word: str) -> float | None:
    return float(word) if word[0].isdigit() else _VALUES.get(word)


def _inside(value: float) -> float:
    """A share in [0.02, 0.98]: words are never surer."""
    return min(max(value, 0.02), 0.98)


def _resolved(hits: Sequence[_Hit], words: Sequence[str]) -> list[_Hit]:
    """The hits with those resolved that speak of one another: "sure it is wrong", "70 % sure"."""
    return _answer_called(_about_others(_governed(hits, words), words), words)


def _governed(hits: Sequence[_Hit], words: Sequence[str]) -> list[_Hit]:
    """Without words of sureness that speak of an ignorance ("sure that I don't know"), or of a
    number ("70 % sure")."""
    kept: list[_Hit] = []
    for place, hit in enumerate(hits):
        after = hits[place + 1] if place + 1 < len(hits) else None
        near = after and not _BREAKS.intersection(words[hit.end : after.start])
        numbered = any(_is_number(other, words) for other in hits if other is not hit)
        if hit.kind in ("sure", "runs") and numbered and not _is_number(hit, words):
            continue
        if hit.kind == "view" and near and after and after.kind in ("sure", "view", "know", "runs"):
            continue
        certain = hit.kind in ("sure", "know") and hit.value >= 0.6
        if certain and near and after and after.value <= LOW and after.kind in ("sure", "know"):
            continue
        kept.append(hit)
    return kept


def _is_number(hit: _Hit, words: Sequence[str]) -> bool:
    return hit.kind in ("sure", "runs") and _value(words[hit.start]) is not None


def _about_others(hits: Sequence[_Hit], words: Sequence[str]) -> list[_Hit]:
    """Sureness of another answer is doubt in this one: "another is likely"."""
    rivals = [place for place, word in enumerate(words) if word in _lexicon().roles["rival"]]
    return [
        hit._replace(value=_turned(hit.value))
        if hit.kind in _CLAIMS
        and hit.value >= INVENTED
        and any(_near(i, hit, words, NEAR if i < hit.start else AT_ONCE) for i in rivals)
        else hit
        for hit in hits
    ]


def _near(place: int, hit: _Hit, words: Sequence[str], far: int) -> bool:
    """Whether a word outside of the hit stands at most `far` words off in the same stretch."""
    between = words[place : hit.start] if place < hit.start else words[hit.end : place]
    outside = not hit.start <= place < hit.end
    return outside and len(between) <= far and not _JOINTS.intersection(between)


def _answer_called(hits: Sequence[_Hit], words: Sequence[str]) -> list[_Hit]:
    """What is called right adds nothing to a word of sureness about it; what is called wrong turns
    it round."""
    kept: list[_Hit] = []
    for hit in hits:
        last = kept[-1] if kept else None
        verdict = hit.kind in ("right", "wrong")
        if verdict and last and last.kind in _CLAIMS and _near(hit.start, last, words, NEAR):
            kept[-1] = last._replace(value=_turned(last.value)) if hit.value < 0.5 else last
        elif hit.kind == "view" and last and last.kind == "wrong":
            continue
        elif hit.kind != "right" or not any(one.kind in _CLAIMS for one in hits):
            kept.append(hit)
    return kept


def _turned(value: float) -> float:
    """Sureness of the contrary; what is only possible leaves the answer as open."""
    return value if 0.35 < value < 0.5 else 1 - value
