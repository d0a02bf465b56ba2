"""What a person sees while calls are made: done, failed, cached, and what it has cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from metaconf.clients.types import Completion, Outcome


@dataclass
class Counts:
    """Outcomes so far. `unpriced`: completions whose cost is not known. `cost` is that of failed
    and of repeated calls as well."""

    done: int = 0
    failed: int = 0
    cached: int = 0
    unpriced: int = 0
    cost: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        if isinstance(outcome, Completion):
            self.done += 1
            self.unpriced += outcome.cost is None
            self.cost += outcome.cost or 0.0
        else:
            self.failed += 1
            self.kinds[outcome.kind] = self.kinds.get(outcome.kind, 0) + 1

    def shown(self) -> str:
        failed = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        priced = self.cost or self.done > self.unpriced
        price = f", cost {self.cost:.4f}" if priced else ""
        more = f" ({self.unpriced} of unknown cost)" if price and self.unpriced else ""
        return f"failed {failed or 0}, cached {self.cached}{price}{more}"


@contextmanager
def progress_bar(
    label: str, total: int, begun: int, counts: Counts, on: bool
) -> Iterator[Callable[[], None]]:
    """A bar whose end says the counts; what it gives is called after each outcome."""
    from tqdm import tqdm

    with tqdm(total=total, initial=begun, desc=label, unit="call", disable=not on) as bar:

        def step() -> None:
            bar.set_postfix_str(counts.shown(), refresh=False)
            bar.update(1)

        yield step
