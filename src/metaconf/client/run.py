"""Many calls at once: one retry layer, a deadline for each call, a budget for all, and a cache."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metaconf.client import wire
from metaconf.client.cache import Cache, key_of
from metaconf.client.endpoint import Endpoint
from metaconf.client.pace import Pace
from metaconf.client.progress import Counts, progress_bar
from metaconf.client.types import Completion, Failure, Outcome, Request
from metaconf.errors import UserError

BACK_OFF, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the second try, doubled for each further one; and the longest of all waits."""
UNREADABLE_TRIES = 2
"""A completion that cannot be read is paid for: once more, and no further."""
Readable = Callable[[Request, str], bool]
REFUSED_WAIT = 1.5
"""A server that says "too many" is well: waiting much longer only leaves stragglers at the end."""


def complete_all(
    requests: Sequence[Request],
    endpoint: Endpoint,
    *,
    cache: Path | None = None,
    label: str = "calls",
    progress: bool = True,
    readable: Readable | None = None,
) -> list[Outcome]:
    """The outcome of each request, in their order; equal requests are asked once.

    A completion that is not `readable` (request, text) is asked for once more, and is then a
    failure "unreadable". Completions are kept in `cache` as they come. Raises UserError, after what
    is in flight has been kept, where no further call makes sense: a wrong key, a spent quota, an
    unknown model, or `stop_after` failures in a row.
    """
    keys = [key_of(request, endpoint) for request in requests]
    store = Cache(cache)
    try:
        found: dict[str, Outcome] = dict(store.get(dict.fromkeys(keys)))
        todo = {k: r for k, r in zip(keys, requests, strict=True) if k not in found}
        counts = Counts(cached=sum(key in found for key in keys))
        with progress_bar(label, len(keys), len(keys) - len(todo), counts, progress) as step:
            made = (
                asyncio.run(_Work(endpoint, store, counts, step, readable).all(todo))
                if todo
                else {}
            )
    finally:
        store.close()
    return _in_order(keys, found | made)


def _in_order(keys: Sequence[str], found: dict[str, Outcome]) -> list[Outcome]:
    """Outcomes by request: of equal ones, the first alone has cost something."""
    seen: set[str] = set()
    outcomes: list[Outcome] = []
    for key in keys:
        outcome = found[key]
        if key in seen and isinstance(outcome, Completion):
            outcome = replace(outcome, cached=True, cost=0.0)
        seen.add(key)
        outcomes.append(outcome)
    return outcomes


