"""Ours, the default: four weighted parts to the whole reply, and an exact score of the confidence.

The weights are those of the block `reward`, the exact score is that of the block `confidence`.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from metaconf.config.blocks import Config
from metaconf.rewards.recipes.base import WHOLE, Exact, Recipe, Replies
from metaconf.rewards.targets import Array, filled


def parts(replies: Replies) -> dict[str, Array]:
    """The parts of `rewards.parts`, over arrays. No confidence earns nothing, and that is known.

    A reflection whose judgement failed takes no part in the reflection's pay: it gets its group's
    mean, so that the reply's other parts can still be learnt from.
    """
    a, c = replies.correctness, replies.confidence
    return {
        "calibration": replies.known(np.where(np.isnan(c), 0.0, 1 - (a - c) ** 2)),
        "reflection": filled(replies.quality, replies.group),
        "accuracy": a,
        "format": replies.well_formed,
    }


def recipe(config: Config) -> Recipe:
    """The recipe with the weights and the exact score of `config`."""
    how = config.confidence
    exact = Exact(how.exact, how.step, how.score, how.rule, how.goal, how.prior)
    return Recipe("metaconf", parts, {WHOLE: asdict(config.reward)}, exact=exact)
