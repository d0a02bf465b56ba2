"""What a judge says of an evaluation's replies: answers that no rule grades, reflections, and which
sampled answers say the same."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from metaconf.errors import UserError
from metaconf.evaluation.baselines import certainty_of, same_groups
from metaconf.evaluation.rows import EvaluatedReply, in_domain
from metaconf.evaluation.tables import share
from metaconf.judging import unjudged
from metaconf.records import Grade, Parsed, Question
from metaconf.reply import parse_reply

if TYPE_CHECKING:
    from metaconf.judging import Judge
    from metaconf.metrics import Figure

Rows = dict[str, list[EvaluatedReply]]
"""By method."""


def judged(
    rows: Mapping[str, Sequence[EvaluatedReply]], questions: Sequence[Question], judge: Judge
) -> Rows:
    """The rows of each method with the judge's `correctness` and `why` where rules gave none,
    `quality` of the reflection in [0, 1], `judged`, the reason for it, and `reading`, how sure it
    sounds; None where not known.

    Never raises for the judge: what was paid for is worth a report. Too many failed verdicts are
    reported on stderr. Where the server cannot be asked at all, nothing is judged, `judge.trouble`
    says why, and the verdicts got so far stay in its cache.
    """
    by_id = {question.id: question for question in questions}
    flat = [row for own in rows.values() for row in own]
    replies = [(by_id[row.question_id], _parsed(row), _grade(row)) for row in flat]
    try:
        grades = iter(judge(replies))
        readings = iter(judge.readings([row.reflection for row in flat]))
    except UserError as error:
        judge.trouble = str(error)
        grades = iter([unjudged(grade) for *_, grade in replies])
        readings = iter([None] * len(flat))
    found = {
        key: [_with(row, next(grades), next(readings)) for row in own] for key, own in rows.items()
    }
    if judge.failing:
        print(f"metaconf: {judge.failing}", file=sys.stderr)
    return found


def by_meaning(
    rows: Sequence[EvaluatedReply],
    questions: Mapping[str, Question],
    samples: Mapping[str, Sequence[str]],
    judge: Judge,
) -> list[EvaluatedReply]:
    """Rows of semantic entropy with the judge's sameness beside the grader's (Farquhar et al. 2024
    take a model's entailment): answers that it calls the same count as one, and so do those that a
    third is the same as. `samples` are by question id. A question with a failed verdict has no
    confidence: how its samples group is not known. Never raises for the judge (see `judged`).
    """
    groups = {
        i: same_groups(questions[i], samples.get(i, ())) for i in (row.question_id for row in rows)
    }
    pairs = [(i, a, b) for i, own in groups.items() for a, b in combinations(range(len(own)), 2)]
    asked = [(questions[i].prompt, groups[i][a][0], groups[i][b][0]) for i, a, b in pairs]
    verdicts_of: dict[str, list[tuple[int, int, bool | None]]] = {i: [] for i in groups}
    try:
        verdicts = judge.same(asked)
    except UserError as error:
        judge.trouble = str(error)
        verdicts = [None] * len(asked)
    for (i, a, b), same in zip(pairs, verdicts, strict=True):
        verdicts_of[i].append((a, b, same))
    if judge.failing:
        print(f"metaconf: {judge.failing}", file=sys.stderr)
    sure = {i: _joined(own, verdicts_of[i]) for i, own in groups.items()}
    return [replace(row, confidence=sure[row.question_id]) for row in rows]


def _joined(
    groups: Sequence[Sequence[str]], verdicts_of: Sequence[tuple[int, int, bool | None]]
) -> float | None:
    """The certainty of the groups, those that were called the same joined."""
    if any(same is None for _, _, same in verdicts_of):
        return None
    of = list(range(len(groups)))
    for a, b, same in verdicts_of:
        if same:
            of = [of[a] if one == of[b] else one for one in of]
    sizes = Counter[int]()
    for place, group in zip(of, groups, strict=True):
        sizes[place] += len(group)
    return certainty_of(list(sizes.values()))


def quality_figures(rows: Sequence[EvaluatedReply], seed: int = 0) -> dict[str, Figure]:
    """`reflection_quality`: mean over the in-domain replies that were judged, and
    `reflection_judged`: the share of reflections for which a verdict came."""
    reflecting = [row for row in in_domain(rows) if row.reflection and row.answer]
    if not reflecting:
        return {}
    ids = [row.question_id for row in reflecting]
    known = [float(row.quality is not None) for row in reflecting]
    return {
        "reflection_quality": share([row.quality for row in reflecting], ids, seed),
        "reflection_judged": share(known, ids, seed),
    }


def _parsed(row: EvaluatedReply) -> Parsed:
    thinking = parse_reply(row.text).thinking
    return Parsed(row.answer, row.reflection, row.confidence, thinking)


def _grade(row: EvaluatedReply) -> Grade:
    return Grade(row.question_id, 0, row.correctness, why=row.why)


def _with(row: EvaluatedReply, grade: Grade, reading: float | None) -> EvaluatedReply:
    return replace(
        row,
        correctness=grade.correctness,
        why=grade.why,
        quality=grade.quality,
        judged=grade.judged or None,
        reading=reading,
    )
