"""What a batch's confidences look like as a whole: signs that a policy plays the reward."""

from __future__ import annotations

import numpy as np

from metaconf.metrics import levels
from metaconf.rewards.recipes.base import Replies

FEW = 5
"""Of fewer replies than this nothing is said."""


def habits(replies: Replies) -> dict[str, float]:
    """Of the replies that state a confidence: `confidence/commonest`, the share of the commonest
    one, and `confidence/levels`, the effective number of them; of those that state 0 and
    were graded `confidence/right_at_0`, their mean correctness. Absent where there are too few."""
    stated = replies.confidence[~np.isnan(replies.confidence)]
    found: dict[str, float] = {}
    if len(stated) >= FEW:
        _, counts = np.unique(stated, return_counts=True)
        found["confidence/commonest"] = float(counts.max() / counts.sum())
        found["confidence/levels"] = levels(stated)
    unsure = replies.correctness[replies.confidence == 0]
    graded = unsure[~np.isnan(unsure)]
    if len(graded) >= FEW:
        found["confidence/right_at_0"] = float(graded.mean())
    return found
