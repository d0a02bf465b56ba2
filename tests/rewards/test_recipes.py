"""The recipes' truth tables, with the papers' numbers; and what unknown values do to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from metaconf.cli.preflight import stage_config
from metaconf.config.blocks import Confidence, Config, Reward
from metaconf.config.load import load_config
from metaconf.errors import UserError
from metaconf.records import Grade, Parsed, Question, Target
from metaconf.rewards.group import grade_group, grade_replies
from metaconf.rewards.parts import total_reward
from metaconf.rewards.recipe import (
    BEFORE,
    CONFIDENCE,
    OFF,
    WHOLE,
    ExpectedScore,
    Recipe,
    RolloutBatch,
    rollout_batch,
)
from metaconf.rewards.recipes import OURS, PUBLISHED, recipe_of
from metaconf.rewards.recipes.credo import mixed_outcome, weigh

NAN = float("nan")
NAMES = [OURS, *PUBLISHED]


def recipe(name: str, **blocks: Any) -> Recipe:
    return recipe_of(Config("grpo", {}, recipe=name, **blocks))  # pyright: ignore


def replies(*rows: tuple[float, float], ok: float = 1.0, quality: float = 1.0) -> RolloutBatch:
    """One group of replies (correctness, confidence)."""
    a, c = np.array(rows, float).T
    return RolloutBatch(
        a, c, np.full(len(a), ok), np.full(len(a), quality), np.zeros(len(a), np.int64)
    )


def pay(name: str, asked: RolloutBatch, where: Any = None) -> list[float]:
    chosen = recipe(name)
    weights = chosen.credit[where or next(iter(chosen.credit))]
    return total_reward(chosen.parts(asked), weights, asked).tolist()


def test_every_name_of_the_configuration_is_a_recipe_and_the_other_way_round() -> None:
    assert set(get_args(get_type_hints(Config)["recipe"])) == set(NAMES)
    assert all(recipe(name).name == name for name in NAMES)


@pytest.mark.parametrize(
    ("name", "credited", "score"),
    [
        ("rlvr", {WHOLE}, OFF),
        ("sayself", {CONFIDENCE}, OFF),
        ("rlcr", {WHOLE}, OFF),
        ("rewarding-doubt", {CONFIDENCE}, OFF),
        ("dcpo", {BEFORE, CONFIDENCE}, OFF),
        ("coca", {BEFORE, CONFIDENCE}, OFF),
        ("credo", {BEFORE, CONFIDENCE}, ExpectedScore(1, "expectation", mixed_outcome)),
        ("conftuner", {CONFIDENCE}, ExpectedScore(1, "spoken")),
        ("metaconf-seed", {WHOLE}, OFF),
        ("metaconf", {WHOLE}, ExpectedScore(1, "tilted", step=0.2)),
    ],
)
def test_which_segments_are_credited(name: str, credited: set[Any], score: ExpectedScore) -> None:
    found = recipe(name)
    assert set(found.credit) == credited and found.expected_score == score
    assert found.scale == ("group" if name in ("dcpo", "coca", "credo") else "none")


CORNERS = replies((1, 1), (1, 0), (0, 0), (0, 1))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("rlvr", [1, 1, 0, 0]),
        ("sayself", [1, -1, 1, -1]),
        ("rlcr", [1.5, 1.0, 1.0, 0.5]),
        ("rewarding-doubt", [12.5, -7.5, 10, -10]),
        ("conftuner", [0, -1, 0, -1]),
        ("metaconf-seed", [1.8, 0.8, 1.6, 0.6]),
        ("metaconf", [3.0, 2.0, 2.0, 1.0]),
    ],
)
def test_right_and_wrong_with_confidence_1_and_0(name: str, wanted: list[float]) -> None:
    assert pay(name, CORNERS) == pytest.approx(wanted, abs=0.01)


def test_the_log_score_of_rewarding_doubt() -> None:
    stated = (0.0, 0.5, 0.9, 1.0)
    right, wrong = (replies(*((a, c) for c in stated)) for a in (1.0, 0.0))
    assert pay("rewarding-doubt", right) == pytest.approx([-7.5, 10.5, 12.2, 12.5], abs=0.05)
    assert pay("rewarding-doubt", wrong) == pytest.approx([10, 8.0, 3.3, -10], abs=0.05)
    # A graded answer is that share of a right one.
    half = pay("rewarding-doubt", replies((0.5, 0.9)))[0]
    assert half == pytest.approx((12.197 + 3.334) / 2, abs=0.01)


def test_two_segments_are_paid_apart() -> None:
    asked = replies((1, 0.8), (1, 0.4), (0, 0.2), (0, 0.4))  # ā = ½; t = ¾ and ¼
    for name in ("dcpo", "coca"):
        assert pay(name, asked, BEFORE) == [1, 1, 0, 0]
    assert pay("dcpo", asked, CONFIDENCE) == pytest.approx([-0.05, -0.35, -0.05, -0.15])
    assert pay("coca", asked, CONFIDENCE) == pytest.approx([-0.09, -0.01, -0.09, -0.01])
    assert pay("credo", asked, BEFORE) == [1.5, 1.5, 0.5, 0.5]
    near = [1 - d**2 for d in (0.05, 0.35, 0.05, 0.15)]
    assert pay("credo", asked, CONFIDENCE) == pytest.approx(near)
    malformed = replies((1, 0.8), (0, 0.2), ok=0.0)
    assert pay("credo", malformed, BEFORE) == [1.0, 0.0]
    assert pay("credo", malformed, CONFIDENCE) == [0.0, 0.0]


def test_credo_weighs_what_was_far_off() -> None:
    asked = replies((1, 0.9), (1, 0.1), (0, 0.5), (1, NAN))  # |a − c| = .1, .9, .5; mean .5
    assert weigh(asked) == pytest.approx([0.6, 1.4, 1.0, 1.0])
    assert weigh(replies((1, NAN), (NAN, 0.3))).tolist() == [1, 1]
    far = replies((1, 0.0), *[(1, 1.0)] * 30)
    assert weigh(far).max() == pytest.approx(1 + 30 / 31)
    assert weigh(far).min() >= 0.5
    # Three of four entirely wrong: the mean is .75, and the fourth weighs no less than ½.
    assert weigh(replies((1, 0), (1, 0), (1, 0), (1, 1))).tolist() == [1.25, 1.25, 1.25, 0.5]


MISSING = {
    "rlvr": 1.0,
    "sayself": -1.0,
    "rlcr": 0.0,
    "rewarding-doubt": -30.0,
    "dcpo": -1.0,
    "coca": -1.0,
    "credo": 0.0,
    "metaconf-seed": 0.6 + 0.2,
    "metaconf": 0.5 + 1.0,
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_confidence_is_not_the_confidence_0(name: str) -> None:
    where = list(recipe(name).credit)[-1]
    silent = replies((1, NAN), ok=0.0)
    assert pay(name, silent, where) == pytest.approx([MISSING[name]])
    wrong, humble = replies((0, NAN), ok=0.0), replies((0, 0.0))
    assert name == "rlvr" or pay(name, wrong, where)[0] < pay(name, humble, where)[0]


def test_nobody_is_taught_a_number_that_was_not_said() -> None:
    assert np.isnan(pay("conftuner", replies((1, NAN), (0, NAN)))).all()


@pytest.mark.parametrize("name", ["rlcr", "rewarding-doubt"])
def test_a_malformed_reply_is_paid_for_nothing_else(name: str) -> None:
    wanted = {"rlcr": 0.0, "rewarding-doubt": -30.0}[name]
    found = pay(name, replies((1, 1), (0, 0), (1, NAN), ok=0.0))
    assert found == [wanted] * 3
    # As their check would not: "nan" is no confidence, whatever else is in order.
    assert pay(name, replies((1, NAN))) == [wanted]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ok", [0.0, 1.0])
def test_an_ungraded_reply_is_left_out_of_every_segment(name: str, ok: float) -> None:
    asked = replies((NAN, 0.5), (1, 0.5), (0, 0.5), (NAN, NAN), ok=ok)
    for where in recipe(name).credit:
        found = pay(name, asked, where)
        assert np.isnan([found[0], found[3]]).all() and np.isfinite(found[1:3]).all()
    # Nor does it move what the others are paid: ā is over graded replies.
    alone = replies((1, 0.5), (0, 0.5), ok=ok)
    where = list(recipe(name).credit)[-1]
    assert pay(name, asked, where)[1:3] == pytest.approx(pay(name, alone, where))


@pytest.mark.parametrize(
    ("name", "whole", "known"), [("metaconf", 3, 2.5), ("metaconf-seed", 1.8, 1.2)]
)
def test_a_reflection_that_nobody_judged_leaves_that_part_out_of_sum_and_weights(
    name: str, whole: float, known: float
) -> None:
    asked = replies((1, 1), (0, 1), (NAN, 1), quality=NAN)
    perfect, wrong, ungraded = pay(name, asked)
    assert perfect == pytest.approx(whole) and np.isnan(ungraded)
    format_paid = 0.5 if name == "metaconf" else 0.0
    assert wrong == pytest.approx(format_paid * whole / known)
    # Not as one that was judged to be worth nothing.
    assert perfect > pay(name, replies((1, 1), quality=0.0))[0]


@pytest.mark.parametrize("name", ["metaconf", "metaconf-seed"])
def test_a_reflection_whose_judgement_failed_gets_its_groups_mean(name: str) -> None:
    asked = replies((1, 1), (1, 1), (1, 1))
    quality = np.array([1.0, 0.4, NAN])
    asked = RolloutBatch(
        asked.correctness, asked.confidence, asked.well_formed, quality, asked.group
    )
    found = pay(name, asked)
    assert found[2] == pytest.approx((found[0] + found[1]) / 2)


def said(answer: str, why: str = "I know Quito well.", conf: str = "8") -> str:
    return f"Answer: {answer}\nSelf-reflection: {why}\nConfidence: {conf}"


def test_ours_pays_what_reward_functions_elsewhere_pay() -> None:
    """`rewards.parts`, which verl and TRL's own trainer are given, and the recipe over arrays."""
    question = Question("q", "In which country is Quito?", (Target(("Ecuador",)),))
    texts = [
        said("Ecuador"),
        said("Peru", conf="3.5"),
        said("Ecuador", "So."),
        said("Peru", conf="85%"),
        "nothing of the kind",
        "Self-reflection: hm\nConfidence: 0",
        said("Ecuador", conf="2\nAnswer: Peru"),
    ]
    weights = {"calibration": 1.5, "reflection": 0.25, "accuracy": 2.0, "format": 0.0}
    wanted = [one[2] for one in grade_group(question, texts, weights)]
    found = recipe(OURS, reward=Reward(**weights))
    arrays = rollout_batch(grade_replies(question, texts), [0] * len(texts))
    parts = found.parts(arrays)
    assert list(found.weights) == list(weights) == list(parts)
    for row, one in enumerate(wanted):
        assert {name: values[row] for name, values in parts.items()} == one.parts
        assert total_reward(parts, found.weights, arrays)[row] == one.total


