"""CREDO (2026): ½F + a to the answer, F·(1 − (t − c)²) to the confidence, with t = ½a + ½ā and
F = format ok; each reply weighs clip(1 + κ(|a − c| − mean), ½, 2).

An approximation: they read c off a reserved pair of tokens, c = σ(z_high − z_low), smooth in the
logits and no sample, and our format has no such pair. In its place stands the expectation
over the model's own distribution on the levels, smooth in the logits too, and the confidence's
reward is followed by its exact gradient; in the pay that is logged and in the weights c is the
number said. κ is not in what this was written from: 1. The mean is that of the batch; the standard
deviation of the group divides, as in GRPO.
"""

from __future__ import annotations

import numpy as np

from metaconf.rewards.recipes.base import BEFORE, CONFIDENCE, Exact, Recipe, Replies
from metaconf.rewards.targets import Array, target

KAPPA = 1.0
LEAST, MOST = 0.5, 2.0


def parts(replies: Replies) -> dict[str, Array]:
    a, c, ok = replies.correctness, replies.confidence, replies.stated
    near = 1 - (target("mixture", a, replies.group) - c) ** 2
    return {
        "accuracy": a,
        "format": replies.known(ok.astype(float)),
        "calibration": replies.known(np.where(ok, near, 0.0)),
    }


def weigh(replies: Replies) -> Array:
    """(N,) more for replies whose confidence was far off; 1 where that is not known."""
    far = np.abs(replies.correctness - replies.confidence)
    known = ~np.isnan(far)
    mean = far[known].mean() if known.any() else 0.0
    return np.where(known, np.clip(1 + KAPPA * (far - mean), LEAST, MOST), 1.0)


CREDIT = {BEFORE: {"format": 0.5, "accuracy": 1.0}, CONFIDENCE: {"calibration": 1.0}}
EXACT = Exact(1.0, score="expectation", goal="mixture", gated=True)
RECIPE = Recipe("credo", parts, CREDIT, scale="group", exact=EXACT, weigh=weigh)
