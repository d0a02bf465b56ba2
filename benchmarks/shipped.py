"""What ships is what is measured: benchmarks train by the commands, with the files in configs/."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaconf import api
from metaconf.config.blocks import Config, Stage
from metaconf.config.load import load_config
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.generation.local import LocalModel, load_local
from metaconf.records import read_jsonl
from metaconf.runs import RUN_MARKER

DEMO = Path(__file__).parents[1] / "configs" / "demo.yaml"
Rows = dict[str, list[EvaluatedReply]]
"""By method, a row a question."""


def config(stage: Stage, keys: Mapping[str, Any] | None = None) -> Config:
    """A section of configs/demo.yaml, with some keys changed."""
    return load_config(DEMO, stage, [f"--{name}={value}" for name, value in (keys or {}).items()])


def command(*words: str) -> None:
    """Run a command of `metaconf`. Raises SystemExit where it fails."""
    from metaconf.cli import main

    if main(words):
        raise SystemExit(f"metaconf {' '.join(words)}: failed")


def prepared(out: Path, **keys: Any) -> Path:
    """The rows of `metaconf prepare` in `out`, made where they are missing."""
    if not (out / "sft.jsonl").exists():
        api.prepare(DEMO, (out / RUN_MARKER).is_file(), **keys, output_dir=out)
    return out / "sft.jsonl"


def trained(stage: Stage, out: Path, **keys: Any) -> LocalModel:
    """The model of `metaconf sft` or `grpo` in `out`, trained where it is missing."""
    if not is_whole(out):
        shutil.rmtree(out, ignore_errors=True)  # cut short while it trained
        train = api.train_sft if stage == "sft" else api.train_grpo
        train(DEMO, **keys, output_dir=out, save_strategy="no")
    return load_local(str(out))


def is_whole(model: Path) -> bool:
    """Whether a model is there: its tokenizer is saved after the weights."""
    return (model / "tokenizer_config.json").exists()


def demo(out: Path, seed: int, *words: str) -> Rows:
    """The rows of `metaconf demo` in `out`, or of what is left of it to do."""
    command("demo", "--output_dir", str(out), "--seed", str(seed), *words)
    rows: Rows = {}
    for _, row in read_jsonl(out / "replies.jsonl"):
        rows.setdefault(row["method"], []).append(EvaluatedReply.from_json(row))
    return rows
