"""Whatever a server writes is a completion, a failed call or a reason to stop; never an error of
ours, and what it says was used counts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metaconf.clients import Completion, Endpoint, Failure, wire
from metaconf.clients.endpoint import Shape, completions_url
from metaconf.clients.reply import used
from metaconf.config.blocks import Client
from metaconf.errors import UserError
from metaconf.generation.logprobs import span_probability
from metaconf.judging import read_verdict
from metaconf.safe_text import loads_bounded

WHERE = Endpoint("http://h/v1", "m", "sk-secret-key", Client(input_price=1.0, output_price=10.0))
TICKET = "0123456789ab"

TEXTS = st.one_of(
    st.text(st.characters(), max_size=12),  # with halves of surrogate pairs
    st.sampled_from(
        [
            *("", " \n", "stop", "length", "content_filter", "error", "text", "thinking", "300"),
            *("nan", "-1", "1e999", "fine", "sk-secret-key", "insufficient_quota", "temperature"),
            *("response_format must be text", "use max_completion_tokens", "9" * 50, "\x1b[2J"),
            "429",
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(-2, 1000),
    st.floats(),
    st.booleans(),
    st.sampled_from([10**12, 10**13, 10**400, -(10**400), 401, 402, 429, 500]),
)
KEYS = st.sampled_from(
    [
        *("choices", "message", "content", "usage", "error", "code", "type", "text", "thinking"),
        *(
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "refusal",
            "finish_reason",
            "param",
        ),
        *("logprobs", "token", "logprob", "bytes", "tool_calls", "thought", "value", "status"),
    ]
)
ANY = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(KEYS, TEXTS), inner, max_size=4)
    ),
    max_leaves=8,
)


def good() -> Any:
    """A completion that has every field we look at."""
    token = {"token": "fine", "logprob": -0.1, "bytes": [102, 105, 110, 101], "top_logprobs": []}
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "fine"}]
    message = {"role": "assistant", "content": parts, "reasoning_content": "hm", "refusal": None}
    return {
        "choices": [
            {"message": message, "finish_reason": "stop", "logprobs": {"content": [token]}}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        "error": None,
    }


def bad() -> Any:
    """An error that has every field we look at."""
    error = {"message": "no", "type": "server_error", "param": None, "code": "busy", "status": "X"}
    return {"error": error, "usage": good()["usage"], "message": "no", "code": 1, "type": "t"}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to every value within a value, itself first."""
    inner: Any = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    return [path, *(p for key, item in inner for p in places(item, (*path, key)))]


@st.composite
def bodies(draw: Callable[..., Any]) -> str:
    """A body of which some fields are gone, of another type, or nested in themselves."""
    value = draw(st.sampled_from([good, bad]))()
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(value)))
        value = changed(value, path, draw(st.sampled_from(["other", "gone", "in"])), draw(ANY))
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


def changed(value: Any, path: tuple[Any, ...], how: str, other: Any) -> Any:
    if not path:
        return {"gone": None, "in": [value], "other": other}[how]
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    if how == "gone":
        del holder[path[-1]]
    else:
        holder[path[-1]] = [holder[path[-1]]] if how == "in" else other
    return value


