"""The three causes of uncertainty, and the words by which a reflection names them.

A reflection names a cause if it contains one of the cause's markers. The offline teacher writes
with these words and the offline scorer looks for them.
"""

from __future__ import annotations

import re

KNOWLEDGE = "knowledge boundary"
COMPLEXITY = "query complexity"
REASONING = "reasoning"
CAUSES = (KNOWLEDGE, COMPLEXITY, REASONING)

MARKERS: dict[str, re.Pattern[str]] = {
    KNOWLEDGE: re.compile(
        r"\b(know|knows|knew|known|unknown|knowledge|familiar|unfamiliar|recall|remember|memory|"
        r"heard of|learnt|learned)\b",
        re.I,
    ),
    COMPLEXITY: re.compile(
        r"\b(ambiguous|ambiguity|several places|several readings|more than one|"
        r"share[sd]? (?:this|the|a|that) name|namesakes?|can mean|could mean|which one is meant)\b",
        re.I,
    ),
    REASONING: re.compile(
        r"\b(calculat\w+|comput\w+|arithmetic|work(?:ed|ing)? (?:it |this )?out|steps?|reasoning|"
        r"slip(?:ped)?|carry|carried)\b",
        re.I,
    ),
}


def named_causes(reflection: str) -> frozenset[str]:
    """The causes whose markers the reflection contains."""
    return frozenset(cause for cause, marker in MARKERS.items() if marker.search(reflection))


_CAPITAL_OR_NUMBER = re.compile(
    r"(?:[A-ZÀ-ÖØ-ÞĀ-ſ][\w'’.-]*(?: (?:(?:of|the|and|de|del|da) )*[A-ZÀ-ÖØ-ÞĀ-ſ][\w'’.-]*)*)"
    r"|(?<![\w.])-?\d(?:[\d.,]*\d)?"
)
_FILLER = frozenset(["I", "I'm", "I'd", "I've", "A", "An", "The", "It", "My"])


def named_answers(reflection: str, question: str, answer: str) -> list[str]:
    """Other answers that a reflection names: proper names and numbers that occur neither in the
    question nor in the answer, in order, each once.

    A capitalised word at the start of a sentence is not a name. Lower-case answers ("the dollar")
    are not found.
    """
    known = f"{question} {answer}".casefold()
    found: dict[str, None] = {}
    for sentence in re.split(r"(?<=[.!?;:])\s+", reflection):
        for match in re.finditer(_CAPITAL_OR_NUMBER, sentence):
            name = match.group().rstrip(".,'’-")
            starts = match.start() == 0 and not name[:1].isdigit()
            if not starts and name not in _FILLER and not _holds(known, name.casefold()):
                found[name] = None
    return list(found)


def _holds(text: str, name: str) -> bool:
    """Whether the text contains the name as whole words: "112" does not contain "12"."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None
