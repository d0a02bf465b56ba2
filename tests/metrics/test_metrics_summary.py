"""Summaries: counts, missing values, strict JSON, intervals; and paired differences."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from metaconf import metrics as m
from metaconf.metrics.bins import null_band_of
from metaconf.metrics.bootstrap import interval, resamples
from metaconf.metrics.figures import figures_from_json, figures_to_json
from metaconf.metrics.table import coarsen, group, tabulate

NAN = float("nan")
KEYS = {
    "n", "parse_rate", "graded_rate", "accuracy", "mean_confidence", "ece", "ece_equal_mass",
    "smooth_ece", "brier", "nll", "auroc", "aurc", "eaurc", "augrc", "prr", "effective_levels",
    "ece_null_band",
}  # fmt: skip


def strict(figures):
    """What a strict JSON reader makes of the figures: the same ones."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    text = json.dumps(figures_to_json(figures), allow_nan=False)
    read = figures_from_json(json.loads(text, parse_constant=refuse), "the figures")
    assert read == figures
    return read


def ends(figure: m.Figure) -> tuple[float, float]:
    """The interval's ends; fails where there is none."""
    assert figure.low is not None and figure.high is not None, figure.reason
    return figure.low, figure.high


def width(figure: m.Figure) -> float:
    low, high = ends(figure)
    return high - low


def replies(n, seed=0, levels=10):
    rng = np.random.default_rng(seed)
    c = rng.integers(0, levels + 1, n) / levels
    return c, (rng.random(n) < 0.2 + 0.6 * c).astype(float)


def test_values_are_those_of_the_plain_functions():
    c, y = replies(500)
    figures = strict(m.summarise(c, y, range(500), replicates=20))
    assert set(figures) >= KEYS
    for name in KEYS & m.METRICS.keys() - {"parse_rate", "graded_rate"}:
        assert figures[name].value == m.compute(name, c, y), name
    assert figures["ece"].value == m.ece(c, y)
    assert figures["effective_levels"].value == m.effective_levels(c)
    assert width(figures["effective_levels"]) > 0
    assert figures["accuracy"].value == y.mean()
    assert figures["mean_confidence"].value == pytest.approx(c.mean())
    band = figures["ece_null_band"]
    assert (band.value, band.low, band.high) == null_band_of(tabulate(c, y), 0, 20)
    for figure in figures.values():
        assert set(figure.to_json()) == {"value", "low", "high", "n", "reason"}


def test_m2_all_right_loses_only_what_needs_both_classes():
    figures = strict(m.summarise([0.5, 0.6, 0.7, 0.8, 0.9, 1.0], [1] * 6, range(6), replicates=100))
    assert figures["auroc"].value is None
    assert "right" in (figures["auroc"].reason or "")
    assert figures["prr"].value is None
    assert figures["accuracy"].value == 1.0
    assert figures["ece"].value == pytest.approx(0.25)
    assert figures["aurc"].value == 0.0


def test_m3_unparsed_replies_stay_in_the_accuracy():
    c = [0.9] * 8 + [NAN] * 2
    figures = m.summarise(c, [1] * 6 + [0] * 4, range(10), replicates=100)
    assert (figures["accuracy"].value, figures["accuracy"].n) == (0.6, 10)
    assert figures["parse_rate"].value == 0.8
    assert (figures["ece"].n, figures["mean_confidence"].n) == (8, 8)
    right_without_confidence = m.summarise([0.9, None], [0, 1], [1, 2], replicates=100)
    assert right_without_confidence["accuracy"].value == 0.5


def test_ungraded_replies_are_counted_and_not_called_wrong():
    figures = strict(m.summarise([0.9, 0.8, 0.7, NAN], [1, NAN, 0, NAN], range(4), replicates=50))
    assert figures["graded_rate"].value == 0.5
    assert (figures["accuracy"].value, figures["accuracy"].n) == (0.5, 2)
    assert figures["mean_confidence"].value == pytest.approx(0.8)
    assert figures["ece"].n == 2


