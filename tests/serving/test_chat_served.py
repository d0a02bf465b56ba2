"""Chat completions: unchanged clients, the object beside the answer, both ways to stream."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_server import Reply as Sent
from chat_server import completion, ok
from front import GOOD, UNSURE, Running, in_front, says

from metaconf.serving.calibration import Calibration

THOUGHT = f"<think>Answer: Chad\nConfidence: 3</think>\n{GOOD}"
NO_FORMAT = "Timbuktu lies in Mali."


async def echo(_: web.Request, sent: Sent, __: int) -> web.StreamResponse:
    """Replies with what stands in the last turn; streamed in pieces of three where asked to."""
    text = sent["messages"][-1]["content"]
    if not sent.get("stream"):
        return ok(text)
    reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await reply.prepare(_)
    pieces = [text[i : i + 3] for i in range(0, len(text), 3)]
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": {"content": one}}]} for one in pieces]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({"choices": [], "usage": completion("")["usage"]})
    for chunk in chunks:
        await reply.write(f"data: {json.dumps(chunk)}\n\n".encode())
    await reply.write(b"data: [DONE]\n\n")
    return reply


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Without a calibration."""
    with in_front(echo, tmp_path_factory.mktemp("free")) as server:
        yield server


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory, calibration: Calibration) -> Iterator[Running]:
    with in_front(echo, tmp_path_factory.mktemp("gated"), calibration) as server:
        yield server


def openai(server: Running) -> Any:
    from openai import OpenAI

    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def asked(text: str) -> dict[str, Any]:
    return {"model": "any", "messages": [{"role": "user", "content": text}]}


def test_the_openai_client_as_it_is(free: Running) -> None:
    reply = openai(free).chat.completions.create(**asked(GOOD))
    assert reply.choices[0].message.content == "Mali"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == 110
    told = reply.model_extra["metaconf"]
    assert (told["answer"], told["reflection"], told["parsed"]) == ("Mali", "I know it well.", True)
    assert told["confidence"] == {
        **{"value": 0.8, "stated": 0.8},
        **{"expected": None, "distribution": None},
    }
    assert told["decision"]["action"] == "unknown"
    assert told["calibration"]["state"] == "unsupported"
    assert [(one["model"], one["tokens"]) for one in told["attempts"]] == [("upstream", 110)]
    assert [model.id for model in openai(free).models.list()] == ["upstream"]


@pytest.mark.parametrize("text", [GOOD, THOUGHT, NO_FORMAT, "Answer: **New York**\nConfidence: 1"])
def test_a_stream_of_the_openai_client(free: Running, text: str) -> None:
    stream = openai(free).chat.completions.create(
        **asked(text), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == free.chat(text)["choices"][0]["message"]["content"]
    assert len({chunk.id for chunk in chunks}) == 1
    last = chunks[-1]
    assert last.usage.total_tokens == 110 and last.model_extra["metaconf"]["attempts"]
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_live_pieces_come_before_the_end(free: Running) -> None:
    long = GOOD.replace("Mali", "the Republic of Mali in West Africa")
    stream = openai(free).chat.completions.create(**asked(long), stream=True)
    pieces = [c.choices[0].delta.content for c in stream if c.choices]
    assert sum(bool(piece) for piece in pieces) > 5


def test_what_langchain_reads(free: Running) -> None:
    chat = pytest.importorskip("langchain_openai").ChatOpenAI(
        base_url=f"{free.url}/v1", api_key="none", model="any", max_retries=0
    )
    assert chat.invoke(GOOD).content == "Mali"
    assert "".join(str(chunk.content) for chunk in chat.stream(GOOD)) == "Mali"


def test_curl(free: Running) -> None:
    command = ["curl", "-sS", "-i", f"{free.url}/v1/chat/completions"]
    command += ["-H", "Content-Type: application/json", "-d", json.dumps(asked(GOOD))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    head, _, body = done.stdout.partition("\n\n")
    assert "x-metaconf-confidence: 0.8" in head and "x-metaconf-model: upstream" in head
    assert json.loads(body)["choices"][0]["message"]["content"] == "Mali"


def test_what_is_not_stated_is_unknown_and_never_zero(free: Running) -> None:
    status, headers, value = free.ask("/v1/chat/completions", asked(NO_FORMAT))
    told = value["metaconf"]
    assert status == 200 and value["choices"][0]["message"]["content"] == NO_FORMAT
    assert told["parsed"] is False and told["confidence"]["value"] is None
    assert headers["x-metaconf-confidence"] == "unknown"
    assert told["decision"]["action"] == headers["x-metaconf-decision"] == "unknown"


def test_the_whole_reply_is_there_for_who_asks(free: Running) -> None:
    value = free.chat(THOUGHT, metaconf={"content": "reply"})
    assert value["choices"][0]["message"]["content"] == THOUGHT
    assert value["metaconf"]["answer"] == "Mali"


def test_the_instruction_goes_to_the_model_beside_the_clients_own(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def note(_: Any, sent: Sent, __: int) -> Any:
        seen.append(sent)
        return ok(GOOD)

    with in_front(note, tmp_path) as server:
        turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where?"}]
        body = {"model": "m", "messages": turns, "top_p": 0.5, "response_format": {"type": "text"}}
        value = server.ask("/v1/chat/completions", body)[2]
    assert seen[0]["messages"][0]["content"].startswith("Be kind.\n\nReply in three lines.")
    assert (seen[0]["model"], seen[0]["temperature"], seen[0]["top_p"]) == ("upstream", 0, 0.5)
    assert value["metaconf"]["ignored"] == ["response_format"]


def test_a_rule_keeps_back_what_it_does_not_answer(
    gated: Running, calibration: Calibration
) -> None:
    sure, unsure, silent = (gated.chat(text) for text in (GOOD, UNSURE, NO_FORMAT))
    said = [value["choices"][0]["message"]["content"] for value in (sure, unsure, silent)]
    assert said[0] == "Mali" and "not sure enough" in said[1] and "how sure" in said[2]
    told = [value["metaconf"] for value in (sure, unsure, silent)]
    assert [one["decision"]["action"] for one in told] == ["answer", "abstain", "unknown"]
    decision = told[0]["decision"]
    assert decision["certified"] and decision["alpha"] == 0.2
    assert decision["threshold"] == calibration.rule.threshold
    assert told[0]["confidence"]["value"] == pytest.approx(calibration.recalibrated(0.8))
    assert told[1]["answer"] == "Mali"  # for who wants to show it all the same


def test_a_held_stream_withholds_too(gated: Running) -> None:
    with openai(gated).chat.completions.with_streaming_response.create(
        **asked(UNSURE), stream=True
    ) as response:
        assert response.headers["x-metaconf-decision"] == "abstain"
        text = "".join(response.iter_text())
    assert "Mali" not in text.split('"metaconf"')[0] and text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"n": 2}, "n:"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0"),
        ({"temperature": 3}, "temperature"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"metaconf": {"stream": "fast"}}, "metaconf.stream"),
    ],
)
def test_bad_requests_are_refused_by_key(free: Running, keys: Any, names: str) -> None:
    status, _, value = free.ask("/v1/chat/completions", {**asked(GOOD), **keys})
    assert status == 400 and value["error"]["message"].startswith(names)
    assert value["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (web.Response(status=500, text="boom"), 502, "server"),
        (web.Response(status=429, text="slow"), 429, "rate"),
        (web.Response(status=401, text="wrong s3cret-key"), 502, "stopped"),
        (web.Response(status=400, text="prompt is too long"), 400, "refused"),
        (web.Response(text="no json"), 502, "malformed"),
        (ok(" \n"), 502, "blank"),
    ],
)
def test_a_model_that_fails_is_said_by_the_book(
    tmp_path: Path, reply: web.Response, status: int, code: str
) -> None:
    async def fail(*_: Any) -> Any:
        return web.Response(status=reply.status, text=reply.text)

    with in_front(fail, tmp_path) as server:
        for keys in ({}, {"stream": True, "metaconf": {"stream": "hold"}}):
            got, headers, value = server.ask("/v1/chat/completions", {**asked("?"), **keys})
            assert (got, value["error"]["code"]) == (status, code)
            assert (headers["retry-after"] == "1") is (status == 429)
            assert "s3cret-key" not in json.dumps(value)
        live = server.ask("/v1/chat/completions", {**asked("?"), "stream": True})[2]
        assert f'"code": "{code}"' in live and "[DONE]" not in live


