"""From a recipe and the replies of one batch to what each segment is credited with.

Every segment's pay is normalised by itself within its group, and only then are advantages added:
adding pay first merges rewards that are different (GDPO).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metaconf.config.blocks import Credit
from metaconf.errors import UserError
from metaconf.rewards.recipes.base import (
    CONFIDENCE,
    WHOLE,
    Recipe,
    Replies,
    Scale,
    Segment,
    Where,
    paid,
)
from metaconf.rewards.targets import Array, Groups, group_mean, group_size, target

TINY = 1e-4
"""Added to a standard deviation, as TRL does."""
Advantages = dict[Where, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a batch of replies is to teach, arrays (N,): `outcome`, each one's own correctness;
    `target`, what its confidence is taught exactly (both NaN where nothing is); `weight` in the
    loss. `by_segment`: credited as `advantages` says (segments not in it with nothing), else as a
    whole by the trainer. `unscored`: share of replies that a segment's pay is not known of."""

    outcome: Array
    target: Array
    weight: Array
    by_segment: bool
    advantages: Advantages
    unscored: float


def lesson(recipe: Recipe, replies: Replies, credit: Credit, scale: Scale) -> Lesson:
    """What `recipe` makes of `replies`; `scale` as TRL's `scale_rewards`.

    Raises UserError where the parts do not have one number a reply.
    """
    exact, weight = recipe.exact, recipe.weigh(replies)
    goal = target(exact.goal, replies.correctness, replies.group, exact.prior)
    if exact.gated:
        goal = np.where(replies.stated, goal, np.nan)
    parts = parts_of(recipe, replies)
    pay = {where: paid(parts, weights) for where, weights in recipe.credit.items()}
    unscored = float(np.any([np.isnan(p) for p in pay.values()], axis=0).mean())
    found: Advantages = {}
    by_segment = set(pay) != {WHOLE}
    if by_segment:
        found = {where: normalised(p, replies.group, scale) for where, p in pay.items()}
        found = {where: weight * a for where, a in flown(found, credit).items()}
        if exact.weight:  # its tokens are taught by the exact score
            found.pop(CONFIDENCE, None)
    return Lesson(replies.correctness, goal, weight, by_segment, found, unscored)


def parts_of(recipe: Recipe, replies: Replies) -> dict[str, Array]:
    """The recipe's parts, refused with name and counts where one has not a number a reply."""
    found = recipe.parts(replies)
    for name, values in found.items():
        if values.shape != replies.correctness.shape:
            raise UserError(
                f"recipe {recipe.name}: part {name} has {values.size} numbers for"
                f" {len(replies.correctness)} replies; one each is needed"
            )
    return found


def normalised(pay: Array, group: Groups, scale: Scale) -> Array:
    """(N,) pay less the mean of its group, divided as `scale` says; 0 where it is not known."""
    apart = pay - group_mean(pay, group)
    if scale == "group":
        known = group_mean((~np.isnan(pay)).astype(float), group) * group_size(group)
        # n / (n − 1): the standard deviation of a sample, as TRL takes it. One alone is at 0.
        spread = group_mean(apart**2, group) * known / np.maximum(known - 1, 1)
        apart = apart / (np.sqrt(spread) + TINY)
    elif scale == "batch":
        known = pay[~np.isnan(pay)]
        apart = apart / ((known.std(ddof=1) if len(known) > 1 else 0.0) + TINY)
    return np.nan_to_num(apart, nan=0.0)


def flown(advantages: Advantages, credit: Credit) -> Advantages:
    """Advantages with what flows back from a later segment to an earlier one."""
    ways: tuple[tuple[Segment, Segment, float], ...] = (
        ("confidence", "answer", credit.confidence_to_answer),
        ("confidence", "reflection", credit.confidence_to_reflection),
        ("reflection", "answer", credit.reflection_to_answer),
    )
    found = dict(advantages)
    for source, goal, share in ways:
        if share and (source,) in advantages:
            found[goal,] = found.get((goal,), 0.0) + share * advantages[source,]
    return found
