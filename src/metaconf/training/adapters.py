"""LoRA adapters: which modules they cover, and how a trained model is merged and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig

from metaconf.config.blocks import Config
from metaconf.files import filling
from metaconf.generation.local import LocalModel
from metaconf.runs import is_main_process, model_identity
from metaconf.training.checkpoints import saving


def lora(config: Config) -> LoraConfig | None:
    """The adapter that the configuration asks for; None trains all weights."""
    if not config.use_peft:
        return None
    chosen = config.lora_target_modules
    modules: Any = chosen if isinstance(chosen, str) else list(chosen)
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=config.lora_dropout,
        target_modules=modules,
        task_type="CAUSAL_LM",
    )


def finish(model: Any, tokenizer: Any, out: Path) -> LocalModel:
    """Merge an adapter, save model and tokenizer as an ordinary folder `out`, and return the model
    ready to reply. Of several processes only the main one saves."""
    merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    merged.set_attn_implementation("sdpa")
    merged.config.use_cache = True
    if is_main_process():
        with saving(out), filling(out) as aside:
            merged.save_pretrained(aside)
            tokenizer.save_pretrained(aside)
    identity = model_identity(str(out)) if is_main_process() else ""
    return LocalModel(merged.eval(), tokenizer, identity=identity)
