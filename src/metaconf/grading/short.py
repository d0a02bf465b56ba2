"""The grader for short answers: names, places, dates, numbers.

SQuAD's exact match is too strict for sentences ("It is in France.") and a substring rule too
lenient ("not France", "South Africa" for Africa, "France or Spain"): a policy trained on either
learns to exploit it. So an answer is read as one statement that pays if it names one candidate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import regex

from metaconf.grading.bounds import differs, may_differ
from metaconf.grading.carriers import carried, denies, denies_within
from metaconf.grading.dates import find_dates
from metaconf.grading.measures import may_name_currency, other_currency
from metaconf.grading.numbers import DIGITS_ALONE
from metaconf.grading.places import levels
from metaconf.grading.text import fold, normal_form, normalise, other_accents, undressed, words
from metaconf.grading.values import FILLER, core, measured, valued, whole_date
from metaconf.records import Question, Target

Verdict = tuple[float | None, str]

_MAX_WORDS = 40
_MAX_CHARS = 2000

_GENERIC_OF = re.compile(
    r"\b(?:country|nation|state|city|town|county|continent|island|province|year) of\s+"
    r"(?=[\ue000-\uf8ff])"
)
_CLAUSE = re.compile(r"([,;:()\n]|[.!?](?=\s|$)|\bbut\b)")
_SUBJECT_NEGATED = re.compile(
    r"\b(?:wrong|incorrect|false|untrue|(?:is|was|are|were|am|be|do|does|did|can|could|will|would"
    r"|should|has|have|had|may|might|i|it|its) not|cannot|(?:is|was|are|were|does|did|do|ca|could"
    r"|wo|would|should|has|have|had|ai)nt)\b"
)
_NEGATED = re.compile(
    r"\b(?:not|never|neither|nor|rather than|instead of|other than|except|excluding|unlike"
    r"|without)\b"
)
_ANYTHING_BUT = re.compile(r"\b(?:anything|everything|anywhere|everywhere|all|nothing) but\b")
_SPLIT = re.compile(
    r"(,(?!\d{3}\b)|[;|()\[\]\n]|/(?!\d)|(?<!\d)/|[.!?:](?=\s|$)|\s-+\s"
    r"|\b(?:or|and|maybe|perhaps|possibly|alternatively|also|either|versus|vs)\b)"
)
_CONTRAST_WORDS = "or / | maybe perhaps possibly alternatively also either versus vs"
_CONTRAST = frozenset(_CONTRAST_WORDS.split())
_ASIDE = re.compile(
    r"\s*(?:(?:in|on|at|near|which|who|where|because|since|with|from|during|by|for|as|an?|it|he|she"
    r"|they|this|that|located|formerly|also known|altogether|total|right|please|thanks)\b"
    r"|the\b.*\b(?:of|in|from|by|who|that|which)\b)"
)
_DOUBT = re.compile(r"\b(?:could|may|might|can|would|if|possible|unless)\b")
_LISTED = re.compile(r"\A\s*\d{1,2}[.)]\s+(?=[^\W\d_])")
_PRIVATE = re.compile(r"[\ue000-\uf8ff]")
_DATE_KEY = re.compile(r"(?:None|\d+(?: bc)?)-\d+-")
# What makes another name: "C" is not named by "C++", "C#" or "C♭", "A" by "A*", "1" by "0.1".
_OTHER_NAME = re.compile(r"(?<=\d)[.,/]\d|\+|#(?!\w)|♭|(?<![\w*]\w)\*(?![\w*])")
_WITHIN_NUMBER = re.compile(r"\d[.,/](?=\d)")
_ASCII_WORD = re.compile(r"[^\W_]+(?:\++|#|-(?![\w-])|(?<=[\s(]\w)\*|(?<=^\w)\*)?")
_SIGNED_WORD = regex.compile(r"[^\W_]+(?:\++|#|♭|-(?![\w-])|(?<=(?<![\w*])\w)\*)?")


def grade_short(question: Question, answer: str) -> Verdict:
    """Grade against every target; correctness is the credit of the one target that matches.

    Right, in this order:
    1. The answer's normal form (`text.normalise`), or its core without filler words at both ends
       ("It is in France." → "france"), equals that of a target's text: the best credit of those.
    2. Clauses that deny are left out: "not X but Y", "Y, not X", "X is wrong" say nothing for X.
    3. A target that is a date: the answer holds one date, at least as precise, that agrees
       ("14 December 1972" answers "December 1972", not the other way round). A target that is a
       number: it is the only number (but for those of the prompt; after "=" where there is one),
       or the year of the only date.
    4. Any other target: its words stand as a whole phrase ("South Africa" is not "Africa") in an
       answer of at most 40 words that names nothing else beside it. Beside it may stand words of
       the prompt, asides ("the capital of …", "in …") and places of another level ("Mali, West
       Africa", "Quito, Ecuador"); another name in a list, or anything after "or", is a hedge and
       wrong, even if it is another target: two targets named earn nothing.
    Wrong after all where currency or accents are stated on both sides and differ ("$5", "€5").
    """
    if not any(normalise(text) for target in question.targets for text in target.texts):
        return None, "not graded: the question has no reference answer"
    if len(answer) > _MAX_CHARS:
        return 0.0, f"longer than {_MAX_CHARS} characters"
    if DIGITS_ALONE.fullmatch(answer) and _all_plain(question.targets):
        credit = _equal(question.targets, answer)  # nothing to be found within
        return (0.0, "no match") if credit is None else (credit, "matches")
    answer = undressed(answer)
    verdict = _graded(question, answer)
    if (
        verdict[0]
        and (not answer.isascii() or may_name_currency(answer))
        and _all_differ(question.targets, answer)
    ):
        return 0.0, "another currency, or other accents"
    if verdict[0] and _may_differ(question.targets) and _differently(question, answer):
        return 0.0, "a bound, or another sign"
    return verdict


def _differently(question: Question, answer: str) -> bool:
    """Whether every reference that pays is meant otherwise: "50" and "50+", f and f'."""
    return all(differs(text, answer, question.prompt) for text in _paying(question.targets))


@lru_cache(maxsize=4096)
def _may_differ(targets: tuple[Target, ...]) -> bool:
    return any(map(may_differ, _paying(targets)))


@lru_cache(maxsize=4096)
def _paying(targets: tuple[Target, ...]) -> tuple[str, ...]:
    return tuple(text for target in targets if target.credit > 0 for text in target.texts)


@lru_cache(maxsize=4096)
def _all_plain(targets: tuple[Target, ...]) -> bool:
    return all(DIGITS_ALONE.fullmatch(text) for target in targets for text in target.texts)


def _all_differ(targets: Sequence[Target], answer: str) -> bool:
    texts = [text for target in targets for text in target.texts]
    return all(other_currency(text, answer) or other_accents(text, answer) for text in texts)


def _graded(question: Question, answer: str) -> Verdict:
    inside = carried(answer)
    listed = (_LISTED.sub("", answer, count=1),) if answer[:1].isdigit() else ()
    for said in (answer, *listed, *inside):
        credit = _equal(question.targets, said)
        if credit is None:
            credit = measured(question.targets, said)
        if credit is not None:
            return credit, "matches"
    answer = _PRIVATE.sub(" ", inside[-1] if inside else answer)
    if len(answer.split()) > _MAX_WORDS:
        return 0.0, f"longer than {_MAX_WORDS} words"
    return _contained(question, answer)


def same_short(a: str, b: str) -> bool:
    """Whether two answers say the same, by `answer_key`."""
    return answer_key(a) == answer_key(b)


@lru_cache(maxsize=65536)
def answer_key(answer: str) -> str:
    """A key that equal answers share: the normal form without filler at both ends.

    A region of the world behind a comma is dropped ("Mali, West Africa" is "mali"); a date is
    written year-month-day. Only the first 2,000 characters count.
    """
    head, comma, tail = answer[:_MAX_CHARS].partition(",")
    if comma and levels(core(normalise(tail))) == {3}:
        answer = head
    inside = carried(answer)
    folded = fold(inside[-1] if inside else answer[:_MAX_CHARS])
    date = whole_date(folded)
    if date:
        time = f" {date.time[0]}:{date.time[1]:02}" if date.time else ""
        return f"{date.year}-{date.month}-{date.day}{time}"
    form = normal_form(folded)
    return core(form) or form


def _equal(targets: Sequence[Target], answer: str) -> float | None:
    """The best credit among the targets with a text equal to the answer."""
    forms = _forms(answer)
    credits = [t.credit for t in targets if not forms.isdisjoint(_keys(t.texts))]
    return max(credits, default=None)


@lru_cache(maxsize=4096)
def _keys(texts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(form for text in texts for form in _forms(text))


def _forms(text: str) -> set[str]:
    """The forms by which equal texts are found; of a date only its key, as words lose its dots."""
    key = answer_key(text)
    return {key} if _DATE_KEY.match(key) else {key, normalise(text)} - {""}


def _contained(question: Question, answer: str) -> Verdict:
    marks = _marks(question.targets)
    marked = folded = fold(answer)
    if any(word in folded for word in _by_first_word(question.targets)):
        marked = _mark_names(folded, question.targets, marks)
    if denies(apart := marked.split()) or denies_within(marked, apart):
        return 0.0, "no match (a denial in another language)"
    affirmed = affirm(marked)
    unmarked = _unmark(affirmed, marks) if affirmed != marked else folded
    named = _right_values(question, unmarked) or _named(question, affirmed, marks, answer)
    if len(named) > 1:
        return 0.0, "names several answers"
    if named:
        return question.targets[named.pop()].credit, "contains the answer"
    return 0.0, "no match" if affirmed.strip() == marked.strip() else "no match (denials left out)"


def _mark(text: str, start: int, end: int, marks: dict[str, str]) -> str:
    found = text[start:end]
    if _OTHER_NAME.match(text, end) or (start > 1 and _WITHIN_NUMBER.match(text, start - 2)):
        return found
    return f" {marks.get(normal_form(found), found)} "


@lru_cache(maxsize=4096)
def best_target(targets: tuple[Target, ...]) -> dict[str, int]:
    """Normal form of each text → index of the target that pays most for it."""
    best: dict[str, int] = {}
    for i, target in enumerate(targets):
        for key in _keys(target.texts):
            if key not in best or target.credit > targets[best[key]].credit:
                best[key] = i
    return best


@lru_cache(maxsize=4096)
def _marks(targets: tuple[Target, ...]) -> dict[str, str]:
    """One private character a known answer."""
    return {key: chr(0xE000 + i) for i, key in enumerate(list(best_target(targets))[:6000])}


def _names(targets: tuple[Target, ...]) -> list[list[str]]:
    """The words of each known answer that is no date, as in folded text; the longest first."""
    texts = {fold(text) for target in targets for text in target.texts}
    texts = {text for text in texts if not whole_date(text)}
    texts |= {bare for text in texts if (bare := core(normal_form(text)))}
    found = (_signed_word(text).findall(text) for text in texts)
    named = (names for names in found if names)
    return sorted(named, key=lambda names: (-len(names), -len(names[-1])))


def _signed_word(text: str) -> re.Pattern[str] | regex.Pattern[str]:
    """`regex` counts combining marks as parts of words; `re` is faster where there are none."""
    return _ASCII_WORD if text.isascii() else _SIGNED_WORD


@lru_cache(maxsize=4096)
def _by_first_word(targets: tuple[Target, ...]) -> dict[str, list[list[str]]]:
    """First word → the names that begin with it; a text that names an answer holds one of them."""
    found: dict[str, list[list[str]]] = {}
    for names in _names(targets):
        found.setdefault(names[0], []).append(names)
    return found


def _mark_names(folded: str, targets: tuple[Target, ...], marks: dict[str, str]) -> str:
    """Folded text with its known answers as marks. (Words are compared one by one: a pattern for
    each question's answers would take longer to compile than to use.)

    Marking whole names first keeps "Trinidad and Tobago" or "Washington, D.C." from being split.
    """
    names, words_found = _by_first_word(targets), list(_signed_word(folded).finditer(folded))
    out, at, i = list[str](), 0, 0
    while i < len(words_found):
        length = next(
            (len(n) for n in names.get(words_found[i][0], ()) if _at(words_found, i, n)), 0
        )
        if length:
            start, end = words_found[i].start(), words_found[i + length - 1].end()
            out += [folded[at:start], _mark(folded, start, end, marks)]
            at, i = end, i + length - 1
        i += 1
    return "".join([*out, folded[at:]])


def _at(found: Sequence[re.Match[str] | regex.Match[str]], i: int, names: Sequence[str]) -> bool:
    """Whether the words of `names` stand from the `i`-th word on, no hyphen at either end."""
    if [match[0] for match in found[i : i + len(names)]] != names:
        return False
    text, start, end = found[i].string, found[i].start(), found[i + len(names) - 1].end()
    return text[start - 1 : start] not in ("-", "_") and text[end : end + 1] not in ("-", "_")


def _unmark(text: str, marks: dict[str, str]) -> str:
    back = {mark: key for key, mark in marks.items()}
    return _PRIVATE.sub(lambda m: back.get(m[0], " "), text)


def affirm(folded: str) -> str:
    """Folded text without what it denies; see rule 2 of `grade_short`."""
    pieces = _CLAUSE.split(_ANYTHING_BUT.sub("not", folded))
    for i in range(0, len(pieces), 2):
        if _SUBJECT_NEGATED.search(pieces[i]):
            pieces[i] = ""
        elif match := _NEGATED.search(pieces[i]):
            pieces[i] = pieces[i][: match.start()]
    return "".join(" " if piece == "but" else piece for piece in pieces)


def _right_values(question: Question, text: str) -> set[int]:
    """Rule 3: the targets named by value; of equal ones, the one that pays most."""
    named = valued(question.targets, question.prompt, text)
    if not named or _offers_another(text, question.prompt):
        return set()
    return named & set(best_target(question.targets).values())


def _offers_another(text: str, prompt: str) -> bool:
    """Whether "or" joins a value and another one, or words that the prompt does not hold."""
    parts = re.split(r"\b(?:or|versus|vs|alternatively)\b", text)
    if len(parts) == 1:
        return False
    if len({tuple(re.findall(r"\d+", part)) for part in parts} - {()}) > 1:
        return True
    known = FILLER | set(words(fold(prompt)))
    return any(not set(re.findall(r"[^\W\d_]+", part)) <= known for part in map(_valueless, parts))


def _valueless(text: str) -> str:
    """The words beside dates and numbers."""
    return re.sub(r"\d[^\s]*", " ", find_dates(text)[1])


def _named(question: Question, text: str, marks: dict[str, str], raw: str) -> set[int]:
    """Rule 4: the targets named, empty where something else stands beside them."""
    best = best_target(question.targets)
    keys = {mark: key for key, mark in marks.items()}
    known = FILLER | set(words(fold(question.prompt)))
    capitals = {fold(word) for word in re.findall(r"\b[^\W\d_a-z]\w*", raw)}
    pieces = _SPLIT.split(_GENERIC_OF.sub("", text))
    chunks = [
        (chunk, contrast, part)
        for part, contrast in _parts(pieces)
        for chunk in _chunks(part, marks)
    ]
    candidates = [keys[c] for c, _, _ in chunks if c in keys]
    parts = {part for c, _, part in chunks if c in keys}
    for i, (chunk, contrast, part) in enumerate(chunks):
        if chunk not in keys and not set(chunk.split()) <= known:
            together = part in parts and not capitals.isdisjoint(fold(raw).split())
            aside = together and capitals.isdisjoint(chunk.split())
            aside = aside or (_is_aside(part) and not _PRIVATE.search(chunk))
            before = [keys[c] for c, _, _ in chunks[:i] if c in keys]
            place = _is_outer_place(chunk, before, candidates[len(before) :])
            if contrast or not (aside or place):
                return set()
    return {best[key] for key in candidates}


def _parts(pieces: list[str]) -> Iterator[tuple[str, bool]]:
    """Each part with whether a word of choice ("or", "maybe") stands before or after it."""
    seps = ["", *pieces[1::2], ""]
    for i, part in enumerate(pieces[0::2]):
        alternative = bool(i) and any(seps[j].strip() in _CONTRAST for j in (i, i + 1))
        yield part, alternative or seps[i + 1].strip() == "or"


def _chunks(part: str, marks: dict[str, str]) -> list[str]:
    """Maximal runs of words between filler words; a run that is a known answer as its mark."""
    chunks: list[list[str]] = [[]]
    for token in words(part):
        if token in FILLER:
            chunks.append([])
        else:
            chunks[-1].append(token)
    forms = [" ".join(chunk) for chunk in chunks if chunk]
    return [marks.get(normalise(form), form) for form in forms]


def _is_aside(part: str) -> bool:
    return bool(_ASIDE.match(part)) and not _DOUBT.search(part)


def _is_outer_place(chunk: str, before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether places grow from left to right: a town before its country, a region after it."""
    steps = [(key, chunk) for key in before] + [(chunk, key) for key in after]
    return bool(steps) and all(_rises(inner, outer) for inner, outer in steps)


def _rises(inner: str, outer: str) -> bool:
    return any(a < b for a in levels(inner) or {0} for b in levels(outer))