def test_a_stream_that_is_cut_is_an_error_and_no_short_answer(tmp_path: Path) -> None:
    from openai import APIError

    async def cut(request: web.Request, *_: Any) -> Any:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        chunk = {"choices": [{"delta": {"content": "Answer: Mali\nSelf"}}]}
        await reply.write(f"data: {json.dumps(chunk)}\n\n".encode())
        return reply

    with in_front(cut, tmp_path) as server, pytest.raises(APIError, match="broken off"):
        list(openai(server).chat.completions.create(**asked("?"), stream=True))


def test_a_model_that_hangs_is_given_up(tmp_path: Path) -> None:
    import asyncio

    async def hang(*_: Any) -> Any:
        await asyncio.sleep(30)

    with in_front(hang, tmp_path, timeout=0.3) as server:
        status, _, value = server.ask("/v1/chat/completions", asked("?"))
        assert (status, value["error"]["code"]) == (504, "timeout")


def test_a_refusal_and_a_cut_reply_are_replies(tmp_path: Path) -> None:
    async def odd(_: Any, __: Any, number: int) -> Any:
        if number == 1:
            return web.json_response(completion(None, refusal="I will not."))
        return web.json_response(completion("Answer: Ma", "length"))

    with in_front(odd, tmp_path) as server:
        refused, cut = server.chat(), server.chat()
    assert refused["choices"][0]["message"]["content"] == "I will not."
    assert refused["metaconf"]["decision"]["action"] == "unknown"
    assert cut["choices"][0]["finish_reason"] == "length" and not cut["metaconf"]["parsed"]


def test_metrics_count(tmp_path: Path, calibration: Calibration) -> None:
    with in_front(says(GOOD), tmp_path, calibration) as server:
        server.chat()
        text = server.ask("/metrics")[2]
    assert 'metaconf_decisions_total{action="answer"} 1.0' in text
    assert "metaconf_confidence_count 1.0" in text and "metaconf_unparsed_total 0.0" in text
    assert "Timbuktu" not in text and "Mali" not in text


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "m", "messages": [{"role": "user", "content": "Answer: Mali"}], "n": 1.0}',
        b'{"model": "m", "messages": [{"role": "user", "content": "Answer: \\ud800"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "n": "1"}',
        b'{"model": "m", "messages": ' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"model": "m"',
        b"\xff",
        b"",
    ],
)
def test_a_request_is_read_alike_whatever_its_type_of_json(free: Running, body: bytes) -> None:
    """The first type takes the short way through `ChatRoute`, the other one FastAPI's own."""
    short, long = (
        free.ask("/v1/chat/completions", body, Content_Type=kind)
        for kind in ("application/json", "application/json; charset=utf-8")
    )
    assert short[0] == long[0] and short[2].get("error") == long[2].get("error")
    if short[0] == 200:
        assert short[2]["choices"] == long[2]["choices"]
    assert short[0] == (200 if b"Answer" in body else 400)
