"""The reward functions that TRL calls in stage 2: four named parts, graded once a batch.

TRL sums weighted functions and takes a single None for 0, so a reply whose total is unknown gives
None in every part: then TRL leaves it out of the update. It is counted as `unscored`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metaconf.config_blocks import Reward as Weights
from metaconf.errors import UserError
from metaconf.records import Grade, Parsed, Question, Reward
from metaconf.rewards.group import grade_group

PARTS = ("calibration", "reflection", "accuracy", "format")
Scored = tuple[Parsed, Grade, Reward]


class Payment:
    """Grades a generation batch once and serves the four reward functions and the exact score.

    `path` gets every reply with its parts, one JSON object a line.
    """

    def __init__(self, weights: Weights, path: Path):
        self.weights: dict[str, float] = asdict(weights)
        self.path = path
        self._asked: tuple[tuple[str, str], ...] = ()
        self._scored: list[Scored] = []

    def functions(self) -> list[Callable[..., list[float | None]]]:
        """The reward functions in the order of PARTS, named as TRL logs them."""
        return [_named(part, self) for part in PARTS]

    def batch(self, questions: Sequence[str], texts: Sequence[str]) -> list[Scored]:
        """Score replies; consecutive replies to one question form its group."""
        if len(questions) != len(texts):
            raise UserError(
                f"{len(questions)} questions for {len(texts)} replies; one each is needed"
            )
        asked = tuple(zip(questions, texts, strict=True))
        if asked != self._asked:
            self._scored = _score(questions, texts, self.weights)
            self._asked = asked
        return self._scored

    def outcomes(self, inputs: Sequence[dict[str, Any]], texts: Sequence[str]) -> list[float]:
        """Correctness of each reply, NaN where it was not graded."""
        scored = self.batch([row["question"] for row in inputs], texts)
        grades = [grade.correctness for _, grade, _ in scored]
        return [float("nan") if grade is None else grade for grade in grades]

    def store(self, step: int, texts: Sequence[str]) -> None:
        """Append the last batch to `path`."""
        with self.path.open("a", encoding="utf-8") as out:
            for text, (parsed, grade, reward) in zip(texts, self._scored, strict=True):
                row = {
                    "step": step,
                    "question_id": grade.question_id,
                    "sample": grade.sample,
                    "text": text,
                    "confidence": parsed.confidence,
                    "correctness": grade.correctness,
                    "quality": grade.parts,
                    "parts": reward.parts,
                    "reward": reward.total,
                }
                out.write(json.dumps(row, ensure_ascii=False) + "\n")


def _score(
    questions: Sequence[str], texts: Sequence[str], weights: dict[str, float]
) -> list[Scored]:
    scored: list[Scored] = []
    start = 0
    while start < len(texts):
        end = start
        while end < len(texts) and questions[end] == questions[start]:
            end += 1
        question = Question.from_json(json.loads(questions[start]))
        scored += grade_group(question, texts[start:end], weights)
        start = end
    return scored


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
        if part == PARTS[0]:
            payment.store(trainer_state.global_step if trainer_state else 0, texts)
            unscored = sum(reward.total is None for _, _, reward in scored)
            if log_metric:
                log_metric("unscored", unscored / len(scored))
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
