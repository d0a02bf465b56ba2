"""Losses of a confidence over the model's whole distribution on the levels, and their goal.

"10" is two tokens for most tokenizers; the distribution (`levels.level_probabilities`) has it as
the level that it is, so each sum here is exact: nothing is sampled.
"""

from __future__ import annotations

import torch

from metaconf.rewards.recipes.base import Exact, Rule
from metaconf.training.levels import LEVELS, expectation, soft_labels

NARROWED = 0.2
"""How much of a tilted goal is the own expectation, narrow: more holds it to the nearest level."""
LEAST_VARIANCE = 0.0025
"""That of half and half on two neighbouring levels: a narrower distribution counts as this one."""
CLIP = 0.001
"""A log score takes confidences in [CLIP, 1 − CLIP]: to say 0 and be right would be infinite."""


def goal(expected: torch.Tensor, outcome: torch.Tensor, step: float) -> torch.Tensor:
    """Weights on the levels (n, 11): a narrow distribution whose mean lies `step` of the way from
    the model's expectation E to the outcome a, E + step·(a − E), split between its two nearest
    levels. `expected` and `outcome` (n,) in [0, 1], `step` in (0, 1].

    Cross-entropy to it has its fixed point at E = P(right), as the Brier score of the expectation,
    (E − a)², has. Unlike that score it leaves no room for a broad distribution around E, so that
    the level that is spoken, its mode, follows the expectation.
    """
    means = expected + step * (outcome - expected)
    return torch.from_numpy(soft_labels(means.detach().double().cpu().numpy())).to(expected)


def tilted(levels: torch.Tensor, outcome: torch.Tensor, step: float) -> torch.Tensor:
    """Weights on the levels (n, 11), which sum to 1 and may be below 0: the model's distribution p,
    a fifth of it narrowed to its expectation E, tilted towards the outcome a by
    step·(a − E)·p_k·(k − E)/Var p.

    The tilt moves the mean by step·(a − E) in the natural gradient's direction, linear in a: over
    many outcomes of P(right) = P the pulls add up to step·(P − E), and rest at E = P. `goal` rests
    there too, but on its way a far outcome, where p has little mass, pulls less than its due, so
    that rarely right answers sank below P (docs/lab-notebook.md). Source: Amari, Natural gradient
    works efficiently in learning (1998), for the family p_k·exp(θk).
    """
    expected = expectation(levels)[:, None]
    apart = torch.linspace(0, 1, LEVELS, device=levels.device, dtype=levels.dtype) - expected
    variance = (levels * apart.square()).sum(-1, keepdim=True).clamp_min(LEAST_VARIANCE)
    pull = step * (outcome[:, None] - expected) * levels * apart / variance
    narrow = goal(expected[:, 0], outcome, 0.0)
    return (1 - NARROWED) * levels + NARROWED * narrow + pull


def exact_losses(levels: torch.Tensor, target: torch.Tensor, exact: Exact) -> torch.Tensor:
    """(n,) losses of `levels` (n, 11), probabilities among themselves, against `target` (n,).

    tilted, narrow: cross-entropy to `tilted` and to `goal`. expectation: the score of
    E = Σ p_k·k/10. spoken: the expected score of the number said, Σ p_k·s(k/10). both: the last two
    added. `expectation` leaves the distribution as broad as it was; `spoken`, with Brier's rule
    that of ConfTuner, is least where all stands on one level.
    """
    if exact.score == "tilted":
        return _cross_entropy(levels, tilted(levels.detach(), target.to(levels), exact.step))
    if exact.score == "narrow":
        return _cross_entropy(levels, goal(expectation(levels.detach()), target, exact.step))
    said = torch.linspace(0, 1, LEVELS, device=levels.device, dtype=levels.dtype)
    of_mean = score(expectation(levels), target, exact.rule)
    of_said = (levels * score(said[None], target[:, None], exact.rule)).sum(-1)
    terms = {"expectation": of_mean, "spoken": of_said, "both": of_mean + of_said}
    return terms[exact.score]


def score(confidence: torch.Tensor, outcome: torch.Tensor, rule: Rule) -> torch.Tensor:
    """A proper score as a loss, least at confidence = P(right): (c − a)², or the log score
    −a·log c − (1 − a)·log(1 − c), whose least CLIP moves by no more than CLIP."""
    if rule == "brier":
        return (confidence - outcome).square()
    # Squeezed, not clamped: a clamp has no gradient where it is needed most.
    inside = CLIP + (1 - 2 * CLIP) * confidence
    return -(outcome * inside.log() + (1 - outcome) * (1 - inside).log())


def _cross_entropy(levels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return -(weights * levels.clamp_min(1e-8).log()).sum(-1)


def taught_loss(logprobs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of `logprobs` (n, 11), over the whole vocabulary so that nothing but a level is
    learnt to stand there, to narrow distributions with means `targets` (n,) in [0, 1]."""
    weights = goal(targets, targets, 1.0)
    # 0 × −inf is no number.
    return -(weights * logprobs.clamp_min(-100.0)).sum(-1).mean()
