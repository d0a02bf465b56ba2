"""A model's text as what is served: the answer, and the object `metaconf` beside it.

`metaconf ask` prints the same object. What was not stated is None here and "unknown" as a
decision, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metaconf.records import Parsed
from metaconf.reply import parse_reply
from metaconf.serving import calibration as calibrations
from metaconf.serving.calibration import Calibration, State

WITHHELD = {
    "abstain": "I am not sure enough to answer this.",
    "unknown": "I cannot say how sure I am, so I do not answer this.",
}
"""What stands in the place of an answer that the decision keeps back."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model's reply to the question."""

    model: str
    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    ms: int = 0
    finish: str = "stop"
    levels: tuple[float, ...] | None = None
    """Probabilities (11,) of the levels where the confidence stands; None: not known."""


@dataclass(frozen=True, slots=True)
class Served:
    """A reply to be sent: the last attempt's text, and what is known of it."""

    parsed: Parsed
    attempts: tuple[Attempt, ...]
    object: dict[str, Any]

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]

    @property
    def action(self) -> str:
        return self.object["decision"]["action"]

    @property
    def calibrated(self) -> bool:
        """Whether a calibration applies to it."""
        return self.object["calibration"]["id"] is not None

    @property
    def withheld(self) -> bool:
        """Whether a rule applies and does not say "answer"."""
        return self.calibrated and self.action != "answer"

    def content(self, whole: bool = False) -> str:
        """The answer; the text as it is where `whole` is asked for, or where no answer can be read
        and no rule keeps it back."""
        if whole:
            return self.last.text
        if self.withheld:
            return WITHHELD[self.action]
        return self.last.text if self.parsed.answer is None else self.parsed.answer


def served(
    attempts: Sequence[Attempt],
    calibration: Calibration | None = None,
    state: State = "unsupported",
) -> Served:
    """Parse the last of `attempts` and decide on it."""
    *earlier, parsed = (parse_reply(attempt.text) for attempt in attempts)
    confidences = [*(one.confidence for one in earlier), parsed.confidence]
    stated = parsed.confidence
    value = stated if calibration is None or stated is None else calibration.recalibrated(stated)
    shown = {
        "answer": parsed.answer,
        "reflection": parsed.reflection,
        "parsed": parsed.answer is not None and stated is not None,
        "problems": list(parsed.problems),
        "confidence": {"value": value, "stated": stated, **_distribution(attempts[-1].levels)},
        "decision": calibrations.decision(calibration, state, stated),
        "calibration": calibrations.described(calibration, state),
        "attempts": list(map(_shown, attempts, confidences)),
    }
    return Served(parsed, tuple(attempts), shown)


def _distribution(levels: Sequence[float] | None) -> dict[str, Any]:
    """The model's whole distribution over the levels 0, .1, … 1, and its mean."""
    if levels is None:
        return {"expected": None, "distribution": None}
    mean = sum(k * share for k, share in enumerate(levels)) / (len(levels) - 1)
    return {"expected": round(mean, 4), "distribution": [round(share, 4) for share in levels]}


def _shown(attempt: Attempt, confidence: float | None) -> dict[str, Any]:
    tokens = attempt.tokens_in + attempt.tokens_out
    return {
        "model": attempt.model,
        "confidence": confidence,
        "tokens": tokens,
        "ms": attempt.ms,
    }
