"""The client against a server that throttles, fails, hangs and lies: rows C1 and C2, and more."""

from __future__ import annotations

import asyncio
import email.utils
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_server import completion, ok, serving

import metaconf.clients.run as run
from metaconf.clients import Completion, Endpoint, Failure, Request, complete_all, endpoint_of
from metaconf.clients.cache import key_of
from metaconf.clients.endpoint import completions_url
from metaconf.clients.pace import Pace
from metaconf.config.blocks import Client
from metaconf.errors import UserError

KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BACK_OFF", 0.01)


def asked(text: str = "Who?", **more: Any) -> Request:
    return Request(({"role": "user", "content": text},), **more)


def at(url: str, **limits: Any) -> Endpoint:
    return endpoint_of(Client(url, **limits), {"DEEPSEEK_API_KEY": KEY})


def call(url: str, *requests: Request, cache: Path | None = None, **limits: Any) -> Any:
    found = complete_all(list(requests), at(url, **limits), cache=cache, progress=False)
    return found if len(found) > 1 else found[0]


def test_a_call_says_what_it_must_and_costs_what_it_costs() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok("Mali", reasoning_content="hm")

    with serving(handler) as server:
        request = asked(json=True, seed=3, logprobs=2)
        found = call(server.url, request, input_price=1.0, output_price=10.0)
    assert found == Completion("Mali", 100, 10, 200 / 1e6, finish_reason="stop", reasoning="hm")
    (sent,) = server.asked
    assert sent["response_format"] == {"type": "json_object"}
    assert (sent["seed"], sent["top_logprobs"], sent["temperature"]) == (3, 2, 0.0)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


FAULTS: dict[str, Any] = {
    "white space in JSON mode": lambda: ok(" \n "),  # C1a
    "error with status 200": lambda: web.json_response({"error": {"code": 502}}),  # C2a
    "no JSON": lambda: web.Response(text="<html>bad gateway</html>"),
    "cut JSON": lambda: web.Response(text='{"choices": [{"mess'),
    "no choices": lambda: web.json_response({"choices": []}),
    "server error": lambda: web.Response(status=503, text="later"),
    "throttled": lambda: web.Response(status=429, text="slow down"),
    "throttled until": lambda: web.Response(
        status=429, headers={"Retry-After": email.utils.formatdate(time.time() - 5, usegmt=True)}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_may_pass_is_tried_again(fault: str) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return FAULTS[fault]() if n < 3 else ok("9")

    with serving(handler) as server:
        assert call(server.url, asked()).text == "9"
        assert len(server.asked) == 3


def test_a_broken_connection_is_tried_again() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if n < 3:
            assert request.transport is not None
            request.transport.close()
        return ok("9")

    with serving(handler) as server:
        assert call(server.url, asked()).text == "9"


@pytest.mark.parametrize(
    ("content", "more"),
    [(" \n ", {}), ("", {"reasoning_content": "score 9"}), (None, {})],  # C1b: 9 is not taken
)
def test_blank_replies_end_as_a_failure_and_are_not_kept(
    content: Any, more: Any, tmp_path: Path
) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok(content, **more)

    with serving(handler) as server:
        for round_ in (1, 2):
            found = call(server.url, asked(), cache=tmp_path / "c", max_retries=2)
            assert isinstance(found, Failure) and found.kind == "blank"
            assert len(server.asked) == 3 * round_


def test_a_cut_reply_is_marked_and_not_kept(tmp_path: Path) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok('{"score":', finish="length")

    with serving(handler) as server:
        for _ in range(2):
            assert call(server.url, asked(), cache=tmp_path / "c").finish_reason == "length"
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            429,
            {"error": {"code": "insufficient_quota", "message": "pay first"}},
            "pay first",
        ),  # C2b
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "Incorrect API key"),
        (402, {"error": {"message": "Insufficient Balance"}}, "Insufficient Balance"),
        (200, {"error": {"code": 401, "message": "who are you"}}, "who are you"),
    ],
)
def test_what_cannot_pass_stops_at_once(status: int, body: Any, said: str, tmp_path: Path) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return web.json_response(body, status=status)

    cache = tmp_path / "c"
    with serving(handler) as server, pytest.raises(UserError, match=said) as error:
        call(server.url, *(asked(str(i)) for i in range(50)), cache=cache, concurrency=1)
    assert len(server.asked) == 1
    assert KEY not in str(error.value) + repr(at(server.url))
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_refused_request_fails_alone() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if sent["messages"][0]["content"] == "bad":
            return web.json_response({"error": {"message": f"too long, {KEY}"}}, status=400)
        return ok("fine")

    with serving(handler) as server:
        good, bad = call(server.url, asked("good"), asked("bad"))
    assert good.text == "fine"
    assert bad == Failure("refused", "400: too long, ***")


