"""A cascade of models: which one answers, from which confidence on, at a certified error.

Models are asked from the first to the last. The first whose confidence reaches its threshold
answers; where none does, the question is abstained from. A rule is a threshold for each model, one
of LEVELS, or none for a model that is not asked. All rules are compared: the thresholds are chosen
jointly. The loss of a rule is the cost of the models that it asks, and `abstention_cost` where it
abstains, a question.

The labelled questions are split at random. On the first part, `CHOOSE` of them, those rules form a
path that have, for their p-value of "the error of the answers exceeds α", the least loss (Pareto
testing: Laufer-Goldshtein et al. 2023, "Efficiently controlling multiple risks with Pareto
testing"), from the least p-value to the least loss. On the second part they are tested at δ in this
order until the first that is not rejected (Angelopoulos et al. 2021, "Learn then Test"). Of those
that pass, the rule is the one with the least loss on all labelled questions.

Proof. The second part knows nothing of the first, so the path is fixed. Given how many questions of
the second part a rule answers, their losses are independent, each with the rule's error as its
mean: the p-value of a rule that errs more than α is at most δ with probability at most δ
(`abstain.p_values`). The walk cannot get past the first such rule of its path without rejecting
it. So with probability at least 1 − δ all that pass err at most α, and any choice among them does.
This holds for new questions that are drawn as the labelled ones were. Unlike `abstain.certify`, it
assumes nothing of how the error moves with the confidence; the price is the first part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metaconf.decisions.abstain import LEVELS, check_goal, is_binary, p_values
from metaconf.metrics.arrays import Array, Index, check_partial

CHOOSE = 0.3
"""Share of the labelled questions that choose the path. Of .2 to .5 none was better by more than
noise: benchmarks/cascade.py."""
DEAREST = 10
"""An abstention costs as much as so many calls of the dearest model, unless it is told."""
MOST = 4
"""Models of a cascade: all thresholds are tried, 21 a model."""
NONE = len(LEVELS)
"""The place in LEVELS of a threshold that a model has not, and of a confidence not stated."""


@dataclass(frozen=True, slots=True)
class CascadeRule:
    """Ask the models with a threshold in turn; the first whose confidence reaches it answers. All
    `thresholds` None: nothing is certified, always abstain.

    Of the `labelled` questions `tested` were kept apart from the choice; of these `answered` are
    answered, with the mean loss `error`. `cost` a question and `answered_by` each model are of all
    labelled questions.
    """

    alpha: float
    delta: float
    thresholds: tuple[float | None, ...]
    labelled: int
    tested: int
    answered: int = 0
    error: float | None = None
    cost: float = 0.0
    answered_by: tuple[int, ...] = ()

    @property
    def certified(self) -> bool:
        return any(threshold is not None for threshold in self.thresholds)

    @property
    def asked(self) -> list[int]:
        """Places of the models that are asked; of the first where nothing is certified."""
        return [place for place, one in enumerate(self.thresholds) if one is not None] or [0]


@dataclass(frozen=True, slots=True)
class Table:
    """Of each rule (21^M,), places of the first model's threshold outermost: how many questions it
    answers, the sum of their losses, and what it costs with all questions together."""

    answered: Array
    lost: Array
    cost: Array


def fit(
    confidence: ArrayLike,
    correctness: ArrayLike,
    costs: Sequence[float],
    alpha: float,
    delta: float,
    abstention_cost: float | None = None,
) -> CascadeRule:
    """The rule of least loss for an error of at most `alpha` with probability 1 − `delta`.

    `confidence` (n, M) in [0, 1], NaN where none is stated; `correctness` (n, M) in [0, 1], NaN
    only there; a row a question, a column a model in the order in which they are asked. `costs`
    (M,) of one call each, above 0. Raises ValueError on bad rows, costs, α or δ.
    """
    return fit_each(confidence, correctness, costs, (alpha,), delta, abstention_cost)[0]


def fit_each(
    confidence: ArrayLike,
    correctness: ArrayLike,
    costs: Sequence[float],
    alphas: Sequence[float],
    delta: float,
    abstention_cost: float | None = None,
) -> list[CascadeRule]:
    """The rule of `fit` for each of `alphas`, from one count."""
    c, y = _checked(confidence, correctness, costs)
    for alpha in alphas:
        check_goal(alpha, delta)
    price = DEAREST * max(costs) if abstention_cost is None else abstention_cost
    binary = is_binary(y[~np.isnan(c)])
    order = np.random.default_rng(0).permutation(len(c))
    parts = np.split(order, [max(1, int(CHOOSE * len(c)))])
    first, second = (_table(c[part], y[part], costs) for part in parts)
    loss = first.cost + second.cost - price * (first.answered + second.answered)
    rules: list[CascadeRule] = []
    for alpha in alphas:
        path = _path(first, len(parts[0]), price, alpha, binary)
        passed = path[: _end(second, path, alpha, delta, binary)]
        if len(passed):
            best = int(passed[np.argmin(loss[passed])])
            rules.append(_rule(c, first, second, best, len(parts[1]), alpha, delta))
        else:
            none = (None,) * len(costs)
            rules.append(CascadeRule(alpha, delta, none, len(c), len(parts[1])))
    return rules


def _rule(
    c: Array, first: Table, second: Table, best: int, tested: int, alpha: float, delta: float
) -> CascadeRule:
    """The rule at the place `best` of the tables."""
    models = c.shape[1]
    where = np.unravel_index(best, (NONE + 1,) * models)
    thresholds = tuple(None if place == NONE else LEVELS[place] for place in where)
    by = answering(c, thresholds)
    answered = int(second.answered[best])
    return CascadeRule(
        alpha,
        delta,
        thresholds,
        len(c),
        tested,
        answered,
        float(second.lost[best]) / answered,
        float(first.cost[best] + second.cost[best]) / len(c),
        tuple(int((by == model).sum()) for model in range(models)),
    )


def answering(confidence: Array, thresholds: Sequence[float | None]) -> Index:
    """Which model answers each question (n,), from confidences (n, M); −1 for none."""
    least = np.array([np.inf if one is None else one for one in thresholds])
    sure = confidence >= least  # a confidence that is not stated, NaN, is not
    return np.where(sure.any(1), sure.argmax(1), -1)


def _checked(c: ArrayLike, y: ArrayLike, costs: Sequence[float]) -> tuple[Array, Array]:
    shape, models = np.shape(c), len(costs)
    if len(shape) != 2 or shape != np.shape(y) or shape[1] != models:
        raise ValueError(f"confidence {shape} and correctness {np.shape(y)} of {models} models")
    if shape[0] < 2 or not 2 <= models <= MOST:
        raise ValueError(f"{shape[0]} questions, {models} models; give 2 or more, and 2 to {MOST}")
    if not all(0 < cost < np.inf for cost in costs):
        raise ValueError(f"costs are {list(costs)}; each must be above 0")
    confidence, correctness = (
        one.reshape(shape) for one in check_partial(np.ravel(c), np.ravel(y))
    )
    if (np.isnan(correctness) & ~np.isnan(confidence)).any():
        raise ValueError("correctness is missing where a confidence is stated; leave the row out")
    return confidence, correctness


def _table(c: Array, y: Array, costs: Sequence[float]) -> Table:
    places = (~(c[..., None] >= np.array(LEVELS))).sum(-1)  # of the highest level that is reached
    lost = np.where(np.isnan(c), 0.0, 1 - y)
    models = len(costs)
    sums = np.zeros((3, *(NONE + 1,) * models))
    for model in range(models):
        arrived, wrong = (
            _reaching(places[:, : model + 1], weights)
            for weights in (np.ones(len(c)), lost[:, model])
        )
        asked = np.repeat(arrived.sum(-1, keepdims=True), NONE + 1, -1) * costs[model]
        asked[..., NONE] = 0
        parts = (_accepted(arrived), _accepted(wrong), asked)
        sums += np.stack([p.reshape(p.shape + (1,) * (models - model - 1)) for p in parts])
    return Table(*sums.reshape(3, -1).clip(0))  # sums of grades carry rounding


def _reaching(places: Index, weights: Array) -> Array:
    """Sum of weights of the questions that the models before the last leave to it, by their
    thresholds' places, and by the place (last axis) of the last model's confidence."""
    found = np.zeros((NONE + 1,) * places.shape[1])
    np.add.at(found, tuple(places.T), weights)
    for axis in range(found.ndim - 1):
        total = found.sum(axis, keepdims=True)
        below = total - found.cumsum(axis)
        kept = [slice(None)] * axis + [slice(NONE)]
        found = np.concatenate([below[tuple(kept)], total], axis)  # who is not asked leaves all
    return found


def _accepted(weights: Array) -> Array:
    """Sums over the places up to a threshold's; of no threshold, nothing."""
    sums = weights.cumsum(-1)
    sums[..., NONE] = 0
    return sums


def _path(table: Table, questions: int, price: float, alpha: float, binary: bool) -> Index:
    """Rules whose loss is less than that of all with a smaller p-value, by p-value. Of equal rules
    the one with the highest thresholds: nothing was seen between."""
    loss = table.cost + price * (questions - table.answered)
    p = _p_values(table, alpha, binary)
    order = np.lexsort((loss, p))
    least = np.minimum.accumulate(loss[order])
    return order[np.concatenate([[True], least[1:] < least[:-1]])]


def _end(table: Table, path: Index, alpha: float, delta: float, binary: bool) -> int:
    """How many rules of the path are rejected before the first that is not."""
    failed = _p_values(table, alpha, binary, path) > delta
    return int(failed.argmax()) if failed.any() else len(path)


def _p_values(table: Table, alpha: float, binary: bool, of: Any = slice(None)) -> Array:
    return p_values(np.rint(table.answered[of]).astype(int), table.lost[of], alpha, binary)
