"""What is asked of a server, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "blank", "cut", "filtered", "refusal", "rate", "server", "connection", "malformed",
    "unreadable", "timeout", "refused", "moderated", "budget", "stopped",
]  # fmt: skip
"""refusal: the model declined, in the field that servers have for it. refused: the server did;
moderated: because of what the prompt says."""


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
    was not paid again: `cached`). `finish_reason` "length": cut at max_tokens.

    `wasted_tokens` and `wasted_cost`: what the tries before it used, as far as the server said.
    `levels`: probabilities (11,) of the levels where the confidence stands; None: not known."""

    text: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    cached: bool = False
    finish_reason: str | None = None
    logprobs: Any = None
    reasoning: str | None = None
    wasted_tokens: int = 0
    wasted_cost: float = 0.0
    levels: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no completion; `detail` holds no key, and of a refusal what the model said.

    `wasted_tokens` and `wasted_cost`: what all tries used, as far as the server said."""

    kind: Kind
    detail: str
    wasted_tokens: int = 0
    wasted_cost: float = 0.0


Outcome = Completion | Failure
