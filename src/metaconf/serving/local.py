"""A model on this machine: requests that come together are drawn together.

One thread draws. It takes what waits, up to `ROWS` requests of one temperature, and draws them as
one batch; what comes in the meantime is the next batch. Each token is passed on as it comes, and a
request that nobody waits for any more leaves the batch.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from metaconf.clients.types import Completion, Failure, Outcome
from metaconf.errors import UserError
from metaconf.prompts.chat import EXAMPLES, Message, render
from metaconf.records import FACTS
from metaconf.reply import format_reply
from metaconf.serving.backend import Call, name_of

if TYPE_CHECKING:
    from metaconf.generation.local import LocalModel
    from metaconf.generation.sampler import Draw, Drawn
    from metaconf.training.levels import LevelTokens

ROWS = 32
TOGETHER = 0.003
"""Seconds that a request waits for others to come with it."""


@dataclass(slots=True, eq=False)
class _Job:
    call: Call
    loop: asyncio.AbstractEventLoop
    streamed: bool
    out: asyncio.Queue[str | Outcome] = field(default_factory=asyncio.Queue)
    gone: bool = False
    prompt: tuple[int, ...] = ()
    begun: tuple[int, ...] = ()
    """The end of the prompt: tokens that the reply begins with."""
    key: str = ""

    def put(self, item: str | Outcome) -> None:
        """From the drawing thread; the loop may be closed by then."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.out.put_nowait, item)


