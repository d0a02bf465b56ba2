"""The certified rule: it holds as often as it says, and says honestly when it cannot."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from metaconf.decisions import abstain
from metaconf.decisions.abstain import (
    EARLY,
    LEVELS,
    Plan,
    certify,
    p_values,
    plan,
    size,
    tail,
    walk,
)

# Replies of a published model, each with its confidence and grade; kept outside the repository.
PUBLISHED = Path(__file__).parents[3] / "shared/data/rlcr_replies.jsonl"


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
    counts = np.full(2000, 80)
    assert np.mean(p_values(counts, losses.sum(1), 0.2, binary=False) <= 0.1) <= 0.1
    assert p_values(np.array([200]), np.array([10.0]), 0.2, binary=False) < 0.01
    exact = p_values(np.array([3, 0]), np.array([1.0, 0.0]), 0.3, binary=True)
    assert exact == pytest.approx([0.7**3 + 3 * 0.3 * 0.7**2, 1.0])


@pytest.mark.parametrize("value", [0, 1, -0.1, math.nan])
def test_bad_goals_are_refused(value: float) -> None:
    for alpha, delta in ((value, 0.1), (0.1, value)):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            certify([0.5], [1], alpha, delta)


G5 = {0.8: (45, 1), 0.75: (21, 1), 0.7: (177, 4), 0.6: (225, 20), 0.5: (84, 12), 0.3: (48, 14)}
"""Confidence: (replies, wrong ones), as RLCR has them on the first 600 CommonsenseQA questions."""


def spread(levels: dict[float, tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    c = np.repeat(list(levels), [n for n, _ in levels.values()])
    y = np.concatenate([np.arange(n) >= wrong for n, wrong in levels.values()])
    return c, y.astype(float)


def test_g5_one_wrong_sure_reply_does_not_end_it() -> None:
    rule = certify(*spread(G5), 0.05, 0.1)
    assert (rule.threshold, rule.answered, rule.labelled) == (0.7, 243, 600)
    assert rule.error == pytest.approx(6 / 243)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published replies are not here")
def test_g5_on_the_published_replies() -> None:
    rows = [json.loads(line) for line in PUBLISHED.read_text().splitlines()]
    rows = [r for r in rows if (r["set"], r["system"]) == ("commonsenseqa", "RLCR")][:600]
    rule = certify([r["confidence"] for r in rows], [r["correctness"] for r in rows], 0.05, 0.1)
    assert (rule.threshold, rule.answered) == (0.7, 243)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=400),
    st.sampled_from([0.05, 0.1, 0.3]),
    st.randoms(use_true_random=False),
)
def test_which_replies_are_right_never_moves_the_starts(
    places: list[int], alpha: float, random: Random
) -> None:
    c = np.array(places) / 20
    y = np.array([float(random.random() < 0.8) for _ in places])
    plans: list[Plan] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(abstain, "plan", lambda *a: plans.append(plan(*a)) or plans[-1])
        patch.setattr(abstain, "_more", lambda *a: None)
        for right in (y, y[::-1], 1 - y, np.ones(len(c)), np.zeros(len(c))):
            rule = certify(c, right, alpha, 0.1)
            first = plans[-1].first
            assert rule.threshold is None or rule.threshold <= LEVELS[first]
    assert len(set(plans)) == 1


def test_the_plan_spends_no_more_than_delta() -> None:
    rng = np.random.default_rng(0)
    for alpha in (0.01, 0.05, 0.2):
        for n in (100, 700, 5000):
            counts = np.sort(np.append(rng.integers(0, n, 19), n))
            way = plan(counts, alpha, 0.1)
            between = counts[way.first : way.second]
            spent = size(between, way.early, alpha).max(initial=0)
            assert spent <= EARLY * 0.1 and spent + way.left == pytest.approx(0.1)
            assert all((1 - alpha) ** between <= EARLY * 0.1)


def test_a_few_replies_have_one_start() -> None:
    """Where a fifth of the replies is too few for a faultless record to pass, δ is not split."""
    way = plan(np.array([0] * 5 + [22] * 5 + [60] * 10), 0.1, 0.1)
    assert (way.first, way.second, way.left) == (5, 5, 0.1)


def test_the_size_of_a_test_is_reached_and_kept() -> None:
    n, alpha = np.arange(1, 300), 0.1
    sizes = size(n, 0.05, alpha)
    wrong = np.arange(300)[:, None]
    chances = binom.cdf(wrong, n, alpha)
    assert sizes == pytest.approx(np.where(chances <= 0.05, chances, 0).max(0))


@pytest.mark.parametrize("sure", [0.05, 0.1, 0.3])
@pytest.mark.parametrize(("alpha", "delta"), [(0.05, 0.1), (0.1, 0.1), (0.2, 0.05)])
def test_at_the_boundary_errors_are_certified_as_rarely_as_promised(
    sure: float, alpha: float, delta: float
) -> None:
    """Everything errs at α (a hair above): any certificate is a violation."""
    rng = np.random.default_rng(0)
    shares = np.array([0, 0, sure, 0, sure, 0, 0.4, 0, 0, 0.6 - 2 * sure, *[0] * 10])
    counts = rng.multinomial(600, shares, 2000)
    totals = rng.binomial(counts, alpha).cumsum(1)
    tried = zip(counts.cumsum(1), totals, strict=True)
    certified = sum(walk(n, wrong, alpha, delta) is not None for n, wrong in tried)
    assert certified <= binom.ppf(0.999, 2000, delta)
    assert certified > 2000 * delta / 5  # nor is δ left unused


def test_a_right_answer_more_never_costs_coverage() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        c, y = drawn(rng, 400)
        before = certify(c, y, 0.15, 0.1).coverage
        y[rng.choice(np.flatnonzero(y == 0), 5, replace=False)] = 1
        assert certify(c, y, 0.15, 0.1).coverage >= before


def test_equal_counts_are_one_level() -> None:
    """Nothing lies between .9 and .6: the highest of them is named."""
    rule = certify(np.full(100, 0.9), np.ones(100), 0.1, 0.1)
    assert (rule.threshold, rule.answered) == (0.9, 100)


def test_unequal_chances_are_no_easier_than_equal_ones() -> None:
    """Hoeffding 1956: given the confidences, a level's losses differ in their chances."""
    rng = np.random.default_rng(0)
    chances = np.tile([0.0, 0.05, 0.25], 40)  # mean .1
    lost = (rng.random((20_000, 120)) < chances).sum(1)
    wrong = np.arange(12.0)
    assert ((lost[:, None] <= wrong).mean(0) <= tail(np.array(120), wrong, 0.1) + 0.01).all()
    # What the proof asks for: a record that passes has at most nα − 1 losses.
    n = np.arange(1, 2000)
    for alpha in np.linspace(0.01, 0.5, 50):
        assert binom.cdf(np.floor(n * alpha + 1e-9), n, alpha).min() >= 0.25
