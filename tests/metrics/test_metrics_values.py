"""Each metric against its closed form, a slow reading of its definition, or scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)

from metaconf import metrics as m
from metaconf.metrics import bins, selective
from metaconf.metrics.table import tabulate

RNG = np.random.default_rng(7)
N = 400
TIED = RNG.integers(0, 11, N) / 10
UNTIED = RNG.permutation((np.arange(N) + 0.5) / N)
BINARY = (RNG.random(N) < 0.3 + 0.5 * TIED).astype(float)
GRADED = RNG.integers(0, 6, N) / 5


def slow_ece(c, y, bins):
    place = [min(sum(x >= (k + 1) / bins for k in range(bins)), bins - 1) for x in c]
    gaps = [
        sum(ci - yi for ci, yi, p in zip(c, y, place, strict=True) if p == b) for b in range(bins)
    ]
    return sum(map(abs, gaps)) / len(c)


def slow_aurc(c, y):
    """Running mean of the losses, most confident first, each loss its tie's mean."""
    loss = {t: np.mean([1 - b for a, b in zip(c, y, strict=True) if a == t]) for t in set(c)}
    total, risks = 0.0, []
    for i, x in enumerate(sorted(c, reverse=True), 1):
        total += loss[x]
        risks.append(total / i)
    return np.mean(risks)


@pytest.mark.parametrize("c", [TIED, UNTIED])
@pytest.mark.parametrize("y", [BINARY, GRADED])
def test_ece_is_the_sum_of_gaps_between_bins(c, y):
    assert m.ece(c, y) == pytest.approx(slow_ece(c, y, 15), abs=1e-12)
    assert m.ece(c, y, bins=7) == pytest.approx(slow_ece(c, y, 7), abs=1e-12)


def test_a_decimal_on_an_edge_opens_its_bin():
    """0.29 · 100 is 28.999… in floating point, but 0.29 belongs with 0.295."""
    assert m.ece([0.29, 0.295], [0, 1], bins=100) == pytest.approx(abs(0.585 - 1) / 2)


def test_ece_equal_mass_of_untied_rows_is_sorted_chunks():
    order = np.argsort(UNTIED)
    chunks = zip(np.split(UNTIED[order], 10), np.split(BINARY[order], 10), strict=True)
    slow = sum(abs((a - b).sum()) for a, b in chunks) / N
    found = bins.ece_equal_mass_of(tabulate(UNTIED, BINARY), 10)
    assert float(found) == pytest.approx(slow, abs=1e-12)


def test_ace_and_mce_by_hand():
    c = [0.1] * 20 + [0.9] * 20 + [0.5]
    y = [0] * 20 + [1] * 10 + [0] * 10 + [1]
    assert m.compute("ace", c, y) == pytest.approx((0.1 + 0.4 + 0.5) / 3)
    assert m.compute("mce", c, y) == pytest.approx(
        0.4
    )  # the lone reply at 0.5 is off by 0.5, and left out
    with pytest.raises(ValueError, match="no bin holds 20"):
        m.compute("mce", [0.1, 0.9], [0, 1])


def test_m1_edges_of_bins():
    assert m.ece([0.95, 1.0], [1, 0], bins=10) == pytest.approx(0.475)
    assert m.ece([0.0], [1], bins=10) == 1.0
    tied = m.compute("ece_equal_mass", [0.9] * 20, [1] * 10 + [0] * 10)
    assert tied == pytest.approx(0.4)


def test_brier_and_nll_match_scikit_learn():
    assert m.brier(TIED, BINARY) == pytest.approx(brier_score_loss(BINARY, TIED), abs=1e-12)
    clipped = np.clip(TIED, 1e-6, 1 - 1e-6)
    assert m.compute("nll", TIED, BINARY) == pytest.approx(log_loss(BINARY, clipped), abs=1e-9)


def test_brier_and_nll_of_graded_correctness():
    assert m.brier(TIED, GRADED) == pytest.approx(np.mean((TIED - GRADED) ** 2), abs=1e-12)
    assert m.compute("nll", [0.25], [0.6]) == pytest.approx(
        -0.6 * np.log(0.25) - 0.4 * np.log(0.75)
    )
    assert m.compute("nll", [1.0], [0]) == pytest.approx(-np.log(1e-6))


@pytest.mark.parametrize("y", [BINARY, GRADED])
def test_both_decompositions_add_up_to_brier(y):
    for kind in ("murphy", "corp"):
        names = (f"{kind}_reliability", f"{kind}_resolution", "uncertainty")
        parts = [m.compute(name, TIED, y) for name in names]
        assert parts[0] - parts[1] + parts[2] == pytest.approx(m.brier(TIED, y), abs=1e-12)
        assert min(parts) >= -1e-12


def test_corp_reliability_is_what_the_isotonic_fit_gains():
    fitted = IsotonicRegression().fit_transform(UNTIED, GRADED)
    gain = np.mean((UNTIED - GRADED) ** 2) - np.mean((fitted - GRADED) ** 2)
    found = m.compute("corp_reliability", UNTIED, GRADED)
    assert found == pytest.approx(gain, abs=1e-12)


