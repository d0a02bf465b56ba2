"""Generate with the adapter in the weights, or beside them, and leave the weights as they were.

In float32 the adapter is merged: beside the weights, as PEFT computes it, a generated token takes
2.7 times as long. Merging and unmerging by arithmetic drifts, so the clean weights are kept aside
and copied back. In bfloat16 nothing is merged: a weight is rounded to 8 bits, and of an update
smaller than that little is left (at `learning_rate` 1e-6 the replies would come from another model
than the one that is trained). There the adapter is run beside the weights, in their own format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch.nn.functional import linear

from metaconf.training.head import runs_as

LOW = (torch.bfloat16, torch.float16)


@contextmanager
def merged_adapter(model: Any) -> Iterator[Any]:
    """Within: the base model of `model` replies as adapter and model together do, in evaluation
    mode."""
    training = model.training
    model.eval()
    try:
        if not hasattr(model, "merge_adapter"):
            yield model
            return
        with (_beside if model.get_base_model().dtype in LOW else _merged)(model):
            yield model.get_base_model()
    finally:
        model.train(training)


@contextmanager
def _merged(model: Any) -> Iterator[None]:
    clean_weights = [
        (weight, weight.detach().clone())
        for layer in adapted_layers(model)
        for weight in layer.get_base_layer().parameters()
    ]
    model.merge_adapter()
    try:
        yield
    finally:
        model.unmerge_adapter()
        _restore(clean_weights)


@contextmanager
def _beside(model: Any) -> Iterator[None]:
    from peft.tuners.lora.layer import Linear

    with ExitStack() as stack:
        for layer in adapted_layers(model):
            if type(layer) is Linear and not layer.lora_variant:  # others run as PEFT has them
                stack.enter_context(runs_as(layer, _lean(layer)))
        yield


def _lean(layer: Any) -> Callable[..., torch.Tensor]:
    """x·W + (x·A)·(s·B), in the format of W: PEFT computes the second part in float32."""
    (name,) = layer.active_adapters
    dtype = layer.get_base_layer().weight.dtype
    down = layer.lora_A[name].weight.detach().to(dtype)
    up = (layer.lora_B[name].weight.detach() * layer.scaling[name]).to(dtype)

    def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return layer.base_layer(x, *args, **kwargs) + linear(linear(x, down), up)

    return forward


def adapted_layers(model: Any) -> list[Any]:
    """The layers of a PEFT model that have an adapter."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [cast(Any, part) for part in model.modules() if isinstance(part, BaseTunerLayer)]


@torch.no_grad()
def _restore(clean_weights: list[tuple[torch.nn.Parameter, torch.Tensor]]) -> None:
    for weight, clean in clean_weights:
        weight.copy_(clean)
