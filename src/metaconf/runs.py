"""The run directory: marker, checkpoints, resumption, and what its model was made from.

A run writes its marker first of all, so that its folder is never taken for free. What was asked is
written beside it and compared when the run is resumed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

import metaconf
from metaconf.config.blocks import EMBEDDED, Config, Judge, Teacher
from metaconf.config.load import resolved
from metaconf.config.values import read_yaml
from metaconf.errors import UserError
from metaconf.files import write_json, write_text
from metaconf.records import FACTS
from metaconf.safe_text import loads_bounded

RUN_MARKER = "run.json"
RESUME_KEY = "resume_from_checkpoint"
STATE = "trainer_state.json"
"""The last file that a checkpoint gets: without it, saving was interrupted."""


def is_main_process() -> bool:
    """Whether this process writes the run's files: all but it leave the run directory alone, where
    `torchrun` or `accelerate launch` started several."""
    return os.environ.get("RANK", "0") == "0"


def check_output_dir(path: Path, resume: bool) -> None:
    """Refuse a run directory that would be overwritten, or one that cannot be resumed.

    A run writes `RUN_MARKER` into its directory first of all. Raises UserError; writes nothing.
    """
    if not is_main_process():  # it would find the run that the first one has begun
        return
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: is a file; output_dir must be a folder, give another one")
    has_run = (path / RUN_MARKER).exists()
    if resume and not has_run:
        raise UserError(f"{path}: holds no run to resume (no {RUN_MARKER}); check output_dir")
    if has_run and not resume:
        raise UserError(f"{path}: holds another run; give another output_dir, or resume that run")
    if not has_run and path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path}: is not empty and no run of metaconf; give another output_dir")


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run directory, the highest step last."""
    steps = {
        int(number): path
        for path in run.glob("checkpoint-*")
        if (number := path.name.removeprefix("checkpoint-")).isdecimal()
        and (path / STATE).is_file()
    }
    return [steps[step] for step in sorted(steps)]


def newest_checkpoint(run: Path) -> Path:
    if whole := checkpoints(run):
        return whole[-1]
    raise UserError(
        f"{run}: holds no whole checkpoint to resume from; start anew with another output_dir (and"
        " save_strategy: steps)"
    )


def check_same_settings(config: Config, resume: bool) -> None:
    """Refuse to resume a run with other settings than the ones that it wrote down."""
    stored = Path(config.output_dir) / "config.yaml"
    if resume and is_main_process() and stored.is_file():
        before, _ = read_yaml(stored)
        _refuse_other(Path(config.output_dir), before, resolved(config))


def mark_run(output_dir: Path, asked: Mapping[str, Any], resume: bool) -> None:
    """Write what was asked into a new run directory, or refuse to resume what was asked otherwise.

    `asked` is JSON data; the message names the keys that differ. Raises UserError.
    """
    marker = output_dir / RUN_MARKER
    text = json.dumps(asked, ensure_ascii=False, indent=1) + "\n"
    if not resume:
        write_text(marker, text)
        return
    try:
        before = loads_bounded(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{marker}: not JSON ({error}); start anew in another folder") from error
    _refuse_other(output_dir, before, json.loads(text))


def _refuse_other(run: Path, before: Any, now: Any) -> None:
    was, is_ = dict(_flat(before)), dict(_flat(now))
    if apart := [name for name in {**was, **is_} if was.get(name) != is_.get(name)]:
        raise UserError(
            f"{run}: its run had another {', '.join(apart)}; resume with the same settings, or give"
            " another output_dir"
        )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by dotted name; a run's own resume point is no setting of it."""
    if not isinstance(value, dict):
        yield name or "form", value
        return
    for key, item in value.items():
        if key != RESUME_KEY:
            yield from _flat(item, f"{name}.{key}" if name else key)


def begin(config: Config) -> Path:
    """Create the run directory with its marker and the resolved configuration; returns it."""
    out = Path(config.output_dir)
    if not is_main_process():
        return out
    out.mkdir(parents=True, exist_ok=True)
    marker = {"stage": config.stage, "metaconf": metaconf.__version__}
    write_json(out / RUN_MARKER, marker)
    text = yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True)
    write_text(out / "config.yaml", text)
    return out


EMBEDDED_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The hub's name of the embedded model."""
_PATHS = ("output_dir", "train_file", "resume_from_checkpoint", "deepspeed", "dataset_dir")


def note(out: Path, config: Config, data: str, count: int) -> None:
    """`note_stage` of one of our own trainers."""
    if not is_main_process():
        return
    settings = resolved(config)
    settings["questions"] = {**settings["questions"], "path": shown(config.questions.path)}
    settings["judge"] = who(config.judge)
    # The teacher taught the rows, whatever this stage was told; the server is nobody's business.
    del settings["teacher"], settings["client"]
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
    write_text(out / FACTS, text + "\n")


def _teacher_of(rows: Path) -> dict[str, Any] | None:
    """Who wrote the reflections in `rows`, as noted beside them; None where that is missing."""
    path = rows.parent / FACTS
    return json.loads(path.read_text(encoding="utf-8")).get("teacher") if path.is_file() else None


def who(one: Judge | Teacher) -> dict[str, str]:
    """What may be told of a judge or teacher: no address, and no name of a variable."""
    return {"kind": one.kind, "model": one.client.model}


def shown(name: str) -> str:
    """A hub id as it is; of a local path the last part."""
    return Path(name).name if Path(name).expanduser().exists() else name
