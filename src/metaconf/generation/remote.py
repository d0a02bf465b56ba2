"""A model behind an OpenAI-compatible server (vLLM, DeepSeek, Ollama, …), asked as a local one is.

The same conversation goes to it that a local model's template renders, so that the same model gives
the same text on both. Text comes back, and with `logprobs` the probability of an answer; hidden
states are not to be had from it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metaconf.clients import Completion, Endpoint, Failure, Outcome, Request, complete_all
from metaconf.generation.logprobs import span_probability
from metaconf.generation.sampler import GREEDY, Sampling
from metaconf.prompts.chat import Message
from metaconf.prompts.slots import clean
from metaconf.records import Question, Reply, Span

AT_ONCE = 1000
"""Calls between two times of writing replies down; the client keeps each as it comes."""
_SHOWN = 200
"""Characters of why a call failed that are shown."""
Chat = Callable[[Question], list[Message]]
Keep = Callable[[list[Reply]], None]


@dataclass(frozen=True, slots=True)
class Remote:
    """The server, the file that keeps what it has answered, and whether it is asked for the
    log-probabilities of greedy answers: some refuse a call that asks for them."""

    endpoint: Endpoint
    cache: Path
    logprobs: bool = False

    @property
    def identity(self) -> str:
        """The server's name of the model; of what is behind it, it tells no more."""
        return self.endpoint.model

    def sample(
        self,
        questions: Sequence[Question],
        samples: Iterable[int],
        how: Sampling,
        keep: Keep,
        chat: Chat,
        answer: Callable[[str], Span] | None = None,
    ) -> None:
        """Ask each question for each of `samples` (GREEDY: at temperature 0); replies go to `keep`
        in batches. A call that failed gives a reply of status "failed", and is counted on stderr;
        so is a refusal, which is a reply: its text stands for it, and a short answer is empty.
        `answer` finds the answer in a reply of which nothing else is kept.

        Raises UserError as `complete_all`.
        """
        wanted = [(question, sample) for question in questions for sample in samples]
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            wants = self.logprobs and answer is not None
            requests = [_request(chat(question), sample, how, wants) for question, sample in some]
            found = complete_all(requests, self.endpoint, cache=self.cache, progress=False)
            pairs = zip(some, found, strict=True)
            replies = [
                _reply(question.id, sample, one, answer) for (question, sample), one in pairs
            ]
            _tell(found)
            keep(replies)


def _request(chat: list[Message], sample: int, how: Sampling, logprobs: bool) -> Request:
    drawn = sample != GREEDY
    return Request(
        tuple(chat),
        how.temperature if drawn else 0.0,
        how.max_new_tokens,
        # Each sample is a request of its own; servers that know seeds draw it again alike.
        how.seed * 1000 + sample if drawn else None,
        logprobs=0 if logprobs and not drawn else None,
    )


def _reply(
    question_id: str, sample: int, outcome: Outcome, answer: Callable[[str], Span] | None
) -> Reply:
    if not isinstance(outcome, Completion):
        refused = outcome.kind == "refusal"
        text = outcome.detail if refused and answer is None else ""
        return Reply(question_id, sample, text, "ok" if refused else "failed")
    text, written = outcome.text, outcome.tokens_out or 0
    status = "cut" if outcome.finish_reason in ("length", "content_filter") else "ok"
    if answer is None:
        return Reply(question_id, sample, text, status, written)
    start, end = answer(text)
    known = span_probability(outcome.logprobs, text, (start, end)) or (None, None)
    return Reply(question_id, sample, text[start:end], status, written, *known)


def _tell(found: Sequence[Outcome]) -> None:
    """Say on stderr how many of some calls failed, why, and what they used all the same."""
    refused = [one for one in found if isinstance(one, Failure) and one.kind == "refusal"]
    failed = [one for one in found if isinstance(one, Failure) and one.kind != "refusal"]
    for some, what in ((refused, "replies are refusals of the model"), (failed, "calls failed")):
        if some:
            told = f"{len(some)} of {len(found)} {what}: {_why(some)}"
            print(told + _used(some), file=sys.stderr)


def _why(some: Sequence[Failure]) -> str:
    # A refusal is what a model wrote: not fit for a terminal as it is.
    kinds = [f"{one.kind} ({' '.join(clean(one.detail).split())[:_SHOWN]})" for one in some]
    return "; ".join(list(dict.fromkeys(kinds))[:3])


def _used(some: Sequence[Failure]) -> str:
    tokens = sum(one.wasted_tokens for one in some)
    cost = sum(one.wasted_cost for one in some)
    price = f", cost {cost:.4f}" if cost else ""
    return f"; they used {tokens:,} tokens{price}" if tokens else ""
