"""Grade and pay the replies of one group: what stage 2 and evaluation both call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metaconf.grading import grade_answer
from metaconf.grading.reflection import score_reflection
from metaconf.records import Grade, Parsed, Question, Reward
from metaconf.reply import parse_reply
from metaconf.rewards.parts import reward


def grade(question: Question, parsed: Parsed, sample: int, samples: Sequence[str]) -> Grade:
    """Correctness of the answer and quality of the reflection, against the model's `samples`."""
    correctness, why = grade_answer(question, parsed.answer)
    quality, parts = score_reflection(question, parsed, samples)
    return Grade(question.id, sample, correctness, quality, why, parts)


def grade_group(
    question: Question, texts: Sequence[str], weights: Mapping[str, float]
) -> list[tuple[Parsed, Grade, Reward]]:
    """Parse, grade and pay the replies to one question; each is judged against all answers."""
    return [(p, g, reward(p, g, weights)) for p, g in judged(question, texts)]


def judged(question: Question, texts: Sequence[str]) -> list[tuple[Parsed, Grade]]:
    """Parse and grade the replies to one question; each is judged against all answers."""
    parsed = [parse_reply(text) for text in texts]
    samples = [p.answer for p in parsed if p.answer is not None]
    return [(p, grade(question, p, i, samples)) for i, p in enumerate(parsed)]
