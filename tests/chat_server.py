"""A chat-completions server on loopback whose faults a test chooses."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

Reply = dict[str, Any]
Handler = Callable[[web.Request, Reply, int], Awaitable[web.StreamResponse]]


def completion(content: Any, finish: str = "stop", **message: Any) -> Reply:
    """The JSON of a good reply: 100 tokens read, 10 written."""
    return {
        "choices": [{"message": {"content": content, **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10},
    }


def ok(content: Any, **more: Any) -> web.Response:
    return web.json_response(completion(content, **more))


class Server:
    """What was asked, and the address."""

    def __init__(self, handler: Handler):
        self.handler, self.asked, self.url = handler, list[Reply](), ""
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.now, self.most = 0, 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        sent = json.loads(await request.text())
        self.asked.append(sent)
        self.headers.append(dict(request.headers))
        self.paths.append(request.path_qs)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self.handler(request, sent, len(self.asked))
        finally:
            self.now -= 1


@contextmanager
def serving(handler: Handler) -> Iterator[Server]:
    """A server that answers each request by `handler(request, what was sent, how many so far)`."""
    server, ready = Server(handler), threading.Event()
    loop = asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/{path:.*}", server.serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def work() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
