"""One request as JSON, and what a server's reply means: pure functions.

Servers differ in how they say no: errors come with status 200, a spent quota looks like throttling,
Retry-After is a number or a date, and a reply in JSON mode may be all white space. Whatever they
say, `read` gives a verdict and never raises.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metaconf.clients.body import parsed
from metaconf.clients.endpoint import Endpoint, Shape
from metaconf.clients.reply import Written, count_of, used, written
from metaconf.clients.types import Completion, Failure, Kind, Request
from metaconf.prompts.slots import clean

SPENT = (
    *("insufficient_quota", "insufficient_balance", "billing_hard_limit", "billing_not_active"),
    *("billing_hard_limit_reached", "payment_required", "credits_exhausted"),
)
"""Codes and types of an error that says that nothing is left to pay with. Texts say the same words
also where they quote a prompt."""
NO_MONEY = 402
"""The status that every further call would get as well."""
DENIED = (401, 403, 404)
"""Statuses that a wrong key, address or model gets, and at some servers a single prompt."""
MODERATED = ("content_filter", "content_policy_violation", "moderation_blocked")
"""Codes and types of an error that is about what the prompt says."""
_MODERATED = re.compile(
    r"\bmoderat(?:ion|ed)|\bflagged\b|\bcontent[ _-](?:filter|polic|management)|\bguardrail", re.I
)
_ACCOUNT = re.compile(r"\b(?:account|api[ _-]?key|organi[sz]ation|subscription|billing)\b", re.I)
AGAIN = (408, 409, 425)
NEVER = (501, 505)
"""Statuses of what this server does not do at all."""
OURS = ("invalid_request_error", "context_length_exceeded", "content_filter", "bad_request")
"""Codes and types of an error that the same request would get again."""
CAN_GO = {
    "response_format": r"response[ _]format|json_object|json_schema|json[ _-]mode",
    "temperature": "temperature",
    "seed": "seed",
    "top_logprobs": "top_logprobs",
    "logprobs": "logprobs?",
}
"""Keys of a request that it can do without, and what errors call them."""
_COMPLAINT = re.compile(
    r"support|default|must|unknown|unrecogni[sz]ed|invalid|allow|permitted|extra|expected"
    r"|not available|deprecated|cannot",
    re.I,
)
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][0-9]+)?")
_SHOWN, _READ = 200, 4000
"""Characters of a server's text that are shown, and that are looked at."""


@dataclass(frozen=True, slots=True)
class Again:
    """To be tried again, after `wait` seconds where the server named a time."""

    kind: Kind
    detail: str
    wait: float | None = None
    odd: bool = False
    """An answer in a form that the next one is likely to have as well."""


@dataclass(frozen=True, slots=True)
class Stop:
    """No further call makes sense."""

    detail: str


@dataclass(frozen=True, slots=True)
class Denied:
    """No further call makes sense, unless others are answered."""

    detail: str
    status: int


@dataclass(frozen=True, slots=True)
class Reshape:
    """The server refuses the form of the request, and may take it in this one."""

    shape: Shape
    detail: str


Verdict = Completion | Failure | Again | Stop | Denied | Reshape


@dataclass(frozen=True, slots=True)
class Read:
    """What a reply means, and what it used, whatever became of the call.

    `cost` is None where it is not known; `billed`: the server takes it for an answer, and so has
    its price paid also where it says nothing of tokens."""

    verdict: Verdict
    tokens: int
    cost: float | None
    billed: bool


def body(request: Request, endpoint: Endpoint, shape: Shape) -> dict[str, Any]:
    """The JSON to send. The endpoint's `extra` wins over ours, and a null in it leaves a key out;
    `shape` is what the server has been found to take."""
    sent: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [dict(message) for message in request.messages],
        "temperature": request.temperature,
        **({} if _limit_of(endpoint) else {shape.limit: request.max_tokens}),
    }
    if request.seed is not None:
        sent["seed"] = request.seed
    if request.json:
        sent["response_format"] = {"type": "json_object"}
    if request.logprobs is not None:
        sent |= {"logprobs": True, "top_logprobs": request.logprobs}
    sent = {key: value for key, value in sent.items() if key not in shape.without}
    return {k: v for k, v in {**sent, **endpoint.extra}.items() if v is not None}


