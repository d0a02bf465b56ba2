"""The cues of one clause, each with the value that its surroundings give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metaconf.grading.reading.lexicon import Match, lexicon, matches

FAR = 9
"""Words before a cue among which its negation is looked for."""
NEAR, AT_ONCE = 6, 1
"""Words between two cues of which one speaks of the other, at most; and where the second is of
another answer ("probably another river")."""
HIGH, LOW = 0.75, 0.35
"""From HIGH on a cue claims sureness, up to LOW it denies it."""
PARTLY = 0.55
"""What "not entirely certain" sounds like."""
HALF = 0.45
"""What "half sure" and "clear in part" sound like."""
AFTER, SHORT = 2, 6
"""Words after a grade among which its object is looked for ("a thin memory"); words of a clause
that needs no verb ("Memory of it thin.")."""
INVENTED = 0.13
"""Below it a cue confesses an invention, which no word about other answers turns round."""
BREAKS = frozenset(",()-")
_OBJECTS = {"grade": "objects", "ease": "tasks", "mood": "self"}
"""Kinds that are cues only where they are said of words with a role."""
_CLAIMS = ("sure", "view", "runs", "share")
"""Kinds that say how sure something is: what is called wrong turns them round."""
_NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
_VALUES = {word: float(i) for i, word in enumerate(_NUMBERS)} | {
    word: 10.0 * i for i, word in enumerate(_TENS, 2)
}


class Hit(NamedTuple):
    """A cue at the words [start, end) of a clause."""

    kind: str
    value: float
    start: int
    end: int


def hits(words: Sequence[str]) -> list[Hit]:
    """The cues of a clause from left to right, those resolved that speak of one another: "sure that
    it is wrong", "70 % sure", "another is likely"."""
    found = _about_others(_governed(_held(_found(words)), words), words)
    return _answer_called(found, words)


def _found(words: Sequence[str]) -> list[Hit]:
    found, place = list[Hit](), 0
    while place < len(words):
        past = found[-1].end if found else 0
        hit, end = _number(words, place), place + 1
        if hit is None:
            hit, end = _cue(words, place, past)
        found += [] if hit is None else [hit]
        place = end if hit is None else hit.end
    return found


def _cue(words: Sequence[str], place: int, past: int) -> tuple[Hit | None, int]:
    """The cue that begins at `place`, and where to read on. `past`: where the cue before ends."""
    for one in matches(words, place):
        if not _applies(one, words, place):
            continue
        value = _in_place(one, words, place, past)
        if value is not None:
            return Hit(one.cue.kind, value, place, one.end), one.end
        if one.cue.value is not None or one.cue.kind == "skip":
            return None, one.end
    return None, place + 1


def _applies(one: Match, words: Sequence[str], start: int) -> bool:
    """Whether the cue is one here: "thin" tells only of a memory or an answer, "hard" of a
    question, "yes" only alone."""
    if one.cue.kind == "alone":
        return len(words) <= 3
    return one.cue.kind not in _OBJECTS or _said_of(_OBJECTS[one.cue.kind], one, words, start)


def _said_of(role: str, one: Match, words: Sequence[str], start: int) -> bool:
    """Whether a word of the role stands behind the cue ("a thin memory"), or before it and a verb
    ("the memory is rather thin"), or the clause is only these ("Memory thin.")."""
    roles, at = lexicon().roles, start
    if roles[role].intersection(words[one.end : one.end + AFTER]):
        return True
    while at and words[at - 1] in roles["passed"] and words[at - 1] not in roles["verbs"]:
        at -= 1
    linked = len(words) <= SHORT or (
        at > 0 and (words[at - 1] in roles["verbs"] or words[at - 1] in roles[role])
    )
    return linked and bool(roles[role].intersection(words[max(0, at - FAR) : at]))


