"""How many calls may be in flight: found out by trying, as servers tell it only by refusing.

From START on it doubles until the first refusal, then grows by one; a refusal takes a fifth of it,
once in COOL seconds, because those in flight are refused together. It grows only where it is used,
and only on answers to calls that were sent under the limit as it is: older ones say nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

START, SHARE, COOL = 20, 0.8, 15.0


class Pace:
    """The limit and the calls that hold a place under it."""

    def __init__(self, most: int):
        self.most, self.limit = most, min(START, most)
        self.active = self.waiting = 0
        self._done, self._refused = 0, -COOL
        self._throttled, self._round = False, 0
        self._free = asyncio.Condition()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[int]:
        """Wait for a place, and hold it; gives the number of the round that it falls in."""
        async with self._free:
            self.waiting += 1
            try:
                await self._free.wait_for(lambda: self.active < self.limit)
            finally:
                self.waiting -= 1
            self.active += 1
        try:
            yield self._round
        finally:
            async with self._free:
                self.active -= 1
                self._free.notify()

    async def answered(self, round_: int) -> None:
        """A call of a round got its answer: after a round of them under full use there is room."""
        if round_ != self._round:
            return
        # Those that wait count: a place that was just left is free only until one of them wakes.
        full = self.active + self.waiting >= self.limit
        self._done = self._done + 1 if full else 0
        if self._done >= self.limit and self.limit < self.most:
            grown = self.limit + 1 if self._throttled else 2 * self.limit
            self.limit, self._done = min(grown, self.most), 0
            self._round += 1
            async with self._free:
                self._free.notify_all()

    def refused(self, now: float) -> None:
        """A call was told to come later, at the time `now` in seconds."""
        self._done, self._throttled = 0, True
        if now - self._refused >= COOL:
            self.limit, self._refused = max(int(self.limit * SHARE), 1), now
            self._round += 1
