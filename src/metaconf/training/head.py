"""From hidden states to logits as the model itself does it.

Families differ in what follows the output matrix: a bias, a scale, a soft cap, an adapter. None of
it is listed here: the model's own forward runs with the given states in the decoder's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from torch.nn import Linear
from torch.nn.functional import linear


class States(tuple[torch.Tensor]):
    """What a decoder returns, with hidden states (1, N, D) and None for whatever else is asked."""

    def __getattr__(self, name: str) -> torch.Tensor | None:
        if name.startswith("_"):  # it is no named tuple
            raise AttributeError(name)
        return self[0] if name == "last_hidden_state" else None


class Head:
    """The way from hidden states to logits of the causal model `causal`, whose `decoder` it is."""

    def __init__(self, causal: Any, decoder: Any):
        self.causal, self.decoder = causal, decoder

    def __call__(self, hidden: torch.Tensor, tokens: Sequence[int] | None = None) -> torch.Tensor:
        """Logits (N, V) in float32 of `hidden` (N, D); of `tokens` alone (N, len(tokens)), which
        are then computed in float32 too."""
        layer = self.causal.get_output_embeddings()
        plain = type(layer) is Linear or {FSDPModule, Linear} <= {*type(layer).__mro__}
        if tokens is None or not plain:
            logits = self._logits(hidden)
            return logits if tokens is None else logits[:, list(tokens)]

        def some(states: torch.Tensor) -> torch.Tensor:
            bias = None if layer.bias is None else layer.bias[list(tokens)].float()
            with torch.autocast(states.device.type, enabled=False):
                return linear(states.float(), layer.weight[list(tokens)].float(), bias)

        with runs_as(layer, some):
            return self._logits(hidden)

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        # Not `causal(…)`: hooks of a wrapper around the whole model have run already.
        places = torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device)
        with runs_as(self.decoder, lambda *_, **__: States((hidden[None],))):
            return self.causal.forward(input_ids=places, use_cache=False).logits[0].float()


@contextmanager
def runs_as(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Within: `module` runs `forward`."""
    before = module.__dict__.get("forward")  # one that a library has put there
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before
