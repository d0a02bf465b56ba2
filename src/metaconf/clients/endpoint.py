"""Where to ask: the address, the model, the key from the environment, and the limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from metaconf.config.blocks import Client
from metaconf.errors import UserError

_VERSION = re.compile(r"v\d+\w*")
BASE_URL = "DEEPSEEK_BASE_URL"
"""The environment variable that holds the address of the server."""
WORD, SECRET = 4, 8
"""Characters of a key that is hidden as a word, and of one that is hidden wherever it stands."""
NO_THINKING = {"thinking": {"type": "disabled"}}
"""DeepSeek thinks by default, and then ignores the temperature."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of a request that a server takes: its name of the token limit, and the keys that it
    is asked without."""

    limit: str = "max_tokens"
    without: frozenset[str] = frozenset()

    def __or__(self, other: Shape) -> Shape:
        """What both have learnt."""
        return Shape(max(self.limit, other.limit, key=len), self.without | other.without)


@dataclass(slots=True)
class Learnt:
    """What was found out about a server while it was asked, and what was told of it."""

    shape: Shape = Shape()
    answered: bool = False
    told: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and how to treat it; see `config.blocks.Client` for the limits. `key` is in no
    repr, and must reach no log, cache or message."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    limits: Client = field(default_factory=Client)
    extra: Mapping[str, Any] = field(default_factory=dict)
    learnt: Learnt = field(default_factory=Learnt, repr=False, compare=False)

    def hide(self, text: str) -> str:
        """The text without the key, which servers like to quote in their errors. A short one, as
        local servers are given, is hidden as a word, and one of a few letters is no secret."""
        if self.key is None or len(self.key) < WORD:
            return text
        if len(self.key) >= SECRET:
            return text.replace(self.key, "***")
        return re.sub(rf"(?<!\w){re.escape(self.key)}(?!\w)", "***", text)


def endpoint_of(client: Client, environ: Mapping[str, str]) -> Endpoint:
    """The endpoint that the configuration and the environment name.

    Raises UserError where no address, or for a server that is not on this machine no key, is given.
    """
    base = client.base_url or environ.get(BASE_URL, "").strip()
    if not base:
        raise UserError(
            f"{BASE_URL}: not set; export the server's address, such as https://api.deepseek.com,"
            " or write it as base_url into the block client"
        )
    key = environ.get(client.api_key_env, "").strip() or None
    if client.budget is not None and None in (client.input_price, client.output_price):
        raise UserError(
            f"budget {client.budget:g}: needs input_price and output_price, the"
            " prices of a million tokens"
        )
    url = completions_url(base)
    host = urlsplit(url).hostname or ""
    if key is None and not _local(host):
        raise UserError(f"{client.api_key_env}: not set; {host} asks for a key: export it")
    deepseek = host == "deepseek.com" or host.endswith(".deepseek.com")
    extra = client.extra_body if client.extra_body is not None else NO_THINKING if deepseek else {}
    return Endpoint(url, client.model, key, client, extra)


def completions_url(base: str) -> str:
    """The address of chat completions, given it, or the server's: one with a path is taken as it
    is given, one without gets the version that most servers have.

    Raises UserError for what is no http address.
    """
    parts = _address(base)
    if parts is None:
        raise UserError(f"{base!r}: no address of a server; write https://host or https://host/v1")
    steps = [step for step in parts.path.split("/") if step]
    if steps[-2:] == ["chat", "completions"]:
        return urlunsplit(parts._replace(path=parts.path.rstrip("/"), fragment=""))
    if len(steps) > 1 and steps[-1] == steps[-2] and _VERSION.fullmatch(steps[-1]):
        steps = steps[:-1]  # /v1/v1: the version given twice
    path = "/" + "/".join([*(steps or ["v1"]), "chat", "completions"])
    return urlunsplit(parts._replace(path=path, fragment=""))


def _address(base: str) -> SplitResult | None:
    """The parts of an http address; None where it is none."""
    try:
        parts = urlsplit(base.strip())
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port or a bracket that no address has
        return None
    return parts if named else None


def _local(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
