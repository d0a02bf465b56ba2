"""Rewards of a generation batch: graded once, stored, and left out where they are not known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metaconf.config.blocks import Config
from metaconf.errors import UserError
from metaconf.records import Question, Target
from metaconf.rewards.recipes import recipe_of
from metaconf.training.reward_computer import RewardComputer, keep_before


def said(answer: str) -> str:
    return f"Answer: {answer}\nSelf-reflection: I know Quito.\nConfidence: 8"


def asked(gold: str, id_: str) -> str:
    return json.dumps(Question(id_, "In which country is Quito?", (Target((gold,)),)).to_json())


def test_the_same_replies_to_other_questions_are_graded_again(tmp_path: Path) -> None:
    rewards = RewardComputer(recipe_of(Config("grpo", {})), tmp_path / "replies.jsonl")
    texts = [said("Peru"), said("Peru")]
    first = rewards([asked("Ecuador", "a")] * 2, texts).outcome
    second = rewards([asked("Peru", "b")] * 2, texts).outcome
    assert (first.tolist(), second.tolist()) == ([0.0, 0.0], [1.0, 1.0])


PARTS = ("calibration", "reflection", "accuracy", "format")


def test_the_four_parts_are_rewarded_and_stored(tmp_path: Path) -> None:
    rewards = RewardComputer(recipe_of(Config("grpo", {})), tmp_path / "replies.jsonl")
    questions = [asked("Ecuador", "a")] * 2 + [asked("", "b")]
    texts = [said("Ecuador"), "nonsense", said("Peru")]
    signal = rewards(questions, texts, 7)
    assert tuple(signal.rewards) == PARTS
    # What cannot be graded is unknown in every part; a bad reply is 0.
    assert all(np.isnan(values[2]) for values in signal.rewards.values())
    assert [signal.rewards[part][1] for part in PARTS] == [0.0] * 4
    assert signal.rewards["accuracy"][0] == signal.rewards["format"][0] == 1.0
    assert signal.rewards["calibration"][0] == pytest.approx(0.96)
    assert signal.metrics == {"unscored": pytest.approx(1 / 3)}
    assert [p.answer for p in signal.parsed] == ["Ecuador", None, "Peru"]
    rows = [json.loads(line) for line in rewards.path.read_text().splitlines()]
    assert [r["reward"] is None for r in rows] == [False, False, True]
    assert [(r["text"], r["step"]) for r in rows] == [(text, 7) for text in texts]
    assert rewards.count() == 3


def test_what_TRL_sums_is_the_reward_that_is_stored(tmp_path: Path) -> None:
    recipe = recipe_of(Config("grpo", {}))
    rewards = RewardComputer(recipe, tmp_path / "replies.jsonl")
    signal = rewards([asked("Ecuador", "a")] * 2, [said("Ecuador"), said("Peru")])
    summed = sum(recipe.weights[name] * signal.rewards[name] for name in recipe.weights)
    rows = [json.loads(line) for line in rewards.path.read_text().splitlines()]
    assert summed == pytest.approx(signal.total) == [row["reward"] for row in rows]


def test_each_reply_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import metaconf.rewards.group as group

    seen: list[str] = []
    plain = group.parse_reply

    def counted(text: str) -> object:
        seen.append(text)
        return plain(text)

    monkeypatch.setattr(group, "parse_reply", counted)
    texts = [said("Ecuador"), said("Peru")]
    RewardComputer(recipe_of(Config("grpo", {})), tmp_path / "r")([asked("x", "a")] * 2, texts)
    assert seen == texts


def test_questions_and_replies_must_match(tmp_path: Path) -> None:
    rewards = RewardComputer(recipe_of(Config("grpo", {})), tmp_path / "r")
    with pytest.raises(UserError, match="1 questions for 2 replies"):
        rewards([asked("x", "a")], ["a", "b"])


def test_a_resumed_run_drops_what_it_draws_again(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    keep_before(path, 0)
    path.write_text("".join(json.dumps({"step": s}) + "\n" for s in (0, 0, 1, 2)) + '{"step": 1')
    keep_before(path, 2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 0, 1]