@pytest.mark.parametrize(
    ("c", "y", "gone", "reason"),
    [
        ([], [], "parse_rate", "no replies"),
        ([NAN, NAN], [1, 0], "brier", "both"),
        ([NAN, NAN], [1, 0], "mean_confidence", "states a confidence"),
        ([0.1, 0.9], [NAN, NAN], "accuracy", "graded"),
        ([0.1, NAN], [NAN, 1], "ece_null_band", "both"),
    ],
)
def test_what_cannot_be_computed_says_why(c, y, gone, reason):
    figure = strict(m.summarise(c, y, range(len(c)), replicates=20))[gone]
    assert figure.value is None
    assert reason in (figure.reason or "")


def test_no_interval_is_invented():
    one = m.summarise([0.1, 0.9], [0, 1], ["q", "q"], replicates=100)
    assert (one["accuracy"].low, one["accuracy"].reason) == (
        None,
        "no interval: one question, or no resamples",
    )
    same = m.summarise([0.9] * 6, [1] * 6, range(6), replicates=100)["mean_confidence"]
    assert (same.low, "do not vary" in str(same.reason)) == (None, True)
    rare = m.summarise([0.9] * 50, [0] + [1] * 49, range(50), replicates=100)["auroc"]
    assert (rare.value, rare.low) == (0.5, None)


def test_a_rate_that_is_all_alike_is_bounded_by_its_questions():
    """Wilson's interval; questions that are not graded bound no accuracy."""
    ids, grades = [0, 0, 1, 2, 3, 4, 5], [1, 1, 1, 1, 1, None, None]
    found = m.summarise([0.9] * 7, grades, ids, replicates=50)
    assert (found["parse_rate"].low, found["parse_rate"].high) == m.wilson(1.0, 6)
    assert (found["accuracy"].low, found["accuracy"].high) == m.wilson(1.0, 4)
    run = m.ScoredReplies([0.9] * 7, grades, ids)
    assert m.paired_difference("accuracy", run, run, replicates=50).low is None


def test_parts_of_brier_stand_beside_it_with_intervals():
    c, y = replies(400)
    found = m.summarise(c, y, range(400), replicates=100)
    for kind in ("murphy", "corp"):
        for name in (f"{kind}_reliability", f"{kind}_resolution"):
            assert found[name].value == pytest.approx(m.compute(name, c, y), abs=1e-12)
            assert width(found[name]) > 0
    assert found["uncertainty"].value == pytest.approx(m.compute("uncertainty", c, y), abs=1e-12)


def test_bad_rows_are_refused():
    with pytest.raises(ValueError, match=r"row 1 \(1.5\)"):
        m.summarise([0.1, 1.5], [0, 1], [1, 2], replicates=100)
    with pytest.raises(ValueError, match="1 question ids for 2"):
        m.summarise([0.1, 0.5], [0, 1], [1])


def test_seed_decides_the_interval():
    c, y = replies(200)
    first = m.summarise(c, y, range(200), replicates=100)
    assert m.summarise(c, y, range(200), replicates=100) == first
    assert m.summarise(c, y, range(200), replicates=100, seed=1)["ece"] != first["ece"]


def test_accuracy_interval_has_the_binomial_width():
    _, y = replies(1000)
    figure = m.summarise([0.5] * 1000, y, range(1000))["accuracy"]
    expected = 2 * 1.96 * np.sqrt(y.mean() * (1 - y.mean()) / 1000)
    assert width(figure) == pytest.approx(expected, rel=0.1)


def test_copies_of_a_reply_do_not_narrow_the_interval():
    """Eight equal replies a question carry no more than one: the width must not shrink by √8."""
    c, y = replies(400)
    names = ("accuracy", "brier", "ece", "auroc", "aurc")
    single = m.summarise(c, y, range(400), names)
    copied = m.summarise(np.repeat(c, 8), np.repeat(y, 8), np.repeat(np.arange(400), 8), names)
    for name in names:
        widths = [width(f[name]) for f in (single, copied)]
        assert widths[1] == pytest.approx(widths[0], rel=0.15), name


def test_collapsed_resamples_agree_with_a_plain_row_bootstrap():
    c, y = replies(300)
    names = ("auroc", "aurc", "brier")
    figures, rng = m.summarise(c, y, range(300), names), np.random.default_rng(5)
    for name in names:
        picks = rng.integers(300, size=(400, 300))
        values = [m.compute(name, c[p], y[p]) for p in picks]
        plain = np.quantile(values, [0.025, 0.975])
        assert width(figures[name]) == pytest.approx(plain[1] - plain[0], rel=0.2), name


