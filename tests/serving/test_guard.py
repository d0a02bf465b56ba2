"""What stands before the server: keys, hosts, sites, sizes, times, numbers; and clients that go."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_server import ok
from front import GOOD, Running, in_front, says

from metaconf.errors import UserError
from metaconf.serving import run
from metaconf.serving.guard import Limits

CHAT = "/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "Where?"}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = Limits(
        "k3y", frozenset(["models.example"]), frozenset(["https://a.example"]), 2000, 0.5
    )
    with in_front(says(GOOD), tmp_path_factory.mktemp("guard"), limits=limits) as found:
        found.headers["Authorization"] = "Bearer k3y"
        yield found


def test_a_key_is_asked_for_and_never_shown(server: Running) -> None:
    assert server.ask(CHAT, BODY)[0] == 200
    for given in ("", "Bearer k3", "Bearer k3yy", "Bearer é"):
        for path in (CHAT, "/feedback", "/verify"):
            status, headers, value = server.ask(path, BODY, Authorization=given)
            assert status == 401 and headers["www-authenticate"] == "Bearer"
            assert "k3y" not in json.dumps(value)
        assert server.ask("/metrics", Authorization=given)[0] == 401
        assert server.ask("/healthz", Authorization=given)[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:80", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("models.example:8000", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_a_name_that_somebody_points_here_is_refused(
    server: Running, host: str, status: int
) -> None:
    assert server.ask("/healthz", Host=host)[0] == status


def test_pages_of_other_sites_may_not_ask(server: Running) -> None:
    assert server.ask(CHAT, BODY, Origin="https://evil.example")[0] == 403
    assert server.ask(CHAT, BODY, Origin="null")[0] == 403
    assert server.ask(CHAT, BODY, Origin=server.url)[0] == 200
    status, headers, _ = server.ask(CHAT, BODY, Origin="https://a.example")
    assert status == 200 and headers["access-control-allow-origin"] == "https://a.example"


def test_without_cors_no_site_is_told_that_it_may(tmp_path: Path) -> None:
    with in_front(says(GOOD), tmp_path) as server:
        _, headers, _ = server.ask("/healthz", Origin=server.url)
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_a_body_that_is_no_json_by_its_type_is_not_read(server: Running) -> None:
    """What a form of another site can post without being asked first."""
    body = json.dumps(BODY).encode()
    assert server.ask(CHAT, body, Content_Type="text/plain")[0] == 400


def test_every_reply_forbids_what_browsers_would_do(server: Running) -> None:
    for path in ("/healthz", "/nowhere", CHAT):
        headers = server.ask(path)[1]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_a_large_body_is_refused_before_it_is_read(server: Running) -> None:
    large = {**BODY, "user": "x" * 3000}
    assert server.ask(CHAT, large)[0] == 413
    told = raw(server, "Content-Length: 9999999\r\n", b"")
    assert told.startswith(b"HTTP/1.1 413")
    chunks = b"400\r\n" + b"x" * 1024 + b"\r\n"
    assert raw(server, "Transfer-Encoding: chunked\r\n", 3 * chunks).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_come_is_given_up(server: Running) -> None:
    assert raw(server, "Content-Length: 100\r\n", b"{").startswith(b"HTTP/1.1 408")


def raw(server: Running, headers: str, body: bytes) -> bytes:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k3y\r\n"
        link.sendall(f"{head}Content-Type: application/json\r\n{headers}\r\n".encode() + body)
        return link.recv(4096)


def test_too_many_at_once_come_again(tmp_path: Path) -> None:
    async def slow(*_: Any) -> Any:
        await asyncio.sleep(0.5)
        return ok(GOOD)

    limits = Limits(max_concurrency=2)
    with in_front(slow, tmp_path, limits=limits) as server, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: server.ask(CHAT, BODY), range(6)))
        assert server.ask("/healthz")[0] == 200
        assert server.ask(CHAT, BODY)[0] == 200
    statuses = sorted(status for status, _, _ in found)
    assert statuses == [200, 200, 429, 429, 429, 429]
    refused = next(one for one in found if one[0] == 429)
    assert refused[1]["retry-after"] == "1"
    assert refused[2]["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("stream", [False, True])
def test_when_the_client_goes_the_model_is_told(tmp_path: Path, stream: bool) -> None:
    ended: list[str] = []

    async def slow(request: web.Request, *_: Any) -> Any:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return ok(GOOD)

    with in_front(slow, tmp_path) as server:
        body = json.dumps({**BODY, "stream": stream}).encode()
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as link:
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            link.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(0.5)
        end = time.monotonic() + 10
        while not _left(server) and time.monotonic() < end:
            time.sleep(0.05)
        assert _left(server) == 1
        assert server.ask("/metrics")[2].count("metaconf_in_flight 0.0") == 1


def _left(server: Running) -> float:
    return server.service.meters.left._value.get()


def test_only_this_machine_is_served_unless_there_is_a_key() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        run.check_host(host, None)
    run.check_host("0.0.0.0", "key")
    for host in ("0.0.0.0", "::", "192.0.2.1", "models.example"):
        with pytest.raises(UserError, match="METACONF_API_KEY"):
            run.check_host(host, None)


def test_a_port_that_is_taken_is_said(server: Running) -> None:
    with pytest.raises(UserError, match="cannot listen"):
        run.listen("127.0.0.1", int(server.url.rpartition(":")[2]))
    with pytest.raises(UserError, match="cannot listen"):
        run.listen("127.0.0.1", 99999)
