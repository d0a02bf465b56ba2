"""Signals that ask a run to end: from the keyboard, a scheduler (SLURM), or a machine going down.

Training notes the first one and ends after its step, with a checkpoint. Everything else stores what
it has as it goes, and ends at once.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


class Stopped(KeyboardInterrupt):
    """A signal ended what ran; as Ctrl-C it passes through everything that catches exceptions."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def handled(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Within, the signals of ENDING go to `handler`, in the main thread; the others leave them."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # What was told to ignore a signal, as a job in the background is, goes on ignoring it.
        before = {n: old for n in ENDING if (old := signal.getsignal(n)) is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)


def end(number: int, frame: Any) -> None:
    """A handler that raises Stopped."""
    raise Stopped(number)


@contextmanager
def noted() -> Iterator[list[int]]:
    """Within, the first signal only adds its number to the list, and says so on stderr; a second
    one raises Stopped."""
    numbers: list[int] = []

    def note(number: int, frame: Any) -> None:
        numbers.append(number)
        if len(numbers) > 1:
            raise Stopped(number)
        print(
            f"\nmetaconf: {signal.Signals(number).name}: ends after this step, with a checkpoint;"
            " once more to end at once",
            file=sys.stderr,
        )

    with handled(note):
        yield numbers
