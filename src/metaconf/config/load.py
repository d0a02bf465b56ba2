"""One YAML a command: TRL's keys at the top level under their own names, ours in blocks.

Everything is checked here, before torch is imported, so that a slip costs a second and not a
model load. Our settings stand in `config.blocks`, one line each; what TRL takes stands in
`trl_keys.json`, which `python -m tools.trl_keys` writes from the installed TRL.

    config = load_config(Path("configs/grpo_train_config.yaml"), "grpo", ["--max_steps", "2"])
    GRPOConfig(**config.trainer); config.reward.calibration; config.max_prompt_length
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from metaconf.config.blocks import EMBEDDED, Config, Stage
from metaconf.config.refused import LOW, refuse, removed
from metaconf.config.values import Kind, convert, kind_of, nearest, read_value, read_yaml
from metaconf.errors import UserError

RUNS = "runs"
TRAINER_PATHS = frozenset({"accelerator_config", "deepspeed", "fsdp_config"})
"""Keys of TRL's that may name a file."""
STAGE2_ONLY = frozenset({"eval_steps", "eval_questions", "eval_path"})
"""Keys of ours that stage 1, whose YAML `prepare` shares, would ignore."""
SECRETS = frozenset({"hub_token"})
"""Keys that are used but never written to a run directory."""
SECTIONS = ("sft", "grpo")
"""Blocks of a file for both stages (configs/demo.yaml): each command reads its own, and what stands
beside them."""
OF_DEMO = ("heldout", "out_of_domain")
"""Keys that stand beside them for `metaconf demo` alone."""


class Given(NamedTuple):
    """A value as somebody gave it; `where` names the file and line, or the command line."""

    value: Any
    where: str
    text: str | None = None
    """The raw text of a command-line value."""


def load_config(path: Path, stage: Stage, overrides: Sequence[str] = ()) -> Config:
    """Read `path` and apply `--key value`, `--key=value` and `--block.key value` overrides.

    Raises UserError for a file that cannot be read, an unknown key, a value of the wrong type.
    """
    known = known_keys(stage)
    given = dict(_from_file(path, stage)) | dict(_from_command_line(overrides, known))
    values = {name: _checked(name, item, stage, known) for name, item in given.items()}
    output_dir = values.pop("output_dir", "") or f"{RUNS}/{stage}"
    own = {name: _frozen(value) for name, value in values.items() if name in _own_keys()}
    config = Config(stage, {}, output_dir=output_dir, **_nested(own))
    theirs = _train_keys()[stage].keys() - own.keys()
    trainer = {name: value for name, value in values.items() if name in theirs}
    return replace(
        config,
        trainer=trainer | {"output_dir": output_dir, "seed": config.seed},
        judge=replace(config.judge, client=config.client),
        teacher=replace(config.teacher, client=config.client),
    )


def known_keys(stage: Stage) -> dict[str, Kind]:
    """Every key of a stage's YAML, those in blocks as "block.key", with what it takes."""
    return _train_keys()[stage] | _own_keys()


def help_lines() -> list[str]:
    """Our own keys, one a line: name, default and help, from the dataclasses above."""
    return [f"{name} (default {item.default!r}): {item.metadata['help']}" for name, item in _own()]


def resolved(config: Config) -> dict[str, Any]:
    """The configuration as a mapping that `load_config` reads back to the same; without secrets."""
    rows: dict[str, Any] = {k: v for k, v in config.trainer.items() if k not in SECRETS}
    for name, _ in _own():
        if name in STAGE2_ONLY and config.stage == "sft":
            continue
        block, _, key = name.rpartition(".")
        value = getattr(getattr(config, block) if block else config, key)
        target = rows.setdefault(block, {}) if block else rows
        target[key] = list(value) if isinstance(value, tuple) else value
    return rows


def check_model(name_or_path: str) -> None:
    """Refuse a local path that cannot be a model; hub ids and "embedded" pass unseen.

    A name without a folder of its own counts as a path when it cannot be a hub id, or when it
    starts like our run directories ("runs/…"). Raises UserError.
    """
    path = Path(os.path.expanduser(name_or_path))
    if name_or_path == EMBEDDED:
        return
    if name_or_path and path.is_dir():
        if not any((path / name).is_file() for name in ("config.json", "adapter_config.json")):
            raise UserError(f"{name_or_path}: a folder without config.json; give a model's folder")
    elif path.is_file():
        raise UserError(f"{name_or_path}: a file; give the folder that holds the model")
    elif not _hub_id(name_or_path):
        raise UserError(
            f"{name_or_path!r}: no such folder, and no hub id; give a model folder, a hub id"
            f" (organisation/name) or {EMBEDDED!r}"
        )


def _hub_id(name: str) -> bool:
    return bool(re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name)) and not name.startswith(f"{RUNS}/")


@cache
def _blocks() -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(Config).items() if is_dataclass(hint)}


def _own() -> Iterator[tuple[str, Any]]:
    """(key, dataclass field) of every setting of ours, those in blocks as "block.key"."""
    for item in fields(Config):
        if item.name in _blocks():
            inner = (sub for sub in fields(_blocks()[item.name]) if "help" in sub.metadata)
            yield from ((f"{item.name}.{sub.name}", sub) for sub in inner)
        elif "help" in item.metadata:
            yield item.name, item


@cache
def _own_keys() -> dict[str, Kind]:
    hints = get_type_hints(Config)
    keys: dict[str, Kind] = {}
    for name, item in _own():
        block, _, key = name.rpartition(".")
        annotation = get_type_hints(hints[block])[key] if block else hints[key]
        keys[name] = kind_of(annotation, item.metadata["low"], item.metadata["high"])
    return keys


