"""Many calls at once: one retry layer, a deadline for each call, a budget for all, and a cache."""

from __future__ import annotations

import asyncio
import random
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metaconf.clients import wire
from metaconf.clients.cache import Cache, key_of
from metaconf.clients.endpoint import Endpoint, Shape
from metaconf.clients.pace import Pace
from metaconf.clients.progress import Counts, progress_bar
from metaconf.clients.types import Completion, Failure, Outcome, Request
from metaconf.errors import UserError

BACK_OFF, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the second try, doubled for each further one; and the longest of all waits."""
UNREADABLE_TRIES = 2
"""A completion that cannot be read is paid for: once more, and no further."""
FEW = 3
"""Calls that are denied, while none was ever answered, before it is clear that all would be."""
Readable = Callable[[Request, str], bool]
MAX_CONSECUTIVE_FAILURES = 20
"""After so many failed calls in a row the run gives up."""
NO_REPLY = Failure("timeout", "no reply")
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
    unknown model, or MAX_CONSECUTIVE_FAILURES in a row. A call that is denied while others are
    answered is a failure of its own.
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


async def complete_one(session: Any, request: Request, endpoint: Endpoint, store: Cache) -> Outcome:
    """The outcome of one request on its own, for a server: it is neither looked up nor kept, no
    failure ends anything but itself, and nothing is printed, as what a server says may quote the
    prompt. `session` is an aiohttp.ClientSession with the key; `store` notes that the server has
    answered."""
    work = _Work(endpoint, store, Counts(), lambda: None, total=1, in_flight=1, quiet=True)
    call = _Call(uuid.uuid4().hex, request, 0.0)
    return call.ended(await work._tried(session, Pace(1), -1, call))


def _in_order(keys: Sequence[str], found: dict[str, Outcome]) -> list[Outcome]:
    """Outcomes by request: of equal ones, the first alone has cost something."""
    seen: set[str] = set()
    outcomes: list[Outcome] = []
    for key in keys:
        outcome = found[key]
        if key in seen:
            outcome = replace(outcome, wasted_tokens=0, wasted_cost=0.0)
            if isinstance(outcome, Completion):
                outcome = replace(outcome, cached=True, cost=0.0)
        seen.add(key)
        outcomes.append(outcome)
    return outcomes


@dataclass(slots=True)
class _Call:
    """One request on its way: what it may cost at most, and what became of it so far."""

    key: str
    request: Request
    most: float
    tokens: int = 0
    cost: float = 0.0
    unread: int = 0
    replies: int = 0
    last: Failure = NO_REPLY

    def ended(self, outcome: Outcome) -> Outcome:
        """The outcome, and beside it what the tries before it used."""
        if not self.tokens and not self.cost:
            return outcome
        return replace(outcome, wasted_tokens=self.tokens, wasted_cost=self.cost)


@dataclass
class _Work:
    """What the calls of one run share."""

    endpoint: Endpoint
    store: Cache
    counts: Counts
    step: Callable[[], None]
    readable: Readable | None = None
    quiet: bool = False
    spent: float = 0.0
    promised: float = 0.0
    """What the calls in flight may cost at most."""
    in_a_row: int = 0
    stopped: str = ""
    total: int = 0
    in_flight: int = 0
    denied: int = 0

    async def all(self, todo: dict[str, Request]) -> dict[str, Outcome]:
        import aiohttp

        self.total = len(todo)
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
        call = _Call(key, request, wire.estimate(request, self.endpoint))
        async with pace.place() as round_:
            if self.stopped:
                return Failure("stopped", self.stopped)
            if self._too_dear(call.most):
                outcome: Outcome = self._no_money()
            else:
                self.promised += call.most
                self.in_flight += 1
                outcome = call.ended(await self._tried(session, pace, round_, call))
                self.in_flight -= 1
                self.promised -= call.most
        self._note(call, outcome)
        return outcome

    def _too_dear(self, more: float) -> bool:
        budget = self.endpoint.limits.budget
        return budget is not None and self.spent + self.promised + more > budget

    def _no_money(self, last: str = "") -> Failure:
        spent = f"{self.spent:.4f} of {self.endpoint.limits.budget} spent"
        return Failure("budget", f"{spent}; last: {last}" if last else spent)

    async def _tried(self, session: Any, pace: Pace, round_: int, call: _Call) -> Outcome:
        """Try until it works, the tries are used up, or the call's time or the money is."""
        limits = self.endpoint.limits
        try:
            async with asyncio.timeout(limits.timeout):
                for tries in range(1 + limits.max_retries):
                    if tries and self._too_dear(0.0):  # its own next try is promised already
                        return self._no_money(call.last.detail)
                    read = await self._sent(session, call)
                    if read.billed:
                        self._answered()
                        await pace.answered(round_)
                    if (ended := self._ended(call, read)) is not None:
                        return ended
                    if self.stopped or tries == limits.max_retries:
                        break
                    if isinstance(read.verdict, wire.Again):
                        if read.verdict.kind == "rate":
                            pace.refused(time.monotonic())
                        await asyncio.sleep(_wait(read.verdict, tries))
        except TimeoutError:
            return Failure("timeout", f"in {limits.timeout:g} s; last: {call.last.detail}")
        return call.last

    def _ended(self, call: _Call, read: wire.Read) -> Outcome | None:
        """What the call comes to; None where it is worth another try. All that was used counts."""
        verdict = read.verdict
        if isinstance(verdict, Completion) and self._usable(call, verdict):
            return verdict
        self._waste(call, read)
        if isinstance(verdict, wire.Again):
            call.last = Failure(verdict.kind, verdict.detail)
            return self._paid_in_vain(call) if verdict.odd and read.tokens else None
        if isinstance(verdict, Completion):
            return self._unread(call, verdict)
        if isinstance(verdict, wire.Stop):
            self._stop(f"{verdict.detail}; put that right, then run the same command again")
            return Failure("stopped", verdict.detail)
        if isinstance(verdict, wire.Denied):
            return self._denied(verdict)
        return verdict if isinstance(verdict, Failure) else Failure("refused", verdict.detail)

    def _answered(self) -> None:
        """The server takes this key and knows this model, as also later runs should know."""
        if not self.endpoint.learnt.answered:
            self.endpoint.learnt.answered = True
            self.store.mark_answered(self.endpoint)

    def _denied(self, verdict: wire.Denied) -> Failure:
        """The end of the run where no call was ever answered and none is in flight that might be;
        else the end of this call. A key may have become wrong since an earlier run."""
        self.denied += 1
        if not self.endpoint.learnt.answered:
            clear = self.in_flight == 1 and self.denied >= min(FEW, self.total)
            if verdict.status == 401 or (clear and not self.store.answered(self.endpoint)):
                self._stop(f"{verdict.detail}; put that right, then run the same command again")
                return Failure("stopped", verdict.detail)
        return Failure("refused", verdict.detail)

    def _usable(self, call: _Call, completion: Completion) -> bool:
        return self.readable is None or self.readable(call.request, completion.text)

    def _unread(self, call: _Call, completion: Completion) -> Failure | None:
        """A completion that says nothing that can be used: one that was cut would be cut again."""
        shown = self.endpoint.hide(" ".join(completion.text.split()))[:200]
        call.last = Failure("unreadable", shown)
        ended = self._paid_in_vain(call)
        return call.last if completion.finish_reason == "length" else ended

    def _paid_in_vain(self, call: _Call) -> Failure | None:
        call.unread += 1
        return call.last if call.unread >= UNREADABLE_TRIES else None

    def _waste(self, call: _Call, read: wire.Read) -> None:
        """Count what a try used that gave no completion; an unknown price counts against the budget
        as what it may have been at most."""
        unknown = call.most if read.billed else 0.0
        self.spent += unknown if read.cost is None else read.cost
        self.counts.cost += read.cost or 0.0
        call.cost += read.cost or 0.0
        call.tokens += read.tokens

    async def _sent(self, session: Any, call: _Call) -> wire.Read:
        """One try, in the form that the server takes: what it refuses is left out, one key after
        the other, and stays out where that was the cause."""
        known, why = self.endpoint.learnt.shape, ""
        shape = known
        while True:
            read = await self._posted(session, call, shape)
            if not isinstance(read.verdict, wire.Reshape):
                break
            self._waste(call, read)
            shape, why = read.verdict.shape, why or read.verdict.detail
        if shape != known and read.billed:
            self._learn(shape, why)
        return read

    def _learn(self, shape: Shape, why: str) -> None:
        learnt = self.endpoint.learnt
        gone = sorted(shape.without - learnt.shape.without)
        learnt.shape |= shape
        if gone:
            keys = " and ".join(gone)
            self._tell(keys, f"does not take {keys} ({why}); asked without from here on")

    def _tell(self, what: str, text: str) -> None:
        """Say it on stderr, once for this server."""
        if not self.quiet and what not in self.endpoint.learnt.told:
            self.endpoint.learnt.told.add(what)
            print(f"metaconf: {self.endpoint.url}: {text}", file=sys.stderr)

    async def _posted(self, session: Any, call: _Call, shape: Shape) -> wire.Read:
        import aiohttp

        sent, endpoint = wire.body(call.request, self.endpoint, shape), self.endpoint
        # A server that knows the header gives a reply that was lost again, instead of a second one;
        # one that came and is of no use must not come again.
        again = f"-{call.replies}" if call.replies else ""
        headers = {"Idempotency-Key": call.key + again}
        try:
            async with session.post(endpoint.url, json=sent, headers=headers) as reply:
                # JSON is UTF-8, whatever encoding a header names.
                text = (await reply.read()).decode("utf-8-sig", "replace")
                call.replies += 1
                return wire.read(reply.status, reply.headers, text, endpoint, shape)
        except aiohttp.ClientError as error:
            said = endpoint.hide(str(error) or type(error).__name__)
            return wire.Read(wire.Again("connection", said), 0, None, False)

    def _note(self, call: _Call, outcome: Outcome) -> None:
        """Keep and count one outcome."""
        self.store.put(call.key, outcome)
        if isinstance(outcome, Completion):
            self.in_a_row = 0
            self.spent += call.most if outcome.cost is None else outcome.cost
        elif outcome.kind == "refusal":
            self.in_a_row = 0
        elif outcome.kind not in ("budget", "stopped", "unreadable", "moderated"):
            self.in_a_row += 1
            if self.in_a_row >= MAX_CONSECUTIVE_FAILURES:
                last = f"{outcome.kind} ({outcome.detail})"
                self._stop(f"{self.in_a_row} calls failed one after the other; last: {last}")
        if isinstance(outcome, Failure) and outcome.kind == "cut":
            self._tell("cut", f"{outcome.detail} (max_tokens {call.request.max_tokens})")
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
