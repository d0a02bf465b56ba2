"""What is asked of a server, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "blank", "rate", "server", "connection", "malformed", "unreadable", "timeout", "refused",
    "budget", "stopped",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion. Equal requests are asked once: for several samples of one prompt give
    each a `seed` of its own. `version` names the prompt's wording, and is part of the cache key."""

    messages: tuple[Mapping[str, str], ...]
    temperature: float = 0.0
    max_tokens: int = 512
    seed: int | None = None
    json: bool = False
    logprobs: int | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the server wrote. `cost` is in the currency of the prices (None: not known; 0 where it
    was not paid again: `cached`). `finish_reason` "length": cut at max_tokens."""

    text: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    cached: bool = False
    finish_reason: str | None = None
    logprobs: Any = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no completion; `detail` holds no key."""

    kind: Kind
    detail: str


Outcome = Completion | Failure
