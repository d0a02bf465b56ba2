"""Losses of a confidence over the model's whole distribution on the levels, and their goal.

"10" is two tokens for most tokenizers; the distribution (`levels.level_probabilities`) has it as
the level that it is, so each sum here is exact: nothing is sampled.
"""

from __future__ import annotations

import torch

from metaconf.rewards.recipes.base import Exact, Rule
from metaconf.train.levels import LEVELS, expectation, soften

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
    return torch.from_numpy(soften(means.detach().double().cpu().numpy())).to(expected)


def exact_losses(levels: torch.Tensor, target: torch.Tensor, exact: Exact) -> torch.Tensor:
    """(n,) losses of `levels` (n, 11), probabilities among themselves, against `target` (n,).

    narrow: cross-entropy to `goal`. expectation: the score of E = Σ p_k·k/10. spoken: the expected
    score of the number said, Σ p_k·s(k/10). both: the last two added. `expectation` leaves the
    distribution as broad as it was; `spoken`, with Brier's rule that of ConfTuner, is least where
    all stands on one level.
    """
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


def taught_loss(logprobs: torch.Tensor, targets: torch.Tensor, step: float) -> torch.Tensor:
    """The same for `logprobs` (n, 11) over the whole vocabulary, so that nothing but a level is
    learnt to stand there; `targets` (n,) in [0, 1] in the place of outcomes."""
    expected = expectation(torch.softmax(logprobs.detach(), -1))
    weights = goal(expected, targets.to(expected), step)
    # 0 × −inf is no number.
    return -(weights * logprobs.clamp_min(-100.0)).sum(-1).mean()
