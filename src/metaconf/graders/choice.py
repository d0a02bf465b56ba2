"""The grader for multiple choice: a letter, or the text of a choice."""

from __future__ import annotations

import re

from metaconf.graders.short import affirm, grade_short
from metaconf.graders.text import fold, normalise
from metaconf.questions.extract import last_box
from metaconf.records import Question, Target

_CHOICE = re.compile(
    r"(?:^|\n|(?<=[\s;,]))\(?([A-J])[).:][ \t]+(\S[^\n]*?)(?=\s*(?:$|\n|\(?[B-J][).:][ \t]))"
)
_ALONE = re.compile(r"[\s(\[*]*([a-j])[\s)\]*.:,!]*", re.IGNORECASE)
_LEADING = re.compile(
    r"[\s*]*(?:\(([a-j])\)|([A-J])(?:(?:[).:]|\s+-)(?=\s)|,?\s+(?=(?:because|since)\b)))\s*(.*)",
    re.DOTALL | re.IGNORECASE,
)
_STATED = re.compile(
    r"\b(?i:answer|option|choice|letter|it|that|say|choose|pick|so)(?i: is|'s|:)?"
    r"(?i: option| choice| letter)?:?\s*"
    r"[(*]*([A-J])(?=[)*]*\s*(?:$|[.,;!:)\n]|-\s|\b(?i:or|and|because|since)\b))"
)
_MENTION = re.compile(r"(?:\(([A-Ja-j])\)|(?<![\w'’])([A-J])(?![\w'’]))")


def choices(prompt: str) -> dict[str, str]:
    """The choices written in a prompt as "A. text", "A) text" or "(A) text": letter → text."""
    return {match[1]: match[2].strip() for match in _CHOICE.finditer(prompt)}


def grade_choice(question: Question, answer: str) -> tuple[float | None, str]:
    """1.0 for the right letter or the right choice's text, 0.0 otherwise.

    The first target's texts give the right letter, its text, or both; what is missing is looked up
    among the choices in the prompt. A letter counts if it is the whole answer, leads it with a mark
    ("B) neck", "(b)", "B. neck"), or is stated ("the answer is B", a box); the article in "A dog"
    and the d of "Don't know" are no letters. Several letters, or a letter beside another choice's
    text, are wrong. Otherwise the text is graded like a short answer among the choices.
    """
    listed = choices(question.prompt)
    gold, text = _gold(question, listed)
    if gold is None and text is None:
        return None, "not graded: the reference is neither a letter nor a choice of the prompt"
    answer = last_box(answer) or answer
    letter, rest = _letter(answer)
    if gold and text and normalise(answer) == normalise(f"{gold} {text}"):
        return 1.0, "right letter and text"
    if letter == "":
        return 0.0, "names several letters"
    if letter is None:
        return _by_text(question, listed, text, answer)
    if gold is None:
        return 0.0, "a letter, but the choices have none"
    said = _choice_of(rest, listed)
    if said is not None and said != letter:
        return 0.0, "letter and text disagree"
    return (1.0, "right letter") if letter == gold else (0.0, "wrong letter")


def same_choice(a: str, b: str) -> bool:
    """Whether two answers state the same letter or, without letters, the same text."""
    a, b = last_box(a) or a, last_box(b) or b
    first, second = _letter(a)[0], _letter(b)[0]
    return first == second if first or second else normalise(a) == normalise(b)


def _gold(question: Question, listed: dict[str, str]) -> tuple[str | None, str | None]:
    texts = [t.strip() for t in question.targets[0].texts if t.strip()]
    letters = [t.upper() for t in texts if _ALONE.fullmatch(t) and len(t) == 1]
    others = [t for t in texts if t.upper() not in letters]
    text = others[0] if others else listed.get(letters[0]) if letters else None
    letter = letters[0] if letters else _choice_of(text or "", listed)
    return letter, text


def _choice_of(text: str, listed: dict[str, str]) -> str | None:
    form = normalise(text)
    return next((k for k, v in listed.items() if form and normalise(v) == form), None)


def _letter(answer: str) -> tuple[str | None, str]:
    """(letter, the text behind it); letter "" if several are named, None if none is."""
    whole = _ALONE.fullmatch(answer)
    if whole:
        return whole[1].upper(), ""
    leading = _LEADING.match(answer)
    if leading and not re.match(r"(?i)(?:and|or)\b|[(]?[A-J]\b[)]?\s*$", leading[3]):
        return (leading[1] or leading[2]).upper(), leading[3]
    affirmed = _affirmed(answer)
    if affirmed != answer:
        return _letter(affirmed)
    stated = {m[1] for m in _STATED.finditer(answer)}
    mentioned = {(m[1] or m[2]).upper() for m in _MENTION.finditer(answer)} - {"I", "A"} | stated
    if len(mentioned) > 1:
        return "", ""
    return (stated.pop(), "") if stated else (None, "")


def _affirmed(answer: str) -> str:
    """The clauses of an answer that deny nothing, in their own case; all of it if none denies."""
    clauses = [clause.strip() for clause in re.split(r"(?<=[,;.])\s|\bbut\b", answer)]
    kept = [clause for clause in clauses if affirm(fold(clause)).strip() == fold(clause)]
    return answer if len(kept) == len(clauses) else " ".join(kept)


def _by_text(
    question: Question, listed: dict[str, str], text: str | None, answer: str
) -> tuple[float | None, str]:
    if text is None:
        return 0.0, "no letter found"
    right = normalise(text)
    wrong = (Target((t,), 0.0) for t in listed.values() if normalise(t) != right)
    # The choices' own words are no cover for naming two of them.
    bare = Question(question.id, "", (Target((text,)), *wrong))
    return grade_short(bare, answer)
