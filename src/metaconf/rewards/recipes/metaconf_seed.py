"""The first reward of this project's design: (1 − (a − c)²) + 0.6 quality + 0.2 a, whole reply."""

from __future__ import annotations

from metaconf.rewards.parts import four_parts
from metaconf.rewards.recipe import WHOLE, Recipe

RECIPE = Recipe(
    "metaconf-seed", four_parts, {WHOLE: {"calibration": 1.0, "reflection": 0.6, "accuracy": 0.2}}
)
