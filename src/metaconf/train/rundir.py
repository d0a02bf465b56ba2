"""A run directory: what was asked for is written first, so that it is never taken for free; and
what a trained model was made from, beside the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import metaconf
from metaconf.config import RUN_MARKER, resolved
from metaconf.config_blocks import EMBEDDED, Config
from metaconf.records import FACTS


def begin(config: Config) -> Path:
    """Create the run directory with its marker and the resolved configuration; returns it."""
    out = Path(config.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    marker = {"stage": config.stage, "metaconf": metaconf.__version__}
    (out / RUN_MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
    text = yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True)
    (out / "config.yaml").write_text(text, encoding="utf-8")
    return out


EMBEDDED_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The hub's name of the embedded model."""
_PATHS = ("output_dir", "train_file", "resume_from_checkpoint", "deepspeed", "dataset_dir")


def note(out: Path, config: Config, data: str, count: int) -> None:
    """`note_stage` of one of our own trainers."""
    settings = resolved(config)
    settings["questions"] = {**settings["questions"], "path": shown(config.questions.path)}
    for name in ("judge", "teacher"):
        settings[name] = {key: settings[name][key] for key in ("kind", "model")}
    note_stage(out, config.stage, config.model_name_or_path, data, count, settings)


def note_stage(
    out: Path, stage: str, model: str, data: str, count: int, settings: Mapping[str, Any]
) -> None:
    """Write what the model in `out` was made from: its base, and each stage with data and settings.

    A model that was trained from one of ours goes on with its history. Of local paths only the last
    part is kept: the file is meant to be shared.
    """
    before = Path(model) / FACTS
    known = json.loads(before.read_text(encoding="utf-8")) if before.is_file() else {}
    base = known.get("base_model", shown(model))
    kept = {key: value for key, value in settings.items() if key not in _PATHS}
    done = {
        "stage": stage,
        "data": shown(data),
        "count": count,
        "settings": {**kept, "model_name_or_path": shown(model)},
    }
    facts = {
        "metaconf": metaconf.__version__,
        "base_model": EMBEDDED_ID if base == EMBEDDED else base,
        "stages": [*known.get("stages", []), done],
    }
    text = json.dumps(facts, ensure_ascii=False, indent=1, default=str)
    (out / FACTS).write_text(text + "\n", encoding="utf-8")


def shown(name: str) -> str:
    """A hub id as it is; of a local path the last part."""
    return Path(name).name if Path(name).expanduser().exists() else name
