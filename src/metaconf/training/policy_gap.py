"""Whether the replies come from the policy that is trained on them.

What draws replies and what trains compute the same log-probabilities of the same tokens, but for
rounding. An engine that has not got the last weights, or has another model, template or number
format, shows in their difference, and in nothing else before the run is lost.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import torch

from metaconf.errors import UserError
from metaconf.training.merged import LOW

log = logging.getLogger("metaconf")
WARN, WARN_ROUNDED = 5e-4, 0.06
"""Mean absolute gap in nats a token from which a run warns: of float32 without dropout, and of all
others. Healthy steps lie far below (benchmarks/stale.py)."""
STOP = 0.3
"""The gap at which a run stops, in any format: the replies are those of another policy."""
CAUSES = (
    "what draws the replies may lack the last weights, or have another model, chat template or"
    " number format than what is trained; dropout shows here too (disable_dropout: true)"
)


class Gap(NamedTuple):
    """Over n sampled tokens, in nats a token: the mean absolute difference of the trainer's
    log-probabilities from the sampler's, and an estimate of KL(sampler ‖ trainer) without bias
    (the mean of e^d − 1 − d; Schulman, Approximating KL divergence, 2020)."""

    mean: float
    kl: float


def gap_sums(
    trained_BT: torch.Tensor, sampled_BT: torch.Tensor, mask_BT: torch.Tensor
) -> torch.Tensor:
    """Sums (3,) over the replies' tokens whose log-probability is known on both sides: of the
    absolute difference, of the KL estimate, and of ones."""
    difference = (trained_BT.detach() - sampled_BT)[mask_BT.bool()].float()
    difference = difference[difference.isfinite()]
    count = difference.new_tensor(len(difference))
    return torch.stack([difference.abs().sum(), (difference.expm1() - difference).sum(), count])


class GapCheck:
    """Warns of a gap once, and stops the run where the replies come from another policy. `model`
    is what is trained; `low`: under autocast in a format of 16 bits."""

    def __init__(self, model: torch.nn.Module, low: bool = False):
        parts = model.modules()
        drops = any(isinstance(part, torch.nn.Dropout) and part.p > 0 for part in parts)
        rounded = low or drops or any(weight.dtype in LOW for weight in model.parameters())
        self.warn = WARN_ROUNDED if rounded else WARN
        self.warned = False

    def __call__(self, gap: Gap, step: int) -> None:
        """Raises UserError from STOP on, and for a gap that is no number."""
        told = (
            f"step {step}: the log-probabilities of the sampled tokens differ by {gap.mean:.2g}"
            " nats a token between what drew them and what is trained"
        )
        if not gap.mean < STOP:
            raise UserError(f"{told} (limit {STOP}): {CAUSES}; stopped before the step was taken")
        if gap.mean >= self.warn and not self.warned:
            self.warned = True
            log.warning("%s (healthy: below %g): %s", told, self.warn, CAUSES)
