"""Replies of a policy in training from OpenAI-compatible vLLM servers, token by token.

Each policy is given to the servers under a name of its own (`/v1/load_lora_adapter`), and every
request says the name: a server without it answers 404, and its cache of prompts, which goes by the
name, holds nothing of another policy. All weights at once have no name (`reload_weights`); there
the cache is emptied. Prompts go as tokens, and tokens with their log-probabilities come back.
Routes and fields are those of vLLM 0.30.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaconf.clients.body import parsed
from metaconf.clients.endpoint import completions_url
from metaconf.errors import UserError
from metaconf.generation.sampler import Draw, Drawn, Sampling
from metaconf.prompts.slots import clean

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
COMPLETE, MODELS = "/v1/completions", "/v1/models"
RPC, EMPTY_CACHE = "/collective_rpc", "/reset_prefix_cache"
_DEV = "start it with VLLM_SERVER_DEV_MODE=1, in a network that you trust"
REMEDIES = {
    LOAD: "start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, --enable-lora and a --max-lora-rank"
    " of lora_r at least, where it reads output_dir under the same path",
    COMPLETE: "if it was started anew, or dropped the policy, give --resume",
    RPC: f"{_DEV}, where it reads output_dir under the same path",
    EMPTY_CACHE: _DEV,
}
"""Route → what to look at when a server says no to it."""
_SHOWN = 300
"""Characters of a server's text that are shown."""
_PAUSE = 1.0
"""Seconds between two looks whether a server is up."""


@dataclass(frozen=True, slots=True)
class VLLMServers:
    """Servers that hold the same model. `wait`: seconds until they must be up; `timeout`: seconds
    that a call may take."""

    urls: tuple[str, ...]
    wait: float = 240.0
    timeout: float = 1800.0

    def served(self) -> str:
        """The name under which all servers have the base model, once they are up."""
        found = self._all(self._base_model)
        if len(set(found)) > 1:
            raise UserError(f"vLLM servers: they serve {found[0]} and {found[-1]}; give one model")
        return found[0]

    def load_adapter(self, name: str, folder: Path) -> None:
        """Give all servers the adapter in `folder`, which they read themselves, as `name`."""
        sent = {"lora_name": name, "lora_path": str(folder)}
        self._all(lambda session, url: self._post(session, url, LOAD, sent))

    def unload_adapter(self, name: str) -> None:
        sent = {"lora_name": name}
        self._all(lambda session, url: self._post(session, url, UNLOAD, sent))

    def reload_weights(self, folder: Path) -> None:
        """Have all servers read the model's weights anew from `folder`, and forget what they have
        computed with those before."""
        sent = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}

        async def one(session: Any, url: str) -> None:
            await self._post(session, url, RPC, sent)
            done = await self._post(session, url, EMPTY_CACHE, {})
            if not (isinstance(done, dict) and done.get("success")):
                raise UserError(f"{url}: its prefix cache is in use; let nothing else ask it")

        self._all(one)

    def draw(self, model: str, draws: Sequence[Draw], how: Sampling, first: int = 0) -> list[Drawn]:
        """As `sampler.draw`, from the policy `model`; draw i goes to server `first` + i, one
        request for all its samples. Raises UserError where a server has no such policy, or its
        answer is not what was asked for."""

        async def all_of_them(session: Any) -> list[list[Drawn]]:
            calls = [
                self._complete(session, self.urls[(first + i) % len(self.urls)], model, one, how)
                for i, one in enumerate(draws)
            ]
            return await asyncio.gather(*calls)

        return [drawn for rows in self._run(all_of_them) for drawn in rows]

    async def _complete(
        self, session: Any, url: str, model: str, one: Draw, how: Sampling
    ) -> list[Drawn]:
        answer = await self._post(session, url, COMPLETE, _body(model, one, how))
        try:
            return read_completion(answer, model, one, how)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"{url}{COMPLETE}: the answer is not vLLM's ({type(error).__name__}:"
                f" {_short(str(error))}); give the address of a vLLM server of version 0.22 to 0.31"
            ) from error

    async def _base_model(self, session: Any, url: str) -> str:
        """The model of a server, waiting until it is up."""
        import aiohttp

        end = time.monotonic() + self.wait
        while True:
            try:
                async with session.get(url + MODELS) as reply:
                    text = await reply.text(errors="replace")
                    return _name_of(parsed(text), f"{url}{MODELS}: status {reply.status}")
            except (aiohttp.ClientError, TimeoutError) as error:
                if time.monotonic() + _PAUSE > end:
                    remedy = "start it, or raise vllm_server_timeout"
                    raise _unreachable(url, error, remedy) from error
                await asyncio.sleep(_PAUSE)

    async def _post(self, session: Any, url: str, route: str, sent: dict[str, Any]) -> Any:
        """The JSON of a server's answer, None for other text. Raises UserError for any but a good
        one."""
        import aiohttp

        try:
            async with session.post(url + route, json=sent) as reply:
                text = await reply.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(url + route, error, "look at its log, then give --resume") from error
        if reply.status != 200:
            said = f"{url}{route}: status {reply.status}: {_short(text)}"
            raise UserError(f"{said}; {REMEDIES.get(route, 'look at the log of the server')}")
        return parsed(text)

    def _all(self, call: Callable[[Any, str], Awaitable[Any]]) -> list[Any]:
        async def every(session: Any) -> list[Any]:
            return await asyncio.gather(*(call(session, url) for url in self.urls))

        return self._run(every)

    def _run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        import aiohttp

        async def within() -> Any:
            limit = aiohttp.ClientTimeout(total=self.timeout)
            async with aiohttp.ClientSession(timeout=limit) as session:
                return await work(session)

        return asyncio.run(within())


