"""What a teacher's reflection must not hold: the grade, a number for confidence, the truth, or the
way that it came about. A model that learns from such a text learns to write what it cannot know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from metaconf.grading.text import normalise
from metaconf.prompts.slots import stated

LONGEST = 700
"""Characters; three sentences need fewer."""
_GRADE = re.compile(
    r"\b(?:answer|reply|response|this|that|it)\s+(?:is|was|turned out|proved)\s+(?:to be\s+)?"
    r"(?:in fact\s+|actually\s+|indeed\s+|not\s+)?(?:in)?(?:correct|right|wrong|false|mistaken)\b"
    r"|\b(?:the )?(?:correct|right|true|actual|real) answer (?:is|was|would be|should)"
    r"|\bI (?:was|am) (?:right|wrong|correct|incorrect|mistaken)\b"
    r"|\b(?:graded|marked) (?:as )?(?:right|wrong|correct|incorrect)\b",
    re.I,
)
_SOURCE = re.compile(
    r"\b(?:other_answers|JSON|sampled?|samples|sampling|(?:was|were|been) asked again|ground truth|"
    r"reference answer|the data|given data|dataset)\b",
    re.I,
)
_LABEL = re.compile(r"^\W*(?:answer|confidence|self-reflection)\W*:|</?think>", re.I | re.M)
_FIRST = re.compile(r"\b(?:I|I'm|I've|I'd|me|Me|my|My|mine|myself)\b")


def leaks(
    reflection: str, question: str, answer: str, others: Sequence[str], truths: Sequence[str]
) -> list[str]:
    """What is amiss with a reflection, in words that a teacher understands; [] where nothing is.

    `others` are the model's own other answers, `truths` the references: one of these is a leak
    where it stands in the reflection and in nothing that the model said or was asked.
    """
    said, wordless = [question, answer, *others], not reflection.strip()
    checks = {
        "it says whether the answer is right": _GRADE.search(reflection),
        "it gives a number for the confidence": any(n not in question for n in stated(reflection)),
        "it names an answer that the model never gave": _names_truth(reflection, said, truths),
        "it speaks of the data it was written from": _SOURCE.search(reflection),
        "it holds a label such as Answer: or Confidence:": _LABEL.search(reflection),
        "it does not speak as I": not _FIRST.search(reflection),
        "it is empty or longer than three sentences": wordless or len(reflection) > LONGEST,
    }
    return [what for what, amiss in checks.items() if amiss]


def _names_truth(reflection: str, said: Sequence[str], truths: Sequence[str]) -> bool:
    text, known = _words(reflection), [_words(one) for one in said]
    for truth in truths:
        words = _words(truth)
        # A number of one digit or a word of two letters stands anywhere by chance.
        if len(words) > 4 and words in text and not any(words in one for one in known):
            return True
    return False


def _words(text: str) -> str:
    return f" {normalise(text)} "
