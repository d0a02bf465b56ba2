"""The reward functions that TRL calls in stage 2: the recipe's named parts, graded once a batch.

TRL sums weighted functions and takes a single None for 0, so a reply whose total is unknown gives
None in every part: then TRL leaves it out of the update. It is counted as `unscored`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metaconf.config.blocks import Credit
from metaconf.errors import UserError
from metaconf.judging import FAILED, Judge, ReadBy, told_of, unjudged
from metaconf.judging.reader import Told
from metaconf.records import Grade, Parsed, Question, Reward, read_jsonl
from metaconf.reply import parse_reply
from metaconf.rewards.credit import Lesson, lesson, parts_of
from metaconf.rewards.group import judged
from metaconf.rewards.habits import habits
from metaconf.rewards.recipes.base import Recipe, Replies, Scale, paid, replies_of

Scored = tuple[Parsed, Grade, Reward]


@dataclass(frozen=True, slots=True)
class _Batch:
    """A generation batch: what was asked and replied, and what it was paid."""

    asked: tuple[tuple[str, str], ...]
    replies: Replies
    scored: list[Scored]
    lesson: Lesson


class Payment:
    """Grades a generation batch once and serves the reward functions and the trainer's lesson.

    `path` gets every reply with its parts, one JSON object a line.
    """

    def __init__(
        self,
        recipe: Recipe,
        path: Path,
        credit: Credit | None = None,
        scale: Scale | None = None,
        judge: Judge | ReadBy | None = None,
    ):
        self.recipe, self.path, self.judge = recipe, path, judge
        self.stop = ""
        self.credit = credit or Credit()
        self.scale: Scale = scale or recipe.scale
        self._last: _Batch | None = None

    def functions(self) -> list[Callable[..., list[float | None]]]:
        """The reward functions in the order of the recipe's weights, named as TRL logs them."""
        return [_named(part, self) for part in self.recipe.weights]

    def batch(self, questions: Sequence[str], texts: Sequence[str]) -> list[Scored]:
        """Score replies; consecutive replies to one question form its group."""
        return self._batch(questions, texts).scored

    def lesson(self, inputs: Sequence[dict[str, Any]], texts: Sequence[str]) -> Lesson:
        """What the trainer makes of the replies, by the recipe."""
        return self._batch([row["question"] for row in inputs], texts).lesson

    def _batch(self, questions: Sequence[str], texts: Sequence[str]) -> _Batch:
        if len(questions) != len(texts):
            raise UserError(
                f"{len(questions)} questions for {len(texts)} replies; one each is needed"
            )
        asked = tuple(zip(questions, texts, strict=True))
        if self._last is None or asked != self._last.asked:
            found, group = _graded(questions, texts)
            if self.judge is not None:
                found = self._judged(self.judge, questions, found)
            replies = replies_of(found, group)
            scored = _score(self.recipe, replies, found)
            taught = lesson(self.recipe, replies, self.credit, self.scale)
            self._last = _Batch(asked, replies, scored, taught)
        return self._last

    def _judged(
        self, judge: Judge | ReadBy, questions: Sequence[str], found: list[tuple[Parsed, Grade]]
    ) -> list[tuple[Parsed, Grade]]:
        """The same with the judge's grades; a judge that no longer replies fails them all."""
        asked = [Question.from_json(json.loads(question)) for question in questions]
        replies = [(q, parsed, grade) for q, (parsed, grade) in zip(asked, found, strict=True)]
        try:
            grades = judge(replies)
        except UserError as error:
            self.stop = str(error)
            grades = [unjudged(grade) for _, grade in found]
        self.stop = self.stop or judge.failing
        return [(parsed, grade) for (parsed, _), grade in zip(found, grades, strict=True)]

    def habits(self) -> dict[str, float]:
        """Signs in the last batch's confidences (see `rewards.habits`)."""
        return habits(self._last.replies) if self._last else {}

    def store(self, step: int) -> None:
        """Append the last batch to `path`."""
        if self._last is None:
            return
        with self.path.open("a", encoding="utf-8") as out:
            for (_, text), (parsed, grade, reward) in zip(
                self._last.asked, self._last.scored, strict=True
            ):
                row = {
                    "step": step,
                    "question_id": grade.question_id,
                    "sample": grade.sample,
                    "text": text,
                    "confidence": parsed.confidence,
                    "correctness": grade.correctness,
                    "quality": grade.parts,
                    "judged": grade.judged,
                    "parts": reward.parts,
                    "reward": reward.total,
                }
                out.write(json.dumps(row, ensure_ascii=False) + "\n")

    def count(self) -> int:
        """How many replies were paid so far, those before a resumed run's checkpoint included."""
        return len(self.path.read_bytes().splitlines()) if self.path.exists() else 0


def _graded(
    questions: Sequence[str], texts: Sequence[str]
) -> tuple[list[tuple[Parsed, Grade]], list[int]]:
    """Replies parsed and graded by rule, and the number of each one's group."""
    found: list[tuple[Parsed, Grade]] = []
    group: list[int] = []
    start = 0
    while start < len(texts):
        end = start
        while end < len(texts) and questions[end] == questions[start]:
            end += 1
        question = Question.from_json(json.loads(questions[start]))
        found += judged(question, texts[start:end])
        group += [start] * (end - start)
        start = end
    return found, group


def _score(recipe: Recipe, replies: Replies, found: list[tuple[Parsed, Grade]]) -> list[Scored]:
    parts = parts_of(recipe, replies)
    total = paid(parts, recipe.weights)
    return [
        (
            parsed,
            grade,
            Reward(
                grade.question_id,
                grade.sample,
                _known(total[row]),
                {name: _known(values[row]) for name, values in parts.items()},
            ),
        )
        for row, (parsed, grade) in enumerate(found)
    ]


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def _named(part: str, payment: Payment) -> Callable[..., list[float | None]]:
    def function(
        prompts: list[Any],
        completions: list[Any],
        question: list[str],
        trainer_state: Any = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        texts = [completion[0]["content"] for completion in completions]
        scored = payment.batch(question, texts)
        if part == next(iter(payment.recipe.weights)):
            payment.store(trainer_state.global_step if trainer_state else 0)
            unscored = sum(reward.total is None for _, _, reward in scored)
            if log_metric:
                for name, value in payment.habits().items():
                    log_metric(name, value)
                log_metric("unscored", unscored / len(scored))
                if payment.judge is not None:
                    failed = sum(grade.judged == FAILED for _, grade, _ in scored)
                    log_metric("unjudged", failed / len(scored))
        return [None if reward.total is None else reward.parts[part] for _, _, reward in scored]

    function.__name__ = part
    return function


def keep_before(path: Path, step: int) -> None:
    """Drop stored replies of `step` and later: a resumed run draws them again."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    kept = [line for line in whole if json.loads(line)["step"] < step]
    partial = path.with_name(f".{path.name}.new")
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(path)


def read_before(path: Path, questions: Iterable[Question]) -> list[tuple[Told, float]]:
    """The stored replies as a reader knows them: what was said, and whether it was right."""
    if not path.exists():
        return []
    prompts = {question.id: question.prompt for question in questions}
    found: list[tuple[Told, float]] = []
    for _, row in read_jsonl(path):
        parsed = parse_reply(row["text"])
        told = told_of(prompts[row["question_id"]], parsed.answer, parsed.reflection)
        if told and row["correctness"] is not None:
            found.append((told, row["correctness"]))
    return found
