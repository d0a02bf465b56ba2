"""A progress bar for training that shows the few figures one watches, not the whole log."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

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
        if self.bar is not None:
            self.bar.close()


def show(trainer: Trainer, label: str) -> None:
    """Put our bar in the place of the library's own output."""
    for theirs in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(theirs)
    trainer.add_callback(Bar(label))