def _in_place(found: Match, words: Sequence[str], start: int, past: int) -> float | None:
    """The cue's value with what negates, strengthens or weakens it; None where it is none. `past`:
    where the cue before it ends."""
    cue, end, tail = found
    if cue.kind == "skip" or _of_others(words, start):
        return None
    roles = lexicon().roles
    before, negations = _before(words, start)
    first = _first_of_stretch(words, start, past)
    negations += first in roles["subjects"] and first not in before
    negations += _denied_behind(words, end)
    if tail > start:
        within, denied = _before(words[start + 1 : tail + 1], tail - start - 1)
        before, negations = [*within, *before], negations + denied
    degree = [word for word in before if word not in roles["not"]]
    if negations % 2 == 0:
        return None if cue.value is None else _by_degree(cue.value, degree)
    if any(w in roles["over"] for w in (*degree, *words[end : end + 1])):
        return cue.negated / 2 if cue.negated < 0.5 else (1 + cue.negated) / 2
    if cue.value is not None and cue.value >= HIGH and any(w in roles["full"] for w in degree):
        return PARTLY
    return cue.negated


def _of_others(words: Sequence[str], start: int) -> bool:
    """Whether the cue tells what somebody else thinks: "he was certain of victory"."""
    roles, at = lexicon().roles, start - 1
    while at > 0 and words[at] in roles["being"]:
        at -= 1
    return at >= 0 and words[at] in roles["others"]


def _before(words: Sequence[str], start: int) -> tuple[list[str], int]:
    """Words before a cue that bear on it, the nearest first, and how many of them negate."""
    roles = lexicon().roles
    passed, negations = list[str](), 0
    for word in reversed(words[max(0, start - FAR) : start]):
        if word not in roles["passed"]:
            break
        negations += word in roles["not"]
        passed.append(word)
    return passed, negations


def _denied_behind(words: Sequence[str], end: int) -> bool:
    """Whether what follows a cue negates it: "agrees with neither", "doubts did not come"."""
    roles = lexicon().roles
    object_at = end + (words[end : end + 1] != [] and words[end] in roles["links"])
    if words[object_at : object_at + 1] and words[object_at] in roles["denying"]:
        return True
    verb = [words[end + 1], words[end + 2]] if end + 2 < len(words) else []
    return (
        bool(verb)
        and words[end] in roles["asking"]
        and verb[0] == "not"
        and verb[1] in roles["arising"]
    )


def _first_of_stretch(words: Sequence[str], start: int, past: int) -> str:
    """The first word of the stretch, between commas, conjunctions and cues, that leads to a cue."""
    joints, first = lexicon().roles["joints"], start
    while first > past and words[first - 1] not in joints and words[first - 1] not in BREAKS:
        first -= 1
    return words[first] if first < start else ""


def _by_degree(value: float, degree: Sequence[str]) -> float:
    """The value after "very", "fairly" or "slightly", the nearest first."""
    roles, nearest = lexicon().roles, degree[0] if degree else ""
    if nearest in roles["less"]:
        return 0.5 + 0.7 * (value - 0.5)
    if nearest in roles["bit"]:
        return 0.5 + 0.4 * (value - 0.5)
    if nearest in roles["half"]:
        return HALF if value > 0.5 else value
    if nearest in roles["more"]:
        return (1 + value) / 2 if value > 0.5 else value / 2
    return value


# Numbers


def _number(words: Sequence[str], place: int) -> Hit | None:
    """A probability in numbers: "70 %", "0.7", "seven in ten", "nine of my ten tries"."""
    value, roles = _value(words[place]), lexicon().roles
    if value is None or not roles["chance"].intersection(words):
        return None
    rest = words[place + 1 : place + 6]
    if rest[:1] == ["%"] and value <= 100:
        return _share(value / 100, place, place + 2)
    if value < 1 and "." in words[place]:
        return _share(value, place, place + 1)
    at = 1 if rest and rest[0] in roles["counted"] else 0
    if rest[at : at + 1] not in (["in"], ["of"], ["out"], ["/"]):
        return None
    whole = next((i for i, word in enumerate(rest) if i > at and _value(word) is not None), None)
    of = _value(rest[whole]) if whole is not None else None
    if whole is None or of is None or of <= 1 or value > of:
        return None
    return _share(value / of, place, place + whole + 2)


def _share(value: float, start: int, end: int) -> Hit:
    """A share as a hit, at least .02 and at most .98: words are never surer."""
    return Hit("share", min(max(value, 0.02), 0.98), start, end)


def _value(word: str) -> float | None:
    return float(word) if word[0].isdigit() else _VALUES.get(word)


# Cues that speak of one another


