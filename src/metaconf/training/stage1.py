"""Stage 1 as one call: prepared rows in, an ordinary model folder out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from metaconf.config.blocks import Config
from metaconf.errors import UserError
from metaconf.generation.local import LocalModel, load_local
from metaconf.records import read_jsonl
from metaconf.runs import RESUME_KEY, begin, is_main_process, note
from metaconf.training.adapters import finish, lora, weights_dtype
from metaconf.training.checks import check_forward, check_tokenizer
from metaconf.training.curriculum import shuffled
from metaconf.training.levels import level_tokens
from metaconf.training.own_confidences import OWN_CONFIDENCES
from metaconf.training.own_replies import check_replies
from metaconf.training.processes import filled
from metaconf.training.progress import show, write_curve
from metaconf.training.rows import collate_batch, reply_length, train_rows, within
from metaconf.training.sft import ConfidenceSFTTrainer, sft_config

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
"""TRL's keys where the configuration gives none."""


def run(config: Config) -> Path:
    """`metaconf sft`: train on the rows of `train_file`; returns the run directory.

    Goes on from a checkpoint if the configuration names one. Raises UserError for settings that TRL
    refuses, and for a tokenizer that cannot be used.
    """
    sft_config({**DEFAULTS, **hardware(), **config.trainer, "resume_from_checkpoint": None})
    check_tokenizer(config.model_name_or_path)
    rows = [row for _, row in read_jsonl(Path(config.train_file))]
    local = load_local(config.model_name_or_path, weights_dtype(config))
    check_forward(config.model_name_or_path, local.model)
    with begin(config, bool(config.trainer.get(RESUME_KEY))) as out:
        train(local, rows, config, out)
    return out


def train(
    local: LocalModel, rows: Sequence[dict[str, Any]], config: Config, out: Path
) -> LocalModel:
    """Train `local` on prepared `rows`, save the merged model under `out`, and return it."""
    how = config.confidence
    shares = how.confidence_only_epochs, how.opening_fraction, how.full_reply_fraction
    encoded = train_rows(local, shuffled(rows, config.seed), *shares)
    tokens = within(encoded, config.trainer.get("max_length"))
    if not tokens:
        raise UserError(
            "no row is left to train on; raise max_length, confidence.confidence_only_epochs or"
            " confidence.*_fraction"
        )
    adapter = lora(config, local.model)
    settings = _settings(config, out)
    checkpoint = settings.pop("resume_from_checkpoint", None)
    attention = local.model.config._attn_implementation
    if settings["use_cpu"]:  # eager attention trains 1.6 times as fast as sdpa at these lengths
        local.model.set_attn_implementation("eager")
    pad = local.tokenizer.pad_token_id or 0  # no token attends to it
    one = level_tokens(local.tokenizer).first[1]
    trainer = ConfidenceSFTTrainer(
        model=local.model,
        args=sft_config(settings),
        train_dataset=Dataset.from_list([row.columns() for row in tokens]),
        processing_class=local.tokenizer,
        peft_config=adapter,
        data_collator=lambda batch: collate_batch(batch, pad, one),
        how=how,
        two_parts="lr_scheduler_type" not in config.trainer,
    )
    show(trainer, "stage 1")
    if checkpoint is None and is_main_process():
        (out / OWN_CONFIDENCES).unlink(missing_ok=True)  # of a start that failed
    trainer.train(resume_from_checkpoint=checkpoint)
    write_curve(out / "curve.json", trainer.state.log_history)
    # A question may have two rows, with and without its reflection, and counts once.
    note(out, config, config.train_file, len({tuple(row.prompt) for row in tokens}))
    trained = finish(filled(trainer), local.tokenizer, out, config.merge, attention)
    if how.full_reply_fraction and is_main_process():
        check_replies(trained, shuffled(rows, config.seed), 2 * max(map(reply_length, tokens)))
    return trained


def _settings(config: Config, out: Path) -> dict[str, Any]:
    """TRL's keys: ours, the machine's, the configuration's."""
    own = {"output_dir": str(out), "seed": config.seed}
    return {**DEFAULTS, **hardware(), **config.trainer, **own}


def hardware() -> dict[str, Any]:
    """TRL's keys that follow from the machine: device and number format."""
    import torch

    from metaconf.generation.local import default_dtype

    cuda = torch.cuda.is_available()
    # Weights are loaded in the machine's own format; autocast is for GPUs.
    return {"use_cpu": not cuda, "bf16": cuda and default_dtype() == torch.bfloat16}
