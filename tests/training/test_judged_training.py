"""Stage 2 with a judge behind a server: what it pays, what its failures do, and how a run stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from chat_server import ok, serving
from test_stage2 import command
from tiny import tiny_model

from metaconf.cli import main
from metaconf.config.blocks import Client, Config
from metaconf.config.blocks import Judge as Settings
from metaconf.judging import judge_of
from metaconf.records import Question, Target, read_jsonl
from metaconf.reply import format_reply
from metaconf.rewards.recipes import recipe_of
from metaconf.runs import checkpoints
from metaconf.training.reward_computer import RewardComputer

ASKED = json.dumps(Question("q", "Where is Timbuktu?", (Target(("Mali",)),)).to_json())
TEXTS = [format_reply("Mali", f"I know it {i}.", 0.9) for i in range(4)]


def points(sent: Any) -> str:
    """2 points for everything to reflection 0, 1 to the others; none for reflection 3."""
    whole = json.loads(sent["messages"][1]["content"])
    number = whole["data"]["reflection"][-2]
    score = {"0": 2, "3": 9}.get(number, 1)
    names = ("consistency", "specificity", "plausibility")
    return json.dumps({"ticket": whole["ticket"], **dict.fromkeys(names, score), "reason": number})


async def judging(request: web.Request, sent: Any, n: int) -> web.Response:
    return ok(points(sent))


def test_the_judge_pays_and_a_failed_verdict_is_left_out_of_that_part_alone(
    tmp_path: Path,
) -> None:
    with serving(judging) as server:
        judge = judge_of(Settings("llm", client=Client(server.url)), {}, None)
        recipe = recipe_of(Config("grpo", {}))
        rewards = RewardComputer(recipe, tmp_path / "replies.jsonl", judge=judge)
        signal = rewards([ASKED] * 4, TEXTS)
    # Its group's mean: neither for nor against, and its accuracy is still learnt from.
    mean = np.mean([1.0, 0.5, 0.5])
    assert signal.parts["reflection"] == pytest.approx([1.0, 0.5, 0.5, mean])
    assert np.isfinite(signal.total).all() and signal.metrics["unjudged"] == 0.25
    rows = [row for _, row in read_jsonl(rewards.path)]
    assert [row["judged"] for row in rows] == ["0", "1", "2", "the judge failed"]
    assert [bool(row["quality"]) for row in rows] == [True] * 3 + [False]
    assert rewards.stop_reason == ""


def test_a_group_without_any_verdict_learns_from_its_other_parts(tmp_path: Path) -> None:
    async def silent(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok("I like it.")

    with serving(silent) as server:
        judge = judge_of(Settings("llm", client=Client(server.url)), {}, None)
        recipe = recipe_of(Config("grpo", {}))
        rewards = RewardComputer(recipe, tmp_path / "r.jsonl", judge=judge)
        signal = rewards([ASKED] * 4, TEXTS)
    # The weighted mean of the other parts, on the scale of all weights.
    others = 1.0 * (1 - (1 - 0.9) ** 2) + 1.0 + 0.5
    assert signal.total == pytest.approx([others * 3.0 / 2.5] * 4)
    rows = [row for _, row in read_jsonl(rewards.path)]
    assert all(row["parts"]["reflection"] is None for row in rows)
    assert [row["reward"] for row in rows] == pytest.approx(signal.total)
    summed = sum(recipe.weights[name] * signal.rewards[name] for name in recipe.weights)
    assert summed == pytest.approx(signal.total)


def test_a_key_that_is_refused_stops_the_run_and_not_the_process(tmp_path: Path) -> None:
    async def refusing(request: web.Request, sent: Any, n: int) -> web.Response:
        return web.Response(status=401, text="no such key")

    with serving(refusing) as server:
        judge = judge_of(Settings("llm", client=Client(server.url)), {}, None)
        rewards = RewardComputer(recipe_of(Config("grpo", {})), tmp_path / "r.jsonl", judge=judge)
        signal = rewards([ASKED] * 4, TEXTS)
    assert "401" in rewards.stop_reason
    assert signal.metrics["unjudged"] == 1 and np.isnan(signal.parts["reflection"]).all()


def test_a_run_whose_judge_fails_stops_with_its_state_saved_and_can_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = tmp_path / "questions.jsonl"
    rows = (f'{{"question": "What is {i} + {i}?", "answer": {2 * i}}}\n' for i in range(40))
    questions.write_text("".join(rows))
    model, out = tiny_model(tmp_path / "llama"), tmp_path / "run"

    async def refusing(request: web.Request, sent: Any, n: int) -> web.Response:
        return web.Response(status=401, text="no such key")

    def run(url: str, *more: str) -> int:
        told = ["--judge.kind", "llm", "--client.base_url", url, "--max_steps", "3"]
        return main(command(out, model, questions, *told, *more))

    with serving(refusing):
        pass
    with pytest.MonkeyPatch.context() as patch, serving(refusing) as server:
        # A random model writes no reflection: give it some.
        patch.setattr("metaconf.training.stage2.check_format", lambda *_: None)
        patch.setattr("metaconf.rewards.group.parse_reply", _as_if_well_formed)
        assert run(server.url) == 2
        said = capsys.readouterr().err
        assert "401" in said and "stopped after step 1, which is saved" in said
        assert [path.name for path in checkpoints(out)] == ["checkpoint-1"]
        server.handler = judging
        assert run(server.url, "--resume") == 0
    assert {row["step"] for _, row in read_jsonl(out / "replies.jsonl")} == {0, 1, 2}


def _as_if_well_formed(text: str) -> Any:
    from metaconf.reply import parse_reply

    return parse_reply(format_reply("4", f"I know it {len(text) % 3}.", 0.5))
