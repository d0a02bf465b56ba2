"""Generate with the adapter merged into the weights, then put the clean weights back.

An unmerged adapter makes a generated token 2.7 times slower. Merging and unmerging by arithmetic
drifts in low precision, so the clean weights are kept aside and copied back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch


@contextmanager
def merged_adapter(model: Any) -> Iterator[Any]:
    """Within: the base model of `model` with the adapter merged, in evaluation mode."""
    training = model.training
    model.eval()
    try:
        if not hasattr(model, "merge_adapter"):
            yield model
            return
        clean_weights = _clean_weights(model)
        model.merge_adapter()
        try:
            yield model.get_base_model()
        finally:
            model.unmerge_adapter()
            _restore(clean_weights)
    finally:
        model.train(training)


def _clean_weights(model: Any) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    weights: list[Any] = [cast(Any, layer).get_base_layer().weight for layer in layers]
    return [(w, w.detach().clone()) for w in weights]


@torch.no_grad()
def _restore(clean_weights: list[tuple[torch.nn.Parameter, torch.Tensor]]) -> None:
    for weight, clean in clean_weights:
        weight.copy_(clean)
