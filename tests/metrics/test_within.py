"""AUROC within kinds: pairs of one kind alone, whatever the order, and what is warned of."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from metaconf.metrics import (
    Figure,
    ScoredReplies,
    auroc,
    auroc_within,
    auroc_within_difference,
    auroc_within_figure,
    ranking_warning,
    summarise,
)
from metaconf.metrics.within import LEAST, ONE_KIND

RNG = np.random.default_rng(0)
N = 400
KINDS = (np.arange(N) % 3).tolist()
EASE = np.array([0.1, 0.5, 0.9])[KINDS]
Y = (RNG.random(N) < EASE).astype(float)
KNOWS = np.round(0.6 * EASE + 0.1 * Y + 0.3 * RNG.random(N), 1)
IDS = [f"q{i}" for i in range(N)]


def warned(confidence: np.ndarray, kinds: list[int], y: np.ndarray = Y) -> str | None:
    ids = IDS[: len(y)]
    within = auroc_within_figure(ScoredReplies(confidence, y, ids), kinds, replicates=200)
    names = ["auroc", "effective_levels"]
    figures = summarise(confidence, y, ids, names, replicates=200)
    return ranking_warning({**figures, "auroc_within": within})


def test_it_is_the_mean_over_kinds_weighted_by_pairs() -> None:
    kinds, scores = np.array(KINDS), RNG.random(N).round(1)
    won = pairs = 0.0
    for kind in range(3):
        inside = kinds == kind
        here = Y[inside].sum() * (1 - Y[inside]).sum()
        won, pairs = won + here * roc_auc_score(Y[inside], scores[inside]), pairs + here
    assert auroc_within(scores, Y, KINDS) == (pytest.approx(won / pairs), pairs)
    order = RNG.permutation(N)
    again = auroc_within(scores[order], Y[order], kinds[order].tolist())
    assert again == auroc_within(scores, Y, KINDS)
    assert auroc_within(scores, Y, ["one"] * N)[0] == pytest.approx(auroc(scores, Y))


def test_graded_and_missing_rows() -> None:
    y = Y * 0.6 + 0.2
    weights = [0.2, 0.8, 0.8, 0.2, 0.8, 0.2]
    doubled = roc_auc_score([1, 0] * 3, np.repeat([0.1, 0.5, 0.9], 2), sample_weight=weights)
    assert auroc_within([0.1, 0.5, 0.9], [0.2, 0.8, 0.8], "aaa")[0] == pytest.approx(doubled)
    known = auroc_within(KNOWS, y, KINDS)
    more = auroc_within([*KNOWS, None, 0.5], [*y, 1.0, None], [*KINDS, 0, 0])
    assert more == (pytest.approx(known[0]), known[1])
    with pytest.raises(ValueError, match="outside"):
        auroc_within([1.5], [1.0], ["a"])


def test_the_interval_holds_the_value_and_needs_two_kinds() -> None:
    run = ScoredReplies(KNOWS, Y, IDS)
    figure = auroc_within_figure(run, KINDS, replicates=300)
    assert figure.value == auroc_within(KNOWS, Y, KINDS)[0] and figure.n == N
    assert figure.low is not None and figure.high is not None
    assert figure.low < auroc_within(KNOWS, Y, KINDS)[0] < figure.high < figure.low + 0.2
    assert auroc_within_figure(run, [None] * N) == Figure(n=N, reason=ONE_KIND)
    assert auroc_within_figure(run, [None, *["a"] * (N - 1)], replicates=20).value is not None
    # The one question of another kind has no grade.
    alone = ScoredReplies(KNOWS, [None, *Y[1:]], IDS)
    assert auroc_within_figure(alone, ["b", *["a"] * (N - 1)]).reason == ONE_KIND
    right = auroc_within_figure(ScoredReplies(KNOWS, np.ones(N), IDS), KINDS)
    assert right.value is None and right.reason == "no kind has right and wrong replies"


def test_many_distinct_scores_are_resampled_in_neighbourhoods() -> None:
    fine = np.clip(KNOWS + RNG.random(N) * 1e-3, 0, 1)
    exact, coarse = (
        auroc_within_figure(ScoredReplies(c, Y, IDS), KINDS, replicates=300) for c in (KNOWS, fine)
    )
    assert coarse.value == auroc_within(fine, Y, KINDS)[0]
    assert coarse.low == pytest.approx(exact.low, abs=0.02)


def test_questions_are_drawn_with_all_their_replies() -> None:
    """Eight times the same replies are no more evidence."""
    twice = ScoredReplies(np.tile(KNOWS, 8), np.tile(Y, 8), IDS * 8)
    once, eight = (
        auroc_within_figure(run, kinds, replicates=500)
        for run, kinds in ((ScoredReplies(KNOWS, Y, IDS), KINDS), (twice, KINDS * 8))
    )
    assert eight.value == pytest.approx(once.value) and eight.n == 8 * N
    assert (eight.high or 0) - (eight.low or 0) == pytest.approx(
        (once.high or 0) - (once.low or 0), rel=0.2
    )


def test_runs_are_compared_pairwise() -> None:
    a, b = (ScoredReplies(c, Y, IDS) for c in (KNOWS, EASE))
    apart = auroc_within_difference(a, b, KINDS, replicates=300)
    assert apart.value == pytest.approx(auroc_within(KNOWS, Y, KINDS)[0] - 0.5)
    assert apart.low is not None and apart.low > 0.2 and apart.n == N
    assert auroc_within_difference(a, a, KINDS, replicates=50).value == 0
    assert auroc_within_difference(a, b, [""] * N).reason == ONE_KIND


def test_only_the_kind_is_told_apart() -> None:
    said = warned(EASE, KINDS)
    assert said is not None and said.startswith(
        "the confidence is shown to tell only the kind of question"
    )
    assert "AUROC within kinds 0.50 over 400 replies" in said
    jitter = np.clip(EASE + RNG.choice([-0.1, 0.0, 0.1], N), 0, 1)
    said = warned(jitter, KINDS)
    assert said is not None and "is shown to tell only the kind" in said and "(95 % 0.4" in said
    assert warned(KNOWS, KINDS) is None


def test_what_was_not_learnt_is_said() -> None:
    assert warned(np.full(N, 0.7), KINDS) == "the confidence is one and the same in all 400 replies"
    noise = RNG.choice([0.2, 0.8], N)
    said = warned(noise, KINDS)
    assert said is not None and said.startswith("the confidence is not shown to tell right answers")
    assert "(95 % 0." in said
    wrong_way = warned(1 - KNOWS, KINDS)
    assert wrong_way is not None and "not shown" in wrong_way


def test_of_few_replies_and_of_one_kind_nothing_is_said() -> None:
    few = LEAST - 1
    assert warned(np.full(few, 0.7), KINDS[:few], Y[:few]) is None
    assert warned(EASE, [0] * N) is None
    assert ranking_warning({}) is None
