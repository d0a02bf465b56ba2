"""ConfTuner (2025): Σ_k p_k (a − k/N)² over the confidence tokens, as a loss; no reinforcement.

The model's own replies are its data here. What is logged as pay is the same score of the number
said; a reply that states none has no tokens to be taught, and is left out.
"""

from __future__ import annotations

from metaconf.rewards.recipes.base import CONFIDENCE, Exact, Recipe, Replies
from metaconf.rewards.targets import Array


def parts(replies: Replies) -> dict[str, Array]:
    return {"calibration": -((replies.correctness - replies.confidence) ** 2)}


EXACT = Exact(1.0, score="spoken", rule="brier")
RECIPE = Recipe("conftuner", parts, {CONFIDENCE: {"calibration": 1.0}}, exact=EXACT)