@cache
def _train_keys() -> dict[str, dict[str, Kind]]:
    return {
        stage: {
            name: Kind(tuple(types), tuple(texts), LOW.get(name))
            for name, (types, texts, _) in keys.items()
        }
        for stage, keys in _train_table().items()
    }


@cache
def _train_table() -> dict[str, dict[str, Any]]:
    """Stage → key → [types, choices, TRL's default], as `tools/trl_keys.py` wrote it."""
    return json.loads(
        files("metaconf.config").joinpath("trl_keys.json").read_text(encoding="utf-8")
    )


def _from_file(path: Path, stage: Stage) -> Iterator[tuple[str, Given]]:
    data, lines = read_yaml(path)
    others: tuple[str, ...] = ()
    if any(name in data for name in SECTIONS):
        others = (*SECTIONS, *OF_DEMO)
    yield from _of_block({k: v for k, v in data.items() if k not in others}, lines, path)
    section = data.get(stage) or {}
    if not isinstance(section, dict):
        raise UserError(f"{path}:{lines[stage]}: {stage}: {section!r} is no block; indent its keys")
    yield from _of_block(section, lines, path, f"{stage}.")


def _of_block(
    data: dict[str, Any], lines: dict[str, int], path: Path, above: str = ""
) -> Iterator[tuple[str, Given]]:
    for name, value in data.items():
        where = f"{path}:{lines.get(f'{above}{name}', 1)}"
        if "." in str(name):  # would stand beside the same key in its block
            raise UserError(f"{where}: {name}: in a file, write the key below its block")
        if name not in _blocks():
            yield str(name), Given(value, where)
        elif isinstance(value, dict):
            for sub, item in value.items():
                key = f"{name}.{sub}"
                yield key, Given(item, f"{path}:{lines.get(above + key, 1)}")
        elif value is not None:  # a block whose lines are all commented out is null
            raise UserError(f"{where}: {name}: {value!r} is no block; indent its keys below it")


def _from_command_line(words: Sequence[str], known: dict[str, Kind]) -> Iterator[tuple[str, Given]]:
    rest = list(words)
    while rest:
        flag, equals, text = rest.pop(0).partition("=")
        if not flag.startswith("--"):
            raise UserError(f"command line: {flag!r} is no --key; write --key value")
        name = flag[2:].replace("-", "_")
        if not equals:
            text = _next_value(name, rest, known)
        yield name, Given(read_value(text), "command line", text)


def _next_value(name: str, rest: list[str], known: dict[str, Kind]) -> str:
    if rest and not rest[0].startswith("--"):
        return rest.pop(0)
    if "bool" in known.get(name, Kind(())).types:
        return "true"
    if name not in known:
        return ""  # refused as unknown, which says more than the missing value
    raise UserError(f"command line: --{name} has no value; write --{name} value")


def _checked(name: str, given: Given, stage: Stage, known: dict[str, Kind]) -> Any:
    if name not in known:
        raise UserError(f"{given.where}: {_unknown(name, stage, known)}")
    where = f"{given.where}: {name}"
    try:
        value = convert(given.value, known[name], where)
    except UserError:
        if given.text is None or "str" not in known[name].types:
            raise
        value = convert(given.text, known[name], where)  # `--run_name 2024` means the text
    if name in _path_keys() and isinstance(value, str):
        value = _at_home(value, _path_keys()[name], where)
    if name in STAGE2_ONLY and stage == "sft":
        raise UserError(f"{where}: is a key of stage 2 (grpo), not of {stage}; remove it")
    if name in _train_table()[stage] and name not in _own_keys():
        refuse(stage, name, value, _train_table()[stage][name][2], where)
    return value


def _at_home(path: str, may_be_empty: bool, where: str) -> str:
    if not path.strip() and not may_be_empty:
        raise UserError(f"{where}: {path!r} names nothing; write a path, or leave the key out")
    return os.path.expanduser(path)


@cache
def _path_keys() -> dict[str, bool]:
    """Keys that may name a file or folder, and whether an empty text is a value of theirs too."""
    own = {name: item for name, item in _own() if item.metadata["path"]}
    # The empty default of output_dir stands for runs/STAGE, which whoever empties it does not mean.
    empty = {name: not item.default and name != "output_dir" for name, item in own.items()}
    return dict.fromkeys(TRAINER_PATHS, True) | empty


def _unknown(name: str, stage: Stage, known: dict[str, Kind]) -> str:
    if name in _blocks():
        return f"{name} is a block; write --{name}.KEY value"
    if remedy := removed(name):
        return f"{name} was removed: {remedy}"
    other = "grpo" if stage == "sft" else "sft"
    if name in _train_keys()[other]:
        return f"{name} is a key of the {other} stage, not of {stage}; remove it"
    nested = [key for key in known if key.endswith(f".{name}")]
    close = nested[0] if nested else nearest(name, known)
    remedy = f"did you mean {close}?" if close else "remove it; no known key is close"
    return f"unknown key {name}; {remedy}"


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """Flat "block.key" values as arguments of Config."""
    blocks: dict[str, dict[str, Any]] = {}
    plain: dict[str, Any] = {}
    for name, value in values.items():
        block, _, key = name.rpartition(".")
        (blocks.setdefault(block, {}) if block else plain)[key] = value
    return plain | {name: _blocks()[name](**items) for name, items in blocks.items()}
