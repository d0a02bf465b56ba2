"""A model's server for benchmarks/serve.py: a fixed reply after some milliseconds, on one core.

    python benchmarks/serve_stub.py MILLISECONDS [--faults]

Prints its port. With --faults, of a hundred calls it throttles 10, hangs 5, cuts 5 and lies 10.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

REPLY = "Answer: Mali\nSelf-reflection: I know it well.\nConfidence: 8"
LIES = (
    '{"choices": []}',
    '{"error": {"code": 500, "message": "lost"}}',
    "<html>",
    '{"choices": [{"message": {"content": 7}}]}',
    '{"choices": [{"message": {"content": "Confidence: 11"}, "finish_reason": "stop"}]}',
)
HANG = 30


async def start(milliseconds: float, faults: bool) -> None:
    seen = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal seen
        seen += 1
        await request.read()
        if faults and (odd := await _faulty(request, seen % 100)) is not None:
            return odd
        if milliseconds:
            await asyncio.sleep(milliseconds / 1000)
        message = {"role": "assistant", "content": REPLY}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70}
        return web.json_response({"choices": [choice], "usage": usage})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def _faulty(request: web.Request, kind: int) -> web.StreamResponse | None:
    """What goes wrong with the call of this number; None for nothing."""
    if kind < 10:
        return web.Response(status=429, headers={"Retry-After": "1"} if kind % 2 else None)
    if kind < 15:
        await asyncio.sleep(HANG)
    elif kind < 20 and request.transport is not None:
        request.transport.close()
    elif 20 <= kind < 30:
        return web.Response(text=LIES[kind % 5], content_type="application/json")
    return None


if __name__ == "__main__":
    asyncio.run(start(float(sys.argv[1]), "--faults" in sys.argv))
