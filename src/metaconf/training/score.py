"""Losses of a confidence over the model's whole distribution on the levels.

"10" is two tokens for most tokenizers. The distribution (`levels.level_probabilities`) has it as
one level, so each sum here is exact and nothing is sampled.
"""

from __future__ import annotations

import torch

from metaconf.rewards.recipe import ExpectedScore
from metaconf.training.levels import LEVELS, expectation, soft_labels

NARROWED = 0.2
"""Share of a tilted target that is the model's own expectation, made narrow. A larger share holds
the expectation at the nearest level."""
LEAST_VARIANCE = 0.0025
"""Variance of half and half on two neighbouring levels. A narrower distribution counts as this."""


def expected_score_losses(
    levels: torch.Tensor, target: torch.Tensor, score: ExpectedScore
) -> torch.Tensor:
    """Losses (n,) of the probabilities `levels` (n, 11) against `target` (n,) in [0, 1]:

    * tilted: cross-entropy to `tilted_target`.
    * expectation: (E − a)² for E = Σ p_k·k/10. It leaves the breadth of the distribution free.
    * spoken: Σ p_k·(k/10 − a)², the expected Brier score of the sampled number (ConfTuner). It is
      least where all probability is on one level.
    """
    if score.loss == "tilted":
        return _cross_entropy(levels, tilted_target(levels.detach(), target.to(levels), score.step))
    if score.loss == "expectation":
        return (expectation(levels) - target).square()
    values = torch.linspace(0, 1, LEVELS, device=levels.device, dtype=levels.dtype)
    return (levels * (values[None] - target[:, None]).square()).sum(-1)


def tilted_target(levels: torch.Tensor, outcome: torch.Tensor, step: float) -> torch.Tensor:
    """Weights on the levels (n, 11), which sum to 1 and may be below 0: the model's distribution p,
    a fifth of it narrowed to its expectation E, tilted towards the outcome a by
    step·(a − E)·p_k·(k − E)/Var p.

    The tilt moves the mean by step·(a − E) in the direction of the natural gradient and is linear
    in a. Over many outcomes with P(right) = P the tilts add up to step·(P − E): 0 at E = P.
    `narrow_target` has the same fixed point, but a far outcome, where p has little mass, pulls less
    than its due, so that the confidence of rarely right answers sinks below P
    (docs/lab-notebook.md). Source: Amari, Natural gradient works efficiently in learning (1998),
    for the family p_k·exp(θk).
    """
    expected = expectation(levels)[:, None]
    apart = torch.linspace(0, 1, LEVELS, device=levels.device, dtype=levels.dtype) - expected
    variance = (levels * apart.square()).sum(-1, keepdim=True).clamp_min(LEAST_VARIANCE)
    tilt = step * (outcome[:, None] - expected) * levels * apart / variance
    narrow = narrow_target(expected[:, 0], outcome, 0.0)
    return (1 - NARROWED) * levels + NARROWED * narrow + tilt


def narrow_target(expected: torch.Tensor, outcome: torch.Tensor, step: float) -> torch.Tensor:
    """Weights on the levels (n, 11): all on the two levels nearest to E + step·(a − E), with this
    mean. `expected` E and `outcome` a are (n,) in [0, 1], `step` is in [0, 1].

    Cross-entropy to it has its fixed point at E = P(right), as the Brier score of the expectation
    has. Unlike that score it leaves no room for a broad distribution around E, so that the level
    that is written, the mode, follows the expectation.
    """
    means = expected + step * (outcome - expected)
    return torch.from_numpy(soft_labels(means.detach().double().cpu().numpy())).to(expected)


def _cross_entropy(levels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return -(weights * levels.clamp_min(1e-8).log()).sum(-1)


def taught_loss(logprobs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of `logprobs` (n, 11) to narrow distributions with means `targets` (n,) in
    [0, 1]. The probabilities are over the whole vocabulary, so that only levels are learnt."""
    weights = narrow_target(targets, targets, 1.0)
    # 0 × −inf is no number.
    return -(weights * logprobs.clamp_min(-100.0)).sum(-1).mean()