def test_an_unknown_recipe_is_refused_with_its_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\nrecipe: rlcrr\n")
    with pytest.raises(UserError, match=r"c\.yaml:2: recipe: 'rlcrr' is none of .*mean 'rlcr'"):
        load_config(path, "grpo")


def test_settings_that_a_published_recipe_would_not_use_are_refused() -> None:
    with pytest.raises(UserError, match=r"reward\.accuracy: the recipe rlcr has its own"):
        recipe("rlcr", reward=Reward(accuracy=2.0))
    recipe("rlcr", confidence=Confidence(confidence_loss_weight=3.0))  # of stage 1


def test_they_are_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"recipe: rlcr\nreward:\n  accuracy: 2\noutput_dir: {tmp_path / 'run'}\n")
    with pytest.raises(UserError, match=r"reward\.accuracy: the recipe rlcr has its own"):
        stage_config(path, "grpo")
    assert not (tmp_path / "run").exists()


def test_a_reflection_that_says_the_opposite_of_the_number_is_worth_nothing() -> None:
    """Whoever judged it: the judge's quality is that of the grade."""
    said = {"I am only guessing.": (0.9, 0.1), "I am certain of it.": (0.1, 0.9)}
    for text, (opposite, same) in said.items():
        graded = [(Parsed("Quito", text, c), Grade("q", 0, 1.0, 0.8)) for c in (opposite, same)]
        assert rollout_batch(graded, [0, 0]).quality.tolist() == [0.0, 0.8]
    unread = (Parsed("Quito", "Quito is a city.", 0.9), Grade("q", 0, 1.0, 0.8))
    assert rollout_batch([unread], [0]).quality.tolist() == [0.8]
