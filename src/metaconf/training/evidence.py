"""From sampled short answers to stage-1 rows: answer, reflection, confidence target."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaconf.grading import grade_answer, group_answers, same_answer
from metaconf.prompts.teacher import Evidence, likely_cause, reflections
from metaconf.records import Question, Reply
from metaconf.training.probe import append_features, cross_fitted, fit, logprob_features

MIN_SHARE = 0.2
"""Alternatives are named where at least this share of the samples gave another answer: the most
frequent of them, and others with this share of their own."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One question, the model's answer to it, and what its samples tell about that answer.

    In [0, 1]: `probability` of the answer's tokens (None: unknown), `right` its correctness (None:
    not graded), `agreement` the share of samples that gave the same answer. `alternatives` are the
    other answers to be named (MIN_SHARE), the most frequent first; `often`: the first of them came
    at least as often as the answer.
    """

    question: Question
    answer: str
    probability: float | None
    right: float | None
    agreement: float
    alternatives: tuple[str, ...]
    often: bool = False


def answered(question: Question, greedy: Reply, samples: Sequence[Reply]) -> Answered:
    """Grade the `greedy` answer and compare the `samples` with it."""
    # An empty sample counts, and agrees with nothing; failed requests are left out.
    drawn = [s for s in samples if s.status != "failed"]
    same = [same_answer(greedy.text, s.text, question.task) for s in drawn]
    others = [s for s, agrees in zip(drawn, same, strict=True) if not agrees]
    names, most = _alternatives(others, MIN_SHARE * len(drawn))
    return Answered(
        question,
        greedy.text,
        greedy.probability,
        grade_answer(question, greedy.text)[0],
        float(np.mean(same)) if same else 0.0,
        names,
        often=most >= max(sum(same), 1),
    )


def _alternatives(others: Sequence[Reply], enough: float) -> tuple[tuple[str, ...], int]:
    """The other answers to be named, the most frequent first (of equally frequent ones the
    likeliest), and how often the first of them came. None where fewer than `enough` came in all;
    the second and later ones came `enough` times each."""
    named = [r for r in others if r.status == "ok" and speakable(r.text)]
    if len(others) < enough or not named:
        return (), 0
    groups = [[named[i] for i in group] for group in group_answers([r.text for r in named])]
    first, *more = sorted(groups, key=_frequency, reverse=True)
    found = [first, *(group for group in more if len(group) >= enough)]
    return tuple(group[0].text for group in found), len(first)


def _frequency(group: Sequence[Reply]) -> tuple[int, float]:
    return len(group), max(reply.probability or 0.0 for reply in group)


def speakable(answer: str) -> bool:
    """Whether an answer can stand in a sentence: at most 40 characters, one line, with a letter or
    digit."""
    one_line = "\n" not in answer and len(answer) <= 40
    return one_line and any(ch.isalnum() for ch in answer)


def offline_reflections(row: Answered, seed: int) -> tuple[str, ...]:
    """The offline teacher's reflections on an answer, one a stance (`prompts.teacher`);
    deterministic in seed and question id."""
    question = row.question
    cause = likely_cause(question.task, question.cause)
    evidence = Evidence(question.prompt, row.alternatives, row.often, cause)
    return reflections(evidence, random.Random(f"{seed}:{question.id}"))


def features(rows: Sequence[Answered], states: np.ndarray) -> np.ndarray:
    """Probe features (n, D + 3·FEATURE_REPEAT): hidden states (n, D), and what is known without a
    label: the answer's log-probability and log-odds, and the agreement of its samples."""
    chance = np.array([r.probability or 0.0 for r in rows])
    agreement = np.array([r.agreement for r in rows])
    return append_features(states, np.column_stack([logprob_features(chance), agreement]))


def targets(
    rows: Sequence[Answered], kind: str, states: np.ndarray | None = None, labels: int = 0
) -> np.ndarray:
    """The confidence target (n,) of each answer, in [0, 1]; NaN where there is none.

    "self_consistency": the share of samples that agree with the answer; needs no label.
    "probe": a linear probe on `features` with the hidden states (n, D), whose label is the
    answer's correctness. Graded answers get their cross-fitted prediction, the others NaN. With
    `labels` the probe is fitted on the first so many graded answers only, and all other answers
    get its prediction.
    Raises ValueError for "probe" without states.
    """
    if kind == "self_consistency":
        return np.array([r.agreement for r in rows])
    if states is None:
        raise ValueError(f"the target {kind!r} needs hidden states")
    right = np.array([np.nan if r.right is None else r.right for r in rows], float)
    known = np.flatnonzero(~np.isnan(right))[: labels or None]
    columns = features(rows, states)
    groups = [rows[place].question.id for place in known]
    result = np.full(len(rows), np.nan)
    result[known] = cross_fitted(columns[known], right[known], groups)
    others = np.setdiff1d(np.arange(len(rows)), known)
    if labels and len(others):
        result[others] = fit(columns[known], right[known])(columns[others])
    return result
