"""Trouble that others met in training: T1 (rewards that are missing or too few), T2 (no signal)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import config_of, drawn, trainer_of

from metaconf.errors import UserError
from metaconf.records import Question, Target
from metaconf.rewards.recipes import OURS
from metaconf.training import stage2
from metaconf.training.reward_computer import RewardComputer


def test_T1_a_reward_for_all_is_refused_by_name_and_counts(
    taught: Callable[[], Any], tmp_path: Path
) -> None:
    made = trainer_of(taught(), config_of(), tmp_path)
    mean_only = replace(made.recipe, parts=lambda _: {"accuracy": np.ones(1)})
    made.compute_rewards = RewardComputer(mean_only, tmp_path / "again.jsonl")
    with pytest.raises(UserError, match=r"part accuracy has 1 numbers for 8 replies"):
        drawn(made)


def test_T1_an_ungraded_reply_is_counted_and_the_others_are_taught(
    taught: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import metaconf.rewards.group as group

    known = group.grade_answer
    calls: list[int] = []

    def sometimes(question: Question, answer: str | None) -> tuple[float | None, str]:
        calls.append(1)
        return (None, "the judge failed") if len(calls) == 2 else known(question, answer)

    monkeypatch.setattr(group, "grade_answer", sometimes)
    for name, column in ((OURS, "unscored"), ("dcpo", "unscored_segments")):
        calls.clear()
        made = trainer_of(taught(), config_of(name), tmp_path / name)
        batch, _, _ = drawn(made)
        advantages = batch["advantages"]
        assert advantages.isfinite().all() and not advantages[1].any()
        assert advantages[[0, 2, 3]].any()
        assert batch["outcome"].isnan().tolist() == [False, True] + [False] * 6
        assert made._metrics["train"][column] == [pytest.approx(1 / 8)]


def test_T2_cut_replies_and_equal_rewards_are_said(
    local_of: Callable[..., Any],
    fresh_local: Callable[..., Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = {"max_completion_length": 16, "max_steps": 1, "num_generations": 2}
    asked = [Question(str(i), f"What is {i} + 1?", (Target((str(i + 1),)),)) for i in range(4)]
    with (
        caplog.at_level(logging.WARNING, logger="metaconf"),
        pytest.raises(UserError, match="1 steps left the weights as they were"),
    ):
        stage2.train(fresh_local(), asked, config_of(trainer=settings), tmp_path)
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "zero-variance share 100 %" in said and "cut share 100 %" in said