@pytest.mark.parametrize("c", [TIED, UNTIED])
def test_auroc_and_auprc_match_scikit_learn(c):
    assert m.auroc(c, BINARY) == pytest.approx(roc_auc_score(BINARY, c), abs=1e-12)
    right, wrong = average_precision_score(BINARY, c), average_precision_score(1 - BINARY, 1 - c)
    assert m.compute("auprc_right", c, BINARY) == pytest.approx(right, abs=1e-12)
    assert m.compute("auprc_wrong", c, BINARY) == pytest.approx(wrong, abs=1e-12)


def test_graded_auroc_and_auprc_are_weighted_doubled_rows():
    labels = np.repeat([1, 0], N)
    weights, c = np.concatenate([GRADED, 1 - GRADED]), np.tile(TIED, 2)
    expected = roc_auc_score(labels, c, sample_weight=weights)
    assert m.auroc(TIED, GRADED) == pytest.approx(expected, abs=1e-12)
    expected = average_precision_score(labels, c, sample_weight=weights)
    assert m.compute("auprc_right", TIED, GRADED) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("c", [TIED, UNTIED])
@pytest.mark.parametrize("y", [BINARY, GRADED])
def test_aurc_family_by_definition(c, y):
    aurc, oracle, chance = slow_aurc(c, y), slow_aurc(y, y), 1 - y.mean()
    assert m.compute("aurc", c, y) == pytest.approx(aurc, abs=1e-12)
    assert m.compute("eaurc", c, y) == pytest.approx(aurc - oracle, abs=1e-12)
    assert m.compute("prr", c, y) == pytest.approx((chance - aurc) / (chance - oracle), abs=1e-12)


def test_tied_aurc_is_the_mean_over_all_orders_of_the_tie():
    c, y = np.repeat([0.9, 0.5], 6), np.array([1, 1, 0, 1, 0.2, 1, 0, 0.4, 1, 0, 0, 1])
    rng, seen = np.random.default_rng(0), []
    for _ in range(4000):
        loss = np.concatenate([1 - rng.permutation(y[:6]), 1 - rng.permutation(y[6:])])
        seen.append(np.mean(np.cumsum(loss) / np.arange(1, 13)))
    assert m.compute("aurc", c, y) == pytest.approx(np.mean(seen), abs=5e-3)


@pytest.mark.parametrize("c", [TIED, UNTIED])
def test_augrc_follows_from_auroc_and_accuracy(c):
    a = BINARY.mean()
    closed = (1 - m.auroc(c, BINARY)) * a * (1 - a) + (1 - a) ** 2 / 2
    assert m.compute("augrc", c, BINARY) == pytest.approx(closed, abs=1e-12)


def test_perfect_and_reversed_order():
    c, y = [0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]
    assert (m.auroc(c, y), m.compute("prr", c, y), m.compute("eaurc", c, y)) == (
        1.0,
        pytest.approx(1.0),
        0.0,
    )
    assert m.compute("eaurc", [0.1, 0.5, 0.9], [1 / 3, 1 / 3, 2 / 3]) == 0.0  # no rounding below it
    assert m.auroc(c, y[::-1]) == 0.0
    assert m.compute("prr", c, y[::-1]) < 0
    assert m.compute("prr", [0.5] * 4, y) == pytest.approx(0.0)


def test_risk_and_coverage_only_between_ties():
    c, y = [0.9, 0.9, 0.5, 0.5, 0.1], [1, 1, 1, 0, 0]
    curve = m.risk_coverage(c, y)
    assert curve.threshold.tolist() == [0.9, 0.5, 0.1]
    assert curve.coverage.tolist() == pytest.approx([0.4, 0.8, 1.0])
    assert curve.risk.tolist() == pytest.approx([0.0, 0.25, 0.4])
    table = tabulate(c, y)
    assert selective.coverage_at_risk_of(table, 0.25) == pytest.approx(0.8)
    assert selective.coverage_at_risk_of(table, 0.24) == pytest.approx(0.4)
    assert m.compute("coverage_at_risk_10", [0.9, 0.1], [0, 1]) == 0.0
    assert selective.risk_at_coverage_of(table, 0.4) == 0.0
    assert selective.risk_at_coverage_of(table, 0.5) == pytest.approx(0.25)
    assert selective.risk_at_coverage_of(table, 0.0) == 0.0


def test_a_risk_met_exactly_counts_as_met():
    assert m.compute("coverage_at_risk_10", [0.8] * 10, [0] + [1] * 9) == 1.0


def test_effective_levels():
    assert m.effective_levels([0.9] * 5) == 1.0
    assert m.effective_levels([0.1, 0.2, 0.3, 0.4]) == pytest.approx(4.0)
    assert m.effective_levels([0.9] * 3 + [0.1]) == pytest.approx(1 / (0.75**2 + 0.25**2))


