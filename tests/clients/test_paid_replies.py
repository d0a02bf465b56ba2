"""What was paid for is read if it can be, not asked for again and again, and counted; and a prompt
that a server does not take ends neither its run nor the next one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_server import Server, completion, serving

import metaconf.clients.run as run
from metaconf.clients import Completion, Endpoint, Failure, Request, complete_all, endpoint_of, wire
from metaconf.clients.body import parsed
from metaconf.clients.endpoint import Shape
from metaconf.clients.reply import used
from metaconf.config.blocks import Client
from metaconf.errors import UserError

USAGE = {"prompt_tokens": 300, "completion_tokens": 100}
PRICES: Any = {"input_price": 1.0, "output_price": 10.0}


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BACK_OFF", 0.01)


def asked(text: str = "Who?", **more: Any) -> Request:
    return Request(({"role": "user", "content": text},), **more)


Say = Callable[[str], Any]


def answered(
    say: Say, *texts: str, cache: Path | None = None, key: str = "", **limits: Any
) -> tuple[list[Any], Server]:
    """Outcomes of a server whose every reply is what `say` makes of a prompt, and the server."""

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        said = say(sent["messages"][0]["content"])
        return said if isinstance(said, web.Response) else web.json_response(said)

    with serving(handler) as server:
        where = endpoint_of(Client(server.url, **limits), {"DEEPSEEK_API_KEY": key})
        requests = [asked(t) for t in texts or ["Who?"]]
        found = complete_all(requests, where, cache=cache, progress=False)
    return found, server


def no(status: int, message: str, **more: Any) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status, **more}}, status=status)


FLAGGED = "Your chosen model requires moderation and your input was flagged for violence"
DENIALS = [(403, FLAGGED), (403, "no"), (404, "No allowed providers are available"), (401, "no")]


@pytest.mark.parametrize("concurrency", [1, 3, 500])
@pytest.mark.parametrize(("status", "message"), DENIALS)
def test_a_prompt_that_is_denied_while_others_are_answered_is_one_failed_call(
    status: int, message: str, concurrency: int
) -> None:
    def say(text: str) -> Any:
        return no(status, message) if text == "bad" else completion("fine")

    texts = [str(i) for i in range(40)]
    first = status != 401  # a key that the very first call is refused for is wrong
    found, _ = answered(say, *["bad"] * first, *texts, "bad", concurrency=concurrency)
    kinds = [one.kind for one in found if isinstance(one, Failure)]
    assert set(kinds) == {"moderated" if message == FLAGGED else "refused"}
    assert len(kinds) == 1 + first and f"{status}: {message}" == found[-1].detail


@pytest.mark.parametrize(("status", "message"), DENIALS[1:])
@pytest.mark.parametrize(("calls", "concurrency"), [(1, 1), (2, 500), (50, 1), (50, 500)])
def test_what_every_call_is_denied_ends_the_run(
    status: int, message: str, calls: int, concurrency: int
) -> None:
    count = 0

    def say(_: str) -> Any:
        nonlocal count
        count += 1
        return no(status, message)

    with pytest.raises(UserError, match=message):
        answered(say, *(str(i) for i in range(calls)), concurrency=concurrency)
    assert count <= (run.FEW if concurrency == 1 else 40)


def test_a_run_in_which_calls_are_denied_one_after_the_other_ends() -> None:
    def say(text: str) -> Any:
        return completion("fine") if text == "0" else no(403, "the key was taken back")

    with pytest.raises(UserError, match="20 calls failed one after the other"):
        answered(say, *(str(i) for i in range(100)), concurrency=1)


@pytest.mark.parametrize(("message", "again"), [(FLAGGED, 0), ("No allowed providers", 1)])
def test_a_resumed_run_is_not_ended_by_a_prompt_that_is_denied(
    message: str, again: int, tmp_path: Path
) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        bad = sent["messages"][0]["content"] == "bad"
        return no(403, message) if bad else web.json_response(completion("fine"))

    with serving(handler) as server:
        for expected in (2, 2 + again):
            where = endpoint_of(Client(server.url), {})
            some = [asked("good"), asked("bad")] if expected == 2 else [asked("bad")]
            found = complete_all(some, where, cache=tmp_path / "c", progress=False)
            last = found[-1]
            assert isinstance(last, Failure) and last.detail == f"403: {message}"
            assert len(server.asked) == expected


@pytest.mark.parametrize(
    "message", ["Your account was flagged", "This API key is not moderated: key revoked", "no"]
)
def test_what_is_about_the_account_is_not_kept_as_a_refusal_of_the_prompt(message: str) -> None:
    where, said = Endpoint("http://h/v1", "m"), json.dumps({"error": {"message": message}})
    verdict = wire.read(403, {}, said, where, Shape()).verdict
    assert isinstance(verdict, wire.Denied)


def test_a_400_is_about_the_prompt_only_where_its_code_says_so() -> None:
    where = Endpoint("http://h/v1", "m")
    for error, kind in (
        ({"message": "triggered our policy", "code": "content_filter"}, "moderated"),
        ({"message": "too long: 'was it flagged?'", "code": "context"}, "refused"),
    ):
        verdict = wire.read(400, {}, json.dumps({"error": error}), where, Shape()).verdict
        assert isinstance(verdict, Failure) and verdict.kind == kind


@pytest.mark.parametrize("key", ["x", "o", "max", "token", "tokens"])
def test_a_short_key_does_not_spoil_what_a_server_says(key: str) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if "max_tokens" in sent:
            return no(400, "Unsupported: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return web.json_response(completion("fine"))

    with serving(handler) as server:
        where = endpoint_of(Client(server.url), {"DEEPSEEK_API_KEY": key})
        assert complete_all([asked()], where, progress=False)[0] == Completion(
            "fine", 100, 10, finish_reason="stop"
        )


def test_a_key_is_hidden_and_words_are_not() -> None:
    def shown(key: str, text: str) -> str:
        return Endpoint("http://h/v1", "m", key).hide(text)

    assert shown("sk-12345", "no asksk-123456") == "no ask***6"
    assert shown("token", "max_tokens, token") == "max_tokens, ***"
    assert shown("x", "max x") == "max x"
    long = Endpoint("http://h/v1", "m", "max_completion_tokens")
    refused = json.dumps({"error": {"message": "use max_completion_tokens"}})
    verdict = wire.read(400, {}, refused, long, Shape()).verdict
    assert isinstance(verdict, wire.Reshape) and "max_c" not in verdict.detail


PARTS = [{"type": "thinking", "thinking": "hm"}]
UNREADABLE: list[Any] = [
    {"choices": []},
    {"choices": "x"},
    {"choices": [{"message": "hello", "finish_reason": "stop"}]},
    {"choices": [{"message": None, "finish_reason": "stop"}]},
    {"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": PARTS}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": [{"type": "image_url"}]}, "finish_reason": "stop"}]},
    {"type": "message", "content": PARTS, "stop_reason": "end_turn"},
]


@pytest.mark.parametrize("body", UNREADABLE, ids=str)
def test_a_paid_reply_in_another_form_is_asked_for_once_more(body: Any) -> None:
    (found,), server = answered(lambda _: {**body, "usage": USAGE}, **PRICES)
    assert isinstance(found, Failure) and found.kind in ("malformed", "blank")
    assert len(server.asked) == run.UNREADABLE_TRIES
    assert (found.wasted_tokens, found.wasted_cost) == (800, pytest.approx(2 * 1300 / 1e6))
    # What was not paid may be a gateway's, and passes.
    assert len(answered(lambda _: body, max_retries=3)[1].asked) == 4


def test_what_anthropics_servers_write_is_read() -> None:
    body = {
        "type": "message",
        "role": "assistant",
        "content": [*PARTS, {"type": "text", "text": "Mali"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 300, "output_tokens": 100},
    }
    (found,), server = answered(lambda _: body, **PRICES)
    assert (found.text, found.reasoning, found.cost) == ("Mali", "hm", pytest.approx(1300 / 1e6))
    (cut,), _ = answered(lambda _: {**body, "stop_reason": "max_tokens"})
    assert cut.finish_reason == "length" and len(server.asked) == 1


DEEP = "[" * 5000 + "]" * 5000
ODD_FIELDS = {
    "a huge count": '"usage": {"prompt_tokens": ' + "9" * 5000 + ', "completion_tokens": 100}',
    "deep log-probabilities": f'"logprobs": {DEEP}, "usage": null',
    "deep objects": '"x": ' + '{"a":' * 5000 + "1" + "}" * 5000,
    "brackets in texts": f'"y": "{"[" * 300} \\" {"{" * 300}", "x": {DEEP}',
}


@pytest.mark.parametrize("field", ODD_FIELDS)
def test_a_good_reply_beside_a_field_that_cannot_be_read_is_kept(field: str) -> None:
    good = '"message": {"content": "fine \\ud83d", "extra": [[1]]}, "finish_reason": "stop"'
    for body in (
        '{"choices": [{' + good + "}], " + ODD_FIELDS[field] + "}",
        "{" + ODD_FIELDS[field] + ', "choices": [{' + good + ', "logprobs": ' + DEEP + "}]}",
    ):
        (found,), server = answered(lambda _, b=body: web.Response(text=b), **PRICES)
        assert (found.text, found.cost, found.logprobs) == ("fine \ufffd", None, None)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "text", ["[" * 10**6, '"' * 10**6, '{"a": "' + '\\"' * 10**6, '["[' * 10**5]
)
def test_a_body_that_is_no_json_is_none_in_linear_time(text: str) -> None:
    start = time.process_time()
    assert parsed(text) is None
    assert parsed(DEEP + text) is None
    assert time.process_time() - start < 5


def test_a_total_alone_counts_at_the_dearer_price() -> None:
    assert used({"usage": {"total_tokens": 400}}) == (None, None, 400)
    cases: Any = ((PRICES, 10.0), ({"input_price": 7.0, "output_price": 2.0}, 7.0))
    for prices, dear in cases:
        body = {**completion("fine"), "usage": {"total_tokens": 400}}
        (found,), _ = answered(lambda _, b=body: b, **prices)
        assert (found.tokens_out, found.cost) == (None, pytest.approx(400 * dear / 1e6))
        body = {**completion("", "length"), "usage": {"total_tokens": 400}}
        (found,), _ = answered(lambda _, b=body: b, **prices)
        assert (found.wasted_tokens, found.wasted_cost) == (400, pytest.approx(400 * dear / 1e6))
    cut = {**completion("", "length"), "usage": {"total_tokens": 400}}
    (found,), _ = answered(lambda _: cut)
    assert (found.wasted_tokens, found.wasted_cost) == (400, 0.0)


@pytest.mark.parametrize("after", ["1_0", "١", "+1", "0x1", "1,0", " ", "1 0"])
def test_what_is_no_number_of_seconds_is_ignored(after: str) -> None:
    where = Endpoint("http://h/v1", "m")
    verdict = wire.read(429, {"Retry-After": after}, "", where, Shape()).verdict
    assert isinstance(verdict, wire.Again) and verdict.wait is None
