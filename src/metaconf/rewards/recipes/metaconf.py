"""Ours, the default: four weighted parts for the whole reply, and an expected score of the
confidence towards the reply's own correctness.

The weights are those of the block `reward`.
"""

from __future__ import annotations

from dataclasses import asdict

from metaconf.config.blocks import Config
from metaconf.rewards.parts import four_parts
from metaconf.rewards.recipe import WHOLE, ExpectedScore, Recipe

EXPECTED_SCORE = ExpectedScore(1.0, "tilted", step=0.2)
"""With a weight of 1, a fifth of the way to the outcome at a time."""


def recipe(config: Config) -> Recipe:
    """The recipe with the weights of `config`."""
    return Recipe(
        "metaconf", four_parts, {WHOLE: asdict(config.reward)}, expected_score=EXPECTED_SCORE
    )
