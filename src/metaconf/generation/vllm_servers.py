"""Replies of a policy in training from OpenAI-compatible vLLM servers, token by token.

Each policy is given to the servers under a name of its own (`/v1/load_lora_adapter`), and every
request says the name: a server without it answers 404, and its cache of prompts, which goes by the
name, holds nothing of another policy. All weights at once have no name (`reload_weights`); there
the cache is emptied. Prompts go as tokens, and tokens with their log-probabilities come back.
Routes are those of vLLM 0.30, and fields in `vllm_wire`.

What may pass (a connection, a time limit, a server's own fault) is tried again, for a while. What
names a policy can be: a server either has it or says no. Once all weights were sent, nothing is: a
server that was started anew in between would answer from the weights that it was started with.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaconf.clients.body import parsed
from metaconf.clients.endpoint import Endpoint, completions_url
from metaconf.clients.wire import may_pass
from metaconf.errors import UserError
from metaconf.generation.sampler import Draw, Drawn, Sampling
from metaconf.generation.vllm_wire import (
    NO_LIST,
    adapters,
    base_model,
    body,
    read_completion,
)
from metaconf.prompts.slots import clean

log = logging.getLogger("metaconf")

KEY = "VLLM_API_KEY"
"""The environment variable that holds the servers' key, as for vLLM itself."""
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
COMPLETE, MODELS = "/v1/completions", "/v1/models"
RPC, EMPTY_CACHE = "/collective_rpc", "/reset_prefix_cache"
_DEV = "start it with VLLM_SERVER_DEV_MODE=1, in a network that you trust"
REMEDIES = {
    LOAD: "start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, --enable-lora and a --max-lora-rank"
    " of lora_r at least, where it reads output_dir under the same path",
    MODELS: "give a vLLM server's address",
    COMPLETE: "if it was started anew, or dropped the policy, give --resume",
    RPC: f"{_DEV}, where it reads output_dir under the same path",
    EMPTY_CACHE: _DEV,
}
"""Route → what to look at when a server says no to it."""
_SHOWN = 300
"""Characters of a server's text that are shown."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try of a call."""
_LOOK, _SHORT = 1.0, 10.0
"""Seconds between two looks whether a server is up, and that such a small call may take."""


