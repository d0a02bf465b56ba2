"""LoRA adapters: which modules they cover, and how a trained model is merged and saved.

What is saved is what was trained. An update that a merge in bfloat16 would round away is merged and
saved in float32.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch.nn import Linear

from metaconf.config.blocks import Config
from metaconf.files import filling
from metaconf.generation.local import LocalModel
from metaconf.runs import is_main_process, model_identity
from metaconf.training.checkpoints import saving
from metaconf.training.merged import LOW, adapted_layers

KEPT = 0.9
"""The least cosine of an update with what rounding leaves of it. Above it rounding is noise that
falls both ways; far below it, it takes most of the update back."""


MAMBA = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})
"""Types of models whose kernels take the weights of `out_proj` past its forward."""


def lora(config: Config, model: Any) -> LoraConfig | None:
    """The adapter of `model` that the configuration asks for; None trains all weights."""
    if not config.use_peft:
        return None
    chosen = config.lora_target_modules
    modules: Any = chosen if isinstance(chosen, str) else list(chosen)
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=config.lora_dropout,
        target_modules=modules,
        exclude_modules=(_unadaptable(model) or None) if chosen == "all-linear" else None,
        task_type="CAUSAL_LM",
    )


def _unadaptable(model: Any) -> list[str]:
    """The linear layers that PEFT adapts in no model, or refuses to in this one."""
    past_forward = model.config.model_type in MAMBA
    return [*_routers(model), *(["out_proj"] if past_forward else [])]


@torch.no_grad()
def _routers(model: Any) -> list[str]:
    """The linear layers that return more than one tensor (Llama 4's), which PEFT cannot adapt."""
    linear = [(name, part) for name, part in model.named_modules() if isinstance(part, Linear)]
    return [
        name
        for name, part in linear
        if type(part).forward is not Linear.forward
        and isinstance(part(part.weight.new_zeros(1, part.in_features)), tuple)
    ]


def weights_dtype(config: Config) -> torch.dtype | None:
    """The number format of the weights that are loaded; None leaves it to the machine. Where all
    weights are trained it is float32: in bfloat16 most of a small step is rounded away."""
    if config.dtype != "auto":
        return getattr(torch, config.dtype)
    return None if config.use_peft else torch.float32


def finish(
    model: Any, tokenizer: Any, out: Path, merge: bool = True, attention: str = "sdpa"
) -> LocalModel:
    """Save model and tokenizer as an ordinary folder `out`, its adapter merged or, without `merge`,
    as an adapter of PEFT's. Returns the model ready to reply, with its `attention`. Of several
    processes only the main one saves."""
    adapted = hasattr(model, "merge_and_unload")
    if is_main_process() and adapted and not merge:
        with saving(out), filling(out) as aside:
            model.save_pretrained(aside)
            tokenizer.save_pretrained(aside)
    dtype = (model.get_base_model() if adapted else model).dtype
    whole = _whole(model, dtype) if adapted else model
    whole.set_attn_implementation(attention)
    whole.config.use_cache = True
    if is_main_process() and (merge or not adapted):
        with saving(out), filling(out) as aside:
            whole.save_pretrained(aside)
            tokenizer.save_pretrained(aside)
    identity = model_identity(str(out)) if is_main_process() else ""
    return LocalModel(whole.to(dtype).eval(), tokenizer, identity=identity)


def _whole(model: Any, dtype: torch.dtype) -> Any:
    """The model of a PEFT model with its adapter merged, one layer at a time in float32; in `dtype`
    where the update survives it, else all of it in float32."""
    if dtype not in LOW:
        return model.merge_and_unload()
    layers = adapted_layers(model)
    kept = _kept(layers)
    for layer in layers:
        layer.get_base_layer().float()
    merged = model.merge_and_unload()
    if kept >= KEPT:
        return merged.to(dtype)
    if is_main_process():
        print(
            f"metaconf: the update is too small for {str(dtype).partition('.')[2]} (cosine"
            f" {kept:.2f} with what rounding leaves of it): the model is saved in float32",
            file=sys.stderr,
        )
    return merged.float()


@torch.no_grad()
def _kept(layers: list[Any]) -> float:
    """The cosine of the update of `layers` with what is left of it in their own format."""
    dot = full = left = 0.0
    for layer in layers:
        weight = getattr(layer.get_base_layer(), "weight", None)
        if weight is None:  # experts, which have several
            continue
        for name in layer.active_adapters:
            update = layer.get_delta_weight(name).float()
            rounded = (weight.float() + update).to(weight.dtype).float() - weight.float()
            dot += (update * rounded).sum().item()
            full += update.square().sum().item()
            left += rounded.square().sum().item()
    return dot / math.sqrt(full * left) if full and left else float(full == left)
