"""Answer or abstain: the lowest confidence above which the error is certified to be at most α.

Fixed-sequence testing (Angelopoulos et al. 2021, "Learn then Test", with one start) over preset
levels, from high to low: at each, "the error of the replies at or above it exceeds α" is tested at
level δ, and the first that is not rejected ends the walk. The walk starts at the first level with
enough replies that a faultless record would pass. The probability that the error of what is
answered exceeds α is then at most δ, provided that new replies come from where the labelled ones
came from, and that the error does not fall as the confidence falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metaconf.metrics.arrays import Array, check_pair

LEVELS = tuple(k / 20 for k in range(19, -1, -1))
"""Preset, so that they know nothing of the data: .95, .90, … 0."""
MOST = 10_000_000
"""More labelled replies than this are not asked for: it counts as "no number would do"."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Answer where the confidence is at least `threshold` (None: always abstain).

    `answered` of the `labelled` calibration replies are above it, with the mean loss `error`. Where
    nothing is certified, `more` is about how many further labelled replies would do at the rates
    seen so far; None where none would.
    """

    alpha: float
    delta: float
    threshold: float | None
    labelled: int
    answered: int
    error: float | None
    more: int | None

    @property
    def coverage(self) -> float:
        """Share of the calibration replies that are answered, in [0, 1]."""
        return self.answered / self.labelled


def certify(confidence: ArrayLike, correctness: ArrayLike, alpha: float, delta: float) -> Rule:
    """The rule for an error of at most `alpha` with probability 1 − `delta`, both in (0, 1).

    `confidence` and `correctness` (n,) in [0, 1], one reply a question; the loss of a reply is
    1 − correctness. Raises ValueError on bad rows, α or δ.
    """
    for name, value in (("alpha", alpha), ("delta", delta)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value!r}; it must lie between 0 and 1")
    c, y = check_pair(confidence, correctness)
    found: tuple[float, Array] | None = None
    for level in LEVELS:
        losses = 1 - y[c >= level]
        if tail(len(losses), 0.0, alpha) > delta:
            continue  # even a faultless record would not do
        if found and len(losses) == len(found[1]):
            continue  # nothing was seen between: no reason to answer there
        if p_value(losses, alpha) > delta:
            break
        found = level, losses
    if found is None:
        return Rule(alpha, delta, None, len(c), 0, None, _more(c, y, alpha, delta))
    return Rule(alpha, delta, found[0], len(c), len(found[1]), float(found[1].mean()), 0)


def p_value(losses: Array, alpha: float) -> float:
    """Of "the mean loss exceeds `alpha`", for losses (n,) in [0, 1].

    Exact binomial tail for losses of 0 and 1; otherwise the smaller of Hoeffding's and Bentkus's
    bounds (Bates et al. 2021, "Distribution-free, risk-controlling prediction sets", theorem 2).
    """
    binary = bool(np.isin(losses, (0.0, 1.0)).all())
    return _bound(len(losses), float(losses.sum()), alpha, binary)


def _bound(n: int, total: float, alpha: float, binary: bool) -> float:
    if binary:
        return tail(n, total, alpha)
    mean = min(total / n, alpha)
    hoeffding = math.exp(-n * _divergence(mean, alpha))
    return min(1.0, hoeffding, math.e * tail(n, math.ceil(total), alpha))


def tail(n: int, losses: float, alpha: float) -> float:
    """P(at most `losses` of `n`) where each is lost with probability `alpha`; 1 for no reply."""
    from scipy.stats import binom

    return float(binom.cdf(losses, n, alpha)) if n else 1.0


def _divergence(a: float, b: float) -> float:
    """Kullback–Leibler divergence of two coins."""
    first = a * math.log(a / b) if a else 0.0
    return first + ((1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0)


def _more(c: Array, y: Array, alpha: float, delta: float) -> int | None:
    """How many labelled replies are missing, if new ones come at the rates seen so far.

    Of N replies the walk starts at the highest level that has enough for a faultless record to
    pass, and ends there if that fails: so a level counts only for those N that let it start there.
    """
    faultless = math.log(delta) / math.log1p(-alpha)
    binary = bool(np.isin(y, (0.0, 1.0)).all())
    fewest, upper = math.inf, float(MOST)
    for level in LEVELS:
        losses = 1 - y[c >= level]
        if not len(losses):
            continue
        times = len(c) / len(losses)
        lower = faultless * times
        if lower < upper:
            each = _enough(float(losses.mean()), alpha, delta, binary)
            total = max(each * times, lower, len(c) + 1)
            fewest = min(fewest, total if total < upper else math.inf)
            upper = lower
    return math.ceil(fewest) - len(c) if fewest < MOST else None


def _enough(rate: float, alpha: float, delta: float, binary: bool) -> float:
    """The number of answered replies at which a loss `rate` passes; infinite beyond MOST."""
    if rate >= alpha:
        return math.inf

    def passes(n: int) -> bool:
        total = rate * n if not binary else math.ceil(rate * n)
        return _bound(n, total, alpha, binary) <= delta

    low, high = 0, 1
    while not passes(high):
        low, high = high, high * 2
        if high > MOST:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return float(high)
