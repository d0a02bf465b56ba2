"""A server's JSON taken apart: text, refusal, tokens. Total, whatever the types of its fields.

Servers agree on the outline of a chat completion and on little else: content is a text or a list of
parts, thinking stands beside it or among them, tokens are numbers or texts or missing. What is not
there is None, and no field is trusted to be what its name says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 10**12
"""Larger counts are no counts: what they cost could not be written down."""
CUT = ("length", "max_tokens", "max_output_tokens", "model_length")
FILTERED = ("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "refusal")
BROKEN = ("error", "insufficient_system_resource", "network_error", "abort")
"""Reasons to finish, in the words of several servers; the last: the reply is not whole."""
_TEXT = ("text", "output_text", "refusal")
"""Types of parts that are the reply; all others, known or not, may be a draft of it."""
_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Written:
    """The first choice. `content` "" where it is blank or missing; `strange`: what stands in its
    place is no text; `parts`: it is a list or an object; `refusal` None where there is none."""

    content: str
    reasoning: str | None
    refusal: str | None
    finish: str | None
    tools: bool
    strange: bool
    parts: bool
    logprobs: Any


def written(value: Any) -> Written | None:
    """What a body's first choice says; None where there is none to be read."""
    if not isinstance(value, dict):
        return None
    choice = _first(value.get("choices")) or _bare(value)
    if choice is None:
        return None
    message = choice.get("message")
    finish = _finish(choice.get("finish_reason"))
    if not isinstance(message, dict):
        # The shape of plain completions; and a filter leaves no message at all.
        text = choice.get("text")
        if not isinstance(text, str) and finish not in ("content_filter", "length"):
            return None
        message = {"content": text if isinstance(text, str) else None}
    content = message.get("content")
    said, thought = content, ""
    if not isinstance(said, str):
        said, thought = "".join(_parts(content, False)), "".join(_parts(content, True))
    return Written(
        said if said.strip() else "",
        _reasoning(message, thought),
        _refusal(message),
        finish,
        any(message.get(name) for name in ("tool_calls", "function_call")),
        not (content is None or isinstance(content, str | list) or _is_part(content)),
        isinstance(content, list | dict) and bool(content),
        _logprobs(choice.get("logprobs")),
    )


def used(value: Any) -> tuple[int | None, int | None, int | None]:
    """Tokens (read, written, all) that a body says were used, whatever became of the call.

    What a total holds beside both was written too: servers leave thinking out of the second.
    """
    usage = value.get("usage") if isinstance(value, dict) else None
    if isinstance(usage, list) and usage:
        usage = usage[0]
    if not isinstance(usage, dict):
        return None, None, None
    read = _known(usage, "prompt_tokens", "input_tokens")
    wrote = _known(usage, "completion_tokens", "output_tokens")
    total = count_of(usage.get("total_tokens"))
    if total is not None and read is not None:
        wrote = max(wrote or 0, total - read)
    elif total is not None and wrote is not None:
        read = max(total - wrote, 0)
    if read is None and wrote is None:
        return None, None, total
    return read, wrote, (read or 0) + (wrote or 0)


def count_of(value: Any) -> int | None:
    """A number of tokens: 300, 300.0, "300"; None for all that counts nothing."""
    if type(value) is int:
        return value if 0 <= value <= MOST_TOKENS else None
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared before it is made an integer: NaN and infinity fail here.
    return math.ceil(value) if 0 <= value <= MOST_TOKENS else None


def _number(text: str) -> float | None:
    try:
        return float(text) if len(text) < 40 else None
    except ValueError:
        return None


def _known(usage: dict[str, Any], *names: str) -> int | None:
    found = (count_of(usage.get(name)) for name in names)
    return next((count for count in found if count is not None), None)


def _first(choices: Any) -> dict[str, Any] | None:
    """One choice is asked for: the first that is one."""
    found = choices if isinstance(choices, list) else []
    return next((choice for choice in found if isinstance(choice, dict)), None)


def _bare(value: dict[str, Any]) -> dict[str, Any] | None:
    """A message without choices, as Anthropic's servers write it."""
    if value.get("type") != "message" or not isinstance(value.get("content"), list | str):
        return None
    return {"message": value, "finish_reason": value.get("stop_reason")}


def _finish(reason: Any) -> str | None:
    if not isinstance(reason, str):
        return None
    word = reason.strip().casefold()
    told = "length" if word in CUT else "content_filter" if word in FILTERED else word
    return "error" if word in BROKEN else told


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and any(name in value for name in (*_TEXT, "thinking"))


def _parts(content: Any, thought: bool, depth: int = _DEPTH) -> Iterator[str]:
    """The texts in a content: of the reply, or of what was thought before it."""
    if isinstance(content, str):
        if not thought:
            yield content
    elif isinstance(content, list) and depth:
        for part in content:
            yield from _parts(part, thought, depth - 1)
    elif isinstance(content, dict) and depth:
        plain = content.get("type") in (None, *_TEXT)
        draft = not plain or any(content.get(name) for name in ("thinking", "thought"))
        if draft == thought:
            yield from _texts(content, depth)


def _texts(part: dict[str, Any], depth: int) -> Iterator[str]:
    """A part's text, which may be a list of parts once more."""
    for name in ("text", "value", "thinking", "reasoning"):
        if name in part:
            yield from _parts(part[name], False, depth - 1)
            return


def _reasoning(message: dict[str, Any], thought: str) -> str | None:
    for name in ("reasoning_content", "reasoning"):
        if isinstance(text := message.get(name), str) and text:
            return text
    return thought or None


def _refusal(message: dict[str, Any]) -> str | None:
    given = message.get("refusal")
    content = message.get("content")
    if not given and isinstance(content, list):
        given = [part.get("refusal") for part in content if isinstance(part, dict)]
        given = [text for text in given if text]
    return "".join(_parts(given, False)).strip() if given else None


def _logprobs(given: Any) -> dict[str, Any] | None:
    """A completion's own log-probabilities, the form checked; None where one of them is amiss."""
    content = given.get("content") if isinstance(given, dict) else None
    if not isinstance(content, list):
        return None
    tokens = [_token(entry) for entry in content]
    return None if None in tokens else {"content": tokens}


def _token(entry: Any) -> dict[str, Any] | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        return None
    logprob = entry.get("logprob")
    # Integers are of any size here; rounding may leave a bit more than 0.
    if not isinstance(logprob, int | float) or not -1e9 < logprob < 0.01:
        return None
    found: dict[str, Any] = {"token": entry["token"], "logprob": min(float(logprob), 0.0)}
    if (piece := _bytes(entry.get("bytes"))) is not None:
        found["bytes"] = piece
    if isinstance(top := entry.get("top_logprobs"), list) and top:
        found["top_logprobs"] = [one for rival in top if (one := _token_alone(rival)) is not None]
    return found


def _token_alone(entry: Any) -> dict[str, Any] | None:
    return _token({**entry, "top_logprobs": None}) if isinstance(entry, dict) else None


def _bytes(given: Any) -> list[int] | None:
    whole = isinstance(given, list) and all(type(b) is int and 0 <= b < 256 for b in given)
    return given if whole else None
