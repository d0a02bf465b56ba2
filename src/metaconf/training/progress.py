"""What training shows and logs: a progress bar with a few figures, and the curve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from metaconf.runs import is_main_process

SHOWN = {
    "loss": "loss",
    "loss_confidence": "confidence",
    "reward": "reward",
    "rewards/accuracy/mean": "accuracy",
    "confidence/brier": "Brier",
}


class Bar(TrainerCallback):
    """One bar a run, on stderr."""

    def __init__(self, label: str):
        self.label = label
        self.bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            start, total = state.global_step, state.max_steps
            self.bar = tqdm(total=total, initial=start, desc=self.label, unit="step")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        known = {
            name: f"{float(logs[key]):.3g}"
            for key, name in SHOWN.items()
            if logs.get(key) is not None
        }
        if self.bar is not None and known:
            self.bar.set_postfix(known)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the bar's line, also where training ends by an error."""
        if self.bar is not None:
            self.bar.close()


def show(trainer: Trainer, label: str) -> None:
    """Replace the library's own output by our bar."""
    for theirs in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(theirs)
    trainer.add_callback(Bar(label))


def write_curve(path: Path, history: Sequence[dict[str, Any]]) -> None:
    """Write the trainer's log as JSON: the finite numbers of each logged step, and of each
    evaluation on held-out questions (see `heldout`). Of several processes the main one writes."""
    if not is_main_process():
        return
    rows = [{k: v for k, v in _numbers(row).items() if abs(v) < float("inf")} for row in history]
    path.write_text(json.dumps([r for r in rows if "loss" in r or "heldout_n" in r]) + "\n")


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for key, value in row.items():
        try:
            numbers[key] = float(value)
        except (TypeError, ValueError):
            continue
    return numbers