def test_failures_in_a_row_stop_the_run_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok("fine") if n <= 3 else web.json_response({"error": "no"}, status=400)

    requests = [asked(str(i)) for i in range(30)]
    with serving(handler) as server:
        with pytest.raises(UserError, match="4 calls failed one after the other"):
            monkeypatch.setattr(run, "MAX_CONSECUTIVE_FAILURES", 4)
            call(server.url, *requests, cache=tmp_path / "c", concurrency=1)
        assert len(server.asked) == 7
        with pytest.raises(UserError):
            monkeypatch.setattr(run, "MAX_CONSECUTIVE_FAILURES", 2)
            call(server.url, *requests, cache=tmp_path / "c", concurrency=1)
        assert len(server.asked) == 9  # the three that were answered are not asked again


def test_a_long_retry_after_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        when = email.utils.formatdate(time.time() + 3600, usegmt=True)
        after = {1: "3600", 2: when}.get(n)
        return web.Response(status=429, headers={"Retry-After": after}) if after else ok("9")

    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await real(0)

    monkeypatch.setattr(run.asyncio, "sleep", sleep)
    with serving(handler) as server:
        assert call(server.url, asked()).text == "9"
    assert [w for w in waited if w > 1] == [run.LONGEST_WAIT] * 2


def test_blank_lines_do_not_extend_a_call() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        for _ in range(100):
            await stream.write(b"\n")
            await asyncio.sleep(0.05)
        return stream

    with serving(handler) as server:
        start = time.monotonic()
        found = call(server.url, asked(), timeout=0.4)
        assert time.monotonic() - start < 2
    assert isinstance(found, Failure) and found.kind == "timeout"


def test_blank_lines_before_a_reply_are_no_part_of_it() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        import json

        await stream.write(b"\n\n" + json.dumps(completion("9")).encode())
        return stream

    with serving(handler) as server:
        assert call(server.url, asked()).text == "9"


def test_another_name_of_the_token_limit_is_found_out() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if "max_tokens" in sent:
            text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return web.json_response({"error": {"message": text}}, status=400)
        return ok(str(sent["max_completion_tokens"]))

    with serving(handler) as server:
        found = call(server.url, *(asked(str(i)) for i in range(5)), concurrency=1)
        assert [one.text for one in found] == ["512"] * 5
        assert len(server.asked) == 6


def test_equal_calls_are_made_once_and_paid_once(tmp_path: Path) -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok(f"reply {n}")

    prices: Any = {"input_price": 1.0, "output_price": 0.0}
    with serving(handler) as server:
        found = call(server.url, *[asked()] * 3, asked(seed=1), cache=tmp_path / "c", **prices)
        assert len({one.text for one in found[:3]}) == 1 and len(server.asked) == 2
        assert sum(one.cost for one in found) == pytest.approx(2 * 100 / 1e6)
        again = call(server.url, asked(), cache=tmp_path / "c", **prices)
        assert again.cached and again.cost == 0 and len(server.asked) == 2


def test_the_cache_key_holds_what_decides_the_reply() -> None:
    here = at("http://localhost:1")
    base = asked()
    system = Request(({"role": "system", "content": "x"}, *base.messages))
    others = [asked(temperature=0.5), asked(json=True), asked(version="2"), asked(seed=0), system]
    keys = {key_of(r, here) for r in (base, *others)}
    keys |= {key_of(base, at("http://localhost:2")), key_of(base, at(here.url, model="m"))}
    assert len(keys) == 8
    # The key of the account and the limits do not: another key reads the same cache.
    other = endpoint_of(Client("http://localhost:1", timeout=1.0), {"DEEPSEEK_API_KEY": "k2"})
    assert key_of(base, other) == key_of(base, here)


def test_the_budget_is_checked_before_a_call() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok("fine")

    requests = [asked(str(i), max_tokens=10) for i in range(40)]
    prices: Any = {"input_price": 0.0, "output_price": 100_000.0}  # 10 tokens written: 1
    with serving(handler) as server:
        found: Any = call(server.url, *requests, budget=7.5, **prices)
    assert len(server.asked) == 7
    assert sum(one.cost or 0 for one in found if isinstance(one, Completion)) == pytest.approx(7)
    assert {one.kind for one in found if isinstance(one, Failure)} == {"budget"}
    with pytest.raises(UserError, match="needs input_price"):
        at("http://localhost:1", budget=1.0)


