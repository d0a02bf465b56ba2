"""The exact expected score of the confidence: a loss over the model's distribution on levels."""

from __future__ import annotations

import torch

from metaconf.train.levels import LEVELS, soften


def confidence_loss(levels: torch.Tensor, outcome: torch.Tensor, step: float) -> torch.Tensor:
    """Cross-entropy to a narrow distribution whose mean lies `step` of the way from the model's
    expectation E to the outcome a: mean E + step·(a − E), split between its two nearest levels.

    Its fixed point is E = P(right), as for the Brier score of the expectation, (E − a)²; unlike
    that score it leaves no room for a broad distribution around E, so that the level that is
    spoken follows the expectation. `levels` (n, 11), `outcome` (n,) in [0, 1], `step` in (0, 1].
    """
    scale = torch.linspace(0, 1, LEVELS, device=levels.device)
    with torch.no_grad():
        expected = levels @ scale
        goal = expected + step * (outcome - expected)
        weights = torch.from_numpy(soften(goal.cpu().numpy())).to(levels)
    return -(weights * levels.clamp_min(1e-8).log()).sum(-1).mean()
