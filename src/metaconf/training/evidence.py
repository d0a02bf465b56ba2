"""From sampled short answers to stage-1 rows: answer, reflection, confidence target."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metaconf.grading import grade_answer, group_answers, same_answer
from metaconf.prompts.teacher import Evidence, likely_cause, reflect
from metaconf.records import Question, Reply
from metaconf.training.probe import beside, chance_columns, cross_fitted, fit

MIN_LABELS = 10
"""A probe is told of a question's family where so many graded answers are of it."""
UNSEEN = 0.01
"""Counts as the probability of an answer that was never drawn."""
MIN_SHARE = 0.2
"""An answer given by at least this share of the samples is one that the model might also give."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One question with the model's answer to it and what its samples say about that answer.

    `right` is the answer's correctness (None: not graded), `agreement` the share of samples that
    gave the same answer, `share_right` the samples' mean correctness; all in [0, 1].
    """

    question: Question
    answer: str
    probability: float | None
    right: float | None
    agreement: float
    share_right: float | None
    alternatives: tuple[str, ...]


def answered(question: Question, greedy: Reply, samples: Sequence[Reply]) -> Answered:
    """Grade and group one question's answers. The greedy reply gives the answer."""
    # An empty answer is an answer that agrees with nothing; only failed requests are unknown.
    texts = [s.text for s in samples if s.status != "failed"]
    same = [same_answer(greedy.text, text, question.task) for text in texts]
    grades = [grade_answer(question, text)[0] for text in texts]
    graded = [g for g in grades if g is not None]
    others = [text for text, agrees in zip(texts, same, strict=True) if not agrees]
    return Answered(
        question,
        greedy.text,
        greedy.probability,
        grade_answer(question, greedy.text)[0],
        float(np.mean(same)) if same else 0.0,
        float(np.mean(graded)) if graded else None,
        _alternatives(others, len(texts)),
    )


def answered_later(question: Question, own: Reply, before: Sequence[Reply]) -> Answered:
    """The answer `own` that a model gives while it is being trained, and what the answers `before`
    say of it, greedy and sampled ones drawn when it was untrained.

    After stage 1 a third of a model's greedy answers are others than before, and right much less
    often; a probe on what it was before tells them apart by whether it would have given them then.
    `probability` is that with which it did (UNSEEN where it never did).
    """
    of = [r for r in before if r.status != "failed"]
    said = [r.probability or 0.0 for r in of if same_answer(own.text, r.text, question.task)]
    return answered(question, replace(own, probability=max(said, default=UNSEEN)), before)


def _alternatives(others: list[str], total: int) -> tuple[str, ...]:
    """Other answers, the most frequent first, each given by at least MIN_SHARE of the samples."""
    groups = sorted(group_answers(others), key=len, reverse=True)
    return tuple(
        others[g[0]] for g in groups if len(g) >= MIN_SHARE * total and speakable(others[g[0]])
    )


def speakable(answer: str) -> bool:
    """Whether an answer can stand in a sentence: short, one line, with a letter or digit."""
    one_line = "\n" not in answer and len(answer) <= 40
    return one_line and any(ch.isalnum() for ch in answer)


def reflection_for(row: Answered, certainty: float, seed: int, blur: float) -> str:
    """The offline teacher's reflection on an answer, the same for the same seed and question.

    The wording follows a blurred certainty (`blur`: standard deviation of its noise): a wording
    that told the level exactly would be all that the model learns to read.
    """
    question = row.question
    rng = random.Random(f"{seed}:{question.id}")
    certainty = rng.gauss(certainty, blur)
    evidence = Evidence(
        question.prompt,
        row.answer,
        certainty,
        row.alternatives,
        likely_cause(question.task, question.cause),
    )
    return reflect(evidence, rng)


def known_families(rows: Sequence[Answered]) -> tuple[str, ...]:
    """The families, by name, of which at least MIN_LABELS of the `rows` are graded: of fewer a
    probe would learn by heart how they came out."""
    counts = Counter(row.question.family for row in rows if row.right is not None)
    return tuple(sorted(name for name, count in counts.items() if count >= MIN_LABELS))


def features(
    rows: Sequence[Answered], states: np.ndarray, families: Sequence[str] = ()
) -> np.ndarray:
    """(n, D + (3 + k)·COPIES) probe features: hidden states (n, D), and what is known without a
    label: the answer's log-probability and log-odds, the agreement of its samples, and which of the
    k `families` the question is of (names that several places share look like any other half-known
    answer, and are right less often)."""
    chance = np.array([r.probability or 0.0 for r in rows])
    agreement = np.array([r.agreement for r in rows])
    of = [[float(r.question.family == name) for name in families] for r in rows]
    kinds = np.array(of).reshape(len(rows), len(families))
    return beside(states, np.column_stack([chance_columns(chance), agreement, kinds]))


def targets(
    rows: Sequence[Answered],
    kind: str,
    states: np.ndarray | None = None,
    labels: int = 0,
    families: bool = False,
) -> np.ndarray:
    """The confidence (n,) that each answer is taught, in [0, 1]; NaN where it was not graded.

    "share": samples that agree with the answer. "right": share of samples that are right.
    "mixture": mean of the answer's own correctness and the agreement. "hidden": cross-fitted
    prediction of a linear probe on the hidden states (n, D). "probe": the same with the answer's
    probability and agreement beside them, which is better than each alone, and with `families`
    the question's family; with `labels` fitted on the first so many graded answers, whose
    prediction the others get, graded or not.
    """
    agreement = np.array([r.agreement for r in rows])
    right = np.array([np.nan if r.right is None else r.right for r in rows], float)
    if kind == "share":
        return agreement
    if kind == "right":
        return np.array([np.nan if r.share_right is None else r.share_right for r in rows], float)
    if kind == "mixture":
        return (right + agreement) / 2
    if states is None:
        raise ValueError(f"the target {kind!r} needs hidden states")
    result = np.full(len(rows), np.nan)
    known = np.flatnonzero(~np.isnan(right))[: labels or None]
    kinds = known_families([rows[place] for place in known]) if families else ()
    columns = states if kind == "hidden" else features(rows, states, kinds)
    groups = [rows[place].question.id for place in known]
    result[known] = cross_fitted(columns[known], right[known], groups)
    others = np.setdiff1d(np.arange(len(rows)), known)
    if labels and len(others):
        result[others] = fit(columns[known], right[known])(columns[others])
    return result


def stretched(goals: np.ndarray, factor: float) -> np.ndarray:
    """`goals` (n,) in [0, 1] with their log-odds times `factor`, and moved by one constant so that
    their mean stays; 0, 1 and NaN stay what they are."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    inside = (goals > 0) & (goals < 1)
    if factor == 1 or not inside.any():
        return goals
    odds, mean = factor * logit(goals[inside]), goals[inside].mean()
    widest = float(np.abs(odds).max() + np.abs(logit(mean)))
    moved = brentq(lambda by: expit(odds + by).mean() - mean, -widest, widest)
    result = goals.copy()
    result[inside] = expit(odds + moved)
    return result
