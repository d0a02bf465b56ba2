"""Graders: how right an answer is. Reward and evaluation share them, so they cannot disagree.

Only the answer segment reaches a grader: the right answer named in a reflection earns nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metaconf.errors import UserError
from metaconf.grading.choice import grade_choice, same_choice
from metaconf.grading.long import grade_long, same_long
from metaconf.grading.maths import grade_math, same_math
from metaconf.grading.short import answer_key, grade_short, same_short
from metaconf.grading.text import normalise
from metaconf.records import Question

__all__ = ["GRADERS", "grade_answer", "group_answers", "normalise", "same_answer"]

GRADERS: dict[str, Callable[[Question, str], tuple[float | None, str]]] = {
    "short": grade_short,
    "math": grade_math,
    "choice": grade_choice,
    "long": grade_long,
}
MAX_CHARS = 20_000
"""Longer answers are wrong unread: the cost of grading has to stay bounded."""
_SAME: dict[str, Callable[[str, str], bool]] = {
    "short": same_short,
    "math": same_math,
    "choice": same_choice,
    "long": same_long,
}


def grade_answer(question: Question, answer: str | None) -> tuple[float | None, str]:
    """Correctness in [0, 1] and the reason; (None, reason) where it cannot be graded.

    `answer` is the answer segment of a reply; None (none was parsed) and blank are 0.0, "no
    answer". A question without a reference is None: it can be neither right nor wrong. Safe to
    call from threads. Raises UserError for a task without a grader.
    """
    grader = GRADERS.get(question.task)
    if grader is None:
        known = ", ".join(GRADERS)
        raise UserError(
            f"question {question.id}: no grader for task {question.task!r}; use one of {known}"
        )
    if not any(text.strip() for target in question.targets for text in target.texts):
        return None, "not graded: the question has no reference answer"
    if answer is None or not answer.strip():
        return 0.0, "no answer"
    if len(answer) > MAX_CHARS:
        return 0.0, f"longer than {MAX_CHARS} characters"
    return grader(question, answer)


def same_answer(a: str, b: str, task: str = "short") -> bool:
    """Whether two answers to one question say the same, by the rules of the task's grader."""
    return _SAME[task](a, b)


def group_answers(answers: Sequence[str]) -> list[list[int]]:
    """Group the indices of equal short answers, largest group first, then by first index."""
    groups: dict[str, list[int]] = {}
    for i, answer in enumerate(answers):
        groups.setdefault(answer_key(answer), []).append(i)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]))
