"""Maps from the confidence stated to the one deserved, fitted on labelled replies, kept as JSON."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metaconf.metrics import Isotonic, apply_isotonic, brier, fit_isotonic
from metaconf.metrics.arrays import Array, check_pair, number_questions

FOLDS = 5
FEWEST = 10
"""Right replies, and wrong ones, that a map is fitted on at least. Of replies that are all right
any fit learns "always right", and of a single wrong one little else."""
STEEPEST = 1e6
"""Slopes and offsets beyond it are no fit of ours; their products would overflow."""
ROUNDING = 1e-9
CLIP = 0.005
"""Confidences are kept this far from 0 and 1 where their log-odds are taken."""


@dataclass(frozen=True, slots=True)
class Map:
    """`kind` with its numbers: knots of "isotonic", slope and offset on the log-odds of "logistic"
    and "temperature" (offset 0), nothing for "none". ValueError for numbers that fit no kind."""

    kind: str
    numbers: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no recalibration {self.kind!r}; use one of {', '.join(KINDS)}")
        sizes = {len(row) for row in self.numbers}
        if self.kind == "isotonic":
            shaped = len(self.numbers) == 2 and len(sizes) == 1 and sizes != {0}
            low, high = -ROUNDING, 1 + ROUNDING
        else:
            shaped = sizes == (set() if self.kind == "none" else {2}) and len(self.numbers) < 2
            low, high = -STEEPEST, STEEPEST
        # Compared as Python compares, so that neither NaN nor a number too large for numpy passes.
        if not shaped or not all(low <= number <= high for row in self.numbers for number in row):
            raise ValueError(f"no numbers of a recalibration {self.kind!r}: {self.numbers!r:.200}")

    def __call__(self, confidence: ArrayLike) -> Array:
        """Mapped confidences (n,) in [0, 1]; ValueError on bad rows."""
        c, _ = check_pair(confidence, np.zeros(np.size(confidence)))
        if self.kind == "none":
            return c
        if self.kind == "isotonic":
            return apply_isotonic(Isotonic(*map(list, self.numbers)), c)
        ((slope, offset),) = self.numbers
        return 1 / (1 + np.exp(-(slope * _logit(c) + offset)))


def fit(kind: str, confidence: ArrayLike, correctness: ArrayLike) -> Map:
    """Fit one kind of KINDS. Raises ValueError on bad rows or an unknown kind."""
    if kind not in KINDS:
        raise ValueError(f"no recalibration {kind!r}; use one of {', '.join(KINDS)}")
    c, y = check_pair(confidence, correctness)
    return KINDS[kind](c, y)


def too_little(confidence: ArrayLike, correctness: ArrayLike) -> str:
    """Why no map can be fitted on these rows, in words; "" where one can."""
    c, y = check_pair(confidence, correctness)
    right, wrong = float(y.sum()), float((1 - y).sum())
    if min(right, wrong) == 0:
        return f"all {len(y)} labelled replies are {'wrong' if right == 0 else 'right'}"
    if min(right, wrong) < FEWEST:
        few, kind = min((right, "right"), (wrong, "wrong"))
        return f"only {few:g} of {len(y)} labelled replies are {kind}, and {FEWEST} are needed"
    if np.ptp(c) == 0:
        return f"all {len(c)} labelled replies state the same confidence, {c[0]:g}"
    return ""


def choose(
    confidence: ArrayLike, correctness: ArrayLike, question_ids: Sequence[Hashable]
) -> tuple[Map, dict[str, float]]:
    """The kind with the least Brier score on folds that it was not fitted on, fitted on all; and
    the held-out score of each kind. Replies to one question share a fold. At equal scores the
    earlier of KINDS stays, so that nothing is changed without need; and nothing is changed where
    the rows are `too_little`."""
    c, y = check_pair(confidence, correctness)
    if too_little(c, y):
        return Map("none"), {}
    _, place = number_questions(question_ids)
    fold = np.random.default_rng(0).permutation(int(place.max()) + 1)[place] % FOLDS
    parts = [fold == k for k in range(FOLDS) if (fold == k).any() and (fold != k).any()]
    if not parts:
        return Map("none"), {}
    scores: dict[str, float] = {}
    for kind in KINDS:
        mapped = np.concatenate([fit(kind, c[~part], y[~part])(c[part]) for part in parts])
        scores[kind] = brier(mapped, np.concatenate([y[part] for part in parts]))
    best = min(scores, key=lambda kind: scores[kind])
    return fit(best, c, y), scores


def _logit(c: Array) -> Array:
    kept = np.clip(c, CLIP, 1 - CLIP)
    return np.log(kept / (1 - kept))


def _log_loss(logits: Array, y: Array) -> float:
    return float((np.logaddexp(0, logits) - y * logits).mean())


def _none(c: Array, y: Array) -> Map:
    return Map("none")


def _temperature(c: Array, y: Array) -> Map:
    """One slope on the log-odds (Guo et al. 2017): the number that minimises the log loss."""
    from scipy.optimize import minimize_scalar

    logits = _logit(c)

    def loss(log_slope: float) -> float:
        return _log_loss(np.exp(log_slope) * logits, y)

    found = minimize_scalar(loss, bounds=(-5.0, 3.0), method="bounded")
    return Map("temperature", ((float(np.exp(found.x)), 0.0),))


def _logistic(c: Array, y: Array) -> Map:
    """Slope and offset on the log-odds (Platt 1999; Kull et al. 2017 with one slope)."""
    from scipy.optimize import minimize

    logits = _logit(c)

    def loss(numbers: Array) -> float:
        # A grain of penalty keeps the numbers finite where one class is missing.
        penalty = 1e-4 * float((numbers - (1, 0)) @ (numbers - (1, 0)))
        return _log_loss(numbers[0] * logits + numbers[1], y) + penalty

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    return Map("logistic", ((float(slope), float(offset)),))


def _isotonic(c: Array, y: Array) -> Map:
    return Map("isotonic", tuple(map(tuple, fit_isotonic(c, y))))


KINDS: dict[str, Callable[[Array, Array], Map]] = {
    "none": _none,
    "temperature": _temperature,
    "logistic": _logistic,
    "isotonic": _isotonic,
}
"""From the fewest numbers to the most."""
