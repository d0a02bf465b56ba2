"""The recipes by the name that a configuration gives them: `recipe: rlcr`.

Definitions and constants are those of the papers; where our reply leaves room, the recipe's own
file says what was chosen.
"""

from __future__ import annotations

from dataclasses import asdict

from metaconf.config.blocks import Config, Reward
from metaconf.errors import UserError
from metaconf.rewards.recipe import Recipe
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

PUBLISHED: dict[str, Recipe] = {
    one.RECIPE.name: one.RECIPE
    for one in (rlvr, sayself, rlcr, rewarding_doubt, dcpo, coca, credo, conftuner, metaconf_seed)
}
OURS = "metaconf"


def recipe_of(config: Config) -> Recipe:
    """The recipe that `config` names.

    Raises UserError for settings that this recipe would not use.
    """
    if config.recipe == OURS:
        return ours.recipe(config)
    _refuse_unused(config)
    return PUBLISHED[config.recipe]


def _refuse_unused(config: Config) -> None:
    """A published recipe has its own weights: settings that would change nothing are refused."""
    defaults = asdict(Reward())
    given = [f"reward.{name}" for name, w in asdict(config.reward).items() if w != defaults[name]]
    if given:
        raise UserError(
            f"{', '.join(given)}: the recipe {config.recipe} has its own; leave the key out, or"
            f" choose recipe: {OURS}"
        )