def test_intervals_of_untied_confidences_agree_with_exact_ones(monkeypatch):
    rng = np.random.default_rng(2)
    c = rng.beta(4, 1, 5000)
    y = rng.random(5000) < c**2
    coarse = m.summarise(c, y, range(5000), replicates=200)
    monkeypatch.setattr("metaconf.metrics.summary._FINEST", 10**9)
    exact = m.summarise(c, y, range(5000), replicates=200)
    assert coarse["effective_levels"].value == 5000
    assert coarse["effective_levels"].low is None
    rates = {"parse_rate", "graded_rate"}
    for name in sorted(KEYS - {"n", "effective_levels", "ece_null_band"} - rates):
        assert coarse[name].value == exact[name].value
        tolerance = 0.25 * width(exact[name])
        assert ends(coarse[name]) == pytest.approx(ends(exact[name]), abs=tolerance), name


def test_neighbourhoods_keep_ties_bins_and_means():
    c = np.array([0.1, 0.1, 0.1, 0.45, 0.55, 0.9, np.nan])
    merged = coarsen(c, 1, np.array([0.0, 0.5, 1.0]))
    assert merged[:6].tolist() == pytest.approx([0.1875] * 4 + [0.725] * 2)
    assert np.isnan(merged[6])


def test_interval_covers_the_truth(monkeypatch):
    """Replies of a known process, 100 times: about 95 intervals must hold the true figure."""
    c = np.repeat([0.2, 0.6, 0.9], 100)
    truth = np.repeat([0.4, 0.5, 0.6], 100)
    brier, ece = np.mean((c - truth) ** 2 + truth * (1 - truth)), 0.2 / 3 + 0.1 / 3 + 0.1
    few = {name: m.METRICS[name] for name in ("brier", "ece")}
    monkeypatch.setattr("metaconf.metrics.summary.METRICS", few)
    hits, rng = {"brier": 0, "ece": 0}, np.random.default_rng(11)
    for seed in range(100):
        figures = m.summarise(c, rng.random(300) < truth, range(300), seed=seed, replicates=200)
        for name, true in (("brier", brier), ("ece", ece)):
            low, high = ends(figures[name])
            hits[name] += bool(low <= true <= high)
    assert hits["brier"] >= 88
    assert hits["ece"] >= 85


def test_interval_is_moved_by_the_bias_of_the_resamples():
    replicated = np.linspace(0.14, 0.16, 1001)
    assert interval(0.10, replicated, 0.0, 1.0) == pytest.approx((0.0905, 0.1095))
    assert interval(0.005, replicated, 0.0, 1.0) == pytest.approx((0.0, 0.0145))


@pytest.mark.parametrize("per_dense", [0, 8])
def test_a_drawn_question_brings_all_its_replies(monkeypatch, per_dense):
    """Both ways of counting: by gathering rows and by a matrix product."""
    monkeypatch.setattr("metaconf.metrics.bootstrap._DENSE", per_dense)
    cells = group(np.array([0.2, 0.2, 0.2, 0.9, 0.9, 0.9]), np.zeros(6))
    question = np.array([0, 0, 1, 0, 1, 1])
    blocks = [block[0] for block in resamples([(cells, question)], 2, 300, seed=0)]
    drawn = {tuple(row) for row in np.concatenate(blocks)}
    assert drawn == {(4.0, 2.0), (3.0, 3.0), (2.0, 4.0)}


def test_ece_interval_holds_its_own_value():
    rng = np.random.default_rng(4)
    c = rng.random(400)
    figure = m.summarise(c, rng.random(400) < c, range(400))["ece"]
    low, high = ends(figure)
    assert figure.value is not None and low <= figure.value <= high


def test_paired_difference_cancels_what_questions_share():
    c, y = replies(500)
    raised = np.clip(c + 0.1, 0, 1)
    a, b = m.ScoredReplies(c, y, range(500)), m.ScoredReplies(raised, y, range(500))
    paired = m.paired_difference("brier", a, b)
    assert paired.value == m.brier(c, y) - m.brier(raised, y)
    alone = [m.summarise(*run, ["brier"])["brier"] for run in (a, b)]
    apart = np.hypot(width(alone[0]), width(alone[1]))
    assert width(paired) < 0.5 * apart
    same = m.paired_difference("brier", a, a)
    assert (same.value, same.low) == (0.0, None)


