"""From a recipe and the graded replies of one batch to what the trainer learns from.

Each segment's reward is normalised by itself within its group, and only then are advantages added:
adding rewards first would merge rewards that are different. Source: GDPO.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from metaconf.errors import UserError
from metaconf.records import Parsed
from metaconf.rewards.parts import fill_unknown, total_reward
from metaconf.rewards.recipe import CONFIDENCE, WHOLE, Recipe, RolloutBatch, Scale, Where
from metaconf.rewards.targets import Array, Groups, group_count, group_mean

TINY = 1e-4
"""Added to a standard deviation, as TRL does."""
Advantages = dict[Where, Array]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSignal:
    """Everything that one batch of N replies teaches, computed once.

    `parts` are the recipe's reward parts (N,) by name, NaN where unknown, and `total` (N,) their
    weighted sum, NaN where a reply takes no part. `rewards` are the columns (N,) whose weighted sum
    by TRL is `total`. `outcome` is each reply's own correctness, `target` what its confidence is
    trained towards, `weight` its weight in the loss, all (N,). `advantages` holds what each segment
    is credited with, or None where the whole reply is: then TRL normalises the rewards.
    `unscored` is the share of replies with a segment whose reward is unknown. `parsed` holds the
    replies taken apart and `metrics` what is logged, both where the texts are at hand.
    """

    parts: dict[str, Array]
    total: Array
    rewards: dict[str, Array]
    outcome: Array
    target: Array
    weight: Array
    advantages: Advantages | None
    unscored: float
    parsed: tuple[Parsed, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)


def training_signal(recipe: Recipe, batch: RolloutBatch, scale: Scale) -> TrainingSignal:
    """What `recipe` makes of `batch`; `scale` as TRL's `scale_rewards`.

    Raises UserError where a part does not have one number a reply.
    """
    parts, weight = parts_of(recipe, batch), recipe.weigh(batch)
    segments = {w: total_reward(parts, weights, batch) for w, weights in recipe.credit.items()}
    advantages: Advantages | None = None
    if set(segments) != {WHOLE}:
        advantages = {
            where: weight * normalised(reward, batch.group, scale)
            for where, reward in segments.items()
            # The expected score trains the tokens of the confidence.
            if not (recipe.expected_score.coef and where == CONFIDENCE)
        }
    return TrainingSignal(
        parts=parts,
        total=total_reward(parts, recipe.weights, batch),
        rewards=fill_unknown(parts, recipe.weights, batch),
        outcome=batch.correctness,
        target=recipe.expected_score.outcome(batch),
        weight=weight,
        advantages=advantages,
        unscored=float(np.any([np.isnan(r) for r in segments.values()], axis=0).mean()),
    )


def parts_of(recipe: Recipe, batch: RolloutBatch) -> dict[str, Array]:
    """The recipe's parts. Raises UserError with name and counts where one does not have one number
    a reply."""
    found = recipe.parts(batch)
    for name, values in found.items():
        if values.shape != batch.correctness.shape:
            raise UserError(
                f"recipe {recipe.name}: part {name} has {values.size} numbers for"
                f" {len(batch.correctness)} replies; one each is needed"
            )
    return found


def normalised(reward: Array, group: Groups, scale: Scale) -> Array:
    """(N,) reward less the mean of its group, divided as `scale` says; 0 where it is unknown."""
    centred = reward - group_mean(reward, group)
    if scale == "group":
        count = group_count(reward, group)
        # n / (n − 1): the standard deviation of a sample, as in TRL. A single reply has 0.
        variance = group_mean(centred**2, group) * count / np.maximum(count - 1, 1)
        centred = centred / (np.sqrt(variance) + TINY)
    elif scale == "batch":
        known = reward[~np.isnan(reward)]
        centred = centred / ((known.std(ddof=1) if len(known) > 1 else 0.0) + TINY)
    return np.nan_to_num(centred, nan=0.0)
