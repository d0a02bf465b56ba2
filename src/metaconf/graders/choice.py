"""The grader for multiple choice: a letter, or the text of a choice.

A question has the letters that its prompt lists, A to Z at most; where it lists none, any letter
counts. Choices numbered 1 to 99 or lettered in lower case are read alike.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from metaconf.graders.letters import ALONE, SEVERAL, affirmed, read_letter, undressed
from metaconf.graders.short import grade_short
from metaconf.graders.text import normalise
from metaconf.questions.extract import LETTERS, last_box
from metaconf.records import Question, Target

_LABEL = re.compile(
    r"(?:(?P<line>^|\n)[ \t]*|(?<=[\s;,]))(?:[(（\[](?P<round>[A-Za-z]|\d\d?)[)）\]]:?"
    r"|(?P<bare>[A-Za-z]|\d\d?)(?:[.．):：][ \t]|[、．]))[ \t]*(?=\S)"
)
_NO_LETTER: frozenset[str] = frozenset()


@lru_cache(maxsize=4096)
def choices(prompt: str) -> dict[str, str]:
    """The choices written in a prompt as "A. text", "A) text" or "(A) text": letter → text.

    The last list whose labels follow each other (A, B, C, …) counts: one with a label at the start
    of each line before one within lines, letters before numbers. Lower-case labels come as
    capitals.
    """
    labels = list(_LABEL.finditer(prompt))
    at_lines = [label for label in labels if label["line"] is not None]
    for found in (at_lines, labels):
        for numbered in (False, True):
            run = _run([one for one in found if _name(one).isdecimal() == numbered])
            if run:
                return _texts(prompt, run)
    return {}


def _name(label: re.Match[str]) -> str:
    return (label["round"] or label["bare"]).upper()


def _run(labels: list[re.Match[str]]) -> list[re.Match[str]]:
    """The last of the longest runs of at least two labels that follow each other."""
    best: list[re.Match[str]] = []
    for start, label in enumerate(labels):
        run = [label]
        for other in labels[start + 1 :]:
            if _name(other) in _following(_name(run[-1])):
                run.append(other)
        if len(run) > 1 and len(run) >= len(best) and _name(label) in "A1F":
            best = run
    return best


def _following(name: str) -> tuple[str, ...]:
    """The labels that may come next: tests that letter F to K leave I out."""
    if name.isdecimal():
        return (str(int(name) + 1),)
    return (chr(ord(name) + 1), "J") if name == "H" else (chr(ord(name) + 1),)


def _texts(prompt: str, run: list[re.Match[str]]) -> dict[str, str]:
    ends = [after.start() for _, after in pairwise(run)] + [len(prompt)]
    texts = (prompt[label.end() : end] for label, end in zip(run, ends, strict=True))
    found = {_name(label): text for label, text in zip(run, texts, strict=True)}
    return {name: (text.splitlines() or [""])[0].strip(" \t;,") for name, text in found.items()}


def grade_choice(question: Question, answer: str) -> tuple[float | None, str]:
    """1.0 for the right letter or the right choice's text, 0.0 otherwise.

    The first target's texts give the right letters, the text, or both; what is missing is looked
    up among the choices in the prompt. A letter counts if the question has it and it is the whole
    answer, leads it with a mark ("B) neck", "(b)", "B. neck"), or is stated ("the answer is B", "B
    is correct", a box, "答案是B"); the article in "A dog" and the d of "Don't know" are no letters.
    Several letters, or a letter beside another choice's text, are wrong. Otherwise the text is
    graded like a short answer among the choices.
    """
    listed = choices(question.prompt)
    golds, text = _gold(question, listed)
    if not golds and text is None:
        return None, "not graded: the reference is neither a letter nor a choice of the prompt"
    answer = last_box(answer) or answer
    form = normalise(answer)
    if text and any(form == normalise(f"{gold} {text}") for gold in golds):
        return 1.0, "right letter and text"
    bare = undressed(answer)
    if (named := _letters_of(answer, listed)) and not ALONE.fullmatch(bare):
        right = not golds.isdisjoint(named)
        return (1.0, "right text") if right else (0.0, "another choice's text")
    letter, rest = read_letter(bare, frozenset(listed or LETTERS))
    if letter == SEVERAL:
        return 0.0, "names several letters"
    if letter is None:
        return _by_text(question, listed, text, answer)
    if not golds:
        return 0.0, "a letter, but the choices have none"
    if _names_other(rest, letter, listed):
        return 0.0, "letter and text disagree"
    return (1.0, "right letter") if letter in golds else (0.0, "wrong letter")


def same_choice(a: str, b: str) -> bool:
    """Whether two answers state the same letter or, without letters, the same text."""
    a, b = last_box(a) or a, last_box(b) or b
    first, second = (read_letter(undressed(one), frozenset(LETTERS))[0] for one in (a, b))
    return first == second if first or second else normalise(a) == normalise(b)


def _gold(question: Question, listed: dict[str, str]) -> tuple[frozenset[str], str | None]:
    """The right letters, several where a choice stands twice, and the right text."""
    texts = [t.strip() for t in question.targets[0].texts if t.strip()]
    known = listed or LETTERS
    letters = [t.upper() for t in texts if len(t) <= 2 and t.upper() in known]
    others = [t for t in texts if t.upper() not in letters]
    text = others[0] if others else listed.get(letters[0]) if letters else None
    return frozenset(letters) or _letters_of(text or "", listed), text


def _letters_of(text: str, listed: dict[str, str]) -> frozenset[str]:
    form = normalise(text)
    return frozenset(k for k, v in listed.items() if normalise(v) == form) if form else _NO_LETTER


def _names_other(rest: str, letter: str, listed: dict[str, str]) -> bool:
    """Whether what stands beside a letter is, or lists, the text of another choice."""
    own = _letters_of(rest, listed)
    if letter in own or not rest.strip():
        return False
    parts = re.split(r"\s*(?:[,;:/\n]|\.\s|\b(?:or|and|maybe|perhaps)\b)\s*", affirmed(rest))
    named = own.union(*(_letters_of(part, listed) for part in parts))
    return bool(named - {letter})


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
