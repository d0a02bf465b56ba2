"""A language model of this machine behind an OpenAI-compatible address, for the benchmarks.

Requests that come together are drawn together. It stands in for a paid teacher or judge: real text
comes back, with all its faults.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from queue import Queue
from typing import Any

from aiohttp import web

from metaconf.generation.local import LocalModel
from metaconf.generation.sampler import Draw, Drawn, Sampling, draw
from metaconf.prompts.chat import render

ROWS = 32
"""Replies drawn together, and so many calls in flight are worth the client's while."""
Waiting = tuple[tuple[int, ...], dict[str, Any], "Future[tuple[Drawn, int]]"]


@contextmanager
def serving(local: LocalModel) -> Iterator[str]:
    """The address of a server that answers with `local` until the block ends."""
    queue: Queue[Waiting | None] = Queue()
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), list[str]()

    async def answer(request: web.Request) -> web.Response:
        sent = await request.json()
        prompt = tuple(render(local.tokenizer, sent["messages"]))
        future: Future[tuple[Drawn, int]] = Future()
        queue.put((prompt, sent, future))
        drawn, number = await asyncio.wrap_future(future)
        return web.json_response(_body(local, drawn, len(prompt), number))

    async def start() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        ready.set()

    def listen() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()

    for work in (listen, lambda: _draw_all(local, queue)):
        threading.Thread(target=work, daemon=True).start()
    ready.wait()
    try:
        yield address[0]
    finally:
        queue.put(None)
        loop.call_soon_threadsafe(loop.stop)


def _draw_all(local: LocalModel, queue: Queue[Waiting | None]) -> None:
    count = 0
    while (first := queue.get()) is not None:
        batch = [first]
        while len(batch) < ROWS and not queue.empty() and (more := queue.get()) is not None:
            batch.append(more)
        for drawn, (_, _, future) in zip(_drawn(local, batch, count), batch, strict=True):
            future.set_result((drawn, count))
            count += 1


def _drawn(local: LocalModel, batch: Sequence[Waiting], count: int) -> list[Drawn]:
    draws = [Draw(prompt, str(count + i), (0,)) for i, (prompt, _, _) in enumerate(batch)]
    most = max(int(sent.get("max_tokens") or 256) for _, sent, _ in batch)
    heat = max(float(sent.get("temperature", 1.0)) for _, sent, _ in batch)
    return draw(local.model, draws, Sampling(most, local.end_tokens, heat, rows=ROWS))


def _body(local: LocalModel, drawn: Drawn, read: int, number: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": local.decode(drawn.tokens)}
    finish = "stop" if drawn.ended else "length"
    return {
        "id": f"reply-{number}",
        "object": "chat.completion",
        "model": "embedded",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": len(drawn.tokens),
            "total_tokens": read + len(drawn.tokens),
        },
    }
