"""How much the confidence depends on the reflection: the same model states it without one, or
after another question's reflection.

The answer stays the model's own. The text up to "Confidence:" is forced, and the level is read from
the model's distribution over the levels, not parsed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from metaconf.evaluation.reflections import partners
from metaconf.evaluation.rows import EvaluatedReply

if TYPE_CHECKING:
    from metaconf.generation.local import LocalModel


def without_reflection(local: LocalModel, rows: Sequence[EvaluatedReply]) -> list[EvaluatedReply]:
    """Rows of `local`'s replies with the confidence that it says straight after its answer; None
    where the reply holds no answer."""
    starts = {
        row.question_id: f"Answer: {row.answer}\nConfidence:"
        for row in rows
        if row.answer is not None
    }
    return _forced(local, rows, starts, {})


def with_other_reflection(
    local: LocalModel, rows: Sequence[EvaluatedReply]
) -> list[EvaluatedReply]:
    """The same after the reflection of another question of the family (`reflections.partners`);
    rows without a partner of their own have no confidence."""
    from metaconf.evaluation.baselines import reply_start

    others = {key: row.reflection or "" for key, row in partners(rows).items()}
    starts = {
        row.question_id: reply_start(row.answer, others[row.question_id])
        for row in rows
        if row.answer is not None and row.question_id in others
    }
    return _forced(local, rows, starts, others)


def _forced(
    local: LocalModel,
    rows: Sequence[EvaluatedReply],
    starts: Mapping[str, str],
    reflections: Mapping[str, str],
) -> list[EvaluatedReply]:
    from metaconf.training.forced_decoding import confidence_given

    asked = [row for row in rows if row.question_id in starts]
    prompts = [local.reply_prompt(row.prompt) for row in asked]
    given = confidence_given(local, prompts, [starts[row.question_id] for row in asked])
    spoken = {row.question_id: float(one) for row, (one, _) in zip(asked, given, strict=True)}
    return [
        replace(
            row,
            reflection=reflections.get(row.question_id),
            confidence=spoken.get(row.question_id),
            text=starts.get(row.question_id, ""),
            problems=(),
            formatted=False,
        )
        for row in rows
    ]
