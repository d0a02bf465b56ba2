"""How much the confidence depends on the reflection: the same model states it without one, or
after another question's reflection.

The answer stays the model's own. The text up to "Confidence:" is forced, and the level is read from
the model's distribution over the levels, not parsed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from metaconf.evaluation.reflections import partners
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.generation.local import LocalModel
from metaconf.training.forced_decoding import confidence_given


def without_reflection(local: LocalModel, rows: Sequence[EvaluatedReply]) -> list[EvaluatedReply]:
    """Rows of `local`'s replies with the confidence that it says straight after its answer.

    `confidence` is the level spoken, `expected` the mean of the model's distribution, both in
    [0, 1]; both None where the reply holds no answer. The method is "…_without_reflection".
    """
    starts = {
        row.question_id: f"Answer: {row.answer}\nConfidence:"
        for row in rows
        if row.answer is not None
    }
    return _forced(local, rows, starts, {}, "without_reflection")


def with_other_reflection(
    local: LocalModel, rows: Sequence[EvaluatedReply], seed: int = 0
) -> list[EvaluatedReply]:
    """The same with the reflection of another question of the family (`reflections.partners`).

    Rows without a partner of their own have no confidence. The method is "…_swapped_reflection".
    """
    others = {key: row.reflection or "" for key, row in partners(rows, seed).items()}
    starts = {
        row.question_id: reply_start(row.answer, others[row.question_id])
        for row in rows
        if row.answer is not None and row.question_id in others
    }
    return _forced(local, rows, starts, others, "swapped_reflection")


def as_expected(local: LocalModel, rows: Sequence[EvaluatedReply]) -> list[EvaluatedReply]:
    """The rows of `local`'s replies with the mean of its distribution over the levels after its own
    reflection, in [0, 1], in the place of the number that it says; None where the reply holds no
    answer or no reflection. Raises ValueError for a tokenizer that does not tell levels apart."""
    starts = {
        row.question_id: reply_start(row.answer, row.reflection)
        for row in rows
        if row.answer is not None and row.reflection is not None
    }
    read = _forced(local, rows, starts, {}, "expected")
    return [replace(row, confidence=one.expected) for row, one in zip(rows, read, strict=True)]


def reply_start(answer: str, reflection: str) -> str:
    """The reply up to its confidence."""
    return f"Answer: {answer}\nSelf-reflection: {reflection}\nConfidence:"


def _forced(
    local: LocalModel,
    rows: Sequence[EvaluatedReply],
    starts: Mapping[str, str],
    reflections: Mapping[str, str],
    suffix: str,
) -> list[EvaluatedReply]:
    asked = [row for row in rows if row.question_id in starts]
    prompts = [local.reply_prompt(row.prompt) for row in asked]
    given = confidence_given(local, prompts, [starts[row.question_id] for row in asked])
    levels = {
        row.question_id: (float(spoken), float(expected))
        for row, (spoken, expected) in zip(asked, given, strict=True)
    }
    changed: list[EvaluatedReply] = []
    for row in rows:
        spoken, expected = levels.get(row.question_id, (None, None))
        changed.append(
            replace(
                row,
                method=f"{row.method}_{suffix}",
                reflection=reflections.get(row.question_id),
                confidence=spoken,
                expected=expected,
                text=starts.get(row.question_id, ""),
                problems=(),
                formatted=False,
            )
        )
    return changed
