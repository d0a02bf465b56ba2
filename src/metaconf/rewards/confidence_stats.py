"""What a batch's confidences look like as a whole: signs that a policy plays the reward."""

from __future__ import annotations

import numpy as np

from metaconf.metrics import effective_levels
from metaconf.rewards.recipe import RolloutBatch

FEW = 5
"""Of fewer replies than this nothing is said."""


def confidence_stats(batch: RolloutBatch) -> dict[str, float]:
    """Of the replies that state a confidence: `confidence/mode_fraction`, the share of the most
    frequent one, and `confidence/effective_levels`, the effective number of them; of those that
    state 0 and were graded `confidence/right_at_0`, their mean correctness. Absent where there are
    too few."""
    stated = batch.confidence[~np.isnan(batch.confidence)]
    found: dict[str, float] = {}
    if len(stated) >= FEW:
        _, counts = np.unique(stated, return_counts=True)
        found["confidence/mode_fraction"] = float(counts.max() / counts.sum())
        found["confidence/effective_levels"] = effective_levels(stated)
    unsure = batch.correctness[batch.confidence == 0]
    graded = unsure[~np.isnan(unsure)]
    if len(graded) >= FEW:
        found["confidence/right_at_0"] = float(graded.mean())
    return found
