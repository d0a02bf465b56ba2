"""Write `trl_keys.json`: the keys of TRL's SFTConfig and GRPOConfig, what each takes and is.

    python -m tools.trl_keys

The configuration is checked before torch is imported, and importing TRL takes seconds: so its
keys are kept as a file. A test compares the file with the installed TRL.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_type_hints

from metaconf.config.values import kind_of

PATH = Path(__file__).parents[1] / "src/metaconf/config/trl_keys.json"


def train_keys() -> dict[str, dict[str, Any]]:
    """For "sft" and "grpo": key → [types, choices, default], the first two as in
    `config_values.Kind`. Imports TRL."""
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

    return {"sft": _keys(SFTConfig), "grpo": _keys(GRPOConfig)}


def _keys(config: type) -> dict[str, Any]:
    hints = get_type_hints(config)
    items = sorted((item for item in fields(config) if item.init), key=lambda item: item.name)
    return {
        item.name: [*map(list, kind_of(hints[item.name])[:2]), _default(item)] for item in items
    }


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
