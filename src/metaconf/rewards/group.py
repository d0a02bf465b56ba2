"""Parse, grade and reward the replies to one question: what stage 2 and the adapters both call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metaconf.grading import grade_answer
from metaconf.grading.reflection import score_reflection
from metaconf.records import Grade, Parsed, Question, Reward
from metaconf.reply import parse_reply
from metaconf.rewards.parts import four_parts, reward_records, total_reward
from metaconf.rewards.recipe import rollout_batch


def grade(question: Question, parsed: Parsed, sample: int, samples: Sequence[str]) -> Grade:
    """Correctness of the answer and quality of the reflection, against the model's `samples`."""
    correctness, why = grade_answer(question, parsed.answer)
    quality, parts = score_reflection(question, parsed, samples)
    return Grade(question.id, sample, correctness, quality, why, parts)


def grade_replies(question: Question, texts: Sequence[str]) -> list[tuple[Parsed, Grade]]:
    """Parse and grade the replies to one question. Each reflection is judged against the answers of
    all of them."""
    parsed = [parse_reply(text) for text in texts]
    samples = [p.answer for p in parsed if p.answer is not None]
    return [(p, grade(question, p, i, samples)) for i, p in enumerate(parsed)]


def reward_group(
    graded: Sequence[tuple[Parsed, Grade]], weights: Mapping[str, float]
) -> list[Reward]:
    """The four-part rewards of the replies to one question, by the rules of `rewards.parts`."""
    batch = rollout_batch(list(graded), [0] * len(graded))
    parts = four_parts(batch)
    return reward_records([g for _, g in graded], parts, total_reward(parts, weights, batch))


def grade_group(
    question: Question, texts: Sequence[str], weights: Mapping[str, float]
) -> list[tuple[Parsed, Grade, Reward]]:
    """Parse, grade and reward the replies to one question."""
    graded = grade_replies(question, texts)
    rewards = reward_group(graded, weights)
    return [(p, g, reward) for (p, g), reward in zip(graded, rewards, strict=True)]
