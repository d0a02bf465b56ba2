"""The methods that are compared: how one model is made to give an answer and a confidence.

Imports nothing heavy. `evaluation.generate` and `evaluation.baselines` do what is described here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from metaconf.config.values import nearest
from metaconf.errors import UserError

REPLY_TOKENS, ANSWER_TOKENS = 96, 12
"""Token limits of full replies and of short answers."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Token limits of full replies and of short answers, replies in flight, seed of the samples."""

    reply_tokens: int = REPLY_TOKENS
    answer_tokens: int = ANSWER_TOKENS
    rows: int = 256
    seed: int = 0

    def longer(self, tokens: int) -> Settings:
        """The same with room for `tokens` more in a reply."""
        return replace(self, reply_tokens=self.reply_tokens + tokens)


THINKING_TOKENS = 160
"""Tokens added to the limit where the model is told to think first."""

Needs = Literal["text", "logprobs", "states"]
"""What a method needs of the engine: text, which every server gives; the log-probabilities of the
answer's tokens, which some servers give; hidden states or logits, which transformers alone gives.
"""


@dataclass(frozen=True, slots=True)
class Method:
    """`name` and `description` are for readers. `file` is the stem of the file that keeps its raw
    replies; methods may share one. `replies` is how many replies to a question it needs of that
    file, the greedy one included."""

    name: str
    description: str
    file: str
    replies: int = 1
    needs: Needs = "text"


METHODS: dict[str, Method] = {
    "asked": Method(
        "asked in words", "the untrained model is asked for its confidence, with examples", "asked"
    ),
    "cot": Method("asked after thinking", "the same, told to think before it answers", "cot"),
    "refine": Method(
        "asked to review", "the same, then shown its reply and told to review it", "refine"
    ),
    "verbal2": Method(
        "two replies in words",
        "mean of the confidences of two sampled replies and of whether their answers agree",
        "asked",
        3,
    ),
    "verbal8": Method(
        "mean of 8 in words", "mean of the confidences that 8 sampled replies state", "asked", 9
    ),
    "samples8": Method(
        "agreement of 8 samples",
        "confidence is the share of 8 samples that agree with the answer",
        "answers",
        9,
    ),
    "entropy": Method(
        "semantic entropy",
        "1 − H / log 8, H the entropy of 8 samples grouped by what they say",
        "answers",
        9,
    ),
    "probability": Method(
        "probability of the answer",
        "confidence is the probability of the answer's tokens",
        "answers",
        needs="logprobs",
    ),
    "token_mean": Method(
        "mean token probability",
        "geometric mean of the answer's token probabilities",
        "answers",
        needs="logprobs",
    ),
    "p_true": Method(
        "P(True)",
        "shown its answer, how likely it says that the answer is true",
        "answers",
        needs="states",
    ),
    "probe": Method(
        "linear probe",
        "logistic regression on the hidden state after the answer, labels: calibration questions",
        "answers",
        needs="states",
    ),
    "replies8": Method(
        "mean of 8 replies", "mean of the confidences that 8 of its own replies state", "reply", 9
    ),
    "expected": Method(
        "expectation of its own reply",
        "mean of the model's distribution over the levels, in place of the number that it states",
        "reply",
        needs="states",
    ),
    "reply": Method("reply", "the trained model's own reply", "reply"),
}
"""By key, in the order of tables."""
BASELINES = tuple(key for key in METHODS if key != "reply")


def chosen(text: str | None, server: bool = False, vllm: bool = False) -> tuple[str, ...]:
    """The baselines that `--baselines` names: none (None), "all", or some, separated by commas.

    They come in the order of METHODS. "all" means those that the engine is sure to give: of a
    `server` those that need text alone, of `vllm` those that need no hidden states. Raises
    UserError for an unknown one, and for one that the engine cannot give.
    """
    if text is None:
        return ()
    if text == "all":
        lacking = {"logprobs", "states"} if server else {"states"} if vllm else set[str]()
        return tuple(key for key in BASELINES if METHODS[key].needs not in lacking)
    keys = [key.strip() for key in text.split(",")]
    for key in keys:
        if key not in BASELINES:
            close = nearest(key, BASELINES)
            hint = f"did you mean {close}?" if close else f"known: {', '.join(BASELINES)}"
            raise UserError(f"--baselines: {key!r} is none; {hint}")
        if METHODS[key].needs == "states" and (vllm or server):
            who = "vLLM" if vllm else "a server"
            instead = "use transformers" if vllm else "load the model itself"
            raise UserError(
                f"--baselines: {key} needs the model's hidden states or logits, which {who} does"
                f" not give; {instead}, or leave it out"
            )
    return in_order(keys)


def in_order(keys: Sequence[str]) -> tuple[str, ...]:
    """The keys in the order of METHODS, each once."""
    return tuple(key for key in METHODS if key in keys)
