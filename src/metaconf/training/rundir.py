"""A run directory: what was asked for is written first, so that it is never taken for free; and
what a trained model was made from, beside the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import metaconf
from metaconf.config.blocks import EMBEDDED, Config, Judge, Teacher
from metaconf.config.load import RUN_MARKER, first_process, resolved
from metaconf.records import FACTS


def begin(config: Config) -> Path:
    """Create the run directory with its marker and the resolved configuration; returns it."""
    out = Path(config.output_dir)
    if not first_process():
        return out
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
    if not first_process():
        return
    settings = resolved(config)
    settings["questions"] = {**settings["questions"], "path": shown(config.questions.path)}
    settings["judge"] = who(config.judge)
    del settings["teacher"]  # it taught the rows, whatever this stage was told
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
        **({"teacher": _teacher_of(Path(data))} if stage == "sft" else {}),
    }
    facts = {
        "metaconf": metaconf.__version__,
        "base_model": EMBEDDED_ID if base == EMBEDDED else base,
        "stages": [*known.get("stages", []), done],
    }
    text = json.dumps(facts, ensure_ascii=False, indent=1, default=str)
    (out / FACTS).write_text(text + "\n", encoding="utf-8")


def _teacher_of(rows: Path) -> dict[str, Any] | None:
    """Who wrote the reflections in `rows`, as noted beside them; None where that is missing."""
    path = rows.parent / FACTS
    return json.loads(path.read_text(encoding="utf-8")).get("teacher") if path.is_file() else None


def who(one: Judge | Teacher) -> dict[str, str]:
    """What may be told of a judge or teacher: no address, and no name of a variable."""
    return {"kind": one.kind, "model": one.model}


def shown(name: str) -> str:
    """A hub id as it is; of a local path the last part."""
    return Path(name).name if Path(name).expanduser().exists() else name
