"""Stage 1 as one call: rows of `prepare` in, an ordinary model folder out."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from torch.nn import Linear

from metaconf.config.blocks import Config
from metaconf.config.load import first_process
from metaconf.errors import UserError
from metaconf.generation.local import LocalModel, load_local
from metaconf.prompts.chat import messages, render
from metaconf.records import read_jsonl
from metaconf.training.checks import check_tokenizer
from metaconf.training.curriculum import ordered, shuffled
from metaconf.training.encode import encode_reply
from metaconf.training.levels import lead_in, level_tokens
from metaconf.training.progress import show
from metaconf.training.rows import Branch, Row, collate
from metaconf.training.rundir import begin, note
from metaconf.training.sft import ConfidenceSFTTrainer, sft_config
from metaconf.training.written import write_probe

DEFAULTS: dict[str, Any] = {
    "num_train_epochs": 1,
    "per_device_train_batch_size": 16,
    "learning_rate": 4e-4,
    "adam_beta2": 0.95,
    "optim": "adamw_torch_fused",
    "warmup_steps": 10,
    "logging_steps": 2,
    "save_strategy": "steps",
    "save_steps": 50,
    "save_total_limit": 2,
    "gradient_checkpointing": False,
}
"""Ours where the configuration is silent."""


def train_rows(
    local: LocalModel, rows: Sequence[dict[str, Any]], alone: float = 0, whole: float = 1
) -> list[Row]:
    """Sharegpt rows → token rows, in the order of `curriculum.ordered`: first those of which only
    the answer is taught, with the line break after it and the confidence straight after it, then
    those of which the whole reply is taught as well.

    Rows whose reply states no level are refused by their id.
    """
    label = lead_in(local.tokenizer)
    first, last = ordered(rows, alone, whole)
    short = [_train_row(local, row, label, whole=False) for row in first]
    return [*short, *(_train_row(local, row, label, whole=True) for row in last)]


def _train_row(local: LocalModel, row: dict[str, Any], label: list[int], whole: bool) -> Row:
    question, reply = (turn["value"] for turn in row["conversations"])
    prompt = render(local.tokenizer, messages(question, row["system"]))
    encoded = encode_reply(local.tokenizer, reply)
    if encoded.level_at is None or "answer" not in encoded.spans:
        raise UserError(
            f"row {row.get('id')}: the reply states no answer or no confidence; mend or drop it"
        )
    end = encoded.spans["answer"][1]
    direct = Branch(end, label, row["target"])
    if not whole:
        # The line break too: an instruct model ends its turn after a short answer, and in a family
        # of few questions the whole replies alone do not teach it otherwise.
        return Row(prompt, encoded.tokens[: end + 1], None, (direct,))
    told = Branch(encoded.level_at, [], row["target"], direct=False)
    return Row(prompt, encoded.tokens, encoded.level_at, (told, direct))


def within(rows: Sequence[Row], longest: int | None) -> list[Row]:
    """The rows of at most `longest` tokens; those left out are counted on stderr, never cut."""
    fits = [r for r in rows if longest is None or len(r.prompt) + len(r.reply) <= longest]
    if left := len(rows) - len(fits):
        print(f"{left} of {len(rows)} rows are longer than max_length {longest}", file=sys.stderr)
    return fits


def lora(config: Config, model: Any) -> LoraConfig | None:
    """The adapter of `model` that the configuration asks for; None trains all weights."""
    block = config.lora
    if block.r == 0:
        return None
    chosen = block.target_modules
    modules: Any = chosen if isinstance(chosen, str) else list(chosen)
    if block.from_depth:
        modules = _upper(model, block.from_depth, modules)
    return LoraConfig(
        r=block.r,
        lora_alpha=block.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=block.dropout,
        target_modules=modules,
        task_type="CAUSAL_LM",
    )


def _upper(model: Any, depth: float, chosen: str | list[str]) -> list[str]:
    """Full names of the `chosen` modules in the layers from the share `depth` on. (PEFT has its own
    `layers_to_transform`, but not for "all-linear".)"""
    decoder = model.get_decoder()
    first = round(depth * len(decoder.layers))
    places = {id(m) for layer in decoder.layers[first:] for m in layer.modules()}
    linear = [n for n, m in model.named_modules() if id(m) in places and isinstance(m, Linear)]
    if chosen == "all-linear":
        return linear
    if isinstance(chosen, str):  # PEFT's pattern for whole names
        found = [name for name in linear if re.fullmatch(chosen, name)]
    else:
        found = [n for n in linear if any(n == end or n.endswith(f".{end}") for end in chosen)]
    if not found:
        raise UserError(
            f"lora.target_modules {chosen}: no linear layer of that name from layer {first} on "
            f"(lora.from_depth {depth:g}), as there is {linear[0]}"
        )
    return found


def schedule(settings: dict[str, Any], rows: int) -> dict[str, Any]:
    """The learning rate where none is chosen: even, so that what is taught last is learnt as well
    as what is taught first, and falling over the last fifth. `rows` are those of one epoch."""
    if "lr_scheduler_type" in settings:
        return {}
    batch = settings["per_device_train_batch_size"] * settings.get("gradient_accumulation_steps", 1)
    steps = settings.get("max_steps", -1)
    if steps <= 0:
        steps = math.ceil(settings["num_train_epochs"] * math.ceil(rows / batch))
    falling = {"num_decay_steps": max(steps // 5, 1)}
    return {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": falling}


def hardware() -> dict[str, Any]:
    """Trainer settings that follow from the machine: number format and device."""
    import torch

    from metaconf.generation.local import default_dtype

    cuda = torch.cuda.is_available()
    # Weights are loaded in the machine's own format; autocast is for GPUs.
    return {"use_cpu": not cuda, "bf16": cuda and default_dtype() == torch.bfloat16}


def train(
    local: LocalModel, rows: Sequence[dict[str, Any]], config: Config, out: Path
) -> LocalModel:
    """Train on `rows`, save the merged model under `out`, return it ready to reply."""
    taught = config.confidence
    encoded = train_rows(local, shuffled(rows, config.seed), taught.alone, taught.whole)
    tokens = within(encoded, config.trainer.get("max_length"))
    adapter = lora(config, local.model)
    undone: Callable[[], AbstractContextManager[None]] = nullcontext
    if taught.written:
        found = write_probe(local, tokens)
        undone = found.undone
        apart = f"{found.before:.4f} before, {found.after:.4f} now"
        print(f"probe written; confidence from its targets, mean square: {apart}", file=sys.stderr)
    pad = local.tokenizer.pad_token_id or 0  # seen by none wherever it stands
    one = level_tokens(local.tokenizer).first[1]
    settings = {**DEFAULTS, **hardware(), **config.trainer}
    settings |= {"output_dir": str(out), "seed": config.seed}
    settings |= schedule(settings, len(tokens))
    checkpoint = settings.pop("resume_from_checkpoint", None)
    # Eager attention trains 1.6 times faster than sdpa on a CPU at these lengths.
    local.model.set_attn_implementation("eager" if settings["use_cpu"] else "sdpa")
    trainer = ConfidenceSFTTrainer(
        model=local.model,
        args=sft_config(settings),
        train_dataset=Dataset.from_list([row.columns() for row in tokens]),
        processing_class=local.tokenizer,
        peft_config=adapter,
        data_collator=lambda batch: collate(batch, pad, one),
        taught=taught,
        undone=undone,
    )
    show(trainer, "stage 1")
    trainer.train(resume_from_checkpoint=checkpoint)
    write_curve(out / "curve.json", trainer.state.log_history)
    # A question that is taught alone and whole counts once.
    note(out, config, config.train_file, len({tuple(row.prompt) for row in tokens}))
    return finish(trainer.model, local.tokenizer, out)


def finish(model: Any, tokenizer: Any, out: Path) -> LocalModel:
    """Merge an adapter, save model and tokenizer as an ordinary folder, ready for every tool; of
    several processes the first one saves."""
    whole = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    whole.set_attn_implementation("sdpa")
    whole.config.use_cache = True
    if first_process():
        whole.save_pretrained(out)
        tokenizer.save_pretrained(out)
    return LocalModel(whole.eval(), tokenizer)


def write_curve(path: Path, history: Sequence[dict[str, Any]]) -> None:
    """The trainer's log as JSON: one object a logged step, and each time held-out questions were
    asked (see `heldout`); finite numbers only."""
    if not first_process():
        return
    rows = [{k: v for k, v in _numbers(row).items() if abs(v) < float("inf")} for row in history]
    path.write_text(json.dumps([r for r in rows if "loss" in r or "heldout_n" in r]) + "\n")


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for key, value in row.items():
        try:
            numbers[key] = float(value)
        except (TypeError, ValueError):
            continue
    return numbers


def run(config: Config) -> Path:
    """`metaconf sft`: train on the rows of `train_file`, from a checkpoint if one is named."""
    sft_config({**DEFAULTS, **hardware(), **config.trainer, "resume_from_checkpoint": None})
    check_tokenizer(config.model_name_or_path)
    out = begin(config)
    rows = [row for _, row in read_jsonl(Path(config.train_file))]
    train(load_local(config.model_name_or_path), rows, config, out)
    return out
