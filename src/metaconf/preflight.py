"""What can be refused before torch is imported is refused here, so that a slip costs a second.

The commands that start a run call a check, then `mark_run`, and import their module after both.
Only `mark_run` writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metaconf.config import (
    RUN_MARKER,
    check_model,
    check_output_dir,
    known_keys,
    load_config,
    resolved,
)
from metaconf.config_blocks import EMBEDDED, Config, Stage
from metaconf.config_values import convert
from metaconf.embedded.model import embedded_model
from metaconf.errors import UserError
from metaconf.questions import load_questions
from metaconf.records import read_jsonl

PREPARED = "sft.jsonl"
PREPARED_KEYS = ("conversations", "system", "levels")


def stage_config(
    path: Path, stage: Stage, overrides: Sequence[str] = (), resume: bool = False
) -> Config:
    """The configuration of a training command, all that it names checked. Raises UserError."""
    config = load_config(path, stage, overrides)
    if config.trainer.get("resume_from_checkpoint"):
        raise UserError(
            "resume_from_checkpoint: the newest checkpoint of output_dir is taken; leave the key"
            " out and give --resume"
        )
    run = Path(config.output_dir)
    if stage == "grpo":
        check_run(config.model_name_or_path, config.questions.path, run, resume)
        return config
    check_model(config.model_name_or_path)
    check_output_dir(run, resume)
    check_prepared(config.questions.path)
    check_embedded(config.model_name_or_path)
    return config


def check_run(model: str, questions: str, output_dir: Path, resume: bool) -> None:
    """Refuse a model, questions or a run directory that cannot be used; all questions are read.

    Raises UserError.
    """
    check_model(model)
    check_output_dir(output_dir, resume)
    if questions != EMBEDDED:
        load_questions(questions)
    check_embedded(model)


def check_embedded(model: str) -> None:
    """Where `model` is the embedded one, have it there: refused if its wheel is missing.

    The last check of all, because the first use converts the model, which imports torch.
    """
    if model == EMBEDDED:
        embedded_model()


def check_prepared(source: str) -> None:
    """Refuse what is no set of rows by `metaconf prepare` (its folder, or the file in it)."""
    if source == EMBEDDED:
        raise UserError(
            f"questions.path {EMBEDDED!r}: stage 1 learns from prepared rows; run `metaconf"
            " prepare` first, then give its folder: --questions runs/prepare"
        )
    path = Path(source) / PREPARED if Path(source).is_dir() else Path(source)
    number = 0
    for number, row in read_jsonl(path):
        for key in PREPARED_KEYS:
            if key not in row:
                raise UserError(
                    f"{path}:{number}: no {key!r}, so not a row of `metaconf prepare`; prepare"
                    f" the questions first: metaconf prepare --questions {path}"
                )
    if not number:
        raise UserError(f"{path}: holds no row; run `metaconf prepare` again")


def check_target(target: str) -> None:
    """Refuse a confidence target that stage 1 does not know. Raises UserError."""
    convert(target, known_keys("sft")["confidence.target"], "command line: --target")


def mark_run(output_dir: Path, asked: Mapping[str, Any], resume: bool) -> None:
    """Write what was asked into a new run directory, or refuse to resume what was asked otherwise.

    `asked` is JSON data; the message names the keys that differ. Raises UserError.
    """
    marker = output_dir / RUN_MARKER
    text = json.dumps(asked, ensure_ascii=False, indent=1) + "\n"
    if not resume:
        output_dir.mkdir(parents=True, exist_ok=True)
        partial = marker.with_name(f".{marker.name}.{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(marker)
        return
    try:
        before = dict(_flat(json.loads(marker.read_text(encoding="utf-8"))))
    except ValueError as error:
        raise UserError(f"{marker}: not JSON ({error}); start anew in another folder") from error
    now = dict(_flat(json.loads(text)))
    if apart := [name for name in {**before, **now} if before.get(name) != now.get(name)]:
        raise UserError(
            f"{output_dir}: its run had another {', '.join(apart)}; resume with the same settings,"
            " or give another output_dir"
        )


def asked_of(config: Config) -> dict[str, Any]:
    """What `mark_run` writes for a training command: the resolved configuration."""
    return {"command": config.stage, "config": resolved(config)}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name or "form", value
        return
    for key, item in value.items():
        yield from _flat(item, key if name in ("", "config") else f"{name}.{key}")
