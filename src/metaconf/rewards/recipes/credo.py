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

from metaconf.rewards.recipe import BEFORE, CONFIDENCE, ExpectedScore, Recipe, RolloutBatch
from metaconf.rewards.targets import Array, mixed_accuracy

KAPPA = 1.0
LEAST, MOST = 0.5, 2.0


def parts(batch: RolloutBatch) -> dict[str, Array]:
    a, c, ok = batch.correctness, batch.confidence, batch.stated
    near = 1 - (mixed_accuracy(a, batch.group) - c) ** 2
    return {
        "accuracy": a,
        "format": batch.known(ok.astype(float)),
        "calibration": batch.known(np.where(ok, near, 0.0)),
    }


def mixed_outcome(batch: RolloutBatch) -> Array:
    """(N,) t, NaN where the reply is malformed: its confidence is not trained."""
    mixed = mixed_accuracy(batch.correctness, batch.group)
    return np.where(batch.stated, mixed, np.nan)


def weigh(batch: RolloutBatch) -> Array:
    """(N,) more for replies whose confidence was far off; 1 where that is not known."""
    far = np.abs(batch.correctness - batch.confidence)
    known = ~np.isnan(far)
    mean = far[known].mean() if known.any() else 0.0
    return np.where(known, np.clip(1 + KAPPA * (far - mean), LEAST, MOST), 1.0)


CREDIT = {BEFORE: {"format": 0.5, "accuracy": 1.0}, CONFIDENCE: {"calibration": 1.0}}
SCORE = ExpectedScore(1.0, "expectation", mixed_outcome)
RECIPE = Recipe("credo", parts, CREDIT, scale="group", expected_score=SCORE, weigh=weigh)
