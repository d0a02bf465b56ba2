"""The client against a server of 200 ms that throttles and fails, beside plain AsyncOpenAI.

    python benchmarks/client.py [--calls 6000]

Writes benchmarks/results/client.json. The server is a process of its own on loopback: it answers
after 200 ms, refuses (429, half of them with Retry-After) what exceeds 300 calls a second, and of
the others fails 1 in 100 (a 500, a broken connection, blank content, an error with status 200, cut
JSON, in turn). The ideal is the time that 300 calls a second take. openai is measured where it is
installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import record

from metaconf.clients import Completion, Endpoint, Request, complete_all
from metaconf.config.blocks import Client

LATENCY, RATE, FAILS = 0.2, 300, 100
PRICES = (1.0, 10.0)
TOKENS = (50, 10)


def serve(port: Any) -> None:
    """Run the server; sends its port through the pipe."""
    import logging

    from aiohttp import web

    logging.disable()  # it says of every connection broken on purpose that it broke
    taken: list[float] = []
    paid: dict[str, int] = {}
    seen = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal seen
        now = time.monotonic()
        taken[:] = [t for t in taken if now - t < 1]
        if len(taken) >= RATE:
            headers = {"Retry-After": "1"} if len(taken) % 2 else None
            return web.Response(status=429, headers=headers, text="slow down")
        taken.append(now)
        sent = json.loads(await request.text())
        await asyncio.sleep(LATENCY)
        seen += 1
        if seen % FAILS == 0:
            return await broken(request, seen // FAILS)
        text = sent["messages"][0]["content"]
        paid[text] = paid.get(text, 0) + 1
        usage = dict(zip(("prompt_tokens", "completion_tokens"), TOKENS, strict=True))
        choice = {"message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": usage})

    async def broken(request: web.Request, kind: int) -> web.StreamResponse:
        if kind % 5 == 0 and request.transport is not None:
            request.transport.close()
        blank = {"choices": [{"message": {"content": " \n"}}]}
        faults = (web.json_response(blank), web.json_response({"error": {"code": 502}}))
        cut = web.Response(text='{"choices": [{"me')
        return (web.Response(status=500), *faults, cut)[kind % 4]

    async def counts(_: web.Request) -> web.Response:
        found = {"calls": len(paid), "paid": sum(paid.values())}
        paid.clear()
        return web.json_response(found)

    async def start() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        app.router.add_get("/counts", counts)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        port.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(start())


def requests(count: int) -> list[Request]:
    return [Request(({"role": "user", "content": f"call {i}"},)) for i in range(count)]


def ours(url: str, count: int) -> dict[str, float]:
    """Seconds, calls without an outcome, calls paid twice, and the error of the cost."""
    limits = Client(url, input_price=PRICES[0], output_price=PRICES[1], max_retries=20)
    endpoint = Endpoint(f"{url}/v1/chat/completions", "m", None, limits)
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        found = complete_all(requests(count), endpoint, cache=Path(folder) / "c", progress=False)
        taken = time.monotonic() - start
    done = [one for one in found if isinstance(one, Completion)]
    price = sum(t * p for t, p in zip(TOKENS, PRICES, strict=True)) / 1e6
    server = read_counts(url)
    return {
        "seconds": taken,
        "lost": count - len(done),
        "paid_twice": server["paid"] - server["calls"],
        "cost_error": abs(sum(one.cost or 0 for one in done) - server["paid"] * price),
    }


def read_counts(url: str) -> dict[str, int]:
    import urllib.request

    with urllib.request.urlopen(f"{url}/counts") as reply:
        return json.load(reply)


def plain_openai(url: str, count: int) -> tuple[float, int] | None:
    """(seconds, calls lost) of AsyncOpenAI with its own two retries and 100 calls at once, as its
    users write it; None where it is not installed."""
    try:
        from openai import AsyncOpenAI, OpenAIError  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None

    async def work() -> int:
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none")
        places = asyncio.Semaphore(100)

        async def one(request: Request) -> bool:
            async with places:
                try:
                    messages: Any = [dict(m) for m in request.messages]
                    done = await client.chat.completions.create(model="m", messages=messages)
                    return bool(done.choices and (done.choices[0].message.content or "").strip())
                except (OpenAIError, ValueError, AttributeError):
                    return False  # a body that is no JSON comes back as plain text

        found: Sequence[bool] = await asyncio.gather(*map(one, requests(count)))
        return count - sum(found)

    start = time.monotonic()
    lost = asyncio.run(work())
    read_counts(url)
    return time.monotonic() - start, lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=6000)
    count = parser.parse_args().calls
    ready, port = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ready.recv()}"
    theirs = plain_openai(url, count)
    time.sleep(1.5)
    mine = ours(url, count)
    server.terminate()
    rate = count / mine["seconds"]
    figures = {
        "calls_per_second": record.figure(round(rate, 1), None, "calls/s"),
        "ideal_share": record.figure(round(rate / RATE, 3), None, "", ">= 0.7"),
        "lost": record.figure(mine["lost"], None, "calls", "<= 0"),
        "paid_twice": record.figure(mine["paid_twice"], None, "calls", "<= 0"),
        "cost_error": record.figure(round(mine["cost_error"], 9), None, "", "<= 1e-9"),
    }
    if theirs is not None:
        seconds, lost = theirs
        figures["plain_openai_calls_per_second"] = record.figure(
            round((count - lost) / seconds, 1), None, "calls/s"
        )
        figures["plain_openai_lost"] = record.figure(lost, None, "calls")
    notes = "Client and server share the machine's cores. paid_twice: replies sent to one request."
    packages = ("aiohttp", *(("openai",) if theirs else ()))
    command = f"python benchmarks/client.py --calls {count}"
    record.write("client", command, figures, [0], notes, packages)


if __name__ == "__main__":
    main()