def _held(found: Sequence[Hit]) -> list[Hit]:
    """Without mere mentions of knowledge where it is said how good it is, and without "each
    time" or "the same" where it is said that attempts differ, or how many gave it."""
    said = any(hit.kind in ("know", "grade", "sure", "wrong") for hit in found)
    kept: list[Hit] = []
    for hit in found:
        again = hit.kind == "runs" and kept and kept[-1].kind == "runs"
        if again and hit.value < 0.5:
            kept.pop()
        kept += [] if (again and hit.value >= 0.5) or (said and hit.kind == "held") else [hit]
    return kept


def _governed(found: Sequence[Hit], words: Sequence[str]) -> list[Hit]:
    """Without words of sureness that speak of an ignorance ("sure that I don't know"), of another
    such word ("I think it is likely") or of a number ("70 % sure")."""
    numbered = any(hit.kind == "share" for hit in found)
    kept: list[Hit] = []
    for place, hit in enumerate(found):
        after = found[place + 1] if place + 1 < len(found) else None
        if numbered and hit.kind in ("sure", "runs"):
            continue
        if after is None and kept and hit.kind == "view" and len(words) - hit.end <= 1:
            continue  # "…, I think."
        if after is None or BREAKS.intersection(words[hit.end : after.start]):
            kept.append(hit)
            continue
        embeds = hit.kind == "view" and after.kind in (*_CLAIMS, "know")
        certain = hit.kind in ("sure", "know") and hit.value >= 0.6
        denies = after.kind in ("sure", "know") and after.value <= LOW
        kept += [] if embeds or (certain and denies) else [hit]
    return kept


def _about_others(found: Sequence[Hit], words: Sequence[str]) -> list[Hit]:
    """Sureness of another answer is doubt in this one: "another is likely"."""
    roles = lexicon().roles
    rivals = [
        place
        for place, word in enumerate(words)
        if word in roles["rival"] and not roles["witnesses"].intersection(words[place : place + 2])
    ]
    return [
        hit._replace(value=_turned(hit.value))
        if hit.kind in _CLAIMS
        and hit.value >= (0.5 if hit.kind == "runs" else INVENTED)
        and any(_near(i, hit, words, NEAR if i < hit.start else AT_ONCE) for i in rivals)
        else hit
        for hit in found
    ]


def _answer_called(found: Sequence[Hit], words: Sequence[str]) -> list[Hit]:
    """What is called right adds nothing to a word of sureness about it; what is called wrong turns
    it round."""
    kept: list[Hit] = []
    claims = [hit for hit in found if hit.kind in _CLAIMS]
    for hit in found:
        last = kept[-1] if kept else None
        verdict = hit.kind in ("right", "wrong")
        if verdict and last and last.kind in _CLAIMS and _near(hit.start, last, words, NEAR):
            kept[-1] = _verdict(last, hit)
        elif hit.kind in _CLAIMS and last and last.kind == "wrong" and _verb(last, hit, words):
            kept[-1] = hit._replace(value=_turned(hit.value))  # "a mistake is unlikely"
        elif hit.kind == "right":
            kept += [] if any(_near(hit.start, one, words, FAR) for one in claims) else [hit]
        elif hit.kind != "view" or last is None or last.kind != "wrong":
            kept.append(hit)
    return kept


def _verdict(claim: Hit, hit: Hit) -> Hit:
    """A claim about what is called right or wrong. One "not" before both bears on what follows:
    "I do not think that I misread it"."""
    if claim.kind == "view" and claim.value < 0.5 <= hit.value and hit.kind == "wrong":
        return hit
    return claim._replace(value=_turned(claim.value)) if hit.value < 0.5 else claim


def _verb(first: Hit, second: Hit, words: Sequence[str]) -> bool:
    """Whether there is a verb, and little else, between two cues."""
    between = words[first.end : second.start + 1]
    return len(between) <= AFTER + 2 and any(w in lexicon().roles["verbs"] for w in between)


def _near(place: int, hit: Hit, words: Sequence[str], far: int) -> bool:
    """Whether a word outside of the hit stands at most `far` words off in the same stretch."""
    between = words[place : hit.start] if place < hit.start else words[hit.end : place]
    outside = not hit.start <= place < hit.end
    cut = lexicon().roles["joints"].intersection(between) or BREAKS.intersection(between)
    return outside and len(between) <= far and not cut


def _turned(value: float) -> float:
    """Sureness of the contrary; what is only possible leaves the answer as open."""
    return value if 0.35 < value < 0.5 else 1 - value
