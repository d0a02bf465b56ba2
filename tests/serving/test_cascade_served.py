"""A cascade as it is served: who is asked, who answers, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from front import GOOD, UNSURE, Says, cascaded, listed, said

from metaconf.cli import main
from metaconf.decisions.cascade_run import read_cascade
from metaconf.errors import UserError
from metaconf.serving.cascade import read

SURE = GOOD.replace("8", "9").replace("Mali", "Peru")


def failing() -> web.Response:
    return web.Response(status=400, text="prompt is too long")


@pytest.mark.parametrize(
    ("cheap", "dear", "answers", "action", "content"),
    [
        (said(SURE), said(GOOD), ["cheap"], "answer", "Peru"),
        (said(UNSURE), said(GOOD), ["cheap", "dear"], "answer", "Mali"),
        (said("no format"), said(GOOD), ["cheap", "dear"], "answer", "Mali"),
        (failing, said(GOOD), ["cheap", "dear"], "answer", "Mali"),
        (said(UNSURE), said(UNSURE), ["cheap", "dear"], "abstain", "not sure enough"),
        (said(UNSURE), said("no format"), ["cheap", "dear"], "unknown", "how sure"),
    ],
)
def test_the_first_model_that_is_sure_answers(
    fitted: Path, tmp_path: Path, cheap: Any, dear: Any, answers: Any, action: str, content: str
) -> None:
    with cascaded(fitted, tmp_path, {"cheap": cheap, "dear": dear}) as (server, upstream):
        turn = {"role": "user", "content": "Where?"}
        body = {"model": "any", "messages": [turn], "top_p": 0.5}
        status, headers, value = server.ask("/v1/chat/completions", body)
        metrics = server.ask("/metrics")[2]
    assert status == 200 and content in value["choices"][0]["message"]["content"]
    told = value["metaconf"]
    assert [one["model"] for one in told["attempts"]] == answers
    assert [len(one.asked) for one in upstream] == [1, len(answers) - 1]
    assert value["model"] == headers["x-metaconf-model"] == answers[-1]
    assert told["decision"]["action"] == headers["x-metaconf-decision"] == action
    assert f"metaconf_escalations_total {len(answers) - 1}.0" in metrics
    rule = read_cascade(fitted).rule
    assert told["decision"]["threshold"] == rule.thresholds[len(answers) - 1]
    if action == "answer":
        assert told["decision"]["certified"]
        assert "the cascade's error is at most 0.2" in told["decision"]["reason"]
        assert value["usage"]["completion_tokens"] == 10 * (len(answers) - (cheap is failing))


def test_a_last_model_that_fails_is_an_error_and_a_stream_is_held(
    fitted: Path, tmp_path: Path
) -> None:
    says: Says = {"cheap": said(UNSURE), "dear": said(GOOD)}
    with cascaded(fitted, tmp_path, says) as (server, _):
        body = {"model": "m", "messages": [{"role": "user", "content": "?"}], "stream": True}
        text = server.ask("/v1/chat/completions", {**body, "metaconf": {"stream": "live"}})[2]
        says["dear"] = failing
        status, _, value = server.ask("/v1/chat/completions", {**body, "stream": False})
        models = [one["id"] for one in server.ask("/v1/models")[2]["data"]]
        health, shown = server.ask("/healthz")[2], server.ask("/v1/calibration")[2]
    assert text.endswith("data: [DONE]\n\n") and "Mali" in text.split('"metaconf"')[0]
    assert (status, value["error"]["code"]) == (400, "refused")
    assert models == ["cheap", "dear"] and health["model"] == "cheap, then dear"
    assert shown["alpha"] == 0.2 and shown["state"] == "calibrated"
    assert (shown["models"], shown["asked"]) == (["cheap", "dear"], [0, 1])
    rule, offer = read_cascade(fitted).rule, shown["offers"][19]
    assert offer["thresholds"] == list(rule.thresholds) and offer["error"] == rule.error
    assert offer["cost"] == pytest.approx(rule.cost / 10)
    assert sum(one["n"] for one in shown["reliability"]) == len(read_cascade(fitted).final()[0])


def test_a_later_model_that_is_named_is_asked_alone_and_certifies_nothing(
    fitted: Path, tmp_path: Path
) -> None:
    says: Says = {"cheap": said(SURE), "dear": said(UNSURE)}
    with cascaded(fitted, tmp_path, says) as (server, _):
        alone = server.chat(model="dear")
        seen = server.service.watch.seen
        whole = server.chat(model="cheap")
        for _ in range(24):
            reply = server.chat(model="dear")["id"]
            server.ask("/feedback", {"id": reply, "correctness": False})
        state = server.ask("/healthz")[2]["calibration"]["state"]
    told = alone["metaconf"]
    assert [one["model"] for one in told["attempts"]] == ["dear"] == [alone["model"]]
    assert alone["choices"][0]["message"]["content"] == "Mali"
    assert told["decision"]["action"] == "unknown" and not told["decision"]["certified"]
    assert "No calibration applies" in told["decision"]["reason"]
    assert told["calibration"]["state"] == "unsupported" and seen == 0
    assert whole["model"] == "cheap" and whole["metaconf"]["decision"]["certified"]
    assert state == "calibrated"


def test_wrong_labels_of_any_model_end_the_certificate(fitted: Path, tmp_path: Path) -> None:
    says: Says = {"cheap": said(SURE), "dear": said(GOOD)}
    with cascaded(fitted, tmp_path, says) as (server, _):
        state = ""
        for i in range(24):
            says["cheap"] = said(UNSURE if i % 2 else SURE)
            reply = server.chat(f"question {i}")["id"]
            state = server.ask("/feedback", {"id": reply, "correctness": False})[2]["state"]
        decision = server.chat()["metaconf"]["decision"]
    assert state == "conflict" and not decision["certified"]


def test_models_that_the_rule_does_not_ask_are_left_out(fitted: Path, tmp_path: Path) -> None:
    kept = json.loads(fitted.read_text())
    models = ({"model": "embedded"}, {"model": "dear", "base_url": "http://127.0.0.1:9"})
    for thresholds, asked in (([None, 0.7], [1]), ([0.7, None], [0]), ([None, None], [0])):
        kept["cascade"]["thresholds"] = thresholds
        (tmp_path / "cascade.json").write_text(json.dumps(kept))
        found = read(listed(tmp_path / "cascade.json", tmp_path, *models))
        names = [one if isinstance(one, str) else one.model for one, _ in found]
        assert names == [models[place]["model"] for place in asked]
    assert found[0][1].rule.threshold is None and "cannot be certified" in found[0][1].words


@pytest.mark.parametrize(
    ("models", "why"),
    [
        ([{"model": "embedded"}], r"is of 2 models; list each"),
        ([{"model": "embedded"}, "dear"], r"models\[1\]: name the model"),
        ([{"model": "embedded"}, {"model": "none/at/all"}], "no such folder"),
        (
            [{"model": "embedded"}, {"model": "x", "base_url": 3}],
            r"models\[1\]: base_url: 3 is not",
        ),
        ([{"model": "embedded"}, {"model": "x", "url": "y"}], r"models\[1\]: unknown key url"),
        ([{"model": "embedded", "input_price": 1}, {"model": "x"}], r"models\[0\]: only a server"),
        ([{"model": "embedded"}, {"model": "x", "base_url": "http://a.b"}], "asks for a key"),
    ],
)
def test_a_cascade_that_cannot_be_served_is_refused(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Any, why: str
) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    with pytest.raises(UserError, match=why):
        read(listed(fitted, tmp_path, *models))


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("models: []\n")
    assert main(["serve", "--cascade", str(tmp_path / "c.yaml")]) == 2
    assert "give two keys: calibration" in capsys.readouterr().err
    assert main(["serve", "--cascade", "c.yaml", "--model", "embedded"]) == 2
    assert "--model: --cascade says it too" in capsys.readouterr().err
