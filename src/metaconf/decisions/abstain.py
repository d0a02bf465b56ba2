"""Answer or abstain: the lowest confidence above which the error is certified to be at most α.

Fixed-sequence testing (Angelopoulos et al. 2021, "Learn then Test") over preset levels, from high
to low, with two starts. A level's hypothesis is "the error of the replies at or above it exceeds
α"; a walk tests one level after the other and ends at the first that it cannot reject.

1. The first walk starts at the first level where a faultless record would pass at `EARLY`·δ, and
   tests each level at that. Few replies lie there: one wrong answer often ends the walk.
2. The second starts at the first level that answers `SHARE` of the labelled replies (and where a
   faultless record would pass at δ). It tests at δ if the first walk came that far, and otherwise
   at what that walk cannot have spent: δ less the greatest actual size of a test between the two
   starts. A test of right and wrong has few outcomes, so its size is mostly well below its level.

Where the first start already answers `SHARE` there is one walk, at δ. Both starts and the levels
of all tests are functions of the counts n_l of replies at or above each level: which of the
replies are right never moves them.

Proof, for losses of 0 and 1. Let a_l be the size of the exact binomial test that the first walk
makes at level l, A its levels, and left = δ − max of a_l over A.

*Given the confidences.* All counts are fixed, and the losses are independent, with chances that
may differ. Call a level bad if the mean chance of the replies at or above it exceeds α. A bad
level of A is rejected with probability at most a_l: the lower tail of a sum of independent,
unequal losses is at most the binomial tail with the same mean (Hoeffding 1956, "On the
distribution of the number of successes in independent trials", theorem 4; it asks for at most
nα − 1 losses, which every passing record has where δ < 1/4 and α ≤ 1/2). A walk cannot get past
its first bad level without rejecting it. So if A has a bad level i, an error means that the first
walk rejects i, with probability ≤ a_i, or that the second, at `left`, rejects the first bad level
after its start: together ≤ a_i + δ − max a ≤ δ. If it has none, the second walk tests at δ or
less, and its first bad level is rejected with probability ≤ δ. Nothing is assumed about the shape
of the error here, but the error that is certified is that of the labelled replies' confidences.

*For new replies,* drawn as the labelled ones were, the error at a level is P(wrong | confidence at
or above it). Assume that below the first level i where it exceeds α, no step between two levels
errs less than α: true where the error does not fall as the confidence falls. Given the counts at i
and below, the losses at or above i are independent with a common chance > α, and those of each
further step have a chance ≥ α: at every level from i down, their sum is stochastically at least
binomial(n_l, α). Whether i lies before the second start depends on n_i alone, the first level at
or after i that a walk can test on n_i, n_{i+1}, …, and the levels above i can only lower `left`.
So the same two bounds hold given these counts, hence without them. Without the assumption (say,
sure replies that err more than those below), the start moves with the counts of replies that err
unequally, and only the statement given the confidences is left.

Levels with equal counts hold the same replies, so they pass together; the highest is named, as
nothing was seen between them. Replies with one confidence are never split. Losses between 0 and 1
(graded answers) are tested by Hoeffding's and Bentkus's bounds; the size of such a test is not
known, so the first walk gets `EARLY_GRADED` and the second what is left of δ. Ungraded replies are
not replies here (`check_pair` refuses them): the certificate is about replies like the graded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metaconf.metrics.arrays import Array, Index, check_pair

LEVELS = tuple(k / 20 for k in range(19, -1, -1))
"""Preset, so that they know nothing of the data: .95, .90, … 0."""
EARLY = 0.95
"""Share of δ for the first walk. Chosen by simulation, as SHARE was: benchmarks/certificate.py."""
EARLY_GRADED = 0.75
SHARE = 0.2
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


@dataclass(frozen=True, slots=True)
class Plan:
    """Places in LEVELS where the two walks start (len(LEVELS): nowhere), and what they test at:
    the first at `early`, the second at `left` if the first did not come as far, at δ otherwise."""

    first: int
    second: int
    early: float
    left: float


def certify(confidence: ArrayLike, correctness: ArrayLike, alpha: float, delta: float) -> Rule:
    """The rule for an error of at most `alpha` with probability 1 − `delta`, both in (0, 1).

    `confidence` and `correctness` (n,) in [0, 1], one reply a question; the loss of a reply is
    1 − correctness. Raises ValueError on bad rows, α or δ.
    """
    check_goal(alpha, delta)
    c, y = check_pair(confidence, correctness)
    counts = np.array([np.count_nonzero(c >= level) for level in LEVELS])
    totals = np.array([(1 - y[c >= level]).sum() for level in LEVELS])
    binary = is_binary(y)
    last = walk(counts, totals, alpha, delta, binary)
    if last is None:
        more = _more(counts, totals, alpha, delta, binary)
        return Rule(alpha, delta, None, len(c), 0, None, more)
    place = int(np.argmax(counts == counts[last]))
    answered = int(counts[last])
    return Rule(alpha, delta, LEVELS[place], len(c), answered, float(totals[last]) / answered, 0)


def plan(counts: Index, alpha: float, delta: float, binary: bool = True) -> Plan:
    """Where the walks start, from the counts (levels,) at or above each of LEVELS alone; the last
    of them is the number of labelled replies."""
    early = (EARLY if binary else EARLY_GRADED) * delta
    faultless = (1 - alpha) ** counts
    second = _first((faultless <= delta) & (counts >= SHARE * counts[-1]))
    first = min(_first(faultless <= early), second)
    if first == second:
        return Plan(first, second, early, delta)
    between = counts[first:second]
    spent = float(size(between, early, alpha).max()) if binary else early
    return Plan(first, second, early, delta - spent)


def size(n: Index, level: float, alpha: float) -> Array:
    """P(rejection) of the exact binomial test at `level`, for each number n of replies, where each
    is lost with probability `alpha`."""
    from scipy.special import bdtrik

    reached = np.ceil(bdtrik(level, n, alpha))
    most = np.where(tail(n, reached, alpha) <= level, reached, reached - 1)
    return np.where(most < 0, 0.0, tail(n, np.maximum(most, 0), alpha))


def _first(holds: np.ndarray) -> int:
    return int(np.argmax(holds)) if holds.any() else len(holds)


def walk(
    counts: Index, totals: Array, alpha: float, delta: float, binary: bool = True
) -> int | None:
    """Place in LEVELS of the last that passes, if any does, from the number of replies at or above
    each and the sums of their losses."""
    way = plan(counts, alpha, delta, binary)
    p = p_values(counts, totals, alpha, binary)
    reached = way.first + _first(p[way.first : way.second] > way.early)
    level = delta if reached == way.second else way.left
    end = way.second + _first(p[way.second :] > level)
    if end > way.second:
        return end - 1
    return reached - 1 if reached > way.first else None


def p_values(counts: Index, totals: Array, alpha: float, binary: bool) -> Array:
    """Of "the mean loss exceeds `alpha`", for sums `totals` of `counts` losses each; 1 for none.

    Exact binomial tail for losses of 0 and 1; otherwise the smaller of Hoeffding's and Bentkus's
    bounds (Bates et al. 2021, "Distribution-free, risk-controlling prediction sets", theorem 2).
    """
    if binary:
        return tail(counts, totals, alpha)
    mean = np.minimum(totals / np.maximum(counts, 1), alpha)
    hoeffding = np.exp(-counts * _divergence(mean, alpha))
    # Sums of grades carry rounding: 3.0000000000000004 is three.
    bentkus = math.e * tail(counts, np.ceil(totals - 1e-9), alpha)
    return np.minimum(1.0, np.minimum(hoeffding, bentkus))


def tail(n: Index, losses: Array, alpha: float) -> Array:
    """P(at most `losses` of `n`) where each is lost with probability `alpha`; 1 for no reply."""
    from scipy.special import bdtr  # binom.cdf without its checks, ten times as fast

    return np.where(n > 0, bdtr(np.minimum(losses, n), n, alpha), 1.0)


def check_goal(alpha: float, delta: float) -> None:
    """Raises ValueError for an error or a risk that does not lie between 0 and 1."""
    for name, value in (("alpha", alpha), ("delta", delta)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value!r}; it must lie between 0 and 1")


def is_binary(values: Array) -> bool:
    """Whether all are 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def _divergence(a: Array, b: float) -> Array:
    """Kullback–Leibler divergence of coins `a` from a coin `b`."""
    from scipy.special import rel_entr

    return rel_entr(a, b) + rel_entr(1 - a, 1 - b)


def _more(counts: Index, totals: Array, alpha: float, delta: float, binary: bool) -> int | None:
    """How many labelled replies are missing, if new ones come at the rates seen so far.

    Tried in steps of a tenth: more replies also move the starts, so what passes with n replies may
    fail with more of them, and bisection over all numbers could miss it.
    """
    n = int(counts[-1])
    low, high = n, n + 1
    while not _passes(high / n, counts, totals, alpha, delta, binary):
        low, high = high, max(high + 1, math.floor(high * 1.1))
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        passes = _passes(middle / n, counts, totals, alpha, delta, binary)
        low, high = (low, middle) if passes else (middle, high)
    return high - n


def _passes(
    times: float, counts: Index, totals: Array, alpha: float, delta: float, binary: bool
) -> bool:
    """Whether anything is certified with `times` as many replies, losses rounded up."""
    grown = np.floor(counts * times + 1e-9).astype(int)
    lost = totals / np.maximum(counts, 1) * grown
    lost = np.ceil(lost - 1e-9) if binary else lost
    return walk(grown, lost, alpha, delta, binary) is not None
