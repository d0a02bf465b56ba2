"""Rollouts by vLLM servers: each step's replies come from that step's policy, or the run stops."""

from __future__ import annotations

import json
import logging
import math
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training import QUESTIONS, config_of, save
from vllm_stub import CUT, LOST, FakeVLLM, serving

from metaconf.config.load import load_config
from metaconf.config.refused import refuse_together
from metaconf.errors import UserError
from metaconf.generation import vllm_servers
from metaconf.generation.local import LocalModel, load_local
from metaconf.generation.sampler import Draw, Sampling
from metaconf.generation.vllm_servers import (
    COMPLETE,
    EMPTY_CACHE,
    KEY,
    LOAD,
    RPC,
    UNLOAD,
    servers_at,
)
from metaconf.generation.vllm_wire import read_completion
from metaconf.training import stage2
from metaconf.training.policy_servers import FOLDER

STEPS = 3
SETTINGS = {"max_steps": STEPS, "learning_rate": 3e-3, "use_vllm": True, "vllm_mode": "server"}


@pytest.fixture
def model(tmp_path: Path, taught: Callable[[], LocalModel]) -> Path:
    return save(taught, tmp_path / "taught")


def trained(model: Path, out: Path, *fakes: FakeVLLM, **blocks: Any) -> list[float]:
    """The gap of each step of a short run whose replies come from `fakes`."""
    more = {"vllm_server_base_url": [fake.url for fake in fakes], "vllm_server_timeout": 5.0}
    config = config_of(trainer={**SETTINGS, **more}, **blocks)
    stage2.train(load_local(str(model), torch.float32), QUESTIONS, config, out)
    rows = json.loads((out / "curve.json").read_text())
    return [row["sampling/sampling_logp_difference/mean"] for row in rows]


def sent(fake: FakeVLLM, route: str, key: str) -> list[str]:
    return [body[key] for asked, body in fake.asked if asked == route]


def test_each_step_is_drawn_from_its_own_policy(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"
    with serving(model) as one, serving(model) as two, caplog.at_level(logging.WARNING, "metaconf"):
        found = trained(model, out, one, two, use_peft=True)
    assert len(found) == STEPS and max(found) < 1e-4
    assert "nats a token" not in caplog.text
    for fake in (one, two):
        pushed = sent(fake, LOAD, "lora_name")
        assert [name.rpartition("-")[2] for name in pushed] == ["0", "1", "2"]
        assert sent(fake, UNLOAD, "lora_name") == pushed and not fake.adapters
        assert sent(fake, COMPLETE, "model") == pushed  # of two questions each server gets one
    prompts = [tuple(body["prompt"]) for f in (one, two) for r, body in f.asked if r == COMPLETE]
    assert len(set(prompts)) == 2
    assert not (out / FOLDER).exists() and (out / "model.safetensors").exists()


def test_all_weights_are_read_anew_and_the_cache_emptied(model: Path, tmp_path: Path) -> None:
    with serving(model) as fake:
        found = trained(model, tmp_path / "run", fake, use_peft=False)
    assert len(found) == STEPS and max(found) < 1e-4
    routes = [route for route, _ in fake.asked]
    step = [RPC, EMPTY_CACHE, COMPLETE, COMPLETE]
    assert routes == step * STEPS and set(sent(fake, COMPLETE, "model")) == {"base"}


@pytest.mark.parametrize("peft", [True, False])
def test_a_server_that_keeps_the_old_weights_is_found(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, peft: bool
) -> None:
    stops = pytest.raises(UserError, match=r"step 2: .*lack the last weights.*stopped before")
    with serving(model, stale=True) as fake, caplog.at_level(logging.WARNING, "metaconf"), stops:
        trained(model, tmp_path / "run", fake, use_peft=peft)
    assert "step 1: the log-probabilities" in caplog.text  # a warning, at the first step it can


def test_a_server_without_the_policy_stops_the_run(model: Path, tmp_path: Path) -> None:
    with serving(model, forgets=True) as fake:
        with pytest.raises(
            UserError, match=r"/v1/completions: status 404: .*does not exist.*--res"
        ):
            trained(model, tmp_path / "run", fake, use_peft=True)
        assert len(sent(fake, COMPLETE, "model")) <= 2


def test_what_is_no_server_is_said_before_anything_is_loaded() -> None:
    nobody = servers_at("http://127.0.0.1:9", wait=0.0, timeout=5.0)
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9/v1/models: .*vllm_server_timeout"):
        nobody.served()
    with pytest.raises(UserError, match="no address of a server"):
        servers_at(["localhost"], 1.0, 1.0)
    several = servers_at(["http://a:1/v1", "http://b:2"], 1.0, 1.0)
    assert several.urls == ("http://a:1", "http://b:2")


# What passes, and what does not


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_servers, "PAUSES", (0.01, 0.02, 0.04))


