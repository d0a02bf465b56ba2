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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from importlib.resources import files
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_type_hints

from pydantic import Field
from pydantic.fields import FieldInfo

from metaconf.config.blocks import EMBEDDED, EMBEDDED_SFT, AtHome, Config, Stage
from metaconf.config.refused import only, ranges, refuse, removed, without_effect
from metaconf.config.values import convert, names, nearest, read_value, read_yaml
from metaconf.errors import UserError

RUNS = "runs"
TRAINER_PATHS = frozenset({"accelerator_config", "deepspeed", "fsdp_config"})
"""Keys of TRL's that may name a file."""
SEVERAL = frozenset({"vllm_server_base_url"})
"""Keys of TRL's that take one text, and here a list of them too."""
TYPES: dict[str, Any] = {
    "bool": bool, "int": int, "float": float, "str": str, "dict": dict[str, Any], "null": None,
    "list[str]": list[str], "list[float]": list[float],
}  # fmt: skip
"""What the names in `trl_keys.json` stand for."""
STAGE_OF: dict[str, Stage] = {
    **dict.fromkeys(("train_file", "teacher", "engine", "confidence"), "sft"),
    **dict.fromkeys(("recipe", "reward", "watch", "max_prompt_length"), "grpo"),
    **dict.fromkeys(("eval_steps", "eval_questions", "eval_path"), "grpo"),
}
"""Keys and blocks of ours that the other stage would ignore. `prepare` shares the YAML of sft."""
PREPARED = ("questions", "judge", "teacher", "client", "engine")
PREPARED_KEYS = ("confidence.target", "confidence.num_labeled")
"""Blocks and keys of the YAML of sft that only `prepare` reads."""
SHARED_KEYS = (
    *("model_name_or_path", "output_dir", "seed", "confidence.confidence_only_epochs"),
    *("confidence.opening_fraction", "confidence.full_reply_fraction"),
)
"""Keys that both read. All others are of `sft` alone."""
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


def load_config(
    path: Path, stage: Stage, overrides: Sequence[str] = (), only: Sequence[str] = ()
) -> Config:
    """Read `path` and apply `--key value`, `--key=value` and `--block.key value` overrides. `only`
    names the blocks that are read, where the rest of the file is another command's.

    Raises UserError for a file that cannot be read, an unknown key, a value of the wrong type.
    """
    known = known_keys(stage)
    given = dict(_from_file(path, stage)) | dict(_from_command_line(overrides, known))
    if only:
        given = {name: one for name, one in given.items() if name.partition(".")[0] in only}
    values = {name: _checked(name, item, stage, known) for name, item in given.items()}
    output_dir = values.pop("output_dir", "") or f"{RUNS}/{stage}"
    own = {name: value for name, value in values.items() if name in _own()}
    config = Config(stage, {}, output_dir=output_dir, **_nested(own))
    _refuse_unused(config, given)
    trainer = {name: value for name, value in values.items() if name not in own}
    return replace(
        config,
        trainer=trainer | {"output_dir": output_dir, "seed": config.seed},
        judge=replace(config.judge, client=config.client),
        teacher=replace(config.teacher, client=config.client),
    )


def known_keys(stage: Stage) -> dict[str, Any]:
    """Every key of a stage's YAML, those in blocks as "block.key", with its annotation."""
    own = {name: Annotated[item.annotation, item] for name, item in _own().items()}
    return _train_keys()[stage] | {n: kind for n, kind in own.items() if _used_in(n, stage)}


def refuse_of_other(command: Literal["prepare", "sft"], overrides: Sequence[str]) -> None:
    """Refuse what stands on the command line and only the other of the two commands reads, which
    share a YAML. Raises UserError."""
    known = known_keys("sft")
    for name, _ in _from_command_line(overrides, known):
        prepared = name.partition(".")[0] in PREPARED or name in PREPARED_KEYS
        if name in known and name not in SHARED_KEYS and prepared != (command == "prepare"):
            other = "prepare" if prepared else "sft"
            raise UserError(
                f"command line: --{name}: {command} has no use for it; give it to metaconf {other},"
                " or write it into the YAML that both read"
            )


def trl_default(stage: Stage, name: str) -> Any:
    """TRL's own default of one of its keys."""
    return _train_table()[stage][name][2]


def help_lines() -> list[str]:
    """Our own keys, one a line: name, default and description, from `config.blocks`."""
    return [f"{n} (default {item.default!r}): {item.description}" for n, item in _own().items()]


def resolved(config: Config) -> dict[str, Any]:
    """The configuration as a mapping that `load_config` reads back to the same; without secrets."""
    rows: dict[str, Any] = {k: v for k, v in config.trainer.items() if k not in SECRETS}
    for name in _own():
        if not _used_in(name, config.stage):
            continue
        block, _, key = name.rpartition(".")
        value = attrgetter(name)(config)
        target = rows.setdefault(block, {}) if block else rows
        target[key] = list(value) if isinstance(value, tuple) else value
    return rows


