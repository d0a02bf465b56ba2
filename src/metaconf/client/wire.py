"""One request as JSON, and what a server's reply means: pure functions.

Servers differ in how they say no: errors come with status 200, a spent quota looks like throttling,
Retry-After is a number or a date, and a reply in JSON mode may be all white space.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metaconf.client.endpoint import Endpoint
from metaconf.client.types import Completion, Failure, Kind, Request

QUOTA = ("insufficient_quota", "insufficient balance", "billing_hard_limit")
NO_USE = (401, 402, 403, 404)
"""Statuses that every further call would get as well."""
AGAIN = (408, 409, 425)
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Again:
    """To be tried again, after `wait` seconds where the server named a time."""

    kind: Kind
    detail: str
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """No further call makes sense."""

    detail: str


@dataclass(frozen=True, slots=True)
class Rename:
    """The server wants `max_completion_tokens` in the place of `max_tokens`."""


Verdict = Completion | Failure | Again | Stop | Rename


def body(request: Request, endpoint: Endpoint, limit: str = "max_tokens") -> dict[str, Any]:
    """The JSON to send; `limit` is the name that the server gives to the token limit."""
    sent: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [dict(message) for message in request.messages],
        "temperature": request.temperature,
        limit: request.max_tokens,
        **endpoint.extra,
    }
    if request.seed is not None:
        sent["seed"] = request.seed
    if request.json:
        sent["response_format"] = {"type": "json_object"}
    if request.logprobs is not None:
        sent |= {"logprobs": True, "top_logprobs": request.logprobs}
    return sent


def read(status: int, headers: Mapping[str, str], text: str, endpoint: Endpoint) -> Verdict:
    """What a reply means; every text that is shown is without the key."""
    value = _json(text)
    shown = endpoint.hide(" ".join(_error_text(value, text).split()))[:_SHOWN]
    if status == 200 and not (isinstance(value, dict) and value.get("error")):
        return _completion(value, shown, endpoint)
    code = _code(value) if status == 200 else status
    said = f"{code}: {shown}" if code else shown
    lower = text.lower()
    if code in NO_USE or any(word in lower for word in QUOTA):
        return Stop(said)
    if code == 400 and "max_completion_tokens" in lower:
        return Rename()
    if code == 429:
        return Again("rate", said, _retry_after(headers))
    if code is None or code >= 500 or code in AGAIN:
        return Again("server", said, _retry_after(headers))
    return Failure("refused", said)


def _completion(value: Any, shown: str, endpoint: Endpoint) -> Verdict:
    try:
        choice = value["choices"][0]
        message = choice["message"]
    except (KeyError, IndexError, TypeError):
        return Again("malformed", f"no choices in {shown!r}")
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        # Text in the reasoning field alone is no reply: what it says there may be a draft.
        return Again("blank", f"finish_reason {choice.get('finish_reason')}")
    usage = value.get("usage") or {}
    tokens_in, tokens_out = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Completion(
        content,
        tokens_in,
        tokens_out,
        cost(tokens_in, tokens_out, endpoint),
        finish_reason=choice.get("finish_reason"),
        logprobs=choice.get("logprobs"),
        reasoning=message.get("reasoning_content") or message.get("reasoning"),
    )


def cost(tokens_in: int | None, tokens_out: int | None, endpoint: Endpoint) -> float | None:
    """Price of a call; None where a price or a number of tokens is not known."""
    read, written = endpoint.limits.price_in, endpoint.limits.price_out
    if tokens_in is None or tokens_out is None or read is None or written is None:
        return None
    return (tokens_in * read + tokens_out * written) / 1e6


def estimate(request: Request, endpoint: Endpoint) -> float:
    """What a call may cost: two characters to a token read, and all written that may be."""
    letters = sum(len(m.get("content", "")) for m in request.messages)
    return cost(letters // 2 + 16, request.max_tokens, endpoint) or 0.0


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _error_text(value: Any, text: str) -> str:
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        return str(error.get("message") or error)
    return str(error) if error else text or "(empty)"


def _code(value: Any) -> int | None:
    error = value.get("error") if isinstance(value, dict) else None
    code = str(error.get("code")) if isinstance(error, dict) else ""
    return int(code) if code.isascii() and code.isdecimal() else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After in seconds or as a date; None where there is none to be read."""
    given = headers.get("Retry-After", "").strip()
    try:
        return max(float(given), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(given).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None
