"""Whether reflections say something true of the model that wrote them.

Two questions: does a reflection name the true cause of uncertainty, and are the other answers that
it names ones that the model itself gives? The second is held against the reflection on another
question of the same family, which shows what a plausible but ungrounded text would score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from metaconf.evaluation.rows import EvaluatedReply, in_domain
from metaconf.evaluation.tables import share
from metaconf.grading import same_answer
from metaconf.grading.reflection import named_share
from metaconf.metrics import Figure, ScoredReplies, paired_difference
from metaconf.prompts.causes import named_answers, named_causes
from metaconf.records import Question

UNCERTAIN = 0.75
"""An answer with which fewer samples than this agree is uncertain."""


def reflection_figures(
    rows: Sequence[EvaluatedReply],
    questions: Sequence[Question],
    samples: Mapping[str, Sequence[str]],
    agreement: Mapping[str, float | None],
    seed: int = 0,
    replicates: int = 1000,
) -> dict[str, Figure]:
    """Figures of one method's reflections over its in-domain rows, with 95 % intervals by question.

    * cause_named: share of reflections that name the true cause, where it is known and the base's
      `agreement` (by question id, in [0, 1]) is below UNCERTAIN.
    * alternatives_precision: of the other answers that a reflection names, the share that stands
      among `samples` (short answers of the same model, by question id); mean over reflections.
    * alternatives_precision_swapped: the same with another question's reflection.
    * alternatives_precision_difference: the first minus the second, paired by question.
    * alternatives_recall: of the samples that give another answer than the reply, the share whose
      answer the reflection names (none named: 0); mean over replies with such a sample.

    Questions without samples count in neither mean, reflections that name no answer in no
    precision; each figure's n says how many did.
    """
    by_id = {question.id: question for question in questions}
    reflecting = [row for row in in_domain(rows) if row.reflection is not None]
    ids = [row.question_id for row in reflecting]
    other = partners(reflecting, seed)
    shares = {
        name: [_named_share(row, source, by_id, samples) for row, source in pairs]
        for name, pairs in (
            ("alternatives_precision", [(row, row) for row in reflecting]),
            ("alternatives_precision_swapped", [(r, other.get(r.question_id)) for r in reflecting]),
        )
    }
    named = [_cause_named(row, agreement) for row in reflecting]
    figures = {"cause_named": share(named, ids, seed, replicates)}
    figures |= {name: share(values, ids, seed, replicates) for name, values in shares.items()}
    recalls = [_recall(row, by_id, samples) for row in reflecting]
    figures["alternatives_recall"] = share(recalls, ids, seed, replicates)
    own, swapped = (ScoredReplies([None] * len(ids), values, ids) for values in shares.values())
    difference = paired_difference("accuracy", own, swapped, seed=seed, replicates=replicates)
    if difference.value is None:
        difference = replace(difference, reason="one of the two is not known")
    return {**figures, "alternatives_precision_difference": difference}


def grounded(
    row: EvaluatedReply, questions: Mapping[str, Question], samples: Mapping[str, Sequence[str]]
) -> tuple[float | None, float | None]:
    """Of one reply what `alternatives_precision` and `alternatives_recall` are the means of."""
    return _named_share(row, row, questions, samples), _recall(row, questions, samples)


def partners(rows: Sequence[EvaluatedReply], seed: int = 0) -> dict[str, EvaluatedReply]:
    """For each question id another row of the same family whose reflection may stand in for it.

    Each reflection is used once and never for its own question; which one depends on seed and ids
    alone. Rows without a reflection, and families with one row only, are left out.
    """
    families: dict[str, list[EvaluatedReply]] = {}
    for row in rows:
        if row.reflection is not None:
            families.setdefault(row.family, []).append(row)
    found: dict[str, EvaluatedReply] = {}
    for members in families.values():
        ring = sorted(members, key=lambda row: _place(seed, row.question_id))
        if len(ring) > 1:
            turned = zip(ring, [*ring[1:], ring[0]], strict=True)
            found |= {row.question_id: other for row, other in turned}
    return found


def _place(seed: int, question_id: str) -> tuple[bytes, str]:
    return hashlib.sha256(f"{seed}\x1f{question_id}".encode()).digest(), question_id


def _cause_named(row: EvaluatedReply, agreement: Mapping[str, float | None]) -> float | None:
    agrees = agreement.get(row.question_id)
    if row.cause is None or agrees is None or agrees >= UNCERTAIN:
        return None
    return float(row.cause in named_causes(row.reflection or ""))


def _named_share(
    row: EvaluatedReply,
    source: EvaluatedReply | None,
    questions: Mapping[str, Question],
    samples: Mapping[str, Sequence[str]],
) -> float | None:
    """Share of the answers named by `source`'s reflection that `row`'s samples hold.

    The answers of both rows are no *other* answers, nor are names in the questions: they are left
    out for own and swapped reflections alike, so that the two figures measure the same.
    """
    given = samples.get(row.question_id)
    if source is None or not given:
        return None
    prompts = f"{source.prompt} {row.prompt}"
    answers = f"{source.answer or ''} {row.answer or ''}"
    named = named_answers(source.reflection or "", prompts, answers)
    return named_share(questions[row.question_id], named, given)


def _recall(
    row: EvaluatedReply, questions: Mapping[str, Question], samples: Mapping[str, Sequence[str]]
) -> float | None:
    """Share of the samples with another answer than `row`'s whose answer its reflection names."""
    task, answer = questions[row.question_id].task, row.answer or ""
    others = [s for s in samples.get(row.question_id, ()) if not same_answer(answer, s, task)]
    if not others:
        return None
    named = named_answers(row.reflection or "", row.prompt, answer)
    return sum(any(same_answer(n, s, task) for n in named) for s in others) / len(others)
