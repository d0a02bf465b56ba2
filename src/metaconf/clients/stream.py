"""One chat completion as it is written: server-sent events, taken apart as far as they can be.

Servers that do not stream answer with plain JSON, which is read as such; what is refused is asked
again without streaming, with all that `complete_one` knows of odd servers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from metaconf.clients import wire
from metaconf.clients.body import parsed
from metaconf.clients.cache import Cache
from metaconf.clients.endpoint import Endpoint
from metaconf.clients.reply import used
from metaconf.clients.run import complete_one
from metaconf.clients.types import Completion, Failure, Outcome, Request

MOST = 1 << 22
"""Characters of a reply, and bytes of an event, that are read."""


async def stream_one(
    session: Any, request: Request, endpoint: Endpoint, store: Cache
) -> AsyncIterator[str | Outcome]:
    """The text so far, each time longer; the outcome last, a Failure where the stream ended before
    the reply did. Takes what `complete_one` takes."""
    import asyncio

    import aiohttp

    body = wire.body(request, endpoint, endpoint.learnt.shape)
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    try:
        async with asyncio.timeout(endpoint.limits.timeout):
            async with session.post(endpoint.url, json=body) as reply:
                kind = reply.headers.get("Content-Type", "")
                if reply.status == 200 and kind.startswith("text/event-stream"):
                    async for item in _events(reply.content, endpoint):
                        yield item
                    return
                if reply.status == 200:
                    text = (await reply.read()).decode("utf-8-sig", "replace")
                    read = wire.read(200, reply.headers, text, endpoint, endpoint.learnt.shape)
                    if isinstance(read.verdict, Completion):
                        yield read.verdict
                        return
    except TimeoutError:
        yield Failure("timeout", f"in {endpoint.limits.timeout:g} s")
        return
    except aiohttp.ClientError as error:
        yield Failure("connection", endpoint.hide(str(error) or type(error).__name__))
        return
    yield await complete_one(session, request, endpoint, store)


async def _events(content: Any, endpoint: Endpoint) -> AsyncIterator[str | Outcome]:
    text, finish, tokens = "", None, (None, None, None)
    async for event in _data(content):
        if event == "[DONE]":
            finish = finish or "stop"
            break
        value = parsed(event)
        if not isinstance(value, dict):
            continue
        if value.get("error"):
            yield Failure("server", endpoint.hide(str(value["error"]))[:200])
            return
        tokens = used(value) if value.get("usage") else tokens
        piece, ended = _delta(value)
        finish = ended or finish
        if piece:
            text += piece
            yield text
        if len(text) > MOST:
            break
    if finish is None:
        yield Failure("connection", "the reply was broken off")
        return
    price = wire.cost(tokens[0], tokens[1], endpoint)
    yield Completion(text, tokens[0], tokens[1], price, finish_reason=finish)


async def _data(content: Any) -> AsyncIterator[str]:
    """The data of each event; a line that does not end within `MOST` bytes ends it all."""
    rest = b""
    async for part in content.iter_any():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode("utf-8", "replace")
        if len(rest) > MOST:
            return


def _delta(value: dict[str, Any]) -> tuple[str, str | None]:
    """The text that an event adds, and the reason to finish, where it holds them."""
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return "", None
    delta = choice.get("delta")
    piece = delta.get("content") if isinstance(delta, dict) else None
    finish = choice.get("finish_reason")
    return (
        piece if isinstance(piece, str) else "",
        finish if isinstance(finish, str) and finish else None,
    )
