"""The offline teacher: a first-person reflection built from what the model itself sampled.

It names the cause of uncertainty, how sure the model is, and the other answers that it gave and
whether it gave them as often. It does not know the grade. Each reflection is written once for each
of the `frames.STANCES`; stage 1 takes the one nearest to the model's own expected confidence, so
that the wording explains that number and tells nothing that the model does not know.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from metaconf.prompts.causes import KNOWLEDGE, REASONING
from metaconf.prompts.frames import FRAMES, ONE, STANCES, TWO


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one answer without its grade.

    `alternatives` are the other answers that the model sampled, the most frequent first; `often`:
    the first of them came about as often as the answer.
    """

    question: str
    alternatives: tuple[str, ...]
    often: bool
    cause: str


def reflections(evidence: Evidence, rng: random.Random) -> tuple[str, ...]:
    """The reflection in each of the STANCES, from the least sure to the surest. They share the
    frame and the other answers, which `rng` chooses."""
    lead, wordings = rng.choice(FRAMES[evidence.cause])
    start = lead.replace("{s}", subject(evidence.question, evidence.cause))
    # "Washington, D.C." brings a full stop of its own.
    end = _others(evidence, rng).rstrip(".") + "."
    return tuple(f"{start[0].upper()}{start[1:]}{wording}{end}" for wording in wordings)


def stance(confidence: float) -> int:
    """The index of the stance nearest to a confidence in [0, 1]."""
    return min(range(len(STANCES)), key=lambda k: abs(STANCES[k] - confidence))


def _others(evidence: Evidence, rng: random.Random) -> str:
    names = [re.sub(r"(?<=\d)\.$", "", name) for name in evidence.alternatives[:2]]
    if not names:
        return ""  # one token then decides between naming an answer and the end
    wording = rng.choice((ONE if len(names) == 1 else TWO)[evidence.often])
    # One pass, so that an answer that holds "{b}" stays as it is.
    filled = {"{a}": names[0], "{b}": names[-1]}
    return re.sub(r"\{[ab]\}", lambda m: filled[m.group()], wording)


def subject(question: str, cause: str = KNOWLEDGE) -> str:
    """What the question's first paragraph is about: its sum or product, else its last proper name,
    else "this". A problem of several steps is about no name that occurs in it."""
    asked = question.split("\n", 1)[0]
    if found := re.search(r"-?\d+(?:[.,]\d+)?(?: ?[-+×x*/−] ?-?\d+(?:[.,]\d+)?)+", asked):
        return found.group().strip()
    if cause != REASONING and (names := re.findall(_PROPER_NAME, asked)):
        return names[-1].strip(" ?.,")
    return "this"


_PARTICLES = "of|the|and|de|del|da|do|dos|di|du|des|la|le|les|el|al|y|nad|am|an|der|den|sur|upon"
_PROPER_NAME = re.compile(
    r"(?<=[a-z,] )[A-ZÀ-ÞĀ-ſ][^\s?]*"
    rf"(?: (?:(?:{_PARTICLES}) )*[A-ZÀ-ÞĀ-ſ0-9][^\s?]*)*"
)


def likely_cause(task: str, cause: str | None) -> str:
    """The recorded cause, or a guess from the task where none is recorded."""
    return cause or (REASONING if task == "math" else KNOWLEDGE)
