"""Words against number: values by hand and by scipy, ties, unknown values, intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from metaconf.metrics import (
    ReadReplies,
    agreement_differences,
    agreement_figures,
    auroc,
    auroc_within,
    contradicts,
    rank_correlation,
    reading_aurocs,
)

RNG = np.random.default_rng(5)
C = RNG.integers(0, 11, 400) / 10
R = np.round(np.clip(0.2 + 0.6 * C + RNG.normal(0, 0.2, 400), 0, 1), 2)
IDS = [f"q{i}" for i in range(400)]


def value(name: str, c: Any, r: Any) -> float:
    """One figure of words and number, without its interval."""
    run = ReadReplies(c, r, range(len(c)))
    found = agreement_figures(run, replicates=0)[name].value
    assert found is not None
    return found


def test_values_by_hand() -> None:
    c, r = [0.0, 0.05, 0.5, 1.0], [0.2, 0.25, 0.5, 0.6]
    # Faithfulness .8, .8, 1, .6; bins of equal width [0, .1), [.5, .6), [.9, 1].
    assert value("mfg", c, r) == pytest.approx(0.8)
    assert value("cmfg", c, r) == pytest.approx((0.8 + 1.0 + 0.6) / 3)
    # Four bins of mass: edges .025, .275 and .75 between the confidences, 0 and 1 at the ends.
    widths = [0.025, 0.25, 0.475, 0.25]
    assert value("cmfg_star", c, r) == pytest.approx(np.dot(widths, [0.8, 0.8, 1.0, 0.6]))


def test_ties_stay_in_one_bin_and_order_does_not_matter() -> None:
    c, r = [0.2] * 30 + [0.8] * 10, [0.2] * 30 + [0.4] * 10
    assert value("cmfg_star", c, r) == pytest.approx(0.5 * 1.0 + 0.5 * 0.6)
    order = RNG.permutation(400)
    for name in ("mfg", "cmfg", "cmfg_star", "reading_rank_correlation"):
        assert value(name, C[order], R[order]) == pytest.approx(value(name, C, R))


def test_a_text_of_one_tone_gets_about_half() -> None:
    c = np.linspace(0, 1, 1001)
    mostly_low = np.concatenate([c, np.full(20_000, 0.1)])
    for tone in (0.1, 0.9):
        assert value("cmfg_star", c, np.full(c.shape, tone)) == pytest.approx(0.59, abs=0.01)
    assert value("mfg", mostly_low, np.full(mostly_low.shape, 0.1)) > 0.97
    assert value("cmfg", mostly_low, np.full(mostly_low.shape, 0.1)) < 0.62


def test_rank_correlation_is_spearmans() -> None:
    assert rank_correlation(C, R) == pytest.approx(spearmanr(C, R)[0])
    assert np.isnan(rank_correlation(C, np.full(C.shape, 0.5)))


def test_unknown_values_are_left_out_and_counted() -> None:
    r = np.where(np.arange(400) < 50, np.nan, R)
    found = agreement_figures(ReadReplies(C, r, IDS), replicates=50)
    assert found["mfg"].n == 350
    assert found["mfg"].value == pytest.approx(value("mfg", C[50:], R[50:]))
    assert found["cmfg_bins"].value == len(np.unique(np.minimum(C[50:] * 10 + 1e-9, 9).astype(int)))
    nothing = agreement_figures(ReadReplies([None, 0.5], [0.3, None], ["a", "b"]), replicates=10)
    assert all(figure.value is None and figure.reason for figure in nothing.values())


def test_contradictions() -> None:
    c = [0.9, 0.9, 0.6, 0.5, 0.2, 0.1, 0.9, None]
    r = [0.4, 0.41, 0.1, 0.0, 0.6, 0.59, None, 0.1]
    expected = [1.0, 0.0, 1.0, np.nan, 1.0, 0.0, np.nan, np.nan]
    np.testing.assert_array_equal(contradicts(c, r), expected)
    rate = agreement_figures(ReadReplies(c, r, list(range(8))), replicates=200)[
        "contradiction_rate"
    ]
    assert (rate.value, rate.n) == (0.6, 5)
    never = agreement_figures(ReadReplies([0.9] * 44, [0.9] * 44, IDS[:44]))["contradiction_rate"]
    assert never.value == 0.0 and never.high is not None and 0.05 < never.high < 0.12


def test_intervals_hold_the_value_and_shrink() -> None:
    found = agreement_figures(ReadReplies(C, R, IDS))
    few = agreement_figures(ReadReplies(C[:100], R[:100], IDS[:100]))
    for name in ("mfg", "cmfg", "cmfg_star", "reading_rank_correlation", "reading_gap"):
        wide, narrow = few[name], found[name]
        assert None not in (narrow.low, narrow.value, narrow.high, wide.low, wide.high)
        assert narrow.low < narrow.value < narrow.high  # type: ignore[operator]
        assert narrow.high - narrow.low < wide.high - wide.low  # type: ignore[operator]
    # Spearman's standard error by Fisher's transform.
    rho = found["reading_rank_correlation"]
    error = (1 - (rho.value or 0) ** 2) / np.sqrt(400)
    assert (rho.high or 0) - (rho.low or 0) == pytest.approx(2 * 1.96 * error, rel=0.4)


def test_differences_are_paired() -> None:
    a, b = ReadReplies(C, R, IDS), ReadReplies(C, C, IDS)
    same = agreement_differences(a, a, replicates=100)
    assert all(figure.value == 0.0 for figure in same.values())
    found = agreement_differences(a, b, replicates=300)
    star = found["cmfg_star"]
    assert star.value == pytest.approx(value("cmfg_star", C, R) - 1.0) and star.n == 400
    assert star.high is not None and star.high < 0


def test_how_well_the_reading_alone_ranks() -> None:
    y, kinds = (RNG.random(400) < C).astype(float), (np.arange(400) % 3).tolist()
    found = reading_aurocs(R, y, IDS, kinds, replicates=200)
    assert found["reading_auroc"].value == pytest.approx(auroc(R, y))
    within = found["reading_auroc_within"]
    assert within.value == pytest.approx(auroc_within(R, y, kinds)[0]) and within.n == 400


def test_wrong_values_are_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        value("mfg", [0.5], [1.5])
    with pytest.raises(ValueError, match="rows"):
        agreement_figures(ReadReplies([0.5], [0.5, 0.5], ["a"]))
