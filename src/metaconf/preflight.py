"""What can be refused before torch is imported is refused here, so that a slip costs a second.

Nothing is written. The commands that start a run call this first and import their module after it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metaconf.config import (
    RUN_MARKER,
    check_model,
    check_output_dir,
    load_config,
)
from metaconf.config_blocks import EMBEDDED, Config, Stage
from metaconf.embedded.model import embedded_model
from metaconf.errors import UserError
from metaconf.questions import load_questions

STATE = "trainer_state.json"
"""The last file that a checkpoint gets: without it, saving was interrupted."""


def stage_config(
    path: Path | None, stage: Stage, overrides: Sequence[str] = (), resume: bool = False
) -> Config:
    """The checked configuration of a training command (no path: the defaults).

    With `resume`, `trainer["resume_from_checkpoint"]` is the newest whole checkpoint of
    output_dir; without it, one named there is checked. Raises UserError.
    """
    config = load_config(path or Path(os.devnull), stage, overrides)
    output_dir = Path(config.output_dir)
    given = config.trainer.get("resume_from_checkpoint")
    check_run(config.model_name_or_path, config.questions.path, output_dir, resume or bool(given))
    if not resume and not given:
        return config
    checkpoint = newest_checkpoint(output_dir) if resume else Path(given)
    if checkpoint is None or not (checkpoint / STATE).is_file():
        raise UserError(
            f"{checkpoint or output_dir}: holds no whole checkpoint to resume from; give another"
            " one, or another output_dir to start anew"
        )
    return replace(config, trainer=config.trainer | {"resume_from_checkpoint": str(checkpoint)})


def check_run(model: str, questions: str, output_dir: Path, resume: bool) -> None:
    """Refuse a model, questions or a run directory that cannot be used.

    All questions are read, as their broken lines are named by number. The embedded model comes
    last: it is converted on its first use, which imports torch. Raises UserError.
    """
    check_model(model)
    check_output_dir(output_dir, resume)
    if questions != EMBEDDED:
        load_questions(questions)
    if model == EMBEDDED:
        embedded_model()


def newest_checkpoint(run: Path) -> Path | None:
    """The whole checkpoint of the highest step in a run directory, or None."""
    steps = {
        int(path.name.removeprefix("checkpoint-")): path
        for path in run.glob("checkpoint-*")
        if path.name.removeprefix("checkpoint-").isdecimal() and (path / STATE).is_file()
    }
    return steps[max(steps)] if steps else None


def resumable(run: Path, trains: bool) -> bool:
    """Whether `--resume` can go on with a run; training (`trains`) needs a checkpoint for it."""
    return (run / RUN_MARKER).is_file() and (not trains or newest_checkpoint(run) is not None)