RAW = st.one_of(
    bodies(),
    ANY.map(json.dumps),
    st.text(st.characters(), max_size=30),
    bodies().map(lambda body: body[: len(body) // 2]),
    st.sampled_from(["[" * 100_000, '{"a":' * 9000, "9" * 5000, '{"choices": NaN}', "<html>"]),
)
STATUS = st.sampled_from(
    [200, 200, 200, 201, 204, 400, 401, 402, 404, 408, 422, 429, 500, 501, 529]
)
AFTER = st.one_of(
    st.text(st.characters(), max_size=12),
    st.floats().map(str),
    st.datetimes().map(lambda day: day.strftime("%a, %d %b %Y %H:%M:%S GMT")),
    st.from_regex(
        r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{0,9} [-+0-9A-Z]{0,6}"
    ),
)
SHAPES = st.sampled_from(
    [Shape(), Shape("max_completion_tokens", frozenset({"temperature", "seed"}))]
)


def shown(verdict: wire.Verdict) -> list[str]:
    """Every text in a verdict."""
    if isinstance(verdict, Completion):
        return [verdict.text, verdict.reasoning or "", verdict.finish_reason or ""]
    return [verdict.detail]


@given(RAW, STATUS, AFTER, SHAPES)
def test_every_body_is_an_outcome(text: str, status: int, after: str, shape: Shape) -> None:
    read = wire.read(status, {"Retry-After": after}, text, WHERE, shape)
    assert read.cost is None or (math.isfinite(read.cost) and read.cost >= 0)
    assert 0 <= read.tokens <= 10**13
    for one in shown(read.verdict):
        one.encode("utf-8")
        assert "sk-secret-key" not in one or isinstance(read.verdict, Completion)
    if isinstance(read.verdict, wire.Again) and read.verdict.wait is not None:
        assert math.isfinite(read.verdict.wait) and read.verdict.wait >= 0
    if isinstance(read.verdict, wire.Reshape):
        assert read.verdict.shape != shape  # or it would be asked without end
    if isinstance(read.verdict, Completion):
        completed(read.verdict, read)
    if says_what_it_used(text):
        assert (read.tokens, read.cost) == (110, 200 / 1e6)


def says_what_it_used(text: str) -> bool:
    """Whether the usage of `good` and `bad` stands in a body as it was, whatever else changed."""
    try:
        value = loads_bounded(text)
    except ValueError:
        return False
    usage = value.get("usage") if isinstance(value, dict) else None
    return json.dumps(usage) == json.dumps(good()["usage"])


def completed(found: Completion, read: wire.Read) -> None:
    assert found.text.strip() and found.cost == read.cost
    known = [n for n in (found.tokens_in, found.tokens_out) if n is not None]
    assert not known or read.tokens == sum(known)  # else a total may stand alone
    chance = span_probability(found.logprobs, found.text, (0, len(found.text)))
    assert chance is None or 0 <= chance[0] <= 1
    json.dumps(found.logprobs, allow_nan=False)


@given(st.dictionaries(st.one_of(KEYS, TEXTS), ANY, max_size=5) | ANY)
def test_tokens_are_counts_or_unknown(usage: Any) -> None:
    for count in used({"usage": usage}):
        assert count is None or (type(count) is int and 0 <= count <= 2 * 10**12)


REFUSALS = st.one_of(TEXTS, st.sampled_from(list(wire.CAN_GO)).map("{} must not be".format))


@given(st.lists(REFUSALS.map(lambda text: json.dumps({"error": text})), max_size=6))
def test_a_server_that_refuses_everything_is_refused_in_the_end(texts: list[str]) -> None:
    """The forms that are tried of one request come to an end, whatever errors follow each other."""
    shape, tries = Shape(), 0
    every = [*texts, *[json.dumps({"error": f"{key} not supported"}) for key in wire.CAN_GO]]
    for text in [*every, *every, *every]:
        verdict = wire.read(400, {}, text, WHERE, shape).verdict
        if isinstance(verdict, wire.Reshape):
            shape, tries = verdict.shape, tries + 1
    assert tries <= 1 + len(wire.CAN_GO)
    assert isinstance(wire.read(400, {}, every[-1], WHERE, shape).verdict, Failure)


@given(st.text(st.characters(), max_size=30) | st.from_regex(r"https?://[a-z\[\]:/.?#@0-9]{0,30}"))
def test_an_address_is_used_or_refused(base: str) -> None:
    try:
        url = completions_url(base)
    except UserError:
        return
    assert completions_url(url) == url and "/chat/completions" in url


FIELDS: Any = {"verdict": ("right", "partly", "wrong"), "steps": (1, 1000)}
PIECES = st.sampled_from(
    [
        *('{"ticket": "0123456789ab", "verdict": "right", "steps": 3, "reason": "so"}', "{x}"),
        *('{"ticket": "0123456789ab", "verdict": "wrong", "steps": 3}', "{", "}", '"', "\n", "```"),
        *("<think>", "</think>", "[THINK]", "<|channel|>analysis<|message|>", "\ud83d", '{"a": ['),
        *('"verdict": "right",', '"ticket": "0123456789ab"', "[" * 3000, "9" * 5000, "NaN", "\x00"),
    ]
)
SAID = st.one_of(
    st.lists(PIECES, max_size=6).map("".join), st.text(st.characters(), max_size=40), RAW
)


@given(SAID)
def test_every_verdict_is_read_or_missing(text: str) -> None:
    found = read_verdict(text, TICKET, FIELDS)
    if found is not None:
        assert found["verdict"] in FIELDS["verdict"] and 1 <= found["steps"] <= 1000
        found["reason"].encode("utf-8")


@given(
    st.dictionaries(st.sampled_from(["ticket", "verdict", "steps", "reason"]), ANY, max_size=4),
    st.sampled_from(["ticket", "verdict", "steps"]),
)
def test_a_verdict_with_another_value_in_a_field_is_none(row: dict[str, Any], key: str) -> None:
    whole = {"ticket": TICKET, "verdict": "right", "steps": 3}
    if key not in row or row[key] == whole[key]:
        return
    found = read_verdict(json.dumps({**whole, key: row[key]}), TICKET, FIELDS)
    assert found is None or (key != "ticket" and found[key] != row[key]) or key == "steps"
