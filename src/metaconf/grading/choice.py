"""The grader for multiple choice: a letter, or the text of a choice.

A question has the letters that its prompt lists, A to Z at most; where it lists none, any letter
counts. Choices numbered 1 to 99, in Roman numerals, or lettered in lower case or Cyrillic are read
alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from metaconf.data.extract import LETTERS, last_box
from metaconf.grading.letters import ALONE, SEVERAL, affirmed, read_letter, undressed
from metaconf.grading.short import grade_short
from metaconf.grading.text import normalise
from metaconf.records import Question, Target

_ONE = r"[A-Za-z]|[А-Яа-я]|[IVX]{2,4}|\d\d?"
_LABEL = re.compile(
    rf"(?:(?P<line>^|\n)[ \t]*(?:\*\*)?|(?<=[\s;,]))(?:[(（\[](?P<round>{_ONE})[)）\]]:?"
    rf"|(?P<bare>{_ONE})(?:(?:\*\*)?[.．):：](?:\*\*)?[ \t]|[、．]))(?:\*\*)?[ \t]*(?=\S)"
)
_TIGHT = re.compile(r"(?P<line>^|\n)[ \t]*(?P<round>(?!))?(?P<bare>[A-Z])[.)](?=[^\s.\d])")
_FIRST = ("A", "F", "1", "I", "А")
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
_ARTICLE = re.compile(r"[\s(*]*[Aa][).:]")


_Label = tuple[str, re.Match[str]]


@lru_cache(maxsize=4096)
def choices(prompt: str) -> dict[str, str]:
    """The choices written in a prompt as "A. text", "A) text" or "(A) text": letter → text.

    The last list whose labels follow each other (A, B, C, …) counts: one with a label at the start
    of each line before one within lines, letters before numbers. Lower-case labels come as
    capitals.
    """
    labels = [(_name(label), label) for label in _LABEL.finditer(prompt)]
    at_lines = [one for one in labels if one[1]["line"] is not None]
    tight = [(_name(label), label) for label in _TIGHT.finditer(prompt)]
    for found in (at_lines, labels, tight):
        for first in _FIRST:  # some tests take turns with A to E and F to K
            run = _run(found, first)
            if run:
                return _texts(prompt, run)
    return {}


def _name(label: re.Match[str]) -> str:
    return (label["round"] or label["bare"]).upper()


def _run(labels: list[_Label], first: str) -> list[_Label]:
    """The last of the longest runs of at least two labels that follow each other."""
    best: list[_Label] = []
    for start, label in enumerate(labels):
        if label[0] == first:
            run = [label]
            for other in labels[start + 1 :]:
                if other[0] in _following(run[-1][0]):
                    run.append(other)
            best = run if len(run) > 1 and len(run) >= len(best) else best
    return best


@cache
def _following(name: str) -> tuple[str, ...]:
    """The labels that may come next: tests that letter F to K leave I out."""
    if name.isdecimal():
        return (str(int(name) + 1),)
    roman = _ROMAN[_ROMAN.index(name) + 1 :][:1] if name in _ROMAN else ()
    if len(name) > 1:
        return roman
    return (chr(ord(name) + 1), *roman, *(("J",) if name == "H" else ()))


def _texts(prompt: str, run: list[_Label]) -> dict[str, str]:
    ends = [after.start() for _, (_, after) in pairwise(run)] + [len(prompt)]
    found: dict[str, str] = {}
    for (name, label), end in zip(run, ends, strict=True):
        text = prompt[label.end() : end]
        text = text.partition("\n")[0].strip(" \t\r;,")
        found[name] = text.removesuffix("**") if "**" in label[0] else text
    return found


def grade_choice(question: Question, answer: str) -> tuple[float | None, str]:
    """1.0 for the right letter or the right choice's text, 0.0 otherwise.

    The first target's texts give the right letters, the text, or both; what is missing is looked
    up among the choices in the prompt. A letter counts if the question has it and it is the whole
    answer, leads it with a mark ("B) neck", "(b)", "B. neck"), or is stated ("the answer is B", "B
    is correct", a box, "答案是B"); the article in "A dog" and the d of "Don't know" are no letters.
    Several letters, or a letter beside another choice's text, are wrong. Otherwise the text is
    graded like a short answer among the choices.
    """
    asked = _asked(question.prompt, question.targets[0].texts)
    if not asked.golds and asked.text is None:
        return None, "not graded: the reference is neither a letter nor a choice of the prompt"
    answer = last_box(answer) or answer
    bare = undressed(answer)
    form = normalise(answer)
    if form in asked.both:
        return 1.0, "right letter and text"
    named = asked.letters.get(form)
    if named and _ARTICLE.match(bare) and "A" in asked.known - named:
        return 0.0, "letter and text disagree"
    if named and not ALONE.fullmatch(bare):
        right = not asked.golds.isdisjoint(named)
        return (1.0, "right text") if right else (0.0, "another choice's text")
    if (name := bare.strip(" ().*:")) and name.upper() in asked.known and not _plain(name):
        right = name.upper() in asked.golds
        return (1.0, "right letter") if right else (0.0, "wrong letter")
    letter, rest = read_letter(bare, asked.known)
    if letter == SEVERAL:
        return 0.0, "names several letters"
    if letter is None:
        return _by_text(question, asked, answer)
    if not asked.golds:
        return 0.0, "a letter, but the choices have none"
    if rest and _names_other(rest, letter, asked):
        return 0.0, "letter and text disagree"
    return (1.0, "right letter") if letter in asked.golds else (0.0, "wrong letter")


def same_choice(a: str, b: str) -> bool:
    """Whether two answers state the same letter or, without letters, the same text."""
    a, b = last_box(a) or a, last_box(b) or b
    first, second = (read_letter(undressed(one), frozenset(LETTERS))[0] for one in (a, b))
    return first == second if first or second else normalise(a) == normalise(b)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a question lists and wants: the right letters, several where a choice stands twice."""

    known: frozenset[str]
    letters: dict[str, frozenset[str]]  # normal form of a choice's text → its letters
    texts: tuple[str, ...]
    golds: frozenset[str]
    text: str | None
    both: frozenset[str]  # normal forms of right letter and text together


@lru_cache(maxsize=4096)
def _asked(prompt: str, texts: tuple[str, ...]) -> _Asked:
    listed = choices(prompt)
    letters: dict[str, frozenset[str]] = {}
    for name, text in listed.items():
        if form := normalise(text):
            letters[form] = letters.get(form, frozenset()) | {name}
    golds, text = _gold([t.strip() for t in texts if t.strip()], listed)
    golds = golds or letters.get(normalise(text or ""), frozenset())
    both = frozenset(normalise(f"{gold} {text}") for gold in golds) if text else frozenset[str]()
    known = frozenset(listed or LETTERS)
    return _Asked(known, letters, tuple(listed.values()), golds, text, both)


def _gold(texts: list[str], listed: dict[str, str]) -> tuple[frozenset[str], str | None]:
    known = listed or LETTERS
    letters = [t.upper() for t in texts if len(t) <= 2 and t.upper() in known]
    others = [t for t in texts if t.upper() not in letters]
    text = others[0] if others else listed.get(letters[0]) if letters else None
    return frozenset(letters), text


def _names_other(rest: str, letter: str, asked: _Asked) -> bool:
    """Whether what stands beside a letter is, or lists, the text of another choice."""
    own = asked.letters.get(normalise(rest), frozenset())
    if letter in own:
        return False
    parts = re.split(r"\s*(?:[,;:/\n]|\.\s|\b(?:or|and|maybe|perhaps)\b)\s*", affirmed(rest))
    named = [own, *(asked.letters.get(normalise(part), frozenset()) for part in parts)]
    return any(letters and letter not in letters for letters in named)


def _plain(name: str) -> bool:
    """Whether `read_letter` knows such names of choices; it reads no II and no Б."""
    return name.isascii() and (len(name) == 1 or name.isdecimal())


def _nested(answer: str, right: str, texts: tuple[str, ...]) -> bool:
    """Whether an answer names a choice that holds the right one's text, or that this holds."""
    said = f" {normalise(affirmed(answer))} "
    others = (f" {normalise(text)} " for text in texts)
    named = [other for other in others if other != right and other.strip() and other in said]
    return any(right in one or (one in right and right not in said) for one in named)


def _by_text(question: Question, asked: _Asked, answer: str) -> tuple[float | None, str]:
    if asked.text is None:
        return 0.0, "no letter found"
    right = normalise(asked.text)
    if _nested(answer, f" {right} ", asked.texts):
        return 0.0, "another choice's text"
    wrong = (Target((text,), 0.0) for text in asked.texts if normalise(text) != right)
    # The choices' own words are no cover for naming two of them.
    bare = Question(question.id, "", (Target((asked.text,)), *wrong))
    return grade_short(bare, answer)