@dataclass
class _Work:
    """What the calls of one run share."""

    endpoint: Endpoint
    store: Cache
    counts: Counts
    step: Callable[[], None]
    readable: Readable | None = None
    spent: float = 0.0
    promised: float = 0.0
    """What the calls in flight may cost at most."""
    in_a_row: int = 0
    stopped: str = ""
    limit_name: str = "max_tokens"

    async def all(self, todo: dict[str, Request]) -> dict[str, Outcome]:
        import aiohttp

        key = self.endpoint.key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        pace = Pace(self.endpoint.limits.concurrency)
        # The deadline is ours, over all tries; the pool must not be narrower than the pace.
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            headers=headers, connector=connector, timeout=timeout
        ) as session:
            calls = (self._one(session, pace, key, request) for key, request in todo.items())
            outcomes = await asyncio.gather(*calls)
        if self.stopped:
            raise UserError(self.stopped)
        return dict(zip(todo, outcomes, strict=True))

    async def _one(self, session: Any, pace: Pace, key: str, request: Request) -> Outcome:
        async with pace.place() as round_:
            if self.stopped:
                return Failure("stopped", self.stopped)
            most = wire.estimate(request, self.endpoint)
            budget = self.endpoint.limits.budget
            if budget is not None and self.spent + self.promised + most > budget:
                outcome: Outcome = Failure("budget", f"{self.spent:.4f} of {budget} spent")
            else:
                self.promised += most
                outcome = await self._tried(session, pace, round_, key, request)
                self.promised -= most
        self._note(key, outcome, most)
        return outcome

    async def _tried(
        self, session: Any, pace: Pace, round_: int, key: str, request: Request
    ) -> Outcome:
        """Try until it works, the tries are used up, or the call's time is."""
        limits, last = self.endpoint.limits, Failure("timeout", "no reply")
        unread = 0
        try:
            async with asyncio.timeout(limits.deadline):
                for tries in range(limits.attempts):
                    verdict = await self._sent(session, key, request)
                    if isinstance(verdict, wire.Rename):
                        self.limit_name = "max_completion_tokens"
                        verdict = await self._sent(session, key, request)
                    if isinstance(verdict, Completion):
                        await pace.answered(round_)
                        if self.readable is None or self.readable(request, verdict.text):
                            return verdict
                        unread += 1
                        last = self._wasted(verdict)
                        if unread == UNREADABLE_TRIES:
                            break
                        continue
                    if not isinstance(verdict, wire.Again):
                        return self._final(verdict)
                    last = Failure(verdict.kind, verdict.detail)
                    if verdict.kind == "rate":
                        pace.refused(time.monotonic())
                    if self.stopped or tries + 1 == limits.attempts:
                        break
                    await asyncio.sleep(_wait(verdict, tries))
        except TimeoutError:
            last = Failure("timeout", f"no reply in {limits.deadline:g} s; last: {last.detail}")
        return last

    async def _sent(self, session: Any, key: str, request: Request) -> wire.Verdict:
        import aiohttp

        sent = wire.body(request, self.endpoint, self.limit_name)
        try:
            # A server that knows the header gives a lost reply again instead of a second one.
            async with session.post(
                self.endpoint.url, json=sent, headers={"Idempotency-Key": key}
            ) as reply:
                text = await reply.text(errors="replace")
                return wire.read(reply.status, reply.headers, text, self.endpoint)
        except aiohttp.ClientError as error:
            return wire.Again("connection", self.endpoint.hide(str(error) or type(error).__name__))

    def _wasted(self, completion: Completion) -> Failure:
        """A completion that was paid for and says nothing that can be used."""
        self.spent += completion.cost or 0.0
        self.counts.cost += completion.cost or 0.0
        return Failure("unreadable", self.endpoint.hide(" ".join(completion.text.split()))[:200])

    def _final(self, verdict: wire.Verdict) -> Failure:
        if isinstance(verdict, wire.Stop):
            self._stop(f"{verdict.detail}; put that right, then run the same command again")
            return Failure("stopped", verdict.detail)
        return verdict if isinstance(verdict, Failure) else Failure("refused", "max_tokens")

    def _note(self, key: str, outcome: Outcome, most: float) -> None:
        """Keep and count one outcome."""
        if isinstance(outcome, Completion):
            self.store.put(key, outcome)
            self.in_a_row = 0
            # An unknown price counts against the budget as what it may have been at most.
            self.spent += most if outcome.cost is None else outcome.cost
        elif outcome.kind not in ("budget", "stopped", "unreadable"):
            self.in_a_row += 1
            if self.in_a_row >= self.endpoint.limits.stop_after:
                self._stop(f"{self.in_a_row} calls failed one after the other; last: {outcome}")
        self.counts.add(outcome)
        self.step()

    def _stop(self, why: str) -> None:
        host = self.endpoint.url
        self.stopped = self.stopped or f"{host}: {why}; what was answered so far is kept"


def _wait(verdict: wire.Again, tries: int) -> float:
    """Seconds until the next try: as long as the server says, else longer each time and never
    alike, so that calls refused together do not come again together."""
    longest = REFUSED_WAIT if verdict.kind == "rate" else LONGEST_WAIT
    own = min(BACK_OFF * 2**tries, longest) * random.uniform(0.5, 1.5)
    return min(own if verdict.wait is None else verdict.wait + own / 4, LONGEST_WAIT)
