"""From a request to a served reply: asks the model, decides, remembers, counts."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from opentelemetry import trace

from metaconf.clients.types import Completion, Failure, Outcome
from metaconf.prompts.chat import REVIEW, Message
from metaconf.serving.backend import Backend, Call
from metaconf.serving.calibration import Calibration, Watch, offers
from metaconf.serving.cascade import Step
from metaconf.serving.feedback import Feedback, Remembered, question_id
from metaconf.serving.meters import Meters
from metaconf.serving.reply import Attempt, Served, served

STATUS = {"rate": 429, "timeout": 504, "moderated": 400}
"""HTTP status of a failed call to the model, by its kind; 502 for the others."""
NOT_OURS = ("400", "413", "422")
"""Statuses of a model's server that are about the request, and not about how we asked."""
EMPTY = {"refusal": "stop", "cut": "length", "filtered": "content_filter"}
"""Failures that are replies all the same, though no answer: their reason to finish."""
RETRY_AFTER = 1


class Refused(Exception):
    """A request that gets no reply; the HTTP status and one sentence."""

    def __init__(self, status: int, message: str, code: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True, slots=True)
class Reply:
    """A served reply under its id."""

    id: str
    created: int
    served: Served


@dataclass(frozen=True, slots=True)
class Head:
    """What a reply is called, before it is there."""

    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))


@dataclass
class Service:
    """What all requests share. `timeout` is in seconds, for one reply. `later` models of a cascade
    are asked where `backend` is not sure, each where those before it are not."""

    backend: Backend
    feedback: Feedback
    calibration: Calibration | None = None
    timeout: float = 120.0
    max_new_tokens: int = 256
    later: tuple[Step, ...] = ()
    meters: Meters = field(default_factory=Meters)
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = Watch(self.calibration)
        self.relabel()

    @cached_property
    def offers(self) -> list[dict[str, Any]]:
        """See `calibration.offers`; of a cascade of four models they take seconds."""
        return offers(self.calibration) if self.calibration else []

    @property
    def backends(self) -> list[Backend]:
        return [self.backend, *(step.backend for step in self.later)]

    @property
    def name(self) -> str:
        """The models in the order in which they are asked."""
        return ", then ".join(backend.name for backend in self.backends)

    @cached_property
    def takes(self) -> frozenset[str]:
        """Keys of requests that all models heed."""
        return frozenset.intersection(*(backend.takes for backend in self.backends))

    async def answer(self, call: Call, model: str = "") -> Reply:
        """The reply to a call, of the first model that is sure enough, else of the last; where
        `model` names a later one, of that one. Raises Refused where that gives none."""
        begun, attempts = time.monotonic(), list[Attempt]()
        asked = self._asked(model)
        for place, (backend, calibration) in enumerate(asked):
            since = time.monotonic()
            outcome = await self._in_time(backend.complete(call), begun)
            last = place == len(asked) - 1
            attempts.append(self._attempt(backend, outcome, since, may_fail=not last))
            state = self.watch.state if calibration else "unsupported"
            found = served(attempts, calibration, state)
            if last or found.action == "answer":
                return self._reply(call, Head(), found, begun)
        raise AssertionError("there is a last model")

    def _asked(self, model: str) -> Sequence[tuple[Backend, Calibration | None]]:
        """The models to ask, in their order. One that is chosen by name is asked alone, and without
        a calibration: what is certified is the error of the cascade in its order."""
        steps = [(step.backend, step.calibration) for step in self.later]
        alone = [(backend, None) for backend, _ in steps if backend.name == model]
        return alone[:1] or [(self.backend, self.calibration), *steps]

    async def live(self, call: Call, head: Head) -> AsyncIterator[str | Reply]:
        """The text so far, each time longer, and the reply last. Raises Refused as `answer`."""
        begun = time.monotonic()
        async with aclosing(self.backend.stream(call)) as items:  # pyright: ignore
            while True:
                item = await self._in_time(anext(items), begun)
                if not isinstance(item, str):
                    attempt = self._attempt(self.backend, item, begun)
                    found = served((attempt,), self.calibration, self.watch.state)
                    yield self._reply(call, head, found, begun)
                    return
                yield item

    async def verify(self, question: str, answer: str, context: str = "") -> Served:
        """How sure the model is of an answer that is given. Raises Refused as `answer`."""
        asked = f"{context}\n\n{question}" if context else question
        turns: list[Message] = [{"role": "user", "content": asked}]
        start = f"Answer: {answer}\nSelf-reflection:"
        if not self.backend.begins:
            given = {"role": "assistant", "content": f"Answer: {answer}"}
            turns, start = [*turns, given, {"role": "user", "content": REVIEW}], ""
        call = Call(tuple(turns), max_tokens=self.max_new_tokens, start=start)
        begun = time.monotonic()
        outcome = await self._in_time(self.backend.complete(call))
        attempt = self._attempt(self.backend, outcome, begun)
        return self._counted(served((attempt,), self.calibration, self.watch.state), begun)

    def relabel(self) -> None:
        """Count the labels of replies that were answered under this calibration."""
        if self.calibration is not None:
            self.watch.labelled, self.watch.wrong = self.feedback.answered(self.calibration.id)

    def label(self, reply_id: str, correctness: float) -> Remembered:
        """Keep a label; on the disk when this returns. Raises Refused for an unknown reply."""
        reply = self.feedback.known(reply_id)
        if reply is None:
            why = "no reply of this id is remembered: the server was started anew, or it is too old"
            raise Refused(404, why, "reply_not_found")
        self.feedback.label(reply_id, reply, correctness)
        return reply

    async def _in_time(self, work: Any, begun: float | None = None) -> Any:
        spent = time.monotonic() - begun if begun is not None else 0.0
        try:
            async with asyncio.timeout(self.timeout - spent):
                return await work
        except TimeoutError as error:
            why = f"the model gave no reply within {self.timeout:g} s"
            raise Refused(504, why, "timeout") from error

    def _reply(self, call: Call, head: Head, found: Served, begun: float) -> Reply:
        self._counted(found, begun)
        reply = Reply(head.id, head.created, found)
        asked = [turn["content"] for turn in call.turns if turn["role"] == "user"]
        confidence = found.parsed.confidence
        about = (question_id(asked[-1] if asked else ""), found.last.model, confidence)
        kept = Remembered(*about, found.action, found.object["calibration"]["id"])
        self.feedback.remember(reply.id, kept)
        return reply

    def _attempt(
        self, backend: Backend, outcome: Outcome, since: float, may_fail: bool = False
    ) -> Attempt:
        """The attempt that an outcome is. One that failed is without text where it `may_fail`, as
        the next model is asked; raises Refused otherwise."""
        ms = int((time.monotonic() - since) * 1000)
        if isinstance(outcome, Completion) and outcome.cost:
            self.meters.cost.inc(outcome.cost)
        if may_fail and isinstance(outcome, Failure) and outcome.kind not in EMPTY:
            return Attempt(backend.name, "", 0, outcome.wasted_tokens, ms)
        return _attempt(backend.name, outcome, ms)

    def _counted(self, found: Served, begun: float) -> Served:
        if found.calibrated:
            self.watch.served(found.parsed.confidence)
        self.meters.reply(found, time.monotonic() - begun)
        _trace(found)
        return found


