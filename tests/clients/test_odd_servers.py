"""Replies that servers have been seen to send: each is one outcome, none an error of ours, and what
they say was used counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_server import Server, completion, ok, serving

import metaconf.clients.run as run
from metaconf.clients import Completion, Endpoint, Failure, Request, complete_all, endpoint_of
from metaconf.clients.cache import Cache
from metaconf.clients.reply import count_of
from metaconf.config.blocks import Client
from metaconf.errors import UserError

PRICES: Any = {"input_price": 1.0, "output_price": 10.0}


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BACK_OFF", 0.01)


def asked(text: str = "Who?", **more: Any) -> Request:
    return Request(({"role": "user", "content": text},), **more)


def at(url: str, **limits: Any) -> Endpoint:
    return endpoint_of(Client(url, **limits), {})


def answered(
    say: Callable[[Any], Any], *requests: Request, endpoint: Any = None, **limits: Any
) -> tuple[list[Any], Server]:
    """Outcomes of a server whose every reply is what `say` makes of the request, and the server."""

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        said = say(sent)
        return said if isinstance(said, web.Response) else web.json_response(said)

    with serving(handler) as server:
        where = at(server.url, **limits)
        found = complete_all(list(requests or (asked(),)), where, progress=False)
    return found, server


def whole(message: Any, finish: Any = "stop", usage: Any = None, **choice: Any) -> Any:
    used = {"prompt_tokens": 100, "completion_tokens": 10} if usage is None else usage
    return {"choices": [{"message": message, "finish_reason": finish, **choice}], "usage": used}


# A: nothing that a server writes is an error of ours


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (whole(None, "content_filter"), "filtered"),
        ({"choices": [{"finish_reason": "content_filter"}]}, "filtered"),
        (whole({"role": "assistant", "content": None}, "SAFETY"), "filtered"),
        (whole(None), "malformed"),
        (whole("text"), "malformed"),
        (whole(["text"]), "malformed"),
        (whole({"content": 9}), "malformed"),
        (whole({"content": {"verdict": "right"}}), "malformed"),
        (whole({"content": None, "tool_calls": [{"id": "1"}]}, "tool_calls"), "malformed"),
        (whole({"content": [{"type": "image_url"}]}), "blank"),
        (whole({}), "blank"),
        ({"choices": None}, "malformed"),
        ({"choices": [None]}, "malformed"),
        ({"choices": {"0": {}}}, "malformed"),
        ({"choices": []}, "malformed"),
        ([], "malformed"),
        (None, "malformed"),
        ("fine", "malformed"),
        (7, "malformed"),
    ],
)
def test_a1_a_reply_without_text_is_one_failed_call(body: Any, kind: str) -> None:
    def say(sent: Any) -> Any:
        return body if sent["messages"][0]["content"] == "odd" else completion("fine")

    (odd, good), _ = answered(say, asked("odd"), asked("even"), max_retries=1)
    assert (odd.kind, good.text) == (kind, "fine")


@pytest.mark.parametrize("finish", [None, 3, ["stop"], {"type": "stop"}, True])
def test_a1_a_reason_to_finish_of_any_type(finish: Any) -> None:
    (found,), _ = answered(lambda _: whole({"content": "fine"}, finish))
    assert (found.text, found.finish_reason) == ("fine", None)


def test_a1_the_first_choice_that_is_one_is_read() -> None:
    two = {"choices": [None, {"message": {"content": "fine"}}, {"message": {"content": "no"}}]}
    assert answered(lambda _: two)[0][0].text == "fine"
    plain = {"choices": [{"text": "fine", "finish_reason": "stop"}]}
    assert answered(lambda _: plain)[0][0].text == "fine"


USED: list[tuple[Any, tuple[Any, Any]]] = [
    ({"prompt_tokens": "100", "completion_tokens": " 10 "}, (100, 10)),
    ({"prompt_tokens": 100.0, "completion_tokens": "10.0"}, (100, 10)),
    ([{"prompt_tokens": 100, "completion_tokens": 10}], (100, 10)),
    ({"input_tokens": 100, "output_tokens": 10}, (100, 10)),
    ({"prompt_tokens": 100, "total_tokens": 110}, (100, 10)),
    ({"completion_tokens": 10, "total_tokens": 110}, (100, 10)),
    # What was thought stands in the total alone at some servers.
    ({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 410}, (100, 310)),
    ({"prompt_tokens": None, "completion_tokens": 10}, (None, 10)),
    ({"prompt_tokens": -1, "completion_tokens": True}, (None, None)),
    ({"prompt_tokens": {"text": 100}, "completion_tokens": [10]}, (None, None)),
    ({"prompt_tokens": "many", "completion_tokens": ""}, (None, None)),
    ({"prompt_tokens": 10**400, "completion_tokens": 1e300}, (None, None)),
    ([], (None, None)),
    ("300", (None, None)),
    (300, (None, None)),
    (None, (None, None)),
]


@pytest.mark.parametrize(("usage", "tokens"), USED, ids=lambda one: str(one)[:40])
def test_a2_tokens_are_converted_or_unknown(usage: Any, tokens: tuple[Any, Any]) -> None:
    body = {**completion("fine"), "usage": usage}
    (found,), _ = answered(lambda _: body, budget=1.0, **PRICES)
    assert (found.text, found.tokens_in, found.tokens_out) == ("fine", *tokens)
    known = None not in tokens
    assert found.cost == (pytest.approx((tokens[0] + 10 * tokens[1]) / 1e6) if known else None)


@pytest.mark.parametrize("text", ['{"prompt_tokens": NaN, "completion_tokens": Infinity}', "NaN"])
def test_a2_what_is_no_number(text: str) -> None:
    body = json.dumps(completion("fine")).replace(json.dumps(completion("")["usage"]), text)
    (found,), _ = answered(lambda _: web.Response(text=body), **PRICES)
    assert (found.text, found.tokens_out, found.cost) == ("fine", None, None)


def test_a2_counts() -> None:
    assert [count_of(one) for one in ("1e2", 2.5, "0", -0.0, "-1", "nan", "inf", 10**13)] == [
        *(100, 3, 0, 0),
        *(None,) * 4,
    ]


def test_a3_half_a_surrogate_pair_can_be_written(tmp_path: Path) -> None:
    half = '{"choices": [{"message": {"content": "a\\ud83d", "reasoning_content": "\\udc00"}}]}'
    (found,), _ = answered(lambda _: web.Response(text=half))
    assert (found.text, found.reasoning) == ("a\ufffd", "\ufffd")
    pair = half.replace("a\\ud83d", "\\ud83d\\ude00")
    assert answered(lambda _: web.Response(text=pair))[0][0].text == "\U0001f600"
    # What an older version kept comes out clean.
    store = Cache(tmp_path / "c")
    store.put("k", Completion("a\ud83d", tokens_out=3))
    assert store.get(["k"]) == {"k": Completion("a\ufffd", None, 3, 0.0, True)}
    store.close()
    bad = web.Response(status=400, text='{"error": {"message": "\\ud83d\\u001b[2J no"}}')
    (found,), _ = answered(lambda _: bad)
    assert found.detail == "400: \ufffd[2J no"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"choices": ' + "9" * 5000 + "}",
        "\x00",
        "",
        "<html>502</html>",
    ],
    ids=lambda text: text[:12],
)
def test_a5_a_body_that_is_no_value_is_one_failed_call(text: str) -> None:
    (found,), _ = answered(lambda _: web.Response(text=text), max_retries=1)
    assert (found.kind, len(found.detail) < 300) == ("malformed", True)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain; charset=zlib", "application/json; charset=none", "x", "text/html; charset=idna"],
)
def test_a_body_is_utf_8_whatever_a_header_says(content_type: str) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(completion("größer")).encode()
    headers = {"Content-Type": content_type}
    assert answered(lambda _: web.Response(body=body, headers=headers))[0][0].text == "größer"


def test_a_body_that_is_not_what_its_header_says_is_a_failed_call() -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    (found,), _ = answered(lambda _: web.Response(body=b"no gzip", headers=headers), max_retries=1)
    assert found.kind == "connection"
    (found,), _ = answered(
        lambda _: web.Response(status=302, headers={"Location": "http://[no"}), max_retries=1
    )
    assert isinstance(found, Failure)


@pytest.mark.parametrize("code", [201, 202, 206])
def test_every_good_status_is_good(code: int) -> None:
    (found,), _ = answered(lambda _: web.json_response(completion("fine"), status=code))
    assert found.text == "fine"


# E1: what was used counts, and what cannot help is not repeated


def test_e1_a_reply_cut_before_its_text_is_not_repeated_and_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    usage = {"prompt_tokens": 0, "completion_tokens": 300}
    body = whole({"content": "", "reasoning_content": "hm"}, "length", usage)
    prices: Any = {"input_price": 0.0, "output_price": 1000.0}  # 300 tokens: 0.3
    requests = [asked(str(i), max_tokens=300) for i in range(15)]
    found, server = answered(lambda _: body, *requests, budget=1.0, **prices)
    assert len(server.asked) == 3
    assert [one.kind for one in found].count("cut") == 3
    assert {one.kind for one in found} == {"cut", "budget"}
    assert sum(one.wasted_cost for one in found) == pytest.approx(0.9)
    assert sum(one.wasted_tokens for one in found) == 900
    said = capsys.readouterr().err
    assert said.count("the token limit came before any text") == 1 and "max_tokens 300" in said


@pytest.mark.parametrize("finish", ["MAX_TOKENS", "model_length", "max_output_tokens", "length"])
def test_e1_a_cut_by_another_name(finish: str) -> None:
    (found,), server = answered(lambda _: whole({"content": None}, finish))
    assert (found.kind, len(server.asked)) == ("cut", 1)
    (found,), _ = answered(lambda _: whole({"content": "fine"}, finish))
    assert found.finish_reason == "length"


@pytest.mark.parametrize(
    "body",
    [whole({"content": " "}), {"error": {"code": 500}, "usage": whole({})["usage"]}],
    ids=["blank", "error"],
)
@pytest.mark.parametrize("good", [True, False], ids=["then good", "never good"])
def test_e1_every_try_counts(body: Any, good: bool) -> None:
    tries = iter([body, body, completion("fine") if good else body])
    (found,), _ = answered(lambda _: next(tries), max_retries=2, budget=1.0, **PRICES)
    wasted = 2 if good else 3
    assert found.wasted_tokens == wasted * 110
    assert found.wasted_cost == pytest.approx(wasted * 200 / 1e6)
    assert not good or found.cost == pytest.approx(200 / 1e6)


def test_e1_a_budget_ends_the_tries_of_a_call_too() -> None:
    body = whole({"content": ""}, "stop", {"prompt_tokens": 0, "completion_tokens": 10})
    prices: Any = {"input_price": 0.0, "output_price": 100_000.0}  # 10 tokens written: 1
    (found,), server = answered(lambda _: body, asked(max_tokens=10), budget=2.5, **prices)
    assert (found.kind, len(server.asked)) == ("budget", 2)
    assert found.wasted_cost == pytest.approx(2.0)
    # A server that does not say what it used is taken to have used all that it may.
    silent = {"choices": body["choices"]}
    (found,), server = answered(lambda _: silent, asked(max_tokens=10), budget=2.5, **prices)
    assert (found.kind, len(server.asked)) == ("budget", 2)


def test_e1_what_cannot_be_read_counts_and_a_cut_one_is_not_repeated() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok("{", finish=sent["messages"][0]["content"])

    with serving(handler) as server:
        where = at(server.url, **PRICES)
        for finish, tries in (("length", 1), ("stop", 2)):
            before = len(server.asked)
            (found,) = complete_all(
                [asked(finish)], where, progress=False, readable=lambda *_: False
            )
            assert isinstance(found, Failure) and found.kind == "unreadable"
            assert len(server.asked) - before == tries
            assert found.wasted_tokens == tries * 110


def test_a_reply_of_no_use_is_not_asked_for_under_its_key_again() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if n == 1:
            assert request.transport is not None
            request.transport.close()
        return ok("" if n < 4 else "fine")

    with serving(handler) as server:
        assert complete_all([asked()], at(server.url), progress=False)[0]
    keys = [sent["Idempotency-Key"] for sent in server.headers]
    assert keys[0] == keys[1] and len(set(keys)) == 3  # the first reply was lost


def test_an_empty_error_beside_a_good_reply_is_none() -> None:
    for error in ({"code": None, "message": ""}, {}, None, "", 0, False, []):
        (found,), server = answered(lambda _, e=error: {**completion("fine"), "error": e})
        assert (found.text, len(server.asked)) == ("fine", 1)


@pytest.mark.parametrize("finish", ["error", "insufficient_system_resource"])
def test_a_reply_that_was_broken_off_is_tried_again(finish: str) -> None:
    tries = iter([whole({"content": "half"}, finish), completion("fine")])
    (found,), _ = answered(lambda _: next(tries))
    assert (found.text, found.wasted_tokens) == ("fine", 110)


# E2, E5: keys that a server does not take


def no(message: Any, status: int = 400, **more: Any) -> web.Response:
    error = {"message": message, **more} if more else message
    return web.json_response({"error": error}, status=status)


TAKES_NOT: dict[str, Any] = {
    "response_format": lambda: no("'response_format.type' must be 'json_schema' or 'text'"),
    "temperature": lambda: no(
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1)"
        " value is supported.",
        param="temperature",
        code="unsupported_value",
    ),
    "seed": lambda: web.json_response(
        {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}, status=422
    ),
    "logprobs": lambda: no("logprobs is not supported", type="invalid_request_error"),
}


@pytest.mark.parametrize("key", TAKES_NOT)
def test_e2_a_key_that_a_server_refuses_is_left_out_from_then_on(
    key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(sent: Any) -> Any:
        return TAKES_NOT[key]() if key in sent else completion("fine")

    requests = [asked(str(i), json=True, seed=i, logprobs=0) for i in range(5)]
    found, server = answered(say, *requests, concurrency=1)
    assert [one.text for one in found] == ["fine"] * 5
    assert len(server.asked) == 6
    assert capsys.readouterr().err.count(key) >= 1
    kept = {"response_format", "temperature", "seed", "logprobs"} - {key}
    assert all(kept <= set(sent) for sent in server.asked)
    assert "top_logprobs" not in server.asked[-1] or key != "logprobs"


@pytest.mark.parametrize(
    "message",
    [
        "Response format json_object is not supported by this model",
        "JSON mode is not supported",
        "Invalid value for `response_format`",
        {"message": "no", "param": "response_format.type"},
    ],
    ids=str,
)
def test_e2_a_form_of_reply_by_another_name(message: Any) -> None:
    def say(sent: Any) -> Any:
        refused = web.json_response({"error": message}, status=400)
        return refused if "response_format" in sent else completion("fine")

    (found,), server = answered(say, asked(json=True))
    assert (found.text, len(server.asked)) == ("fine", 2)


def test_e2_several_keys_and_the_name_of_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    def say(sent: Any) -> Any:
        if "max_tokens" in sent:
            return no("'max_tokens' is not supported; use 'max_completion_tokens' instead.")
        gone = next((key for key in TAKES_NOT if key in sent), None)
        return TAKES_NOT[gone]() if gone else completion("fine")

    request = asked(json=True, seed=1, logprobs=2)
    found, server = answered(say, request, asked("more", json=True, seed=1), concurrency=1)
    assert [one.text for one in found] == ["fine"] * 2
    assert len(server.asked) == 7  # one for each, then all at once
    assert capsys.readouterr().err.count("asked without from here on") == 1


def test_e2_it_is_known_in_the_next_batch_too() -> None:
    def say(sent: Any) -> Any:
        return TAKES_NOT["response_format"]() if "response_format" in sent else completion("fine")

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        said = say(sent)
        return said if isinstance(said, web.Response) else web.json_response(said)

    with serving(handler) as server:
        where = at(server.url)
        for i in range(3):
            complete_all([asked(str(i), json=True)], where, progress=False)
        assert len(server.asked) == 4


def test_e2_an_error_that_only_quotes_such_a_word_changes_nothing() -> None:
    def say(sent: Any) -> Any:
        text = sent["messages"][0]["content"]
        if "temperature" in text:
            return no(f"flagged, not allowed: {text!r}", code="content_filter")
        return completion(str(sent["temperature"]))

    hot = asked("Must the temperature be supported?")
    (bad, good), _ = answered(say, hot, asked("Who?"), concurrency=1)
    assert bad.kind == "moderated" and good.text == "0.0"


def test_e5_a_setting_wins_over_what_we_send() -> None:
    extra = {"temperature": None, "response_format": {"type": "text"}, "max_completion_tokens": 99}
    (_,), server = answered(lambda _: completion("fine"), asked(json=True), extra_body=extra)
    (sent,) = server.asked
    assert "temperature" not in sent and "max_tokens" not in sent
    assert sent["response_format"] == {"type": "text"} and sent["max_completion_tokens"] == 99


# E3, E4, E6, E8


def test_e3_an_address_with_a_path_is_used_as_given() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok("fine")

    with serving(handler) as server:
        for path in ("/inference", "/inference/chat/completions", "/x/chat/completions?v=1", ""):
            complete_all([asked()], at(server.url + path), progress=False)
    assert server.paths == [
        *["/inference/chat/completions"] * 2,
        "/x/chat/completions?v=1",
        "/v1/chat/completions",
    ]


TEXT = {"type": "text", "text": "fine"}
PARTS: list[Any] = [
    [{"type": "thinking", "thinking": "no"}, TEXT],
    [{"type": "thinking", "thinking": [{"type": "text", "text": "no"}]}, TEXT],
    [{"type": "reasoning", "text": "no"}, {"type": "output_text", "text": "fine"}],
    [{"text": "no", "thought": True}, {"text": "fine"}],
    ["fi", "ne"],
    [{"type": "text", "text": "fi"}, {"type": "text", "text": {"value": "ne"}}],
    [TEXT, None, 7, {"type": "image_url", "image_url": "no"}, {"type": "text"}],
    TEXT,
    {"text": "fine"},
]


@pytest.mark.parametrize("content", PARTS, ids=lambda one: str(one)[:30])
def test_e4_the_text_of_parts_is_read_and_not_asked_for_again(content: Any) -> None:
    (found,), server = answered(lambda _: whole({"content": content}))
    assert (found.text, len(server.asked)) == ("fine", 1)
    assert found.reasoning == (
        "no" if "no" in str(content) and "image" not in str(content) else None
    )


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "refusal": "I cannot."},
        {"content": "", "refusal": "I cannot."},
        {"refusal": ["I can", "not."]},
        {"content": [{"type": "refusal", "refusal": "I cannot."}]},
    ],
    ids=str,
)
def test_e6_a_refusal_is_kept_and_not_asked_for_again(message: Any, tmp_path: Path) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return web.json_response(whole(message))

    with serving(handler) as server:
        for paid in (110, 0):
            (found,) = complete_all([asked()], at(server.url), cache=tmp_path / "c", progress=False)
            assert found == Failure("refusal", "I cannot.", paid)
        assert len(server.asked) == 1


def test_e6_text_beside_an_empty_refusal_is_a_reply_and_refusals_do_not_stop_a_run() -> None:
    for empty in (None, "", [], False):
        (found,), _ = answered(lambda _, e=empty: whole({"content": "fine", "refusal": e}))
        assert found.text == "fine"
    requests = [asked(str(i)) for i in range(30)]
    found, _ = answered(lambda _: whole({"refusal": "no"}), *requests)
    assert {one.kind for one in found} == {"refusal"}


@pytest.mark.parametrize(
    "error",
    [
        {"message": "flagged: 'insufficient balance, insufficient_quota'", "code": "invalid"},
        "flagged: insufficient balance",
        ["insufficient balance"],
        {"message": "insufficient_quota", "type": "invalid_request_error"},
        {"message": {"quoted": "insufficient_quota"}},
        400,
        True,
    ],
    ids=str,
)
def test_e8_only_a_servers_own_code_stops_a_run(error: Any) -> None:
    def say(sent: Any) -> Any:
        if sent["messages"][0]["content"] != "odd":
            return completion("fine")
        return web.json_response({"error": error}, status=400)

    (odd, good), server = answered(say, asked("odd"), asked("Who?"), concurrency=1)
    assert (odd.kind, good.text) == ("refused", "fine") and len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": {"type": "insufficient_quota", "message": "pay"}}),
        (400, {"error": {"code": "Insufficient Balance"}}),
        (403, {"error": "no"}),
        (400, [{"error": {"code": "billing_not_active"}}]),
        (200, {"error": {"code": "401"}}),
        (200, {"error": {"code": "insufficient_quota"}}),
        (429, {"code": "insufficient_quota", "message": "pay"}),
    ],
)
def test_e8_a_servers_own_code_stops_a_run(status: int, body: Any) -> None:
    with pytest.raises(UserError, match="put that right"):
        answered(lambda _: web.json_response(body, status=status))


@pytest.mark.parametrize(
    ("after", "wait"),
    [
        *[(text, None) for text in ("nan", "inf", "-inf", "-1", "1e999", "soon", "", "9" * 400)],
        ("Mon, 01 Jan 0001 00:00:00 -0000", None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 +9999", None),
        ("2", 2.0),
        ("1e9", 1e9),
    ],
)
def test_e8_a_time_to_wait_is_bounded_or_ignored(
    after: str, wait: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await real(0)

    tries = iter([web.Response(status=429, headers={"Retry-After": after}), completion("fine")])
    monkeypatch.setattr(run.asyncio, "sleep", sleep)
    (found,), _ = answered(lambda _: next(tries))
    assert found.text == "fine"
    (once,) = [one for one in waited if one]
    assert 0 < once <= run.LONGEST_WAIT
    assert (once > 1) == (wait is not None)


@pytest.mark.parametrize(
    ("status", "body", "kind", "tries"),
    [
        (400, {"error": "no"}, "refused", 1),
        (422, {"detail": "no"}, "refused", 1),
        (413, "", "refused", 1),
        (408, "", "server", 2),
        (501, {"error": {"message": "not implemented"}}, "refused", 1),
        (200, {"error": {"type": "invalid_request_error", "message": "no"}}, "refused", 1),
        (200, {"error": {"code": 400, "message": "no"}}, "refused", 1),
        (200, {"error": "busy"}, "server", 2),
        (200, {"error": {"code": "9" * 5000}}, "server", 2),
        (200, {"error": [1]}, "server", 2),
        (500, "<html>", "server", 2),
        (529, {"type": "error", "error": {"type": "overloaded_error"}}, "server", 2),
        (429, "", "rate", 2),
    ],
)
def test_a_servers_no(status: int, body: Any, kind: str, tries: int) -> None:
    def say(_: Any) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text)

    (found,), server = answered(say, max_retries=1)
    assert (found.kind, len(server.asked)) == (kind, tries)