def slow_smooth_ece(c, y):
    t = np.linspace(0, 1, 4001)

    def at(sigma):
        images = [c[:, None] + 2 * k for k in range(-3, 4)] + [
            2 * k - c[:, None] for k in range(-3, 4)
        ]
        kernel = sum(np.exp(-((t - x) ** 2) / (2 * sigma**2)) for x in images)
        smoothed = ((c - y)[:, None] * kernel).mean(axis=0) / (sigma * np.sqrt(2 * np.pi))
        return np.trapezoid(np.abs(smoothed), t)

    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) > middle else (low, middle)
    return (low + high) / 2


@pytest.mark.parametrize("c", [TIED[:60], UNTIED[:60]])
@pytest.mark.parametrize("y", [BINARY[:60], GRADED[:60], TIED[:60] ** 0])
def test_smooth_ece_solves_its_own_equation(c, y):
    assert m.compute("smooth_ece", c, y) == pytest.approx(slow_smooth_ece(c, y), abs=2e-4)


def test_smooth_ece_ends():
    assert m.compute("smooth_ece", [0.0] * 4, [1, 1, 0, 0]) == pytest.approx(0.5, abs=1e-4)
    assert m.compute("smooth_ece", [0.5] * 4, [0, 1, 0, 1]) == pytest.approx(0.0, abs=1e-4)
    assert m.compute("smooth_ece", [0.9] * 10, [0] * 10) == pytest.approx(0.9, abs=1e-4)


def test_reliability_bins_hold_their_rows():
    bins: Any = m.reliability_bins([0.05, 0.95, 1.0], [0, 1, 0.5], bins=10)
    assert [(b.low, b.high, b.n) for b in bins] == [(0.0, 0.1, 1), (0.9, 1.0, 2)]
    assert (bins[1].confidence, bins[1].accuracy) == (pytest.approx(0.975), pytest.approx(0.75))
    assert all(0 <= b.accuracy_low <= b.accuracy <= b.accuracy_high <= 1 for b in bins)
    tied: Any = m.reliability_bins(TIED, GRADED)
    gap = sum(b.n * abs(b.confidence - b.accuracy) for b in tied)
    assert gap / N == pytest.approx(m.ece(TIED, GRADED), abs=1e-12)


def test_bins_count_a_question_once_for_their_interval():
    c, y = [0.5] * 8, [1, 1, 1, 1, 0, 0, 0, 0]
    rows: Any = m.reliability_bins(c, y)[0]
    questions: Any = m.reliability_bins(c, y, "aaaabbbb")[0]
    assert (questions.n, questions.accuracy) == (rows.n, rows.accuracy)
    assert (questions.accuracy_low, questions.accuracy_high) == pytest.approx(m.wilson(0.5, 2))
    assert questions.accuracy_high - questions.accuracy_low > rows.accuracy_high - rows.accuracy_low


def test_wilson_by_its_quadratic():
    """The ends p solve (s − p)² = z² p (1 − p) / n."""
    for p in m.wilson(0.3, 17):
        assert (0.3 - p) ** 2 == pytest.approx(1.959963984540054**2 * p * (1 - p) / 17)


@pytest.mark.parametrize(("n", "seen"), [(200, 0.073), (1000, 0.035), (10_000, 0.011)])
def test_null_band_shows_the_bias_of_ece(n, seen):
    c = np.random.default_rng(0).random(n)
    mean, low, high = bins.null_band_of(tabulate(c, c), 0, 1000)
    assert mean == pytest.approx(seen, rel=0.2)
    assert low < mean < high


def test_null_band_contains_calibrated_and_not_overconfident_replies():
    rng = np.random.default_rng(3)
    c = rng.random(3000)
    draws = [m.ece(c, rng.random(3000) < c) for _ in range(60)]
    _, low, high = bins.null_band_of(tabulate(c, c), 0, 1000)
    assert 50 <= sum(low <= x <= high for x in draws) <= 60
    assert m.ece(c, rng.random(3000) < 0.8 * c) > high


def test_m4_isotonic_map_holds_its_ends():
    c, y = np.repeat([0.3, 0.5, 0.8], 10), [1] + [0] * 9 + [1] * 5 + [0] * 5 + [1] * 9 + [0]
    fit = m.fit_isotonic(c, y)
    assert m.apply_isotonic(fit, [0.0, 0.3, 0.8, 1.0]).tolist() == pytest.approx(
        [0.1, 0.1, 0.9, 0.9]
    )


def test_isotonic_map_matches_scikit_learn():
    fit, reference = m.fit_isotonic(TIED, GRADED), IsotonicRegression(out_of_bounds="clip")
    grid = np.linspace(0, 1, 301)
    expected = reference.fit(TIED, GRADED).predict(grid)
    assert m.apply_isotonic(fit, grid) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("count", [0, -3, 2.5, True, "15"])
def test_bins_that_are_none_are_refused(count):
    for metric in (m.ece, m.reliability_bins):
        with pytest.raises(ValueError, match=r"bins is .*whole number"):
            metric([0.5] * 30, [1] * 30, bins=count)


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="no metric 'acuracy'; choose from parse_rate"):
        m.compute("acuracy", [0.5], [1])