def check_model(name_or_path: str) -> None:
    """Refuse a local path that cannot be a model; hub ids and the embedded ones pass unseen.

    A name without a folder of its own counts as a path when it cannot be a hub id, or when it
    starts like our run directories ("runs/…"). Raises UserError.
    """
    path = Path(os.path.expanduser(name_or_path))
    if name_or_path in (EMBEDDED, EMBEDDED_SFT):
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
    return {name: kind for name, kind in get_type_hints(Config).items() if is_dataclass(kind)}


@cache
def _own() -> dict[str, FieldInfo]:
    """Every setting of ours, those in blocks as "block.key"."""
    owners: dict[str, Any] = {"": Config} | {f"{name}.": kind for name, kind in _blocks().items()}
    return {
        above + name: item
        for above, owner in owners.items()
        for name, item in owner.__pydantic_fields__.items()
        if item.description
    }


def _used_in(name: str, stage: Stage) -> bool:
    return STAGE_OF.get(name.partition(".")[0], stage) == stage


@cache
def _train_keys() -> dict[str, dict[str, Any]]:
    """Stage → key of TRL's that is not ours too → its annotation."""
    return {
        stage: {
            name: _annotation(name, types, texts or only(stage).get(name, ()))
            for name, (types, texts, _) in keys.items()
            if name not in _own()
        }
        for stage, keys in _train_table().items()
    }


def _annotation(name: str, types: Sequence[str], texts: Sequence[str]) -> Any:
    low, high = ranges().get(name, (None, None))
    number = Field(ge=low, le=high)
    kinds = TYPES | {"int": Annotated[int, number], "float": Annotated[float, number]}
    if name in TRAINER_PATHS:
        kinds["str"] = AtHome
    elif texts:
        kinds["str"] = Literal[tuple(texts)]
        kinds["list[str]"] = list[kinds["str"]]
    if name in SEVERAL:
        types = [*types, "list[str]"]
    return Union[tuple(kinds[kind] for kind in types or ["null"])]  # noqa: UP007


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


def _from_command_line(words: Sequence[str], known: dict[str, Any]) -> Iterator[tuple[str, Given]]:
    rest = list(words)
    while rest:
        flag, equals, text = rest.pop(0).partition("=")
        if not flag.startswith("--"):
            raise UserError(f"command line: {flag!r} is no --key; write --key value")
        name = flag[2:].replace("-", "_")
        if not equals:
            text = _next_value(name, rest, known)
        yield name, Given(read_value(text), "command line", text)


def _next_value(name: str, rest: list[str], known: dict[str, Any]) -> str:
    if rest and not rest[0].startswith("--"):
        return rest.pop(0)
    if name in known and "boolean" in names(known[name]):
        return "true"
    if name not in known:
        return ""  # refused as unknown, which says more than the missing value
    raise UserError(f"command line: --{name} has no value; write --{name} value")


def _checked(name: str, given: Given, stage: Stage, known: dict[str, Any]) -> Any:
    if name not in known:
        raise UserError(f"{given.where}: {_unknown(name, stage, known)}")
    where = f"{given.where}: {name}"
    try:
        value = convert(given.value, known[name], where)
    except UserError:
        if given.text is None or "string" not in names(known[name]):
            raise
        value = convert(given.text, known[name], where)  # `--run_name 2024` means the text
    if name not in _own():
        refuse(stage, name, value, trl_default(stage, name), where)
    return value


def _refuse_unused(config: Config, given: Mapping[str, Given]) -> None:
    """Refuse settings of ours that others leave without effect; defaults may be written."""
    for name, needed in without_effect(config).items():
        value = attrgetter(name)(config)
        if name in given and value != _own()[name].default:
            raise UserError(
                f"{given[name].where}: {name}: {value!r} has no effect without {needed}; set that,"
                " or leave the key out"
            )


def _unknown(name: str, stage: Stage, known: dict[str, Any]) -> str:
    if name in _blocks():
        return f"{name} is a block; write --{name}.KEY value"
    if remedy := removed(name):
        return f"{name} was removed: {remedy}"
    other = "grpo" if stage == "sft" else "sft"
    if name in known_keys(other):
        return f"{name} is a key of the {other} stage, not of {stage}; remove it"
    nested = [key for key in known if key.endswith(f".{name}")]
    close = nested[0] if nested else nearest(name, known)
    remedy = f"did you mean {close}?" if close else "remove it; no known key is close"
    return f"unknown key {name}; {remedy}"


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """Flat "block.key" values as arguments of Config."""
    found = {name: value for name, value in values.items() if "." not in name}
    for name, block in _blocks().items():
        given = {
            f.name: values[key] for f in fields(block) if (key := f"{name}.{f.name}") in values
        }
        found[name] = block(**given)
    return found
