"""What a recipe is: what it pays for, to which segments, and how the confidence is trained.

A recipe names its reward parts, which are pure functions over the replies of one batch, and says
which segments of a reply each part is credited to. Sampling, normalisation and the loss belong to
the trainer and are the same for all recipes. Unknown values are NaN and are never read as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metaconf.grading.reading import reading
from metaconf.metrics.agreement import contradicts
from metaconf.records import Grade, Parsed
from metaconf.rewards.targets import Array, Groups

Segment = Literal["answer", "reflection", "confidence"]
Where = tuple[Segment, ...]
"""Neighbouring segments that are credited together."""
WHOLE: Where = ("answer", "reflection", "confidence")
BEFORE: Where = ("answer", "reflection")
"""Everything before the confidence, for published recipes that know two segments."""
ANSWER: Where = ("answer",)
REFLECTION: Where = ("reflection",)
CONFIDENCE: Where = ("confidence",)

Scale = Literal["none", "group", "batch"]
"""TRL's `scale_rewards`. The mean of the group is always subtracted; the result is then divided by
nothing, by the group's standard deviation or by the batch's."""
ConfidenceLoss = Literal["tilted", "expectation", "spoken"]
"""Which loss of `training.score` trains the distribution over the confidence levels."""


@dataclass(frozen=True, slots=True, eq=False)
class RolloutBatch:
    """The graded replies of one batch, as arrays (N,).

    `correctness`, `confidence` and `quality` (of the reflection) are in [0, 1] or NaN,
    `well_formed` is 0 or 1, `group` is a number for each question.
    """

    correctness: Array
    confidence: Array
    well_formed: Array
    quality: Array
    group: Groups

    @property
    def stated(self) -> NDArray[np.bool_]:
        """(N,) true where the reply is well formed and states a confidence."""
        return (self.well_formed > 0) & ~np.isnan(self.confidence)

    @property
    def graded(self) -> NDArray[np.bool_]:
        """(N,) true where the correctness is known."""
        return ~np.isnan(self.correctness)

    def known(self, values: Array) -> Array:
        """`values` where the reply was graded, NaN elsewhere."""
        return np.where(self.graded, values, np.nan)


def own_correctness(batch: RolloutBatch) -> Array:
    """(N,) the correctness of each reply: the only unbiased label of "this answer is right"."""
    return batch.correctness


@dataclass(frozen=True, slots=True)
class ExpectedScore:
    """A loss over the model's whole distribution on the confidence levels. It replaces the reward
    of the sampled number.

    `coef` is its coefficient in the training loss (0: the sampled number is rewarded instead),
    `loss` its form (see `training.score`), `outcome` gives the target (N,) of each confidence (NaN:
    not trained), `step` in (0, 1] is how far one `tilted` target goes towards the outcome.
    """

    coef: float
    loss: ConfidenceLoss = "tilted"
    outcome: Callable[[RolloutBatch], Array] = own_correctness
    step: float = 0.2


OFF = ExpectedScore(0.0)


def equal_weights(batch: RolloutBatch) -> Array:
    """(N,) weight 1 for each reply."""
    return np.ones(len(batch.correctness))


@dataclass(frozen=True, slots=True)
class Recipe:
    """`parts` gives the value (N,) of each reward part by name. `credit` gives the weights of the
    parts for each segment (or neighbouring segments); each is normalised by itself. A part with
    weight 0 is logged and rewards nothing."""

    name: str
    parts: Callable[[RolloutBatch], dict[str, Array]]
    credit: Mapping[Where, Mapping[str, float]]
    scale: Scale = "none"
    expected_score: ExpectedScore = OFF
    weigh: Callable[[RolloutBatch], Array] = field(default=equal_weights)
    """Weight (N,) of each reply in the loss."""

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each part, summed over segments: the weights of a reply's total reward."""
        found: dict[str, float] = {}
        for weights in self.credit.values():
            for name, weight in weights.items():
                found[name] = found.get(name, 0.0) + weight
        return found


def rollout_batch(graded: list[tuple[Parsed, Grade]], group: list[int]) -> RolloutBatch:
    """Arrays of parsed and graded replies; `group` numbers the question of each. A reflection that
    sounds like the opposite of the stated confidence is worth nothing, whoever judged it."""

    def column(values: list[float | None]) -> Array:
        return np.array([np.nan if value is None else value for value in values], float)

    stated = column([parsed.confidence for parsed, _ in graded])
    opposite = contradicts(stated, column([reading(p.reflection) for p, _ in graded])) == 1
    # Without an answer or a reflection the reflection is known to be worth nothing.
    worth = [p.answer is not None and p.reflection is not None for p, _ in graded] & ~opposite
    return RolloutBatch(
        column([grade.correctness for _, grade in graded]),
        stated,
        column([float(parsed.well_formed) for parsed, _ in graded]),
        column([g.quality if w else 0.0 for (_, g), w in zip(graded, worth, strict=True)]),
        np.array(group, np.int64),
    )
