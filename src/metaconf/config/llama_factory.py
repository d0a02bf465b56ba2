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
from functools import cache
from pathlib import Path
from typing import Any

from metaconf.config.load import known_keys
from metaconf.config.refused import refused
from metaconf.config.values import by_member, packaged, read_value, read_yaml
from metaconf.errors import UserError
from metaconf.safe_text import loads_bounded

INFO = "dataset_info.json"
ROWS_SET, CURRICULUM_SET = "metaconf_sft", "metaconf_curriculum"
"""What `prepare` calls its rows, and the same laid out for a trainer that learns text alone."""


@cache
def _table(name: str) -> Any:
    """A part of llama_factory.yaml."""
    return packaged("metaconf.config", "llama_factory.yaml")[name]


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
    for name in _table("paths"):
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
    mark = next((one for start, one in _table("turns").items() if name.startswith(start)), None)
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
    reasons = by_member(_table("unused"))
    unused: dict[str, str] = {}
    for key, value in keys.items():
        name = _table("renamed").get(key, key)
        if key in reasons:
            unused[key] = reasons[key]
        elif key in _table("read"):
            continue
        elif name in refused("sft"):
            unused[key] = refused("sft")[name]
        elif name in known:
            ours[name] = _target(value) if key == "lora_target" else value
        else:
            unused[key] = "has no equivalent"
    if keys.get("finetuning_type", "lora") == "full":
        ours["use_peft"] = False
    return [f"--{name}={json.dumps(value)}" for name, value in ours.items()], unused


def _target(value: Any) -> Any:
    if value == "all":
        return "all-linear"
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