class _Passing(Exception):
    """A failure that may pass, and what to do where it does not."""

    def __init__(self, said: str, remedy: str):
        super().__init__(said)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class VLLMServers:
    """Servers that hold the same model. `wait`: seconds until they must be up; `timeout`: seconds
    that a call may take, with all its tries; `key` is in no repr, log or message."""

    urls: tuple[str, ...]
    wait: float = 240.0
    timeout: float = 1800.0
    key: str | None = field(default=None, repr=False)
    _warned: set[tuple[str, float]] = field(default_factory=set, repr=False, compare=False)
    """Of which servers and pauses it was warned since the last calls began."""

    def served(self) -> str:
        """The name under which all servers have the base model, once they are up."""
        found = self._all(self._base_model)
        if len(set(found)) > 1:
            named = f"{_short(found[0])} and {_short(found[-1])}"
            raise UserError(f"vLLM servers: they serve {named}; give one model")
        return found[0]

    def load_adapter(self, name: str, folder: Path) -> None:
        """Give all servers the adapter in `folder`, which they read themselves, as `name`."""
        sent = {"lora_name": name, "lora_path": str(folder)}

        async def one(session: Any, url: str) -> None:
            try:
                await self._post(session, url, LOAD, sent)
            except UserError:  # also where it was done, its answer lost, and done again
                with suppress(UserError, _Passing, *NO_LIST):
                    if adapters(await self._models(session, url)).get(name) == str(folder):
                        return
                raise

        self._all(one)

    def unload_adapter(self, name: str) -> None:
        """Have all servers drop an adapter. One that does not keeps what nobody asks it for."""

        async def one(session: Any, url: str) -> None:
            sent = {"lora_name": name}
            try:
                with suppress(UserError):  # it has none
                    await self._asked(session, "POST", url, UNLOAD, sent, _SHORT)
            except _Passing as failure:
                log.warning("%s; it may keep the adapter", failure)

        self._all(one)

    def reload_weights(self, folder: Path) -> None:
        """Have all servers read the model's weights anew from `folder`, and forget what they have
        computed with those before."""
        sent = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}

        async def one(session: Any, url: str) -> None:
            await self._post(session, url, RPC, sent)
            done = await self._post(session, url, EMPTY_CACHE, {}, again=False)
            if not (isinstance(done, dict) and done.get("success")):
                raise UserError(f"{url}: its prefix cache is in use; let nothing else ask it")

        self._all(one)

    def draw(
        self, model: str, draws: Sequence[Draw], how: Sampling, first: int = 0, again: bool = True
    ) -> list[Drawn]:
        """As `sampler.draw`, from the policy `model`; draw i goes to server `first` + i, one
        request for all its samples. `again`: what fails is tried again; only for a `model` that no
        server has by itself. Raises UserError where a server has no such policy, or its answer is
        not what was asked for."""

        async def one(session: Any, url: str, draw: Draw) -> list[Drawn]:
            answer = await self._post(session, url, COMPLETE, body(model, draw, how), again)
            try:
                return read_completion(answer, model, draw, how)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise UserError(
                    f"{url}{COMPLETE}: the answer is not vLLM's ({type(error).__name__}:"
                    f" {self._shown(str(error))}); give the address of a vLLM server of version"
                    " 0.22 to 0.31"
                ) from error

        async def every(session: Any) -> list[list[Drawn]]:
            at = (self.urls[(first + i) % len(self.urls)] for i in range(len(draws)))
            calls = (one(session, url, draw) for url, draw in zip(at, draws, strict=True))
            return await asyncio.gather(*calls)

        return [drawn for rows in self._run(every) for drawn in rows]

    async def _base_model(self, session: Any, url: str) -> str:
        """The model of a server, waiting until it is up."""
        end = time.monotonic() + self.wait
        while True:
            try:
                return base_model(await self._models(session, url))
            except _Passing as failure:
                if time.monotonic() + _LOOK > end:
                    remedy = "start it, or raise vllm_server_timeout"
                    raise UserError(f"{failure}; {remedy}") from failure
            except NO_LIST as error:
                said = f"{url}{MODELS}: no list of models"
                raise UserError(f"{said}; {REMEDIES[MODELS]}") from error
            await asyncio.sleep(_LOOK)

    async def _models(self, session: Any, url: str) -> Any:
        return await self._asked(session, "GET", url, MODELS, None, _SHORT)

    async def _post(
        self, session: Any, url: str, route: str, sent: dict[str, Any], again: bool = True
    ) -> Any:
        """The JSON of a server's answer, None for other text. Raises UserError for any but a good
        one, after further tries where `again`; each may take half of the time that is left."""
        end = time.monotonic() + self.timeout
        pauses = (*PAUSES, None) if again else (None,)
        for tried, pause in enumerate(pauses, 1):
            seconds = max(end - time.monotonic(), 0.1) / (2 if again else 1)
            try:
                return await self._asked(session, "POST", url, route, sent, seconds)
            except _Passing as failure:
                if pause is None or time.monotonic() + pause >= end:
                    times = f" (tried {tried} times)" if tried > 1 else ""
                    raise UserError(f"{failure}{times}; {failure.remedy}") from failure
                self._warn(url, failure, pause)
            await asyncio.sleep(pause)
        return None

    def _warn(self, url: str, failure: _Passing, pause: float) -> None:
        """Say it once, however many calls to a server fail together."""
        if (url, pause) not in self._warned:
            self._warned.add((url, pause))
            log.warning("%s; trying again in %g s", failure, pause)

    async def _asked(
        self, session: Any, method: str, url: str, route: str, sent: Any, seconds: float
    ) -> Any:
        """One try. Raises _Passing where another may do better, and UserError where none would."""
        import aiohttp

        limit = aiohttp.ClientTimeout(total=seconds)
        try:
            async with session.request(method, url + route, json=sent, timeout=limit) as reply:
                text = await reply.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            said = self._shown(str(error)) or type(error).__name__
            raise _Passing(
                f"{url}{route}: {said}", "look at its log, then give --resume"
            ) from error
        if reply.status == 200:
            return parsed(text)
        said = f"{url}{route}: status {reply.status}: {self._shown(text)}"
        remedy = REMEDIES.get(route, "look at the log of the server")
        if reply.status in (401, 403):
            raise UserError(f"{said}; export the server's key as {KEY}")
        if may_pass(reply.status):
            raise _Passing(said, remedy)
        raise UserError(f"{said}; {remedy}")

    def _shown(self, text: str) -> str:
        return _short(Endpoint("", "", self.key).hide(text))

    def _all(self, call: Callable[[Any, str], Awaitable[Any]]) -> list[Any]:
        async def every(session: Any) -> list[Any]:
            return await asyncio.gather(*(call(session, url) for url in self.urls))

        return self._run(every)

    def _run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        import aiohttp

        async def within() -> Any:
            headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
            async with aiohttp.ClientSession(headers=headers) as session:
                return await work(session)

        self._warned.clear()
        return asyncio.run(within())


def servers_at(
    address: str | Sequence[str], wait: float, timeout: float, key: str | None = None
) -> VLLMServers:
    """The servers at one address or several, with or without their /v1, and their key, if they want
    one. Raises UserError for what is no http address, or cannot be a key."""
    listed = [address] if isinstance(address, str) else address
    roots = (completions_url(one).removesuffix("/v1/chat/completions") for one in listed)
    if key and not (key.isascii() and key.isprintable()):
        raise UserError(f"{KEY}: holds what no key can; write it on one line of plain letters")
    return VLLMServers(tuple(roots), wait, timeout, key or None)


def _short(text: str) -> str:
    return " ".join(clean(text).split())[:_SHOWN]
