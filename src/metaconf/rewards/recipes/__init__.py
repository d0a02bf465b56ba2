"""The recipes by the name that a configuration gives them: `recipe: rlcr`.

Definitions and constants are those of the papers; where our reply leaves room, the recipe's own
file says what was chosen.
"""

from __future__ import annotations

from dataclasses import fields, replace

from metaconf.config.blocks import Confidence, Config, Credit, Reward
from metaconf.errors import UserError
from metaconf.rewards.recipes import (
    coca,
    conftuner,
    credo,
    dcpo,
    metaconf_seed,
    rewarding_doubt,
    rlcr,
    rlvr,
    sayself,
)
from metaconf.rewards.recipes import metaconf as ours
from metaconf.rewards.recipes.base import ANSWER, CONFIDENCE, REFLECTION, WHOLE, Recipe, Where

PUBLISHED: dict[str, Recipe] = {
    one.RECIPE.name: one.RECIPE
    for one in (rlvr, sayself, rlcr, rewarding_doubt, dcpo, coca, credo, conftuner, metaconf_seed)
}
OURS = "metaconf"
SEGMENT_OF: dict[str, Where] = {
    "accuracy": ANSWER,
    "reflection": REFLECTION,
    "calibration": CONFIDENCE,
    "format": WHOLE,
}
"""Where a part that a recipe pays to the whole reply belongs under `credit.by: segment`."""
STAGE2_CONFIDENCE = ("exact", "step", "score", "rule", "goal", "prior")


def recipe_of(config: Config) -> Recipe:
    """The recipe that `config` names, credited as its block `credit` says.

    Raises UserError for settings that this recipe would not use.
    """
    if config.recipe == OURS:
        chosen = ours.recipe(config)
    else:
        _refuse_unused(config)
        chosen = PUBLISHED[config.recipe]
    return _credited(chosen, config.credit)


def _refuse_unused(config: Config) -> None:
    """A published recipe has its own weights: settings that would change nothing are refused."""
    given = [f"reward.{f.name}" for f in fields(Reward) if _other(config.reward, f.name)]
    given += [f"confidence.{n}" for n in STAGE2_CONFIDENCE if _other(config.confidence, n)]
    if given:
        raise UserError(
            f"{', '.join(given)}: the recipe {config.recipe} has its own; leave the key out, or"
            f" choose recipe: {OURS}"
        )


def _other(block: Reward | Confidence, name: str) -> bool:
    return getattr(block, name) != getattr(type(block)(), name)


def _credited(recipe: Recipe, credit: Credit) -> Recipe:
    if credit.by == "segment":
        recipe = replace(recipe, credit=_apart(recipe))
    elif credit.by == "reply":
        recipe = replace(recipe, credit={WHOLE: recipe.weights})
    back = ("confidence_to_answer", "confidence_to_reflection", "reflection_to_answer")
    if used := [name for name in back if getattr(credit, name)]:
        missing = [name for name in used if (name.split("_")[0],) not in recipe.credit]
        if missing:
            raise UserError(
                f"credit.{missing[0]}: {recipe.name} credits that segment with nothing of its own;"
                " leave the key out, or set credit.by: segment"
            )
    return recipe


def _apart(recipe: Recipe) -> dict[Where, dict[str, float]]:
    """What the whole reply is credited with, given to the segments that it speaks of."""
    found: dict[Where, dict[str, float]] = {w: dict(c) for w, c in recipe.credit.items()}
    for name, weight in found.pop(WHOLE, {}).items():
        if weight:
            found.setdefault(SEGMENT_OF[name], {})[name] = weight
    return found