def test_refusals_lower_the_pace_once_and_answers_raise_it() -> None:
    async def work() -> list[int]:
        pace, seen = Pace(1000), list[int]()
        pace.active = 1000  # in full use

        async def answers(round_: int, count: int) -> None:
            for _ in range(count):
                await pace.answered(round_)

        await answers(0, 20)  # 20 → 40
        await answers(0, 500)  # sent when there were 20: they say nothing of 40
        await answers(1, 40)
        seen.append(pace.limit)  # 80
        for now in (100.0, 101.0, 114.9, 115.0):
            pace.refused(now)
        seen.append(pace.limit)  # × 0.8 twice
        await answers(4, 51)
        seen.append(pace.limit)  # now by one
        pace.active = 3
        await answers(5, 500)
        seen.append(pace.limit)  # half empty: nothing tells that there is room
        pace.waiting = 100
        await answers(5, 52)
        return [*seen, pace.limit]  # places just left are filled at once by those that wait

    assert asyncio.run(work()) == [80, 51, 52, 52, 53]


def test_no_more_calls_at_once_than_allowed() -> None:
    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        await asyncio.sleep(0.02)
        return ok("fine")

    with serving(handler) as server:
        call(server.url, *(asked(str(i)) for i in range(30)), concurrency=4)
        assert server.most == 4


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.deepseek.com", "https://api.deepseek.com/v1/chat/completions"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:8000/v1/v1", "http://localhost:8000/v1/chat/completions"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
        ("https://h/api/v3", "https://h/api/v3/chat/completions"),
        ("https://h/v1beta/openai", "https://h/v1beta/openai/chat/completions"),
        ("https://h/inference", "https://h/inference/chat/completions"),
        ("https://h/inference/chat/completions", "https://h/inference/chat/completions"),
        ("https://h/chat/completions", "https://h/chat/completions"),
        ("https://h/a//b/chat/completions/", "https://h/a//b/chat/completions"),
        ("https://h/team/team", "https://h/team/team/chat/completions"),
        (
            "https://h/openai/deployments/m/chat/completions?api-version=2024-10-21",
            "https://h/openai/deployments/m/chat/completions?api-version=2024-10-21",
        ),
        ("https://h/inference?key=1#top", "https://h/inference/chat/completions?key=1"),
        ("https://h:8000", "https://h:8000/v1/chat/completions"),
        ("http://[::1]:8000/api", "http://[::1]:8000/api/chat/completions"),
    ],
)
def test_e3_addresses(base: str, url: str) -> None:
    assert completions_url(base) == url


@pytest.mark.parametrize(
    "base", ["http://h:99999", "http://[h/v1", "https://", "ftp://h", "h:8000"]
)
def test_what_is_no_address_is_refused(base: str) -> None:
    with pytest.raises(UserError, match="no address of a server"):
        completions_url(base)


def test_what_is_missing_is_said_before_any_call() -> None:
    with pytest.raises(UserError, match="DEEPSEEK_BASE_URL: not set"):
        endpoint_of(Client(), {})
    with pytest.raises(UserError, match="OTHER_KEY: not set"):
        endpoint_of(Client("https://api.deepseek.com", api_key_env="OTHER_KEY"), {})
    with pytest.raises(UserError, match="no address of a server"):
        endpoint_of(Client("localhost:8000"), {})
    found = endpoint_of(Client(), {"DEEPSEEK_BASE_URL": "http://127.0.0.1:1"})
    assert found.key is None and found.extra == {}
    deepseek = {"DEEPSEEK_BASE_URL": "https://api.deepseek.com", "DEEPSEEK_API_KEY": KEY}
    assert endpoint_of(Client(), deepseek).extra == {"thinking": {"type": "disabled"}}


def test_a_broken_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("no database, but long enough to be read as one" * 100)
    with pytest.raises(UserError, match="cannot be used as a cache"):
        call("http://127.0.0.1:1", asked(), cache=tmp_path / "c")


KILLED = """
import sys
from pathlib import Path
from metaconf.clients import Request, complete_all, endpoint_of
from metaconf.config.blocks import Client
requests = [Request(({"role": "user", "content": str(i)},)) for i in range(40)]
complete_all(requests, endpoint_of(Client(sys.argv[1], concurrency=4), {}), cache=Path(sys.argv[2]))
"""


def test_a_killed_run_repeats_only_what_was_in_flight(tmp_path: Path) -> None:
    child: list[subprocess.Popen[bytes]] = []

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        await asyncio.sleep(0.01)
        if n == 20:
            os.kill(child[0].pid, signal.SIGKILL)
        return ok("fine")

    with serving(handler) as server:
        words = [sys.executable, "-c", KILLED, server.url, str(tmp_path / "cache")]
        child.append(subprocess.Popen(words, stderr=subprocess.DEVNULL))
        assert child[0].wait(30) == -signal.SIGKILL
        first = [sent["messages"][0]["content"] for sent in server.asked]
        server.asked.clear()
        assert subprocess.run(words, capture_output=True, timeout=30).returncode == 0
        second = [sent["messages"][0]["content"] for sent in server.asked]
    assert set(first) | set(second) == {str(i) for i in range(40)}
    assert len(set(first) & set(second)) <= 4