class LocalBackend:
    """Draws with `local`; see `Backend`. `worked` turns go before each question of a model that was
    not trained here."""

    begins = True
    takes: frozenset[str] = frozenset()

    def __init__(self, name: str, local: LocalModel, worked: tuple[Message, ...] = ()):
        self.name, self.local, self.worked = name, local, worked
        self._level_tokens = _level_tokens(local.tokenizer)
        self.batches: list[int] = []
        """Sizes of the last batches."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._held: list[_Job] = []
        self._number = 0
        self._thread = threading.Thread(target=self._work, name="metaconf-draw", daemon=True)
        self._thread.start()

    async def complete(self, call: Call) -> Outcome:
        async for item in self._asked(call, streamed=False):
            if not isinstance(item, str):
                return item
        raise AssertionError("a job ends with its outcome")

    def stream(self, call: Call) -> AsyncIterator[str | Outcome]:
        return self._asked(call, streamed=True)

    async def _asked(self, call: Call, streamed: bool) -> AsyncIterator[str | Outcome]:
        job = _Job(call, asyncio.get_running_loop(), streamed)
        self._jobs.put(job)
        try:
            while True:
                item = await job.out.get()
                yield item
                if not isinstance(item, str):
                    return
        finally:
            job.gone = True

    async def close(self) -> None:
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, 5)

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            ready = [job for job in batch if not job.gone and self._prepared(job)]
            if ready:
                self._draw(ready)

    def _next(self) -> list[_Job] | None:
        """The next batch: the one that has waited longest, and others of its temperature."""
        if not self._held:
            first = self._jobs.get()
            if first is None:
                return None
            self._held.append(first)
        with suppress(Empty):
            while len(self._held) < 4 * ROWS:
                job = self._jobs.get(timeout=TOGETHER)
                if job is None:
                    return None
                self._held.append(job)
        heat = self._held[0].call.temperature
        alike = [job for job in self._held if job.call.temperature == heat][:ROWS]
        seeds: set[int | None] = set()
        batch = [job for job in alike if _fits(job.call.seed, seeds)]
        self._held = [job for job in self._held if job not in batch]
        return batch

    def _prepared(self, job: _Job) -> bool:
        """Make the prompt's tokens; a job whose prompt cannot be used is answered at once."""
        from jinja2.exceptions import TemplateError

        try:
            tokenizer, start = self.local.tokenizer, job.call.start
            job.begun = tuple(tokenizer.encode(start, add_special_tokens=False) if start else ())
            job.prompt = (*render(tokenizer, job.call.chat(self.worked)), *job.begun)
        except (UserError, TemplateError) as error:
            job.put(Failure("refused", f"400: the chat template takes no such turns: {error}"))
            return False
        config = getattr(self.local.model, "config", None)
        context = getattr(config, "max_position_embeddings", None)
        if context and len(job.prompt) >= context:
            what = f"400: the prompt has {len(job.prompt)} tokens, the model's context {context}"
            job.put(Failure("refused", what))
            return False
        self._number += 1
        seed = job.call.seed
        job.key = f"request {self._number}" if seed is None else f"seed {seed}"
        return True

    def _draw(self, jobs: Sequence[_Job]) -> None:
        """Draw a batch. What torch raises (memory, mostly) ends this batch and not the server."""
        from metaconf.generation.prefill import UNABLE
        from metaconf.generation.sampler import GREEDY, Draw, Sampling

        heat = jobs[0].call.temperature
        most = max(job.call.max_tokens for job in jobs)
        how = Sampling(most, self.local.end_tokens, heat or 1.0, rows=ROWS)
        sample = 0 if heat else GREEDY
        draws: list[Draw] = [Draw(job.prompt, job.key, (sample,)) for job in jobs]
        self.batches = [*self.batches[-99:], len(jobs)]
        by_key = {job.key: job for job in jobs}
        try:
            rows = self.local.draw(
                self.local.model, draws, how, on_step=lambda rows: self._step(by_key, rows)
            )
        except RuntimeError as error:
            for job in jobs:
                job.put(Failure("server", f"the model failed: {type(error).__name__}"))
            return
        drawn = [(by_key[row.key], row) for row in rows]
        try:
            found = self._levels(drawn)
        except UNABLE:  # what is drawn is whole without them
            found = [None] * len(drawn)
        for (job, row), levels in zip(drawn, found, strict=True):
            job.put(self._completion(job, row, levels))

    def _levels(self, drawn: Sequence[tuple[_Job, Drawn]]) -> list[tuple[float, ...] | None]:
        """The model's distribution over the levels where each reply states its confidence; None
        where it states none, where nobody waits, and for a tokenizer that does not tell levels."""
        from metaconf.training.encode import locate
        from metaconf.training.forced_decoding import level_distributions

        found: list[tuple[float, ...] | None] = [None] * len(drawn)
        pairs: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}  # read at their end alone
        for place, (job, row) in enumerate(drawn):
            tokens = [*job.begun, *row.tokens]
            at = None if job.gone else locate(self.local.tokenizer, tokens).level_at
            if at is not None and at >= len(job.begun):
                prompt = job.prompt[: len(job.prompt) - len(job.begun)]
                pairs[place] = (*prompt, *tokens[:at]), ()
        if pairs and self._level_tokens is not None:
            some = level_distributions(self.local, list(pairs.values()), self._level_tokens)
            for place, levels in zip(pairs, some.tolist(), strict=True):
                found[place] = tuple(levels)
        return found

    def _step(self, by_key: dict[str, _Job], rows: list[Drawn]) -> Collection[str]:
        """Pass on what was drawn; the keys of requests that are left, or are long enough."""
        ended = set[str]()
        for row in rows:
            job = by_key[row.key]
            if job.gone or len(row.tokens) >= job.call.max_tokens:
                ended.add(row.key)
            elif job.streamed and not row.ended:
                job.put(job.call.start + self.local.decode(row.tokens))
        return ended

    def _completion(self, job: _Job, row: Drawn, levels: tuple[float, ...] | None) -> Completion:
        finish = "stop" if row.ended else "length"
        text = job.call.start + self.local.decode(row.tokens)
        counts = (len(job.prompt), len(row.tokens), 0.0)
        return Completion(text, *counts, finish_reason=finish, levels=levels)


def _level_tokens(tokenizer: Any) -> LevelTokens | None:
    """None for a tokenizer that does not tell the levels apart by one token."""
    from metaconf.training.levels import level_tokens

    try:
        return level_tokens(tokenizer)
    except ValueError:
        return None


def _fits(seed: int | None, seeds: set[int | None]) -> bool:
    """Whether no other request of the batch has this seed, which is the key of its numbers."""
    if seed is None:
        return True
    new = seed not in seeds
    seeds.add(seed)
    return new


def worked_turns(model: str) -> tuple[Message, ...]:
    """Worked examples for a model that MetaConf did not train; none for one that it did, whose
    folder says so."""
    from metaconf.embedded.model import resolve_model

    if (Path(resolve_model(model)) / FACTS).is_file():
        return ()
    turns: list[Message] = []
    for question, answer, why, level in EXAMPLES:
        reply = format_reply(answer, why, level / 10)
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    return tuple(turns)


def load(model: str) -> LocalBackend:
    """Load a folder, hub id or "embedded". Raises UserError as `load_local`."""
    from metaconf.generation.local import load_local

    local: Any = load_local(model)
    backend = LocalBackend(name_of(model), local, worked_turns(model))
    # The first draw of a process takes a second more, which nobody should wait for.
    asyncio.run(backend.complete(Call(({"role": "user", "content": "?"},), max_tokens=2)))
    return backend
