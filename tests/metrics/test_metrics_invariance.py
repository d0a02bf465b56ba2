"""No number may depend on the order of rows, on repeats, or on rows that must not be there."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaconf import metrics as m

PAIRS = {
    "ece": m.ece,
    "effective_levels": lambda c, y: m.effective_levels(c),
    **{
        name: partial(m.compute, name)
        for name in (
            *("ece_equal_mass", "ace", "smooth_ece", "brier", "nll", "auroc"),
            *("auprc_right", "auprc_wrong", "augrc", "murphy_reliability", "murphy_resolution"),
            *("corp_reliability", "corp_resolution", "coverage_at_risk_10", "risk_at_coverage_80"),
        )
    },
}
SUMS = {name: partial(m.compute, name) for name in ("aurc", "eaurc", "prr")}
REPLIES = st.lists(
    st.tuples(st.integers(0, 10), st.integers(0, 5)), min_size=2, max_size=40
).filter(lambda rows: len({y for _, y in rows}) > 1)


def arrays(rows):
    c, y = np.array(rows, dtype=float).T
    return c / 10, y / 5


@settings(max_examples=40, deadline=None)
@given(REPLIES, st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(rows, random):
    shuffled = random.sample(rows, len(rows))
    for name, metric in {**PAIRS, **SUMS}.items():
        assert metric(*arrays(shuffled)) == metric(*arrays(rows)), name


@settings(max_examples=40, deadline=None)
@given(REPLIES, st.integers(2, 4))
def test_repeating_all_rows_changes_nothing(rows, times):
    for name, metric in PAIRS.items():
        once, often = metric(*arrays(rows)), metric(*arrays(rows * times))
        assert often == pytest.approx(once, abs=1e-9), name


def test_repeats_move_the_discrete_areas_by_log_n_over_n_only():
    rng = np.random.default_rng(0)
    c, y = rng.integers(0, 11, 500) / 10, rng.integers(0, 2, 500)
    for metric in SUMS.values():
        once, often = metric(c, y), metric(np.tile(c, 5), np.tile(y, 5))
        assert often == pytest.approx(once, abs=2 * np.log(500) / 500)


def test_shuffled_summary_is_the_same_to_the_last_digit():
    rng = np.random.default_rng(1)
    c, y, q = rng.integers(0, 11, 300) / 10, rng.integers(0, 6, 300) / 5, np.arange(300) // 3
    order = rng.permutation(300)
    for ids in (q.tolist(), list(range(300)), [f"q{i}" for i in q]):
        first = m.summarise(c, y, ids, replicates=50)
        again = m.summarise(c[order], y[order], [ids[i] for i in order], replicates=50)
        assert again == first


@pytest.mark.parametrize("metric", [*PAIRS.values(), *SUMS.values()])
def test_bad_rows_are_named(metric):
    good = [0, 1, 0, 1]
    with pytest.raises(ValueError, match=r"confidence is missing.*row 2 \(nan\)"):
        metric([0.1, 0.5, float("nan"), 0.2], good)
    with pytest.raises(ValueError, match=r"confidence is outside.*row 1 \(1.2\), row 3 \(-0.1\)"):
        metric([0.1, 1.2, 0.5, -0.1], good)
    with pytest.raises(ValueError, match="no rows"):
        metric([], [])


@pytest.mark.parametrize("metric", [m.ece, m.auroc, m.brier, m.reliability_bins])
def test_bad_correctness_is_named_too(metric):
    with pytest.raises(ValueError, match=r"correctness is missing.*row 0"):
        metric([0.1, 0.2], np.array([None, 1], dtype=object))
    with pytest.raises(ValueError, match=r"correctness is outside.*row 1 \(2.0\)"):
        metric([0.1, 0.2], [0, 2])
    with pytest.raises(ValueError, match="confidence has 2 rows, correctness 3"):
        metric([0.1, 0.2], [0, 1, 1])
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        metric([[0.1, 0.2]], [[0, 1]])


def test_text_is_no_number():
    with pytest.raises(ValueError, match="give numbers"):
        m.brier(["0.5", "0.7"], [0, 1])
    with pytest.raises(ValueError, match=r"is no number: row 1 \(0.7\)"):
        m.brier(np.array([None, "0.7"], dtype=object), [0, 1])
    with pytest.raises(ValueError, match="outside"):
        m.brier([float("inf")], [0])


def test_many_bad_rows_are_counted():
    with pytest.raises(ValueError, match="and 95 more"):
        m.brier([2.0] * 100, [0] * 100)


@pytest.mark.parametrize("name", ["auroc", "auprc_right", "auprc_wrong", "prr"])
@pytest.mark.parametrize("truth", [0, 1])
def test_one_class_is_an_error_with_a_reason(name, truth):
    with pytest.raises(ValueError, match=r"nothing is (right|wrong)|equally right"):
        m.compute(name, [0.2, 0.5], [truth, truth])


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="bins is 0"):
        m.ece([0.5], [1], bins=0)
    with pytest.raises(ValueError, match="question ids"):
        m.reliability_bins([0.5, 0.6], [1, 0], ["a"])
