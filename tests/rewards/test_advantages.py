"""Targets, and advantages of each segment within its group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metaconf.config.blocks import Config
from metaconf.errors import UserError
from metaconf.rewards.advantages import TrainingSignal, normalised, training_signal
from metaconf.rewards.parts import fill_unknown, four_parts
from metaconf.rewards.recipe import (
    ANSWER,
    BEFORE,
    CONFIDENCE,
    REFLECTION,
    WHOLE,
    ExpectedScore,
    Recipe,
    RolloutBatch,
    Where,
)
from metaconf.rewards.recipes import recipe_of
from metaconf.rewards.targets import group_accuracy, group_mean, mixed_accuracy

NAN = float("nan")
GROUP = np.array([4, 4, 4, 4, 0, 0, 9])
A = np.array([1, 0, 1, NAN, 0, 0, NAN])


def test_means_are_over_the_known_of_each_group() -> None:
    third = [2 / 3] * 4
    assert group_mean(A, GROUP)[:6].tolist() == pytest.approx([*third, 0, 0])
    assert np.isnan(group_mean(A, GROUP)[6])


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (group_accuracy, [2 / 3, 2 / 3, 2 / 3, NAN, 0, 0, NAN]),
        (mixed_accuracy, [5 / 6, 1 / 3, 5 / 6, NAN, 0, 0, NAN]),
    ],
)
def test_targets(target: Any, wanted: list[float]) -> None:
    assert target(A, GROUP).tolist() == pytest.approx(wanted, nan_ok=True)
    assert np.isnan(target(np.full(3, NAN), np.zeros(3, np.int64))).all()


def test_advantages_are_within_the_group_and_unknown_is_left_out() -> None:
    found = normalised(A, GROUP, "none")
    assert found.tolist() == pytest.approx([1 / 3, -2 / 3, 1 / 3, 0, 0, 0, 0])
    spread = np.std([1, 0, 1], ddof=1) + 1e-4
    scaled = normalised(A, GROUP, "group")
    assert scaled[:4].tolist() == pytest.approx((found / spread)[:4].tolist())
    assert np.isfinite(scaled).all() and scaled[3:].tolist() == [0] * 4
    batch = np.std([1, 0, 1, 0, 0], ddof=1) + 1e-4
    assert normalised(A, GROUP, "batch").tolist() == pytest.approx((found / batch).tolist())


def test_one_known_reply_alone_in_its_group_has_no_advantage() -> None:
    pay, group = np.array([3.0, NAN, 5.0]), np.array([0, 0, 1])
    for scale in ("none", "group", "batch"):
        assert normalised(pay, group, scale).tolist() == [0, 0, 0]


def asked(**arrays: Any) -> RolloutBatch:
    default: dict[str, Any] = {
        "correctness": np.array([1.0, 0.0, NAN, 1.0]),
        "confidence": np.array([0.9, 0.4, 0.5, NAN]),
        "well_formed": np.array([1.0, 1.0, 1.0, 0.0]),
        "quality": np.array([1.0, NAN, 0.5, 0.0]),
        "group": np.zeros(4, np.int64),
    }
    return RolloutBatch(**{**default, **arrays})


def signal(name: str, batch: RolloutBatch) -> TrainingSignal:
    recipe = recipe_of(Config("grpo", {}, recipe=name))  # pyright: ignore
    return training_signal(recipe, batch, recipe.scale)


def test_a_whole_reply_is_left_to_the_trainer() -> None:
    found = signal("metaconf", asked())
    assert found.advantages is None
    assert found.target.tolist() == pytest.approx([1, 0, NAN, 1], nan_ok=True)
    # Not graded; a reflection that was not judged has its group's mean, and is counted as unjudged.
    assert found.unscored == 0.25
    assert np.isnan(found.total).tolist() == [False, False, True, False]


BY_SEGMENT: dict[Where, dict[str, float]] = {
    ANSWER: {"accuracy": 1.0},
    REFLECTION: {"reflection": 0.5},
    CONFIDENCE: {"calibration": 1.0},
    WHOLE: {"format": 0.5},
}


@pytest.mark.parametrize("coef", [1.0, 0.0])
def test_segments_are_normalised_apart_and_counted(coef: float) -> None:
    recipe = Recipe("tried", four_parts, BY_SEGMENT, expected_score=ExpectedScore(coef))
    found = training_signal(recipe, asked(), "none")
    assert found.advantages is not None
    if coef:  # the expected score trains the confidence: no sampled advantage of it is left
        assert set(found.advantages) == {ANSWER, REFLECTION, WHOLE}
    else:
        wanted = normalised(np.array([0.99, 0.84, NAN, 0.0]), np.zeros(4, np.int64), "none")
        assert found.advantages[CONFIDENCE].tolist() == pytest.approx(wanted.tolist())
    assert found.advantages[ANSWER].tolist() == pytest.approx([1 / 3, -2 / 3, 0, 1 / 3])
    # Where the reflection was not judged, the answer is credited all the same. The mean of the
    # graded replies alone is subtracted.
    half = 0.5 * np.array([1 - 0.5, 0, 0, 0 - 0.5])
    assert found.advantages[REFLECTION].tolist() == pytest.approx(half)
    assert found.unscored == 0.25


def test_a_reply_is_unscored_where_one_segment_of_it_is_unknown() -> None:
    recipe = Recipe("tried", four_parts, BY_SEGMENT)
    assert training_signal(recipe, asked(quality=np.full(4, NAN)), "none").unscored == 1.0


def test_a_part_of_two_segments_weighs_as_much_as_both() -> None:
    credit = {ANSWER: {"accuracy": 1.0, "format": 0.25}, CONFIDENCE: {"format": 0.5}}
    assert Recipe("tried", four_parts, credit).weights == {"accuracy": 1.0, "format": 0.75}


def test_a_part_of_weight_0_is_shown_as_it_is() -> None:
    parts = {"a": np.array([0.5, NAN, 1.0, 0.0]), "b": np.array([1.0, 1.0, 1.0, 0.5])}
    for weights in ({"a": 0.0, "b": 2.0}, {"a": 0.0}):
        shown = fill_unknown(parts, weights, asked())["a"].tolist()
        assert shown == pytest.approx([0.5, NAN, NAN, 0.0], nan_ok=True)  # the third is ungraded


def test_credo_weighs_its_advantages_and_is_taught_no_malformed_reply() -> None:
    found = signal("credo", asked())
    assert found.advantages is not None
    assert set(found.advantages) == {BEFORE}
    far = np.array([0.1, 0.4])
    assert found.weight.tolist() == pytest.approx([*(1 + far - far.mean()), 1, 1])
    mean = 2 / 3
    wanted = [(1 + mean) / 2, mean / 2, NAN, NAN]  # the last states no confidence
    assert found.target.tolist() == pytest.approx(wanted, nan_ok=True)
    plain = normalised(np.array([1.5, 0.5, NAN, 1.0]), np.zeros(4, np.int64), "group")
    assert found.advantages[BEFORE].tolist() == pytest.approx((found.weight * plain).tolist())


def test_conftuner_reinforces_nothing() -> None:
    found = signal("conftuner", asked())
    assert found.advantages == {}
    assert found.target[:2].tolist() == [1, 0]


def test_T1_one_number_for_all_replies_is_refused_by_name_and_counts() -> None:
    recipe = recipe_of(Config("grpo", {}))
    broken = replace(recipe, parts=lambda _: {"accuracy": np.ones(1)})
    with pytest.raises(UserError, match="part accuracy has 1 numbers for 4 replies"):
        training_signal(broken, asked(), "none")
