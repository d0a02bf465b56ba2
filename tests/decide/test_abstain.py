"""The certified rule: it holds as often as it says, and says honestly when it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from metaconf.decide.abstain import LEVELS, certify, p_value, tail


def drawn(rng: np.random.Generator, n: int, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Replies right with the probability that they state, less `bias`; eleven levels."""
    c = np.round(rng.beta(1.2, 0.8, n), 1)
    return c, (rng.random(n) < c - bias).astype(float)


def true_error(threshold: float, bias: float) -> float:
    c, y = drawn(np.random.default_rng(10), 400_000, bias)
    return float(1 - y[c >= threshold].mean())


@pytest.mark.parametrize(("alpha", "bias"), [(0.1, 0.0), (0.2, 0.1), (0.15, 0.0)])
def test_the_error_is_exceeded_no_more_often_than_allowed(alpha: float, bias: float) -> None:
    rng = np.random.default_rng(0)
    errors = {level: true_error(level, bias) for level in LEVELS}
    rules = [certify(*drawn(rng, 500, bias), alpha, 0.1) for _ in range(1000)]
    found = [rule for rule in rules if rule.threshold is not None]
    assert len(found) > 500  # it is no empty promise
    exceeded = sum(errors[rule.threshold] > alpha for rule in found)  # pyright: ignore
    assert exceeded <= binom.ppf(0.999, 1000, 0.1)


def test_more_replies_certify_more_coverage() -> None:
    coverage: list[float] = []
    for n in (200, 1000, 5000):
        samples = [drawn(np.random.default_rng(seed), n) for seed in range(20)]
        coverage.append(float(np.mean([certify(*one, 0.15, 0.1).coverage for one in samples])))
    assert coverage[0] < coverage[1] < coverage[2]
    best = max(level for level in LEVELS if true_error(level, 0) > 0.15)
    c, _ = drawn(np.random.default_rng(1), 100_000)
    assert coverage[2] <= (c > best).mean() + 0.01


def test_what_cannot_be_certified_says_how_many_replies_are_missing() -> None:
    c, y = np.full(12, 0.9), np.ones(12)
    rule = certify(c, y, 0.1, 0.1)
    assert (rule.threshold, rule.coverage, rule.error) == (None, 0, None)
    # 0.9^22 ≤ 0.1 < 0.9^21: ten more faultless replies would do.
    assert rule.more == 10
    assert certify(np.full(22, 0.9), np.ones(22), 0.1, 0.1).threshold == 0.9
    assert certify(c, np.zeros(12), 0.1, 0.1).more is None


def test_the_number_that_is_missing_is_enough() -> None:
    rng = np.random.default_rng(3)
    c, y = np.full(100, 0.8), (np.arange(100) >= 15).astype(float)
    rule = certify(c, y, 0.2, 0.05)
    assert rule.threshold is None and rule.more is not None
    n = 100 + rule.more
    later = (rng.permutation(n) >= math.ceil(0.15 * n)).astype(float)
    assert certify(np.full(n, 0.8), later, 0.2, 0.05).threshold == 0.8


@pytest.mark.parametrize("grade", [0.9, 0.95])
def test_the_number_is_enough_for_graded_replies_too(grade: float) -> None:
    rule = certify(np.full(30, 0.8), np.full(30, grade), 0.15, 0.1)
    assert rule.threshold is None and rule.more is not None
    n = 30 + rule.more
    assert certify(np.full(n, 0.8), np.full(n, grade), 0.15, 0.1).threshold == 0.8
    short = n - 2
    assert certify(np.full(short, 0.8), np.full(short, grade), 0.15, 0.1).threshold is None


def test_a_level_that_fails_first_is_not_promised_away() -> None:
    """Sure replies that are often wrong end the walk, however many there are of the others."""
    half = 50_000
    c = np.repeat([1.0, 0.5], half)
    y = np.concatenate([np.arange(half) % 2, np.ones(half)])
    rule = certify(c, y, 0.15, 0.1)
    assert (rule.threshold, rule.more) == (None, None)


def test_a_few_sure_and_wrong_ones_leave_a_number_that_would_do() -> None:
    """Of few replies the walk starts below them, where they are drowned."""
    c = np.array([1.0] + [0.5] * 14)
    y = np.array([0.0] + [1.0] * 14)
    rule = certify(c, y, 0.15, 0.1)
    assert rule.threshold is None and rule.more is not None
    n = 15 + rule.more
    sure = round(n / 15)
    again = certify(
        np.array([1.0] * sure + [0.5] * (n - sure)),
        np.array([0.0] * sure + [1.0] * (n - sure)),
        0.15,
        0.1,
    )
    assert again.threshold == 0.5


def test_graded_losses_have_a_valid_bound() -> None:
    rng = np.random.default_rng(0)
    # Mean loss is exactly alpha: the p-value may be under .1 in a tenth of the cases at most.
    losses = rng.choice([0.0, 0.25, 0.5], (2000, 80), p=[0.4, 0.4, 0.2])
    assert np.mean([p_value(row, 0.2) <= 0.1 for row in losses]) <= 0.1
    assert p_value(np.full(200, 0.05), 0.2) < 0.01
    assert p_value(np.array([0.0, 1.0, 0.0]), 0.3) == pytest.approx(0.7**3 + 3 * 0.3 * 0.7**2)
    assert tail(0, 0, 0.1) == 1


@pytest.mark.parametrize("value", [0, 1, -0.1, math.nan])
def test_bad_goals_are_refused(value: float) -> None:
    for alpha, delta in ((value, 0.1), (0.1, value)):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            certify([0.5], [1], alpha, delta)
