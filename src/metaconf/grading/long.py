"""The grader for answers of sentences, which no rule can grade: a judge does, where there is one.

Comparing words would pay for the wording of the reference and not for its content; so without a
judge such an answer is neither right nor wrong.
"""

from __future__ import annotations

from metaconf.grading.text import normalise
from metaconf.records import Question

WHY = "not graded: a long answer needs a judge"


def grade_long(question: Question, answer: str) -> tuple[float | None, str]:
    """None, with the reason."""
    del question, answer
    return None, WHY


def same_long(a: str, b: str) -> bool:
    """Whether two answers are the same words."""
    return normalise(a) == normalise(b)
