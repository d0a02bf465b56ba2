"""What both trainers share so that a run survives what happens to it.

A checkpoint is written aside, synced, and renamed once its manifest is in it: it is there as a
whole or not at all. A signal ends training after its step with a checkpoint. A training that did
nothing or harm is an error, and no model is saved from it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import rotate_checkpoints

from metaconf.errors import UserError
from metaconf.files import sync, write_json
from metaconf.generation.loaded import is_finite
from metaconf.prompts.chat import messages, render
from metaconf.runs import MANIFEST, checkpoints, file_digest
from metaconf.signals import Stopped, noted
from metaconf.training.processes import any_rank, hollow, together, whole
from metaconf.training.progress import Bar

if TYPE_CHECKING:
    from transformers import Trainer as _Trainer
else:
    _Trainer = object

ASIDE = ".checkpoint"
"""Where in the run directory a checkpoint is written before it is one."""
STATE = "trainer_state.json"
_WRITING = (OSError, RuntimeError, SafetensorError)


class ResumableTrainer(_Trainer):
    """Mixin, before TRL's trainer: checkpoints that are whole or absent, an end on a signal, and
    errors where training did nothing or harm."""

    _aside: Path | None = None
    _bytes = 0  # of the weights that are trained
    hollow: Any = None  # see `processes.whole`

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's; nothing is trained from the checkpoint of the last step.

        Raises Stopped after a signal, with a checkpoint saved, and UserError where the weights are
        as before, or not finite.
        """
        if resume_from_checkpoint and self._was_done(Path(resume_from_checkpoint)):
            return None
        self._bytes = sum(w.numel() * w.element_size() for w in _trained(self.model))
        check_room(Path(str(self.args.output_dir)), self._bytes)
        before = weight_sums(self.model)
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            self.hollow = hollow(self.model).to(self.args.device)
        bars = [one for one in self.callback_handler.callbacks if isinstance(one, Bar)]
        with noted() as signals, together(), ExitStack() as stack:
            for bar in bars:
                stack.callback(bar.close)
            self.add_callback(StopOnSignal(signals))
            result = super().train(resume_from_checkpoint, *args, **kwargs)
        if self.state.global_step < self.state.max_steps and signals:
            raise Stopped(signals[0])
        if self.state.global_step >= self.state.max_steps:
            with whole(self) as model:
                check_learned(model, before, self.state.global_step)
        self._check_usable()
        return result

    def _check_usable(self) -> None:
        """Raise UserError for weights that are not finite, or so large that the model's logits are
        not, or are all equal."""
        tokens = render(self.processing_class, messages("?"))
        with whole(self) as model:
            if not all(map(is_finite, _trained(model))):
                raise UserError(f"the weights are not finite numbers {self._where()}")
            training = model.training
            model.eval()
            ids = torch.tensor([tokens], device=self.args.device)
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, -1]
            model.train(training)
        if not logits.isfinite().all() or logits.min() == logits.max():
            raise UserError(f"the model's logits say nothing any more {self._where()}")

    def _was_done(self, checkpoint: Path) -> bool:
        state = TrainerState.load_from_json(str(checkpoint / STATE))
        asked = self.args.max_steps  # more than before: training goes on; ≤ 0: by epochs
        if state.global_step < (asked if asked > 0 else state.max_steps):
            return False
        self._load_from_checkpoint(str(checkpoint))
        self.state = state
        return True

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(model, *args, **kwargs)
        self.check_loss(loss)
        return loss

    def check_loss(self, values: torch.Tensor) -> None:
        """Raise UserError, which ends the run, where a loss, or what it is made from, is NaN or
        infinite."""
        if broken := values[~values.isfinite()].tolist():
            raise UserError(f"the loss is {broken[0]} {self._where()}")

    def _where(self) -> str:
        """At which step something went wrong, and what to do."""
        whole = checkpoints(Path(str(self.args.output_dir)))
        good = whole[-1] if whole else "none was saved yet"
        return (
            f"at step {self.state.global_step}; training stopped. Last good checkpoint: {good}."
            " Lower learning_rate or max_grad_norm, in another output_dir"
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(str(self.args.output_dir))
        name = f"checkpoint-{self.state.global_step}"
        check_room(run, self._bytes)
        self._check_usable()
        with saving(run), together():
            self._aside = run / ASIDE
            try:
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.args.should_save:
                    publish(self._aside / name, run / name)
                self.accelerator.wait_for_everyone()
            finally:
                shutil.rmtree(self._aside, ignore_errors=True)
                self._aside = None
        if self.args.should_save:
            rotate_checkpoints(str(run), self.args.save_total_limit)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._aside) if self._aside else super()._get_output_dir(trial)


