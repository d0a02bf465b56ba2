"""LoRA adapters: which modules they cover, and how a trained model is merged and saved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from peft import LoraConfig
from torch.nn import Linear

from metaconf.config.blocks import Config
from metaconf.errors import UserError
from metaconf.generation.local import LocalModel
from metaconf.runs import is_main_process


def lora(config: Config, model: Any) -> LoraConfig | None:
    """The adapter of `model` that the configuration asks for; None trains all weights."""
    if not config.use_peft:
        return None
    chosen = config.lora_target_modules
    modules: Any = chosen if isinstance(chosen, str) else list(chosen)
    if config.lora_layers_from:
        modules = _upper(model, config.lora_layers_from, modules)
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=config.lora_dropout,
        target_modules=modules,
        task_type="CAUSAL_LM",
    )


def _upper(model: Any, depth: float, chosen: str | list[str]) -> list[str]:
    """Full names of the `chosen` linear modules in the layers from the fraction `depth` on. (PEFT's
    `layers_to_transform` does not work with "all-linear".)"""
    decoder = model.get_decoder()
    first = round(depth * len(decoder.layers))
    upper = {id(m) for layer in decoder.layers[first:] for m in layer.modules()}
    linear = [n for n, m in model.named_modules() if id(m) in upper and isinstance(m, Linear)]
    if chosen == "all-linear":
        return linear
    if isinstance(chosen, str):  # PEFT takes a text as a pattern of whole names
        found = [name for name in linear if re.fullmatch(chosen, name)]
    else:
        found = [n for n in linear if any(n == end or n.endswith(f".{end}") for end in chosen)]
    if not found:
        raise UserError(
            f"lora_target_modules {chosen}: no linear layer of that name from layer {first} on "
            f"(lora_layers_from {depth:g}), as there is {linear[0]}"
        )
    return found


def finish(model: Any, tokenizer: Any, out: Path) -> LocalModel:
    """Merge an adapter, save model and tokenizer as an ordinary folder `out`, and return the model
    ready to reply. Of several processes only the main one saves."""
    merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    merged.set_attn_implementation("sdpa")
    merged.config.use_cache = True
    if is_main_process():
        merged.save_pretrained(out)
        tokenizer.save_pretrained(out)
    return LocalModel(merged.eval(), tokenizer)