def test_pairs_go_by_question_and_not_by_row():
    c, y = replies(300)
    order = np.random.default_rng(0).permutation(300)
    a, b = m.ScoredReplies(c, y, range(300)), m.ScoredReplies(np.sqrt(c), y, range(300))
    shuffled = m.ScoredReplies(np.sqrt(c)[order], y[order], order.tolist())
    assert m.paired_difference("ece", a, shuffled) == m.paired_difference("ece", a, b)


def test_paired_runs_may_differ_in_samples_but_not_in_questions():
    c, y = replies(200)
    eight = m.ScoredReplies(np.repeat(c, 8), np.repeat(y, 8), np.repeat(np.arange(200), 8))
    figure = m.paired_difference("accuracy", eight, m.ScoredReplies(c, y, np.arange(200)))
    assert figure.value == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ValueError, match=r"2 questions stand in one run only \('b', 'c'\)"):
        m.paired_difference(
            "ece",
            m.ScoredReplies([0.1, 0.2], [0, 1], "ab"),
            m.ScoredReplies([0.1, 0.2], [0, 1], "ac"),
        )
    with pytest.raises(ValueError, match="no metric 'acuracy'"):
        m.paired_difference("acuracy", eight, eight)


def test_a_difference_that_one_side_lacks_names_the_side():
    a, b = m.ScoredReplies([0.1, 0.9], [0, 1], "ab"), m.ScoredReplies([0.1, 0.9], [1, 1], "ab")
    figure = strict({"auroc": m.paired_difference("auroc", a, b)})["auroc"]
    assert figure.value is None
    assert (figure.reason or "").startswith("second run:")


def test_a_hundred_thousand_replies_are_quick():
    """The target is 3 s on one free core; twice that still tells a loop over rows apart."""
    c, y = replies(100_000)
    start = time.process_time()
    m.summarise(c, y, range(100_000), replicates=1000)
    assert time.process_time() - start < 6


def test_an_interval_holds_its_value_and_needs_nine_in_ten_resamples() -> None:
    # One resample in fifty is far off: the mean lies outside of the middle 95 %.
    low = np.concatenate([np.linspace(0.9, 0.91, 980), np.zeros(20)])
    ends = interval(0.9, low, 0.0, 1.0)
    assert not isinstance(ends, str) and ends[0] == 0.9 < ends[1]
    ends = interval(0.1, 1 - low, 0.0, 1.0)
    assert not isinstance(ends, str) and ends[0] < 0.1 == ends[1]
    for known, reason in ((900, False), (899, True)):
        values = np.where(np.arange(1000) < known, np.linspace(0, 1, 1000), NAN)
        assert isinstance(interval(0.4, values, 0.0, 1.0), str) == reason


def test_resamples_come_in_blocks_and_add_up() -> None:
    cells = group(np.linspace(0, 1, 4000), np.zeros(4000))
    sizes = [len(block) for (block,) in resamples([(cells, np.arange(4000))], 4000, 100, 0)]
    assert len(sizes) > 1 and sum(sizes) == 100


def test_a_difference_below_0_has_an_end_on_either_side() -> None:
    rng = np.random.default_rng(0)
    y, ids = (rng.random(200) < 0.6).astype(float), np.arange(200)
    near, far = np.abs(y - 0.3 * rng.random(200)), np.abs(y - rng.random(200))
    runs = [m.ScoredReplies(c, y, ids) for c in (near, far)]
    found = m.paired_difference("brier", *runs, replicates=200)
    assert found.low is not None and found.value is not None and found.high is not None
    assert found.low < found.value < found.high < 0


def test_a_missing_confidence_is_in_no_neighbourhood() -> None:
    merged = coarsen(np.array([1.0, NAN, 1.0, 0.5]), 1, np.array([0.0, 1.0]))
    assert merged.tolist() == pytest.approx([1.0, NAN, 1.0, 0.5], nan_ok=True)
