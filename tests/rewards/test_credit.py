"""Targets, and advantages of each segment within its group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metaconf.config.blocks import Config, Credit
from metaconf.errors import UserError
from metaconf.rewards.credit import flown, lesson, normalised
from metaconf.rewards.recipes import recipe_of
from metaconf.rewards.recipes.base import ANSWER, BEFORE, CONFIDENCE, REFLECTION, WHOLE, Replies
from metaconf.rewards.targets import group_mean, target

NAN = float("nan")
GROUP = np.array([4, 4, 4, 4, 0, 0, 9])
A = np.array([1, 0, 1, NAN, 0, 0, NAN])


def test_means_are_over_the_known_of_each_group() -> None:
    third = [2 / 3] * 4
    assert group_mean(A, GROUP)[:6].tolist() == pytest.approx([*third, 0, 0])
    assert np.isnan(group_mean(A, GROUP)[6])


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [
        ("own", [1, 0, 1, NAN, 0, 0, NAN]),
        ("group", [2 / 3, 2 / 3, 2 / 3, NAN, 0, 0, NAN]),
        ("mixture", [5 / 6, 1 / 3, 5 / 6, NAN, 0, 0, NAN]),
        # The batch's mean is 2/5; two replies' worth of it: (2 + .8) / (3 + 2), .8 / (2 + 2).
        ("shrunk", [0.56, 0.56, 0.56, NAN, 0.2, 0.2, NAN]),
    ],
)
def test_targets(goal: Any, wanted: list[float]) -> None:
    assert target(goal, A, GROUP).tolist() == pytest.approx(wanted, nan_ok=True)


def test_a_larger_group_is_shrunk_less() -> None:
    def right(n: int) -> float:
        a = np.array([1.0] * n + [0.0] * n)
        return target("shrunk", a, np.repeat([0, 1], n))[0]

    assert right(2) == pytest.approx(0.75) and right(16) == pytest.approx(17 / 18)
    assert target("shrunk", A, GROUP, prior=0.0)[:3].tolist() == pytest.approx([2 / 3] * 3)


def test_nothing_graded_has_no_target() -> None:
    for goal in ("own", "group", "mixture", "shrunk"):
        assert np.isnan(target(goal, np.full(3, NAN), np.zeros(3, np.int64))).all()


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


def test_what_flows_back() -> None:
    one = np.array([1.0, -1.0])
    advantages = {CONFIDENCE: one, REFLECTION: 10 * one, WHOLE: 100 * one}
    credit = Credit(
        confidence_to_answer=0.5, confidence_to_reflection=0.25, reflection_to_answer=2.0
    )
    found = flown(advantages, credit)
    # The reflection hands on what is its own alone.
    assert found[ANSWER].tolist() == [0.5 + 2 * 10, -(0.5 + 2 * 10)]
    assert found[REFLECTION].tolist() == [10.25, -10.25]
    assert found[CONFIDENCE] is one and found[WHOLE].tolist() == [100, -100]
    assert advantages[REFLECTION].tolist() == [10, -10]
    assert flown(advantages, Credit()) == advantages


def asked(**arrays: Any) -> Replies:
    default: dict[str, Any] = {
        "correctness": np.array([1.0, 0.0, NAN, 1.0]),
        "confidence": np.array([0.9, 0.4, 0.5, NAN]),
        "well_formed": np.array([1.0, 1.0, 1.0, 0.0]),
        "quality": np.array([1.0, NAN, 0.5, 0.0]),
        "group": np.zeros(4, np.int64),
    }
    return Replies(**{**default, **arrays})


def taught(name: str, replies: Replies, **credit: Any) -> Any:
    block = Credit(**credit)
    recipe = recipe_of(Config("grpo", {}, recipe=name, credit=block))  # pyright: ignore
    return lesson(recipe, replies, block, recipe.scale)


def test_a_whole_reply_is_left_to_the_trainer() -> None:
    found = taught("metaconf", asked())
    assert not found.by_segment and not found.advantages
    assert found.target.tolist() == pytest.approx([1, 0, NAN, 1], nan_ok=True)
    # Not graded; a reflection that was not judged has its group's mean, and is counted as unjudged.
    assert found.unscored == 0.25


def test_segments_are_normalised_apart_and_counted() -> None:
    found = taught("metaconf", asked(), by="segment")
    # The confidence is taught exactly: no sampled advantage of it is left.
    assert found.by_segment and set(found.advantages) == {ANSWER, REFLECTION, WHOLE}
    assert found.advantages[ANSWER].tolist() == pytest.approx([1 / 3, -2 / 3, 0, 1 / 3])
    # Where the reflection was not judged, the answer is credited all the same.
    half = 0.5 * np.array([1 - 0.5, 0, 0.5 - 0.5, 0 - 0.5])
    assert found.advantages[REFLECTION].tolist() == pytest.approx(half)
    assert found.unscored == 0.25


def test_an_exact_confidence_can_flow_back_all_the_same() -> None:
    alone = taught("metaconf", asked(), by="segment").advantages[ANSWER]
    found = taught("metaconf", asked(), by="segment", confidence_to_answer=1.0).advantages
    assert CONFIDENCE not in found
    more = normalised(np.array([0.99, 0.84, NAN, 0.0]), np.zeros(4, np.int64), "none")
    assert found[ANSWER].tolist() == pytest.approx((alone + more).tolist())


def test_credo_weighs_its_advantages_and_is_taught_no_malformed_reply() -> None:
    found = taught("credo", asked())
    assert set(found.advantages) == {BEFORE}
    far = np.array([0.1, 0.4])
    assert found.weight.tolist() == pytest.approx([*(1 + far - far.mean()), 1, 1])
    mean = 2 / 3
    wanted = [(1 + mean) / 2, mean / 2, NAN, NAN]  # the last states no confidence
    assert found.target.tolist() == pytest.approx(wanted, nan_ok=True)
    plain = normalised(np.array([1.5, 0.5, NAN, 1.0]), np.zeros(4, np.int64), "group")
    assert found.advantages[BEFORE].tolist() == pytest.approx((found.weight * plain).tolist())


def test_conftuner_reinforces_nothing() -> None:
    found = taught("conftuner", asked())
    assert found.by_segment and not found.advantages
    assert found.target[:2].tolist() == [1, 0]


def test_T1_one_number_for_all_replies_is_refused_by_name_and_counts() -> None:
    recipe = recipe_of(Config("grpo", {}))
    broken = replace(recipe, parts=lambda _: {"accuracy": np.ones(1)})
    with pytest.raises(UserError, match="part accuracy has 1 numbers for 4 replies"):
        lesson(broken, asked(), Credit(), "none")
