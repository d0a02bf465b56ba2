"""`metaconf demo`: the main job on the embedded model, from nothing to an open-able report.

sample → stage 1 → stage 2 → evaluate → report, each part timed; every part leaves files, and a
part whose files are there is not done again, so that a killed demo goes on where it was.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaconf.errors import UserError

MARKER = "run.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything the demo does; sized for two cores and ten minutes."""

    stage1_questions: int = 1000
    stage2_steps: int = 12
    heldout: int = 240
    out_of_domain: int = 60
    samples: int = 8
    sft: tuple[str, ...] = ()
    grpo: tuple[str, ...] = ()


@dataclass
class Clock:
    """Seconds and peak memory of each part, kept in a file so that a resumed run adds up."""

    path: Path
    parts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        say(f"\n■ {name}")
        start = time.monotonic()
        yield
        self.parts[name] = round(time.monotonic() - start, 1)
        self.path.write_text(json.dumps({"seconds": self.parts, "peak_gib": peak_gib()}) + "\n")


def peak_gib() -> float:
    """Peak resident memory of this process, GiB (ru_maxrss counts KiB on Linux, bytes on macOS)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)


def say(text: str) -> None:
    print(text, flush=True)
