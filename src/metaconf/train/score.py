"""Losses of a confidence over the model's whole distribution on the levels, and their goal."""

from __future__ import annotations

import torch

from metaconf.train.levels import expectation, soften


def goal(expected: torch.Tensor, outcome: torch.Tensor, step: float) -> torch.Tensor:
    """Weights on the levels (n, 11): a narrow distribution whose mean lies `step` of the way from
    the model's expectation E to the outcome a, E + step·(a − E), split between its two nearest
    levels. `expected` and `outcome` (n,) in [0, 1], `step` in (0, 1].

    Cross-entropy to it has its fixed point at E = P(right), as the Brier score of the expectation,
    (E − a)², has. Unlike that score it leaves no room for a broad distribution around E, so that
    the level that is spoken, its mode, follows the expectation.
    """
    means = expected + step * (outcome - expected)
    return torch.from_numpy(soften(means.detach().double().cpu().numpy())).to(expected)


def confidence_loss(levels: torch.Tensor, outcome: torch.Tensor, step: float) -> torch.Tensor:
    """Mean cross-entropy of `levels` (n, 11), probabilities among themselves, to the goal."""
    weights = goal(expectation(levels.detach()), outcome, step)
    return -(weights * levels.clamp_min(1e-8).log()).sum(-1).mean()


def taught_loss(logprobs: torch.Tensor, targets: torch.Tensor, step: float) -> torch.Tensor:
    """The same for `logprobs` (n, 11) over the whole vocabulary, so that nothing but a level is
    learnt to stand there; `targets` (n,) in [0, 1] in the place of outcomes."""
    expected = expectation(torch.softmax(logprobs.detach(), -1))
    weights = goal(expected, targets.to(expected), step)
    # 0 × −inf is no number.
    return -(weights * logprobs.clamp_min(-100.0)).sum(-1).mean()
