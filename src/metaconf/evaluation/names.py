"""The ways of getting an answer and a confidence out of one model, by name; imports nothing heavy.

`evaluation.systems` and `evaluation.baselines` do what is described here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metaconf.config.values import nearest
from metaconf.errors import UserError

REPLY_TOKENS, ANSWER_TOKENS = 96, 12
"""Whole replies and short answers have at most so many tokens."""
THINKING_TOKENS = 160
"""So many more where the model is told to think first."""


@dataclass(frozen=True, slots=True)
class Way:
    """`name` and `description` are for readers; `file` keeps its raw replies, which ways share.
    `drawn` is how many replies of the file it needs to a question, the greedy one included; `text`
    says that text is all it needs, so that it can be had from every server; `states` that it needs
    the model's hidden states or logits, which only transformers gives. What needs neither needs the
    log-probabilities of the answer's tokens, which some servers give."""

    name: str
    description: str
    file: str
    drawn: int = 1
    text: bool = True
    states: bool = False


WAYS: dict[str, Way] = {
    "asked": Way(
        "asked in words", "the untrained way: asked for its confidence, with examples", "asked"
    ),
    "cot": Way("asked after thinking", "the same, told to think before it answers", "cot"),
    "refine": Way(
        "asked to review", "the same, then shown its reply and told to review it", "refine"
    ),
    "verbal2": Way(
        "two replies in words",
        "mean of the confidences of two sampled replies and of whether their answers agree",
        "asked",
        3,
    ),
    "verbal8": Way(
        "mean of 8 in words", "mean of the confidences that 8 sampled replies state", "asked", 9
    ),
    "samples8": Way(
        "agreement of 8 samples",
        "confidence is the share of 8 samples that agree with the answer",
        "answers",
        9,
    ),
    "entropy": Way(
        "semantic entropy",
        "1 − H / log 8, H the entropy of 8 samples grouped by what they say",
        "answers",
        9,
    ),
    "probability": Way(
        "probability of the answer",
        "confidence is the probability of the answer's tokens",
        "answers",
        text=False,
    ),
    "token_mean": Way(
        "mean token probability",
        "geometric mean of the answer's token probabilities",
        "answers",
        text=False,
    ),
    "p_true": Way(
        "P(True)",
        "shown its answer, how likely it says that the answer is true",
        "answers",
        text=False,
        states=True,
    ),
    "probe": Way(
        "linear probe",
        "logistic regression on the hidden state after the answer, labels: calibration questions",
        "answers",
        text=False,
        states=True,
    ),
    "replies8": Way(
        "mean of 8 replies", "mean of the confidences that 8 of its own replies state", "reply", 9
    ),
    "expected": Way(
        "expectation of its own reply",
        "mean of the model's distribution over the levels, in the place of the number it says",
        "reply",
        text=False,
        states=True,
    ),
    "reply": Way("reply", "the trained model's own reply", "reply"),
}
NAMES = {key: way.name for key, way in WAYS.items()}
BASELINES = tuple(key for key in WAYS if key != "reply")


def chosen(text: str | None, server: bool = False, vllm: bool = False) -> tuple[str, ...]:
    """Baselines that `--baselines` names: none (None), "all", or some, separated by commas.

    They come in the order of WAYS; "all" are those that the engine is sure to give: of a `server`
    those that need text alone, of `vllm` those that need no hidden states. Raises UserError for an
    unknown one, and for one that the engine cannot give.
    """
    if text is None:
        return ()
    if text == "all":
        return tuple(
            name
            for name in BASELINES
            if (WAYS[name].text or not server) and not (WAYS[name].states and vllm)
        )
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if vllm and name in WAYS and WAYS[name].states:
            raise UserError(
                f"--baselines: {name} needs the model's hidden states or logits, which vLLM does"
                " not give; use transformers, or leave it out"
            )
        if server and name in WAYS and WAYS[name].states:
            raise UserError(
                f"--baselines: {name} needs the model's hidden states or logits, which a server"
                " does not give; load the model itself, or leave it out"
            )
        if name not in BASELINES:
            close = nearest(name, BASELINES)
            hint = f"did you mean {close}?" if close else f"known: {', '.join(BASELINES)}"
            raise UserError(f"--baselines: {name!r} is none; {hint}")
    return in_order(names)


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """The names in the order of WAYS, each once."""
    return tuple(key for key in WAYS if key in names)
