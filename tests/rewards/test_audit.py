"""The audit finds what was wrong with rewards before, and nothing wrong with ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metaconf.cli import main
from metaconf.config.blocks import Config, Reward
from metaconf.rewards.audit import audit, payoffs
from metaconf.rewards.recipe import CONFIDENCE, OFF, WHOLE, ExpectedScore, Recipe, RolloutBatch
from metaconf.rewards.recipes import PUBLISHED, recipe_of
from metaconf.rewards.targets import Array

Parts = Callable[[RolloutBatch], dict[str, Array]]


def found(recipe: Recipe, fatal: bool = True) -> set[str]:
    return {one.check for one in audit(recipe) if one.fatal == fatal}


def brier(asked: RolloutBatch) -> Array:
    return asked.known(np.where(asked.stated, 1 - (asked.correctness - asked.confidence) ** 2, 0.0))


def honest(asked: RolloutBatch) -> dict[str, Array]:
    quality = np.where(asked.well_formed > 0, asked.quality, 0.0)
    return {"calibration": brier(asked), "accuracy": asked.correctness, "reflection": quality}


HONEST = {"calibration": 1.0, "accuracy": 1.0, "reflection": 0.5}


def recipe(parts: Parts = honest, weights: Mapping[str, float] = HONEST) -> Recipe:
    return Recipe("tried", parts, {WHOLE: weights})


def with_part(name: str, part: Callable[[RolloutBatch], Array]) -> Recipe:
    return recipe(lambda asked: {**honest(asked), name: part(asked)})


def missing_is_zero(asked: RolloutBatch) -> Array:
    """A confidence that is not stated reads as 0 and earns full pay on wrong answers."""
    return 1 - (asked.correctness - np.nan_to_num(asked.confidence)) ** 2


def unbounded(asked: RolloutBatch) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        right = np.where(
            asked.correctness > 0, np.log(asked.confidence), np.log1p(-asked.confidence)
        )
    return asked.known(np.where(asked.stated, right, -100.0))


CARELESS = {"accuracy": 1.0, "reflection": 0.5}
DEFECTS = {
    "honest": with_part("calibration", lambda r: r.known(1 - np.abs(r.correctness - r.confidence))),
    "answer": recipe(weights={"calibration": 1.0, "reflection": 0.5}),
    "malformed": recipe(lambda asked: {**honest(asked), "reflection": asked.quality}, CARELESS),
    "silence": with_part("calibration", missing_is_zero),
    "unknown": recipe(lambda asked: {n: np.nan_to_num(v) for n, v in honest(asked).items()}),
    "unjudged": with_part("reflection", lambda asked: np.nan_to_num(asked.quality)),
    "unused": recipe(
        lambda asked: {**honest(asked), "style": np.zeros(len(asked.quality))},
        {**HONEST, "style": 0.3},
    ),
    "bounded": with_part("calibration", unbounded),
    "nothing": recipe(weights=dict.fromkeys(HONEST, 0.0)),
}


@pytest.mark.parametrize("check", DEFECTS)
def test_each_defect_is_found(check: str) -> None:
    assert check in found(DEFECTS[check])


def test_a_sound_reward_has_none() -> None:
    assert found(recipe()) == set()


@pytest.mark.parametrize("score", [None, OFF])
def test_ours_has_none(score: ExpectedScore | None) -> None:
    ours = recipe_of(Config("grpo", {}))
    ours = replace(ours, expected_score=score or ours.expected_score)
    assert found(ours) == set()
    assert found(ours, fatal=False) == set()


def test_an_answer_that_is_paid_nothing_is_found_in_ours_too() -> None:
    ours = recipe_of(Config("grpo", {}, reward=Reward(accuracy=0.0)))
    assert found(ours) == {"answer"}


@pytest.mark.parametrize(
    ("name", "defects", "notes"),
    [
        ("rlvr", {"honest", "malformed"}, {"reflection"}),
        ("sayself", {"malformed"}, {"answer", "reflection"}),
        ("rlcr", set(), {"gate", "reflection"}),
        ("rewarding-doubt", set(), {"answer", "reflection"}),
        (
            "dcpo",
            {"honest", "malformed"},
            {"reflection", "scale"},
        ),  # |c − t| has its best elsewhere
        ("coca", {"malformed"}, {"reflection", "scale"}),
        ("credo", set(), {"reflection"}),
        ("conftuner", {"malformed"}, {"answer", "reflection"}),
        ("metaconf-seed", {"malformed"}, set()),
    ],
)
def test_what_published_recipes_leave_open(name: str, defects: set[str], notes: set[str]) -> None:
    assert found(PUBLISHED[name]) == defects
    assert found(PUBLISHED[name], fatal=False) == notes


def test_payoffs_are_the_papers() -> None:
    """RLCR's table: right/10 1.5, right/0 1, wrong/0 1, wrong/10 ½, malformed nothing."""
    table = {
        (p.correctness, p.confidence, p.well_formed): p.pay for p in payoffs(PUBLISHED["rlcr"])
    }
    assert table[1, 1, True] == 1.5 and table[1, 0, True] == 1 == table[0, 0, True]
    assert table[0, 1, True] == 0.5 and table[1, None, False] == 0 == table[1, 1, False]
    left_out = {p.pay for p in payoffs(PUBLISHED["conftuner"]) if p.confidence is None}
    assert left_out == {None}


def test_the_scale_that_is_trained_with_counts() -> None:
    checks = {one.check for one in audit(PUBLISHED["rlcr"], "group")}
    assert "scale" in checks
    by_segment = Recipe("tried", honest, {CONFIDENCE: {"calibration": 1.0}})
    assert "scale" not in {one.check for one in audit(by_segment)}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "grpo.yaml"
    config.write_text("max_steps: 40\n")
    assert main(["audit", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "recipe metaconf" in shown and "2.750" in shown and "no defect found" in shown
    assert main(["audit", "--config", str(config), "--recipe", "dcpo"]) == 1
    assert "DEFECT: of an answer that is right with chance 0.2, 1 earns most" in (
        capsys.readouterr().out
    )
    assert main(["audit", "--recipe", "dcpo"]) == 1  # our defaults
    assert main(["audit", "--config", str(config), "--reward.calibraton", "2"]) == 2
    assert "calibration" in capsys.readouterr().err
