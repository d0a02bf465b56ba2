"""Any OpenAI-compatible server as the model: asked by the project's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from metaconf.clients import Endpoint, Outcome, Request
from metaconf.clients.cache import Cache
from metaconf.clients.run import complete_one
from metaconf.clients.stream import stream_one
from metaconf.serving.backend import Call


class RemoteBackend:
    """The model `endpoint.model` behind its address; see `Backend`."""

    begins = False
    takes = frozenset(("top_p", "stop", "presence_penalty", "frequency_penalty", "logit_bias"))

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint
        self._session: Any = None
        self._store: Any = None

    @property
    def name(self) -> str:
        return self.endpoint.model

    async def complete(self, call: Call) -> Outcome:
        self._open()
        return await complete_one(self._session, *self._asked(call), self._store)

    async def stream(self, call: Call) -> AsyncIterator[str | Outcome]:
        self._open()
        items: Any = stream_one(self._session, *self._asked(call), self._store)
        async with aclosing(items):
            async for item in items:
                yield item

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._store.close()

    def _asked(self, call: Call) -> tuple[Request, Endpoint]:
        request = Request(tuple(call.chat()), call.temperature, call.max_tokens, call.seed)
        extra = {**call.more, **self.endpoint.extra}
        return request, replace(self.endpoint, extra=extra)

    def _open(self) -> None:
        """Open session and store, which belong to the loop and the thread that use them."""
        import aiohttp

        if self._session is None:
            key = self.endpoint.key
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            self._session = aiohttp.ClientSession(
                headers=headers,
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
            )
            self._store = Cache(None)