def _trace(found: Served) -> None:
    """An event of the request's span, by the conventions of OpenTelemetry for generative models;
    nothing where no tracing is set up. It holds no text of the model's."""
    span = trace.get_current_span()
    if not span.is_recording():
        return
    decision, value = found.object["decision"], found.object["confidence"]["value"]
    told = {
        "gen_ai.evaluation.name": "metaconf.confidence",
        "gen_ai.evaluation.score.label": decision["action"],
        "gen_ai.evaluation.explanation": decision["reason"],
    }
    score = {} if value is None else {"gen_ai.evaluation.score.value": value}
    span.add_event("gen_ai.evaluation.result", {**told, **score})


def _attempt(model: str, outcome: Outcome, ms: int) -> Attempt:
    """The attempt that an outcome is. Raises Refused where it is none."""
    if isinstance(outcome, Completion):
        read, wrote = outcome.tokens_in or 0, outcome.tokens_out or 0
        finish = outcome.finish_reason or "stop"
        return Attempt(model, outcome.text, read, wrote, ms, finish, outcome.levels)
    if outcome.kind in EMPTY:
        text = outcome.detail if outcome.kind == "refusal" else ""
        return Attempt(model, text, 0, outcome.wasted_tokens, ms, EMPTY[outcome.kind])
    raise refused(outcome)


def refused(failure: Failure) -> Refused:
    """What a client is told of a failed call to the model."""
    status = STATUS.get(failure.kind, 502)
    if failure.kind == "refused" and failure.detail.startswith(NOT_OURS):
        status = 400
    code = "content_filter" if failure.kind == "moderated" else failure.kind
    return Refused(status, f"the model's server: {failure.kind}: {failure.detail}", code)
