"""Write `trl_keys.json`: the keys of TRL's SFTConfig and GRPOConfig, what each takes and is.

    python -m tools.trl_keys

The configuration is checked before torch is imported, and importing TRL takes seconds: so its
keys are kept as a file. A test compares the file with the installed TRL.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from metaconf.config.load import TYPES

PATH = Path(__file__).parents[1] / "src/metaconf/config/trl_keys.json"


def train_keys() -> dict[str, dict[str, Any]]:
    """For "sft" and "grpo": key → [types, choices, default]; the types are names out of
    `config.load.TYPES`, none where the key cannot be written in YAML. Imports TRL."""
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

    return {"sft": _keys(SFTConfig), "grpo": _keys(GRPOConfig)}


def _keys(config: type) -> dict[str, Any]:
    hints = get_type_hints(config)
    items = sorted((item for item in fields(config) if item.init), key=lambda item: item.name)
    return {
        item.name: [_types(hints[item.name]), _texts(hints[item.name]), _default(item)]
        for item in items
    }


def _parts(annotation: Any) -> tuple[Any, ...]:
    union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if union else (annotation,)


def _types(annotation: Any) -> list[str]:
    names = (name for part in _parts(annotation) for name in _names(part))
    return list(dict.fromkeys(names))


def _names(part: Any) -> list[str]:
    origin, inner = get_origin(part), get_args(part)
    if origin is list:
        return [f"list[{name}]" for name in _names(inner[0]) if f"list[{name}]" in TYPES]
    if origin is Literal:
        return [type(value).__name__ for value in inner]
    if isinstance(part, type) and issubclass(part, Enum):
        return ["str"]
    name = "null" if part is NoneType else getattr(origin or part, "__name__", "")
    return [name] if name in TYPES else []


def _texts(annotation: Any) -> list[str]:
    return [text for part in _parts(annotation) for text in _choices(part)]


def _choices(part: Any) -> list[str]:
    if get_origin(part) is Literal:
        return [value for value in get_args(part) if isinstance(value, str)]
    if isinstance(part, type) and issubclass(part, Enum):
        return [str(member.value) for member in part]
    return []


def _default(item: Field[Any]) -> Any:
    value = item.default if item.default_factory is MISSING else item.default_factory()
    return getattr(value, "value", value)  # of an enum


def to_text(table: dict[str, dict[str, Any]]) -> str:
    """The table as JSON with one key a line, so that an upgrade shows as a short diff."""
    parts = [
        f'"{stage}": {{\n'
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(kind)}" for name, kind in keys.items())
        + "\n}"
        for stage, keys in table.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    PATH.write_text(to_text(train_keys()), encoding="utf-8")
