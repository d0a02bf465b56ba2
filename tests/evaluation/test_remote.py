"""`metaconf evaluate --base_url`: a served model measured as a local one is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_server import Server, completion, ok, serving

from metaconf.cli import main
from metaconf.evaluation.generate import first_line
from metaconf.evaluation.methods import chosen, in_order
from metaconf.prompts.chat import INSTRUCTION, REVIEW, messages
from metaconf.records import read_jsonl

REPLY = "Answer: {}\nSelf-reflection: I know it.\nConfidence: 8"


def grades() -> dict[str, float | None]:
    """Question → correctness, of the run in `out`."""
    rows = [row for _, row in read_jsonl(Path("out/replies.jsonl"))]
    return {row["prompt"]: row["correctness"] for row in rows}


RIGHT = "What is 2 + 1?"


async def knows_three(request: web.Request, sent: Any, n: int) -> web.Response:
    """A model that always answers 3, the bare answer where that is asked for."""
    bare = sent["messages"][0]["content"].startswith("Reply with the answer only")
    return ok("Answer: 3\nand more" if bare else REPLY.format(3))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("metaconf.evaluation.tables.METRICS", ("accuracy", "ece", "brier"))
    monkeypatch.setattr("metaconf.clients.run.BACK_OFF", 0.01)
    rows = [{"question": f"What is {i} + 1?", "answer": i + 1} for i in range(4)]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def evaluate(server: Server, *words: str) -> int:
    start = ["evaluate", "--base_url", server.url, "--model", "served", "--questions"]
    return main([*start, "asked.jsonl", "--output_dir", "out", "--quiet", *words])


def test_a_served_model_is_asked_what_a_local_one_is(asked: Path) -> None:
    with serving(knows_three) as server:
        assert evaluate(server) == 0
    chats = [json.dumps(sent["messages"]) for sent in server.asked]
    wanted = [messages(f"What is {i} + 1?", INSTRUCTION) for i in range(4)]
    assert sorted(chats) == sorted(json.dumps(chat) for chat in wanted)
    assert {sent["model"] for sent in server.asked} == {"served"}
    rows = [row for _, row in read_jsonl(Path("out/replies.jsonl"))]
    assert {row["correctness"] for row in rows} == {0, 1} and grades()[RIGHT] == 1
    assert {row["confidence"] for row in rows} == {0.8}
    assert {row["tokens"] for row in rows} == {10}


def test_baselines_that_text_is_enough_for(asked: Path) -> None:
    with serving(knows_three) as server:
        assert evaluate(server, "--baselines") == 0
    methods = json.loads(Path("out/metrics.json").read_text())["methods"]
    wanted = in_order([*chosen("all", server=True), "reply"])
    assert [method["key"] for method in methods] == list(wanted)
    by_key = {method["key"]: method["figures"] for method in methods}
    assert {by_key[key]["accuracy"]["value"] for key in by_key} == {0.25}
    assert by_key["samples8"]["brier"]["n"] == 4
    drawn = [sent for sent in server.asked if sent["temperature"] > 0]
    assert len({json.dumps(sent, sort_keys=True) for sent in drawn}) == len(drawn)
    (review,) = [
        sent["messages"][-2]["content"]
        for sent in server.asked
        if sent["messages"][-1]["content"] == REVIEW
        and sent["messages"][-3]["content"] == "What is 2 + 1?"
    ]
    assert review == REPLY.format(3)


def test_failed_calls_are_counted_and_asked_again(
    asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = True

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if broken and sent["messages"][-1]["content"] == "What is 2 + 1?":
            return web.json_response({"error": {"message": "no"}}, status=400)
        return await knows_three(request, sent, n)

    with serving(handler) as server:
        assert evaluate(server) == 0
        assert "1 of 4 calls failed: refused (400: no)" in capsys.readouterr().err
        # Not known is not wrong.
        assert grades()[RIGHT] is None and set(grades().values()) == {0, None}
        rows = [row for _, row in read_jsonl(Path("out/replies.jsonl"))]
        assert [r["problems"] for r in rows if r["prompt"] == RIGHT] == [["the call failed"]]
        broken, before = False, len(server.asked)
        assert evaluate(server, "--resume") == 0
        assert len(server.asked) == before + 1
    assert grades()[RIGHT] == 1


def test_a_sample_that_failed_does_not_count_as_another_answer(asked: Path) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if sent["temperature"] and sent.get("seed", 0) % 2:
            return web.json_response({"error": {"message": "no"}}, status=400)
        return await knows_three(request, sent, n)

    with serving(handler) as server:
        assert evaluate(server, "--baselines", "samples8,entropy") == 0
    rows = [row for _, row in read_jsonl(Path("out/replies.jsonl"))]
    # Four of eight samples failed; the others all say the same.
    assert {row["confidence"] for row in rows if row["method"] != "reply"} == {1.0}


def test_what_a_server_cannot_give_is_refused(
    asked: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(knows_three) as server:
        assert evaluate(server, "--baselines", "asked,p_true") == 2
        assert "which a server does not give" in capsys.readouterr().err
        assert evaluate(server, "--dry_run", "--input_price", "1", "--output_price", "2") == 0
        shown = capsys.readouterr().out
        assert f"[system] {INSTRUCTION}" in shown and "at the prices given" in shown
        assert not server.asked
    monkeypatch.delenv("SOME_KEY", raising=False)
    words = ["evaluate", "--base_url", "https://models.example", "--questions", "asked.jsonl"]
    assert main(words) == 2
    assert "--model NAME" in capsys.readouterr().err
    assert main([*words, "--model", "m", "--api_key_env", "SOME_KEY"]) == 2
    assert "SOME_KEY: not set" in capsys.readouterr().err
    assert not Path("out").exists() and not Path("runs").exists()


def test_the_bare_answer_of_a_reply() -> None:
    for text, answer in (
        ("\n Answer: Mali \nI am sure", "Mali"),
        ("Mali", "Mali"),
        ("Answer: A", "A"),
        ("Answer:\nMali", ""),
        (" \n", ""),
    ):
        start, end = first_line(text)
        assert text[start:end] == answer


def test_the_probability_of_an_answer_is_that_of_its_tokens(asked: Path) -> None:
    async def tells(request: web.Request, sent: Any, n: int) -> web.Response:
        if "top_logprobs" not in sent:
            return await knows_three(request, sent, n)
        assert sent["logprobs"] is True and sent["temperature"] == 0
        pieces = [("Answer", 0.9), (":", 0.9), (" thr", 0.5), ("ee", 0.4), ("\n", 0.1), ("so", 0.1)]
        content = [{"token": text, "logprob": math.log(p)} for text, p in pieces]
        body = completion("Answer: three\nso")
        body["choices"][0]["logprobs"] = {"content": content}
        return web.json_response(body)

    with serving(tells) as server:
        assert evaluate(server, "--baselines", "probability,token_mean,samples8") == 0
        assert sum("top_logprobs" in sent for sent in server.asked) == 4  # greedy answers alone
    rows = [row for _, row in read_jsonl(Path("out/replies.jsonl"))]
    found = {(r["method"], r["answer"], round(r["confidence"], 4)) for r in rows}
    assert ("probability", "three", 0.2) in found
    assert ("token_mean", "three", round(0.2**0.5, 4)) in found


def test_without_log_probabilities_the_confidence_is_unknown(asked: Path) -> None:
    with serving(knows_three) as server:
        assert evaluate(server, "--baselines", "probability") == 0
    rows = [row for _, row in read_jsonl(Path("out/replies.jsonl"))]
    assert {row["confidence"] for row in rows if row["method"] == "probability"} == {None}
    assert {row["correctness"] for row in rows} == {0, 1}


def say_of_one(text: str | bytes, status: int = 200) -> Any:
    """A model that knows three, but replies with this body to one of the questions."""

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if sent["messages"][-1]["content"] == RIGHT:
            body = text if isinstance(text, bytes) else text.encode()
            return web.Response(status=status, body=body, content_type="application/json")
        return await knows_three(request, sent, n)

    return handler


ODD: dict[str, str] = {
    "A1 no message": '{"choices": [{"message": null, "finish_reason": "content_filter"}]}',
    "A1 no choice": '{"choices": [null]}',
    "A5 brackets": "[" * 100_000,
    "A5 digits": '{"usage": ' + "9" * 5000 + "}",
    "E1 cut": '{"choices": [{"message": {"content": ""}, "finish_reason": "length"}],'
    ' "usage": {"prompt_tokens": 1, "completion_tokens": 300}}',
}


@pytest.mark.parametrize("row", ODD)
def test_a1_a5_e1_one_failed_call_and_the_run_goes_on(
    row: str, asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(say_of_one(ODD[row])) as server:
        assert evaluate(server) == 0
        told = capsys.readouterr().err
        assert "1 of 4 calls failed" in told and ("301 tokens" in told) == row.startswith("E1")
        assert grades()[RIGHT] is None and set(grades().values()) == {0, None}
        assert evaluate(server, "--resume") == 0
        if row.startswith(("E1", "A1 no message")):
            assert len(server.asked) == 4 + 1  # nothing was asked in vain


@pytest.mark.parametrize("usage", ['{"prompt_tokens": "7", "completion_tokens": "5"}', "[1, [2]]"])
def test_a2_odd_usage_costs_no_run(usage: str, asked: Path) -> None:
    body = json.dumps(completion(REPLY.format(3)))
    body = body.replace(json.dumps(completion("")["usage"]), usage)
    with serving(say_of_one(body)) as server:
        assert evaluate(server, "--input_price", "1", "--output_price", "2") == 0
    assert grades()[RIGHT] == 1


def test_a3_half_a_surrogate_pair_is_reported_and_resumed(asked: Path) -> None:
    body = json.dumps(completion("Answer: 3\nSelf-reflection: I \ud83d know it.\nConfidence: 8"))
    assert "\\ud83d" in body
    with serving(say_of_one(body)) as server:
        assert evaluate(server) == 0
        assert evaluate(server, "--resume") == 0
        assert len(server.asked) == 4
    (row,) = [row for _, row in read_jsonl(Path("out/replies.jsonl")) if row["prompt"] == RIGHT]
    assert row["reflection"] == "I \ufffd know it." and row["correctness"] == 1


def test_e3_e4_an_address_with_a_path_and_content_in_parts(asked: Path) -> None:
    thought = {"type": "thinking", "thinking": "perhaps 4"}
    parts = completion([thought, {"type": "text", "text": REPLY.format(3)}])
    with serving(say_of_one(json.dumps(parts))) as server:
        server.url += "/inference"
        assert evaluate(server) == 0
        assert set(server.paths) == {"/inference/chat/completions"} and len(server.asked) == 4
    assert grades()[RIGHT] == 1


def test_e5_only_the_default_temperature(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if "temperature" in sent:
            text = "'temperature' does not support 0; only the default (1) is supported"
            return web.json_response({"error": {"message": text}}, status=400)
        return await knows_three(request, sent, n)

    with serving(handler) as server:
        assert evaluate(server, "--extra_body", "{temperature: null, top_k: 3}") == 0
        assert len(server.asked) == 4 and {sent["top_k"] for sent in server.asked} == {3}
        assert "temperature" not in capsys.readouterr().err
        words = ["evaluate", "--base_url", server.url, "--model", "served", "--quiet"]
        assert main([*words, "--questions", "asked.jsonl", "--output_dir", "out2"]) == 0
        assert "does not take temperature" in capsys.readouterr().err
        words += ["--questions", "asked.jsonl", "--output_dir", "out"]
        assert main([*words, "--extra_body", "{top_k: 4}", "--resume"]) == 2
        assert "another extra.top_k" in capsys.readouterr().err
    assert main(["evaluate", "--extra_body", "{top_k: 4}", "--output_dir", "out3"]) == 2
    assert "--extra_body: only a server has a use for it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, "--extra_body", "top_k"])


def test_e6_a_refusal_is_kept_and_counted(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = json.dumps(completion(None, refusal="I cannot say."))
    with serving(say_of_one(body)) as server:
        assert evaluate(server, "--baselines", "samples8") == 0
        assert "1 of 4 replies are refusals of the model: refusal (I cannot say.)" in (
            capsys.readouterr().err
        )
        before = len(server.asked)
        assert evaluate(server, "--baselines", "samples8", "--resume") == 0
        assert len(server.asked) == before
    rows = [row for _, row in read_jsonl(Path("out/replies.jsonl")) if row["prompt"] == RIGHT]
    found = {row["method"]: (row["text"], row["answer"], row["why"]) for row in rows}
    assert found["reply"] == ("I cannot say.", None, "no answer")
    assert found["samples8"] == ("", None, "no answer")


@pytest.mark.parametrize("words", [(), ("--baselines", "asked")])
def test_e8_a_run_that_no_call_answered_ends_with_an_error(
    words: tuple[str, ...], asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = True

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if broken:
            return web.json_response(
                {"error": {"message": "flagged: insufficient balance"}}, status=400
            )
        return await knows_three(request, sent, n)

    with serving(handler) as server:
        assert evaluate(server, *words) == 2
        told = capsys.readouterr().err
        assert "calls failed: refused (400: flagged" in told and "calls was answered" in told
        assert not Path("out/metrics.json").exists()
        broken = False
        assert evaluate(server, *words, "--resume") == 0
    assert grades()[RIGHT] == 1
