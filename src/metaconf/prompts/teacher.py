"""The offline teacher: a first-person reflection built from what the model itself sampled.

It names the other answers that the model gave and the cause of uncertainty. It is given a noisy
certainty, and neither the grade nor the exact target. The wording is drawn from a seeded generator,
so that no fixed phrase stands for a number.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from metaconf.prompts.causes import COMPLEXITY, KNOWLEDGE, REASONING

MAX_ALTERNATIVES = 2
BANDS = {"high": 0.65, "middle": 0.3, "low": 0.0}
"""Lower bounds of high, middle and low certainty, which choose the wording."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one answer without its grade.

    `certainty` chooses the wording; it is the confidence target with noise, and may leave [0, 1].
    `alternatives` are the other answers that the model sampled, the most frequent first.
    """

    question: str
    answer: str
    certainty: float
    alternatives: tuple[str, ...]
    cause: str


_OPENINGS: dict[str, dict[str, tuple[str, ...]]] = {
    KNOWLEDGE: {
        "high": (
            "I know {s} well",
            "My knowledge of {s} is firm here",
            "I am familiar with {s}",
            "I clearly recall {s}",
        ),
        "middle": (
            "I know something of {s}, but not much",
            "I am only partly familiar with {s}",
            "My knowledge of {s} is not firm",
            "I recall {s} only in part",
        ),
        "low": (
            "I know very little about {s}",
            "My knowledge of {s} is thin",
            "I hardly recall {s}",
            "I am not familiar with {s}",
        ),
    },
    COMPLEXITY: {
        "high": (
            "More than one place is called {s}, but one stands out to me",
            "Several places share the name {s}, and I take the most prominent",
            "The name {s} is ambiguous, though one reading is plain to me",
        ),
        "middle": (
            "I see more than one place called {s}",
            "I find that several places share the name {s}",
            "I find the name {s} ambiguous",
        ),
        "low": (
            "More than one place is called {s}, and I cannot tell which one is meant",
            "Several places share the name {s}, and I hardly see which",
            "The name {s} is ambiguous, and no reading stands out to me",
        ),
    },
    REASONING: {
        "high": (
            "I worked out {s} and each step looks sound",
            "My calculation of {s} came out the same each time",
            "I find the steps of {s} easy",
        ),
        "middle": (
            "I worked out {s}, but I may have slipped",
            "My calculation of {s} is not steady",
            "I find one step of {s} doubtful",
        ),
        "low": (
            "I did not really work out {s}",
            "My calculation of {s} comes out differently each time",
            "I lose my way in the steps of {s}",
        ),
    },
}

_ONE = ("; I might also say {a}", "; I would also consider {a}", "; it could be {a} too")
_TWO = (
    "; I might also say {a} or {b}",
    "; I would also consider {a} or {b}",
    "; it could be {a} or {b} too",
)
_NONE = ("", "; no other answer comes to mind", "; I see no other answer")


def reflect(evidence: Evidence, rng: random.Random) -> str:
    """A reflection of one sentence: the cause, and the alternatives."""
    openings = _OPENINGS[evidence.cause][band(evidence.certainty)]
    opening = rng.choice(openings).replace("{s}", subject(evidence.question))
    # "Washington, D.C." brings a full stop of its own.
    return (opening + _others(evidence.alternatives[:MAX_ALTERNATIVES], rng)).rstrip(".") + "."


def band(certainty: float) -> str:
    """The name of the band that a certainty falls into; below 0 the lowest."""
    return next((name for name, low in BANDS.items() if certainty >= low), "low")


def _others(alternatives: Sequence[str], rng: random.Random) -> str:
    if not alternatives:
        return rng.choice(_NONE)
    if len(alternatives) == 1:
        return rng.choice(_ONE).replace("{a}", alternatives[0])
    first, second = alternatives
    # One pass, so that an answer that holds "{b}" stays as it is.
    filled = {"{a}": first, "{b}": second}
    return re.sub(r"\{[ab]\}", lambda m: filled[m.group()], rng.choice(_TWO))


def subject(question: str) -> str:
    """The subject of the question: its sum or product, else its last proper name, else "this"."""
    if found := re.search(r"-?\d+(?:[.,]\d+)?(?: ?[-+×x*/−] ?-?\d+(?:[.,]\d+)?)+", question):
        return found.group().strip()
    if found := re.findall(_PROPER_NAME, question):
        return found[-1].strip(" ?.,")
    return "this"


_PROPER_NAME = re.compile(
    r"(?<=[a-z,] )[A-ZÀ-ÞĀ-ſ][^\s?]*(?: (?:(?:of|the|de|del|da|do|la) )*[A-ZÀ-ÞĀ-ſ0-9][^\s?]*)*"
)


def likely_cause(task: str, cause: str | None) -> str:
    """The recorded cause, or a guess from the task where none is recorded."""
    return cause or (REASONING if task == "math" else KNOWLEDGE)
