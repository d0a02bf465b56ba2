"""The same question twice, in one set or in two: what was learnt must not be what is measured."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from metaconf.records import Question

Pair = tuple[Question, Question]
_EDGES = ".,;:?\"'“”‘’"


def same_form(prompt: str) -> str:
    """What two spellings of one question share: no case, no width, no blanks, no end marks.

    Signs within words and single marks stay: "5 - 3" is not "5 + 3", "1.5" is not "15".
    """
    if not prompt.isascii():
        prompt = unicodedata.normalize("NFKC", prompt)
    stripped = (word.strip(_EDGES) for word in prompt.casefold().split())
    return " ".join(word for word in stripped if word)


def duplicates(questions: Iterable[Question]) -> list[Pair]:
    """(first, later) for every later question that asks the same as an earlier one."""
    # Hashes instead of texts: a million of them fit.
    first: dict[int, Question] = {}
    found: list[Pair] = []
    for question in questions:
        earlier = first.setdefault(hash(same_form(question.prompt)), question)
        if earlier is not question:
            found.append((earlier, question))
    return found


def overlap(questions: Iterable[Question], others: Sequence[Question]) -> list[Pair]:
    """(question, the first other that asks the same) for every question that both sets hold."""
    first: dict[int, Question] = {}
    for other in others:
        first.setdefault(hash(same_form(other.prompt)), other)
    return [
        (question, first[key])
        for question in questions
        if (key := hash(same_form(question.prompt))) in first
    ]
