"""What a server asks of a model, local or behind another server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from metaconf.clients.types import Outcome
from metaconf.prompts.chat import INSTRUCTION, Message


@dataclass(frozen=True, slots=True)
class Call:
    """One reply that is asked for. `system` texts stand before the format instruction; `start` is
    text that the reply begins with; `more` are keys of the request that other servers take."""

    turns: tuple[Message, ...]
    system: tuple[str, ...] = ()
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    start: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def chat(self, worked: tuple[Message, ...] = ()) -> list[Message]:
        """The conversation, with the format instruction, after `worked` turns for a model that was
        not trained to write the format."""
        own = [text for text in self.system if text != INSTRUCTION]  # evaluations send it, too
        system = "\n\n".join([*own, INSTRUCTION])
        return [{"role": "system", "content": system}, *worked, *self.turns]


def name_of(model: str) -> str:
    """What a local model is called: its folder's name."""
    return Path(model).name or model


class Backend(Protocol):
    """A model that replies."""

    @property
    def name(self) -> str: ...

    @property
    def begins(self) -> bool:
        """Whether it continues a reply that begins with `Call.start`."""
        ...

    @property
    def takes(self) -> frozenset[str]:
        """Keys of `Call.more` that it heeds."""
        ...

    async def complete(self, call: Call) -> Outcome:
        """The reply, or why there is none. Cancelled, it draws no further."""
        ...

    def stream(self, call: Call) -> AsyncIterator[str | Outcome]:
        """The text so far, each time longer, and the outcome last."""
        ...

    async def close(self) -> None: ...
