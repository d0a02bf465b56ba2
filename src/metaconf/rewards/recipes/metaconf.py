"""Ours, the default: four weighted parts for the whole reply, and an expected score of the
confidence towards the reply's own correctness.

The weights are those of the block `reward`; coefficient and step are those of the block
`confidence`.
"""

from __future__ import annotations

from dataclasses import asdict

from metaconf.config.blocks import Config
from metaconf.rewards.parts import four_parts
from metaconf.rewards.recipe import WHOLE, ExpectedScore, Recipe


def recipe(config: Config) -> Recipe:
    """The recipe with the weights and the expected score of `config`."""
    score = ExpectedScore(config.confidence.exact, "tilted", step=config.confidence.step)
    return Recipe("metaconf", four_parts, {WHOLE: asdict(config.reward)}, expected_score=score)