@pytest.mark.usefixtures("quick")
def test_what_passes_changes_nothing_and_the_key_is_shown_to_the_servers_alone(
    model: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(model) as sound:
        trained(model, tmp_path / "sound", sound, use_peft=True)
    key = "a-key-of-the-servers"
    monkeypatch.setenv(KEY, f"{key}\n")
    faults = {LOAD: [503, LOST, None, CUT], COMPLETE: [500, CUT, LOST, 502, LOST], UNLOAD: [LOST]}
    with serving(model, key=key, faults=faults) as fake, caplog.at_level(logging.WARNING):
        trained(model, tmp_path / "run", fake, use_peft=True)
    pushed = sent(fake, LOAD, "lora_name")
    assert pushed[0] == pushed[1] and len(set(pushed)) == len(pushed[1:]) == STEPS
    assert not fake.adapters and not any(fake.faults.values())
    for name in ("model.safetensors", "replies.jsonl"):
        assert (tmp_path / "sound" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    warned = [row.getMessage() for row in caplog.records if "trying again" in row.getMessage()]
    assert f"{fake.url}{LOAD}: status 503: " in warned[0] and len(warned) <= 8
    said = "".join([*capfd.readouterr(), caplog.text, repr(servers_at(fake.url, 1.0, 1.0, key))])
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert key not in said and not any(key.encode() in text for text in files)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", [503, CUT])
def test_what_does_not_pass_ends_in_one_line(model: Path, tmp_path: Path, fault: Any) -> None:
    ends = pytest.raises(UserError, match=rf"{COMPLETE}: .*\(tried 4 times\); .*--resume")
    with serving(model, faults={COMPLETE: [fault] * 20}) as fake, ends as error:
        trained(model, tmp_path / "run", fake, use_peft=True)
    assert "\n" not in str(error.value) and not fake.adapters


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("route", [EMPTY_CACHE, COMPLETE])
def test_after_all_weights_were_sent_nothing_is_asked_again(
    model: Path, tmp_path: Path, route: str
) -> None:
    """A server that was started anew would answer it, from other weights."""
    faults = {RPC: [503, CUT], route: [503]}
    ends = pytest.raises(UserError, match=rf"{route}: status 503: .*is busy[^(]*; ")
    with serving(model, faults=faults) as fake, ends:
        trained(model, tmp_path / "run", fake, use_peft=False)
    assert [asked for asked, _ in fake.asked].count(RPC) == 1


def test_a_server_that_says_nothing_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_servers, "_SHORT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers, begun = (
            servers_at(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.0, 2.0),
            time.monotonic(),
        )
        with pytest.raises(UserError, match=rf"{LOAD}: TimeoutError; look at its log"):
            servers.load_adapter("policy", Path("policy"))
    assert time.monotonic() - begun < 3.0


def test_a_server_wants_its_key(model: Path) -> None:
    with serving(model, key="the-right-key") as fake:
        for key in ("", "a-wrong-key"):
            with pytest.raises(UserError, match=f"status 401.*; export the server's key as {KEY}"):
                servers_at(fake.url, 1.0, 1.0, key).served()
        with pytest.raises(UserError, match=r"Bearer \*\*\*"):
            servers_at(fake.url, 1.0, 1.0, "a-wrong-key").served()
        assert servers_at(fake.url, 1.0, 1.0, "the-right-key").served() == "base"
    with pytest.raises(UserError, match=KEY) as error:
        servers_at(fake.url, 1.0, 1.0, "two\nlines")
    assert "two" not in str(error.value)


# What an answer says

ASKED = Draw((5, 6), "q", (0, 1))
HOW = Sampling(4, frozenset({2}), 0.7)


def choice(index: int, **other: Any) -> dict[str, Any]:
    known = {"token_logprobs": [-0.5, -1.0]}
    plain = {"index": index, "token_ids": [7, 2], "prompt_token_ids": [5, 6], "logprobs": known}
    return plain | other


def test_an_answer_is_read_as_it_is() -> None:
    cut = choice(1, token_ids=[7, 8], logprobs={"token_logprobs": [-0.5, None]})
    one, two = read_completion({"model": "p", "choices": [cut, choice(0)]}, "p", ASKED, HOW)
    assert (one.sample, one.tokens, one.ended) == (0, [7, 2], True)
    assert one.sampling_logprobs == [-0.5, -1.0] and all(map(math.isnan, one.logprobs))
    assert (two.sample, two.ended) == (1, False) and math.isnan(two.sampling_logprobs[1])


@pytest.mark.parametrize(
    "answer",
    [
        {"model": "other", "choices": [choice(0), choice(1)]},
        {"model": "p", "choices": [choice(0)]},
        {"model": "p", "choices": [choice(0), choice(1, prompt_token_ids=[5])]},
        {"model": "p", "choices": [choice(0), choice(1, logprobs={"token_logprobs": [-0.5]})]},
        {"model": "p", "choices": [choice(0), choice(1, logprobs=None)]},
        {"model": "p", "choices": [choice(0), choice(1, token_ids=[7] * 5)]},
        {"model": "p", "choices": [choice(0), choice(1, token_ids=[])]},
        {"model": "p"},
        None,
    ],
)
def test_an_answer_to_something_else_is_refused(answer: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_completion(answer, "p", ASKED, HOW)


URL = {"vllm_server_base_url": "http://localhost:8000"}


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ({"use_vllm": True}, "needs vllm_mode: server"),
        ({"use_vllm": True, "vllm_mode": "colocate", **URL}, "does not run inside the trainer"),
        ({"use_vllm": True, "vllm_mode": "server"}, "vllm_server_base_url"),
        (URL, "no effect without use_vllm"),
        ({"vllm_mode": "server"}, "no effect without use_vllm"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(trainer: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        refuse_together("grpo", trainer, adapter=True)


def test_one_address_or_several(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("use_vllm: true\nvllm_mode: server\nvllm_server_base_url: http://a:1\n")
    assert load_config(path, "grpo").trainer["vllm_server_base_url"] == "http://a:1"
    words = ["--vllm_server_base_url", "[http://a:1, http://b:2]"]
    config = load_config(path, "grpo", words)
    assert config.trainer["vllm_server_base_url"] == ["http://a:1", "http://b:2"]
    refuse_together("grpo", config.trainer, adapter=True)