def servers_at(address: str | Sequence[str], wait: float, timeout: float) -> VLLMServers:
    """The servers at one address or several, with or without their /v1. Raises UserError for what
    is no http address."""
    listed = [address] if isinstance(address, str) else address
    roots = (completions_url(one).removesuffix("/v1/chat/completions") for one in listed)
    return VLLMServers(tuple(roots), wait, timeout)


def read_completion(answer: Any, model: str, one: Draw, how: Sampling) -> list[Drawn]:
    """The replies in vLLM's answer. Raises ValueError, or as a wrong index does, where it is not
    the answer to what was asked: another policy, prompt or number of replies, or log-probabilities
    that are missing."""
    if answer["model"] != model:
        raise ValueError(f"it is of the model {answer['model']}")
    choices = sorted(answer["choices"], key=lambda choice: choice["index"])
    if len(choices) != len(one.samples):
        raise ValueError(f"{len(choices)} replies for {len(one.samples)}")
    return [_drawn(one, s, c, how) for s, c in zip(one.samples, choices, strict=True)]


def _drawn(one: Draw, sample: int, choice: dict[str, Any], how: Sampling) -> Drawn:
    tokens, known = choice["token_ids"], choice["logprobs"]["token_logprobs"]
    if tuple(choice["prompt_token_ids"]) != one.prompt:
        raise ValueError("the prompt was changed")
    if not 0 < len(tokens) == len(known) <= how.max_new_tokens:
        raise ValueError(f"{len(tokens)} tokens with {len(known)} log-probabilities")
    logprobs = [math.nan if value is None else float(value) for value in known]
    at_one = logprobs if how.temperature == 1 else [math.nan] * len(tokens)
    ended = tokens[-1] in how.stop
    return Drawn(one.key, sample, [int(token) for token in tokens], at_one, ended, logprobs)


def _body(model: str, one: Draw, how: Sampling) -> dict[str, Any]:
    """From the whole distribution: the model's own generation configuration must not cut it."""
    digest = hashlib.sha256(f"{how.seed}\x1f{one.key}".encode()).digest()
    return {
        "model": model,
        "prompt": list(one.prompt),
        "n": len(one.samples),
        "max_tokens": how.max_new_tokens,
        "temperature": how.temperature,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "seed": int.from_bytes(digest[:8], "big") >> 2,  # vLLM adds the number of the sample
        "stop_token_ids": sorted(how.stop),
        "ignore_eos": True,  # the end tokens are among those that stop, and no others should
        "logprobs": 0,
        "return_token_ids": True,
    }


def _name_of(models: Any, where: str) -> str:
    """The base model in the list that a server gives."""
    try:
        return next(str(one["id"]) for one in models["data"] if not one.get("parent"))
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise UserError(f"{where}, and no list of models; give a vLLM server's address") from error


def _unreachable(where: str, error: Exception, remedy: str) -> UserError:
    return UserError(f"{where}: {_short(str(error)) or type(error).__name__}; {remedy}")


def _short(text: str) -> str:
    return " ".join(clean(text).split())[:_SHOWN]
