"""What stands before the application: who may ask, how much, how long, how many at once.

It reads the body itself, within its limits, and ends the work when the client goes. A page of
another site can reach a server on loopback, by an address that it may post to, or a name that
resolves to it: so the Host must be an address or a known name, and a foreign Origin is refused.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from metaconf.serving.meters import Meters

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/", "/healthz", "/health")
"""Paths that need no key: they tell nothing of what is asked."""
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(frozen=True, slots=True)
class Limits:
    """`key` None: none is asked for. `names`: host names beside addresses and localhost. `origins`:
    sites whose pages may ask."""

    key: str | None = None
    names: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    max_bytes: int = 1 << 20
    body_seconds: float = 10.0
    max_concurrency: int = 512


class Stopped(Exception):
    """A request that goes no further: status and one sentence."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message


def error_body(status: int, message: str, code: str | None = None) -> bytes:
    """An error in OpenAI's form."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}).encode()


class Guard:
    """The application behind its limits, as an ASGI application."""

    def __init__(self, app: App, limits: Limits, meters: Meters):
        self.app, self.limits, self.meters = app, limits, meters
        self.now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        send = _guarded(send)
        counted = scope["method"] == "POST"
        try:
            self._check(scope, counted)
            self.now += counted
            try:
                body = await self._body(scope, receive)
                await self._run(scope, body, receive, send)
            finally:
                self.now -= counted
                self.meters.in_flight.set(self.now)
        except Stopped as stopped:
            self.meters.refused.labels(str(stopped.status)).inc()
            await _respond(send, stopped)

    def _check(self, scope: Scope, counted: bool) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, limits = headers.get(b"host", ""), self.limits
        if not _known(host, limits.names):
            raise Stopped(403, f"the host {host[:100]!r} is not known here; see --allowed_hosts")
        origin = headers.get(b"origin")
        if origin and origin not in limits.origins and urlsplit(origin).netloc != host:
            raise Stopped(403, "pages of other sites may not ask; see --cors")
        if limits.key and scope["path"] not in OPEN:
            given = headers.get(b"authorization", "").removeprefix("Bearer ").strip()
            if not hmac.compare_digest(given.encode("latin-1"), limits.key.encode()):
                raise Stopped(401, "no key, or a wrong one: send Authorization: Bearer KEY")
        if counted and self.now >= limits.max_concurrency:
            raise Stopped(429, f"{self.now} requests are in flight; come again in a second")
        length = headers.get(b"content-length", "")
        if length.isdecimal() and int(length) > limits.max_bytes:
            raise Stopped(413, self._too_large())

    def _too_large(self) -> str:
        return f"the body is larger than {self.limits.max_bytes} bytes"

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Stopped(408, "the client left")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.limits.max_bytes:
                        raise Stopped(413, self._too_large())
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as error:
            why = f"the body did not come within {self.limits.body_seconds:g} s"
            raise Stopped(408, why) from error

    async def _run(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the application; where the client goes first, end it."""
        self.meters.in_flight.set(self.now)
        work = asyncio.ensure_future(self.app(scope, _replayed(body), send))
        gone = asyncio.ensure_future(receive())  # after the body, only the end of the client comes
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self.meters.left.inc()
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait((work,))
        if not work.cancelled():
            work.result()


@lru_cache(maxsize=256)
def _known(host: str, names: frozenset[str]) -> bool:
    """Whether a Host header is an address, localhost, or one of `names`."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost" or name in names:
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _replayed(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return await asyncio.get_running_loop().create_future()  # the guard watches the client

    return receive


def _guarded(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            own = HEADERS if POLICY[0] in given else (*HEADERS, POLICY)
            message["headers"] = [*message["headers"], *own]
        await send(message)

    return guarded


async def _respond(send: Send, stopped: Stopped) -> None:
    body = error_body(stopped.status, stopped.message)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if stopped.status == 429:
        headers.append((b"retry-after", b"1"))
    if stopped.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if stopped.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": stopped.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