def read(
    status: int, headers: Mapping[str, str], text: str, endpoint: Endpoint, shape: Shape
) -> Read:
    """What a reply to a request in `shape` means; every text that is shown is without the key."""
    value = _object(text)
    good = 200 <= status < 300
    error = _has_error(value)
    taken, wrote, total = used(value)
    tokens = taken, wrote
    price = cost(*tokens, endpoint)
    if price is None and tokens == (None, None) and total is not None:
        # What was read and what was written is not known: all of it at the dearer price.
        either = (cost(*each, endpoint) for each in ((total, 0), (0, total)))
        price = max((one for one in either if one is not None), default=None)
    if good and not error:
        verdict = _completion(value, text, tokens, price, endpoint)
    else:
        named = _status(value) if good else status
        told = _told(value, text)
        said = Error(named, _words(value), told, endpoint.hide(told)[:_SHOWN])
        verdict = _refused(said, value, headers, shape)
    return Read(verdict, total or 0, price, good and not error)


@dataclass(frozen=True, slots=True)
class Error:
    """A server's no: its HTTP status (None: it names none), its codes and types, its text as it
    is, with the key if it quotes that, and as it may be shown."""

    status: int | None
    words: frozenset[str]
    text: str
    shown: str

    def __str__(self) -> str:
        return f"{self.status}: {self.shown}" if self.status else self.shown

    def moderated(self) -> bool:
        """Whether it is about what the prompt says. Texts tell it only where the status does not
        speak of the request's form: such errors quote the prompt."""
        if self.words & set(MODERATED):
            return True
        said = self.status in (403, 404, 451) and _MODERATED.search(self.text) is not None
        return said and not _ACCOUNT.search(self.text)


def _refused(error: Error, value: Any, headers: Mapping[str, str], shape: Shape) -> Verdict:
    status = error.status
    if status == NO_MONEY or error.words & set(SPENT):
        return Stop(str(error))
    if (status is None or 400 <= status < 500) and status not in AGAIN and error.moderated():
        return Failure("moderated", str(error))
    if status in DENIED:
        return Denied(str(error), status)
    if status in (400, 422) and (other := _reshaped(value, error.text, shape)):
        return Reshape(other, str(error))
    if status == 429:
        return Again("rate", str(error), _retry_after(headers))
    if status in NEVER or (status is None and error.words & set(OURS)):
        return Failure("refused", str(error))
    if status is None or may_pass(status):
        return Again("server", str(error), _retry_after(headers))
    return Failure("refused", str(error))


def may_pass(status: int) -> bool:
    """Whether an error of this HTTP status may be gone when the request is sent again."""
    return status == 429 or status in AGAIN or (status >= 500 and status not in NEVER)


def _reshaped(value: Any, text: str, shape: Shape) -> Shape | None:
    """The form to try where an error names a key of the request; None where it names none.

    Whether that was the cause is not known before it is tried: an error may quote the prompt."""
    error = _error(value)
    param = error.get("param")
    named = param if isinstance(param, str) and param else text
    if "max_completion_tokens" in text and shape.limit == "max_tokens":
        return Shape("max_completion_tokens", shape.without)
    if named is text and not _COMPLAINT.search(text):
        return None
    key = next((key for key in CAN_GO if key not in shape.without and _names(named, key)), None)
    if key is None:
        return None
    # A number of log-probabilities says nothing without the key that asks for them.
    gone = ("logprobs", "top_logprobs") if "logprobs" in key else (key,)
    return Shape(shape.limit, shape.without | set(gone))


def _names(text: str, key: str) -> bool:
    return re.search(rf"(?<![A-Za-z])(?:{CAN_GO[key]})(?![A-Za-z_])", text, re.I) is not None


def _completion(
    value: Any,
    text: str,
    tokens: tuple[int | None, int | None],
    price: float | None,
    endpoint: Endpoint,
) -> Verdict:
    said = written(value)
    if said is None:
        shown = endpoint.hide(_told(value, text))[:_SHOWN]
        return Again("malformed", f"no choices in {shown!r}", odd=True)
    if said.finish == "error":
        return Again("server", "the reply was broken off")
    if not said.content:
        return _nothing(said, endpoint)
    more = {"finish_reason": said.finish, "logprobs": said.logprobs, "reasoning": said.reasoning}
    return Completion(said.content, *tokens, price, **more)


