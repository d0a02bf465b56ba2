"""From the texts of one generation batch to what they teach: parse, grade, judge, reward, once.

Every reply is appended to the run's replies file with its parts and its reward.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from metaconf.errors import UserError
from metaconf.files import write_text
from metaconf.judging import FAILED, Judge, unjudged
from metaconf.records import Grade, Parsed, Question
from metaconf.rewards.advantages import TrainingSignal, training_signal
from metaconf.rewards.confidence_stats import confidence_stats
from metaconf.rewards.group import grade_replies
from metaconf.rewards.parts import reward_records
from metaconf.rewards.recipe import Recipe, RolloutBatch, Scale, rollout_batch

Graded = list[tuple[Parsed, Grade]]


class RewardComputer:
    """Computes the training signal of generation batches by one recipe.

    `path` is the replies file. `scale` is TRL's `scale_rewards`, by default the recipe's. `judge`
    scores reflections, and answers that no rule can grade. `stop_reason` says why the run should
    stop, "" while it should not.
    """

    def __init__(
        self, recipe: Recipe, path: Path, scale: Scale | None = None, judge: Judge | None = None
    ):
        self.recipe, self.path, self.judge = recipe, path, judge
        self.scale: Scale = scale or recipe.scale
        self.stop_reason = ""

    def __call__(
        self, questions: Sequence[str], texts: Sequence[str], step: int = 0
    ) -> TrainingSignal:
        """The training signal of replies, with `parsed` and `metrics`.

        `questions` are Question records as JSON, one for each text; consecutive replies to one
        question are its group. Raises UserError where they do not match, or where a part of the
        recipe does not have one number a reply.
        """
        if len(questions) != len(texts):
            raise UserError(
                f"{len(questions)} questions for {len(texts)} replies; one each is needed"
            )
        asked, group = _groups(questions)
        graded = self._graded(asked, group, texts)
        batch = rollout_batch(graded, group)
        signal = training_signal(self.recipe, batch, self.scale)
        self._store(step, texts, graded, signal)
        parsed = tuple(parsed for parsed, _ in graded)
        return replace(signal, parsed=parsed, metrics=self._metrics(graded, batch, signal))

    def count(self) -> int:
        """How many replies the replies file holds, those before a resumption included."""
        return len(self.path.read_bytes().splitlines()) if self.path.exists() else 0

    def _graded(
        self, questions: Sequence[Question], group: Sequence[int], texts: Sequence[str]
    ) -> Graded:
        """The replies parsed and graded by rule, then by the judge. A judge that cannot be asked
        fails them all and asks the run to stop."""
        graded: Graded = []
        for start in dict.fromkeys(group):
            graded += grade_replies(questions[start], texts[start : start + group.count(start)])
        if self.judge is None:
            return graded
        try:
            grades = self.judge([(q, *one) for q, one in zip(questions, graded, strict=True)])
        except UserError as error:
            self.stop_reason = str(error)
            grades = [unjudged(grade) for _, grade in graded]
        self.stop_reason = self.stop_reason or self.judge.failing
        return [(parsed, grade) for (parsed, _), grade in zip(graded, grades, strict=True)]

    def _metrics(
        self, graded: Graded, batch: RolloutBatch, signal: TrainingSignal
    ) -> dict[str, float]:
        """What is logged beside the rewards: shares of the replies, and statistics of their
        confidences."""
        found = confidence_stats(batch)
        found["unscored"] = sum(signal.total != signal.total) / len(graded)  # NaN
        if signal.advantages is not None:
            found["unscored_segments"] = signal.unscored
        if self.judge is not None:
            found["unjudged"] = sum(grade.judged == FAILED for _, grade in graded) / len(graded)
        return found

    def _store(
        self, step: int, texts: Sequence[str], graded: Graded, signal: TrainingSignal
    ) -> None:
        """Append the replies to the file."""
        rewards = reward_records([grade for _, grade in graded], signal.parts, signal.total)
        with self.path.open("a", encoding="utf-8") as out:
            for text, (parsed, grade), reward in zip(texts, graded, rewards, strict=True):
                row: dict[str, Any] = {
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


def _groups(questions: Sequence[str]) -> tuple[list[Question], list[int]]:
    """The question of each reply, and the place of the first reply of its group."""
    asked: list[Question] = []
    group: list[int] = []
    for place, text in enumerate(questions):
        again = place > 0 and text == questions[place - 1]
        asked.append(asked[-1] if again else Question.from_json(json.loads(text)))
        group.append(group[-1] if again else place)
    return asked, group


def keep_before(path: Path, step: int) -> None:
    """Drop stored replies of `step` and later: a resumed run draws them again."""
    if not path.exists():
        return
    *whole, _ = path.read_bytes().split(b"\n")  # the last one may be cut, even in a character
    kept = [line.decode() + "\n" for line in whole if json.loads(line)["step"] < step]
    write_text(path, "".join(kept))