class StopOnSignal(TrainerCallback):
    """Stops with a checkpoint once a signal was noted in any process, at a step that can be
    resumed."""

    def __init__(self, signals: list[int]):
        self.signals = signals

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if can_resume_here(args, state) and any_rank(bool(self.signals)):
            self.signals[:] = self.signals or [0]  # 0: another process has it
            control.should_save = control.should_training_stop = True


def can_resume_here(args: Any, state: Any) -> bool:
    """Whether a generation batch has just been used up: a run resumed elsewhere would draw it
    anew. Stage 1 can be resumed at every step."""
    batches = (getattr(args, "steps_per_generation", None) or 1) * getattr(
        args, "num_iterations", 1
    )
    return state.global_step * args.gradient_accumulation_steps % batches == 0


# Saving


def publish(aside: Path, target: Path) -> None:
    """Give the finished folder `aside` its manifest and move it, on the disk, to `target`."""
    files = sorted(path for path in aside.rglob("*") if path.is_file())
    rows = {
        str(path.relative_to(aside)): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in files
    }
    for path in files:
        sync(path)
    write_json(aside / MANIFEST, {"files": rows})
    sync(aside)
    if target.exists():  # one that was damaged, and passed over
        shutil.rmtree(target)
    aside.replace(target)
    sync(target.parent)


@contextmanager
def saving(run: Path) -> Iterator[None]:
    """Turn what a full disk or one that fails does to the libraries that write into one line."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception and not isinstance(error, _WRITING):
            raise
        raise UserError(
            f"{run}: cannot be saved ({' '.join(str(error).split())}); what was saved before is"
            " whole: make room, or put it right, then give --resume"
        ) from error


def check_room(run: Path, weights: int) -> None:
    """Refuse to go on where a checkpoint would not fit on the disk: as large as the last one, or
    three times the bytes of the `weights` that are trained (they and the optimizer's two moments).
    """
    if whole := checkpoints(run):
        files = json.loads((whole[-1] / MANIFEST).read_text(encoding="utf-8"))["files"]
        need = sum(row["bytes"] for row in files.values())
    else:
        need = 3 * weights
    run.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(run).free) < need:
        raise UserError(
            f"{run}: {free / 2**20:,.0f} MiB are free on its disk, and a checkpoint takes"
            f" {need / 2**20:,.0f}; what was saved before is whole: make room, then"
            f" {'give --resume' if whole else 'start again'}"
        )


# What training did


def _trained(model: Any) -> list[torch.nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


@torch.no_grad()
def weight_sums(model: Any) -> torch.Tensor:
    """Sums (n, 2) of the n weights that are trained, plain and of absolute values, in float32:
    they tell cheaply whether one has changed."""
    sums = [
        torch.stack([w.sum(dtype=torch.float32), w.abs().sum(dtype=torch.float32)])
        for w in _trained(model)
    ]
    return torch.stack(sums).cpu() if sums else torch.zeros(0, 2)


def check_learned(model: Any, before: torch.Tensor, steps: int) -> None:
    """Raise UserError where training took no step, or left the weights as they were `before`: there
    is no model to save."""
    if not steps:
        raise UserError("no step was taken, so nothing was learnt; raise max_steps or the rows")
    if torch.equal(before, weight_sums(model)):
        raise UserError(
            f"{steps} steps left the weights as they were, and no model was saved; raise"
            " learning_rate, or in stage 2 num_generations or temperature (equal rewards teach"
            " nothing)"
        )
