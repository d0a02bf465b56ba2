"""What a recipe is: what it pays for, to which segments, and whether the number is taught exactly.

A recipe pays by named parts, pure functions over the replies of one batch, and says which segments
of a reply each part is credited to. Sampling, normalising and the loss are the trainer's, the same
for all. Unknown is NaN and leaves a reply out; it is never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metaconf.records import Grade, Parsed
from metaconf.rewards.targets import Array, Goal, Groups

Segment = Literal["answer", "reflection", "confidence"]
Where = tuple[Segment, ...]
"""Neighbouring segments that are credited together."""
WHOLE: Where = ("answer", "reflection", "confidence")
BEFORE: Where = ("answer", "reflection")
"""Where a published recipe knows two segments, its first is all that stands before the number."""
ANSWER: Where = ("answer",)
REFLECTION: Where = ("reflection",)
CONFIDENCE: Where = ("confidence",)

Scale = Literal["none", "group", "batch"]
"""TRL's `scale_rewards`: the group's mean is always taken off; then divided by nothing, by the
group's standard deviation or by the batch's."""
Score = Literal["tilted", "narrow", "expectation", "spoken", "both"]
Rule = Literal["brier", "log"]


@dataclass(frozen=True, slots=True, eq=False)
class Replies:
    """The replies of one batch, each array (N,): `correctness`, `confidence` and `quality` (of the
    reflection) in [0, 1] or NaN, `well_formed` 0 or 1, `group` a number for each question."""

    correctness: Array
    confidence: Array
    well_formed: Array
    quality: Array
    group: Groups

    @property
    def stated(self) -> NDArray[np.bool_]:
        """(N,) true where the reply is well formed and states a confidence."""
        return (self.well_formed > 0) & ~np.isnan(self.confidence)

    def known(self, values: Array) -> Array:
        """`values` where the reply was graded, NaN elsewhere."""
        return np.where(np.isnan(self.correctness), np.nan, values)


@dataclass(frozen=True, slots=True)
class Exact:
    """The gradient of a score over the model's whole distribution on the levels, in the place of a
    sampled number's reward.

    `weight` in the loss (0: the number is paid as it was sampled), `score` and `rule` (see
    `train.score`), `goal` (see `targets.target`, with its `prior`), and of "tilted" and "narrow"
    how far they go to the target at once (`step`). `gated`: malformed replies teach nothing.
    """

    weight: float
    step: float = 0.2
    score: Score = "tilted"
    rule: Rule = "brier"
    goal: Goal = "own"
    prior: float = 2.0
    gated: bool = False


OFF = Exact(0.0)


def alike(replies: Replies) -> Array:
    """(N,) weight 1 for each reply."""
    return np.ones(len(replies.correctness))


@dataclass(frozen=True, slots=True)
class Recipe:
    """`parts` gives each part's pay (N,) by name; `credit` says what a segment (or neighbours) is
    credited with: weights by part, normalised apart. Weight 0 logs a part and pays it to nobody."""

    name: str
    parts: Callable[[Replies], dict[str, Array]]
    credit: Mapping[Where, Mapping[str, float]]
    scale: Scale = "none"
    exact: Exact = OFF
    weigh: Callable[[Replies], Array] = field(default=alike)
    """Weight (N,) of each reply in the loss."""

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each part, added up over segments: what a reply is paid in all."""
        found: dict[str, float] = {}
        for weights in self.credit.values():
            for name, weight in weights.items():
                found[name] = found.get(name, 0.0) + weight
        return found


def paid(parts: Mapping[str, Array], weights: Mapping[str, float]) -> Array:
    """(N,) weighted sum of the parts that have a weight; NaN where one of them is not known."""
    return sum(
        (weight * parts[name] for name, weight in weights.items() if weight),
        np.zeros(len(next(iter(parts.values())))),
    )


def replies_of(judged: list[tuple[Parsed, Grade]], group: list[int]) -> Replies:
    """Arrays of parsed and graded replies; `group` numbers the question of each."""

    def column(values: list[float | None]) -> Array:
        return np.array([np.nan if value is None else value for value in values], float)

    # Without an answer or a reflection the reflection earns nothing, and that is known too.
    spoken = [p.answer is not None and p.reflection is not None for p, _ in judged]
    return Replies(
        column([grade.correctness for _, grade in judged]),
        column([parsed.confidence for parsed, _ in judged]),
        column([float(parsed.well_formed) for parsed, _ in judged]),
        column([g.quality if s else 0.0 for (_, g), s in zip(judged, spoken, strict=True)]),
        np.array(group, np.int64),
    )