def _nothing(said: Written, endpoint: Endpoint) -> Verdict:
    """A reply without text: asked for once more only where that can give one."""
    if said.refusal is not None:
        return Failure("refusal", endpoint.hide(said.refusal))
    if said.finish == "length":
        why = "the token limit came before any text"
        return Failure("cut", f"{why}; turn thinking off (extra), or take a model that needs less")
    if said.finish == "content_filter":
        return Failure("filtered", "the server's content filter kept the text back")
    if said.tools or said.strange:
        what = "a call of a tool" if said.tools else "no text"
        return Failure("malformed", f"{what} in the place of the reply's text")
    # Text in the reasoning field alone is no reply: what it says there may be a draft.
    return Again("blank", f"finish_reason {said.finish}", odd=said.parts)


def cost(tokens_in: int | None, tokens_out: int | None, endpoint: Endpoint) -> float | None:
    """Price of a call; None where a price or a number of tokens is not known."""
    read, written = endpoint.limits.input_price, endpoint.limits.output_price
    if tokens_in is None or tokens_out is None or read is None or written is None:
        return None
    return (tokens_in * read + tokens_out * written) / 1e6


def estimate(request: Request, endpoint: Endpoint) -> float:
    """What a call may cost: two characters to a token read, and all written that may be."""
    letters = sum(len(m.get("content", "")) for m in request.messages)
    return cost(letters // 2 + 16, _limit_of(endpoint) or request.max_tokens, endpoint) or 0.0


def _limit_of(endpoint: Endpoint) -> int | None:
    """The token limit that the endpoint's own keys set, if any."""
    own = (count_of(endpoint.extra.get(key)) for key in ("max_tokens", "max_completion_tokens"))
    return next((limit for limit in own if limit), None)


def _object(text: str) -> Any:
    """The object of a body, also where it stands in a list, as Google writes errors."""
    value = parsed(text)
    return value[0] if isinstance(value, list) and value else value


def _has_error(value: Any) -> bool:
    """Whether a body holds an error; some servers send an empty one beside every good reply."""
    error = value.get("error") if isinstance(value, dict) else None
    return any(error.values()) if isinstance(error, dict) else bool(error)


def _error(value: Any) -> dict[str, Any]:
    """The object of an error; what surrounds it where it is none."""
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, dict):
        return error
    return value if isinstance(value, dict) else {}


def _told(value: Any, text: str) -> str:
    """What a server says, on one line and without controls; the key may be in it."""
    return " ".join(clean(_said(value, text)[:_READ]).split())


def _said(value: Any, text: str) -> str:
    """An error's own text, or all of the body."""
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, str) and error.strip():
        return error
    message = _error(value).get("message")
    if isinstance(message, str) and message.strip():
        return message
    return str(error) if error else text.strip() or "(empty)"


def _words(value: Any) -> frozenset[str]:
    """The codes and types that an error has, as words: "Insufficient Balance" as one of them."""
    error = value.get("error") if isinstance(value, dict) else None
    own = _error(value)
    given = (error, own.get("code"), own.get("type"), own.get("status"))
    texts = (text for text in given if isinstance(text, str))
    return frozenset("_".join(text.casefold().replace("-", " ").split()) for text in texts)


def _status(value: Any) -> int | None:
    """The HTTP status that an error within a good reply names."""
    error = value.get("error") if isinstance(value, dict) else None
    for given in (_error(value).get("code"), _error(value).get("status"), error):
        number = str(given) if isinstance(given, int | str) and type(given) is not bool else ""
        if re.fullmatch("[45][0-9][0-9]", number):
            return int(number)
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After in seconds or as a date; None where there is none to be read."""
    given = headers.get("Retry-After", "").strip()
    seconds = float(given) if _SECONDS.fullmatch(given) else _until(given)
    return seconds if seconds is not None and 0 <= seconds < math.inf else None


def _until(date: str) -> float | None:
    try:
        return max(email.utils.parsedate_to_datetime(date).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, IndexError, OverflowError, OSError):
        return None
