"""LLaMA-Factory's own YAML: read as it is for its engine, or in our keys for TRL's.

    keys, lines = read(Path("configs/llama_factory_sft.yaml"), ["--num_train_epochs", "1"])
    words, unused = as_overrides(keys)      # for the TRL engine

Its keys are not checked here (`llamafactory-cli` refuses what it does not know), only those that
we ourselves rely on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metaconf.config.load import known_keys
from metaconf.config.refused import refused
from metaconf.config.values import read_value, read_yaml
from metaconf.errors import UserError
from metaconf.safe_text import loads_bounded

INFO = "dataset_info.json"
ROWS_SET, CURRICULUM_SET = "metaconf_sft", "metaconf_curriculum"
"""What `prepare` calls its rows, and the same laid out for a trainer that learns text alone."""
RENAMED = {
    "lora_rank": "lora_r",
    "lora_target": "lora_target_modules",
    "cutoff_len": "max_length",
    "warmup_ratio": "warmup_steps",  # where a number below 1 is a share
}
"""LLaMA-Factory's names and ours; keys that TRL knows by the same name stay."""
TOLD_OTHERWISE = {
    "stage": "the command says it",
    "do_train": "the command says it",
    "finetuning_type": "read",
    "dataset": "read",
    "dataset_dir": "read",
}
PATHS = (
    *("model_name_or_path", "adapter_name_or_path", "dataset_dir", "output_dir", "deepspeed"),
    *("cache_dir", "tokenized_path", "media_dir", "resume_from_checkpoint"),
)
"""Keys that may name a file or folder: "~" in them is the home folder."""
TURNS = {
    **dict.fromkeys(("chatml", "qwen", "smollm", "yi", "intern2"), "<|im_start|>"),
    **{"llama3": "<|start_header_id|>", "gemma": "<start_of_turn>", "phi": "<|end|>"},
    **{"granite3": "<|start_of_role|>", "cohere": "<|START_OF_TURN_TOKEN|>"},
}
"""How a template of LLaMA-Factory begins by name, and a token that it writes."""
DEVICE = ("deepspeed", "fp16", "bf16", "tf32", "ddp_timeout")
"""How to compute is the machine's: the TRL engine finds it out by itself."""


def is_llama_factory(path: Path) -> bool:
    """Whether a YAML file is in LLaMA-Factory's keys. Raises UserError where it cannot be read."""
    keys, _ = read_yaml(path)
    return "stage" in keys and ("dataset" in keys or "finetuning_type" in keys)


def read(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The YAML's keys with `--key value`, `--key=value` or `key=value` put over them.

    Raises UserError where the file cannot be read or is not for stage `sft`.
    """
    keys, lines = read_yaml(path)
    given = {**keys, **dict(_pairs(overrides))}
    for name in PATHS:
        if isinstance(value := given.get(name), str):
            given[name] = os.path.expanduser(value)
    if given.get("stage") != "sft":
        raise UserError(
            f"{path}:{lines.get('stage', 1)}: stage: {given.get('stage')!r}; stage 1 is supervised"
            " fine-tuning: write stage: sft"
        )
    return given


def _pairs(words: Sequence[str]) -> list[tuple[str, Any]]:
    rest, pairs = list(words), list[tuple[str, Any]]()
    while rest:
        word = rest.pop(0)
        key, equals, text = word.removeprefix("--").partition("=")
        if not equals:
            if not word.startswith("--") or not rest:
                raise UserError(f"command line: {word!r}; write --key value, or key=value")
            text = rest.pop(0)
        pairs.append((key, read_value(text)))
    return pairs


def train_file(keys: Mapping[str, Any]) -> Path:
    """The rows that `dataset` in `dataset_dir` names. Raises UserError where they are not there."""
    folder, name = Path(str(keys.get("dataset_dir") or "data")), str(keys.get("dataset"))
    info = folder / INFO
    if not info.is_file():
        raise UserError(
            f"{info}: no such file; run `metaconf prepare` and give its folder as dataset_dir"
        )
    try:
        named = loads_bounded(info.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{info}: not JSON ({error}); run `metaconf prepare` again") from error
    if not isinstance(named, dict):
        raise UserError(f"{info}: {type(named).__name__} instead of an object; prepare again")
    if name not in named or "file_name" not in named[name]:
        known = ", ".join(named) or "none"
        raise UserError(f"{info}: dataset {name!r} is not in it (there: {known}); name one of them")
    return folder / named[name]["file_name"]


def check_template(keys: Mapping[str, Any], tokenizer: Path) -> None:
    """Refuse a template that writes a token which `tokenizer` (its tokenizer.json) lacks:
    LLaMA-Factory would add it, and the embedding has no row for it. Raises UserError."""
    name = str(keys.get("template"))
    mark = next((one for start, one in TURNS.items() if name.startswith(start)), None)
    if mark and tokenizer.is_file() and mark not in tokenizer.read_text(encoding="utf-8"):
        raise UserError(
            f"template: {name!r} writes {mark}, which {tokenizer} does not know; name the template"
            " that belongs to the model"
        )


def as_overrides(keys: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The keys as `--key value` words for the TRL engine, and those it does not use, each with why.

    Raises UserError as `train_file`.
    """
    known = known_keys("sft")
    # TRL's engine lays the rows out by itself.
    rows = {**keys, "dataset": ROWS_SET} if keys.get("dataset") == CURRICULUM_SET else keys
    ours: dict[str, Any] = {"train_file": str(train_file(rows))}
    unused: dict[str, str] = {}
    for key, value in keys.items():
        name = RENAMED.get(key, key)
        if key in DEVICE:
            unused[key] = "found out from the machine"
        elif key in TOLD_OTHERWISE:
            continue
        elif name in refused("sft"):
            unused[key] = refused("sft")[name]
        elif name in known:
            ours[name] = _target(value) if key == "lora_target" else value
        else:
            unused[key] = WHY.get(key, "has no equivalent")
    if keys.get("finetuning_type", "lora") == "full":
        ours["use_peft"] = False
    return [f"--{name}={json.dumps(value)}" for name, value in ours.items()], unused


WHY = {
    "template": "the tokenizer's own chat template is used",
    "overwrite_output_dir": "a folder that holds a run is never overwritten",
    "overwrite_cache": "no cache is kept",
    "preprocessing_num_workers": "rows are laid out by this process",
    "plot_loss": "the report draws the curve",
    "disable_shuffling": "rows are always taught in order",
}


def _target(value: Any) -> Any:
    if value == "all":
        return "all-linear"
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
