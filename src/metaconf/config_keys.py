"""Write `train_keys.json`: the keys of TRL's SFTConfig and GRPOConfig, and what each takes.

    python -m metaconf.config_keys

The configuration is checked before torch is imported, and importing TRL takes seconds: so its
keys are kept as a file. A test compares the file with the installed TRL.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from metaconf.config_values import kind_of

PATH = Path(__file__).with_name("train_keys.json")


def train_keys() -> dict[str, dict[str, Any]]:
    """For "sft" and "grpo": key → [types, choices] as in `config_values.Kind`. Imports TRL."""
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

    return {"sft": _keys(SFTConfig), "grpo": _keys(GRPOConfig)}


def _keys(config: type) -> dict[str, Any]:
    hints = get_type_hints(config)
    names = sorted(item.name for item in fields(config) if item.init)
    return {name: [list(part) for part in kind_of(hints[name])[:2]] for name in names}


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
