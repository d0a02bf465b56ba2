"""ConfTuner (2025): Σ_k p_k (a − k/N)² over the confidence tokens, as a loss; no reinforcement.

The model's own replies are its data here. The reward that is logged is the same score of the
sampled number. A reply that states no number has no tokens to train and is left out.
"""

from __future__ import annotations

from metaconf.rewards.recipe import CONFIDENCE, ExpectedScore, Recipe, RolloutBatch
from metaconf.rewards.targets import Array


def parts(batch: RolloutBatch) -> dict[str, Array]:
    return {"calibration": -((batch.correctness - batch.confidence) ** 2)}


SCORE = ExpectedScore(1.0, "spoken")
RECIPE = Recipe("conftuner", parts, {CONFIDENCE: {"calibration": 1.0}}, expected_score=SCORE)
