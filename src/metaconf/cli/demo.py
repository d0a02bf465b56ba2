"""`metaconf demo`: the main job on the embedded model, from nothing to an open-able report.

sample → stage 1 → stage 2 → evaluate → report, each part timed. Every part leaves files, and what
is there is not done again, so that a demo that was killed goes on where it was, a stage of training
from its last checkpoint.
"""

from __future__ import annotations

import json
import logging
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from metaconf.config.blocks import Confidence, Config
from metaconf.evaluation import methods
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.files import write_json
from metaconf.metrics import Figure
from metaconf.records import Question
from metaconf.report.load import load_run
from metaconf.runs import RESUME_KEY, RUN_MARKER, checkpoints, mark_run

STAGE1: dict[str, Any] = {"save_strategy": "no"}
STAGE2: dict[str, Any] = {
    # Pairs: for as many replies twice the questions, whose luck moves the confidence less.
    "num_generations": 2,
    "per_device_train_batch_size": 16,
    "steps_per_generation": 2,
    "learning_rate": 3e-5,
    "temperature": 0.7,
    "lr_scheduler_type": "linear",
    "adam_beta2": 0.95,
    "optim": "adamw_torch_fused",
    "warmup_steps": 4,
    "max_completion_length": 80,
    "save_strategy": "no",
}
SAVE_STEPS = {"stage1": 25, "stage2": 8}
"""A killed demo repeats no more steps of a stage than these, some fifty seconds."""
CONFIDENCE = Confidence()
"""What the demo and its benchmark train with; measured in docs/lab-notebook.md."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything the demo does."""

    stage1_questions: int = 2528
    stage2_steps: int = 24
    heldout: int = 240
    out_of_domain: int = 60
    samples: int = 8


@dataclass
class Clock:
    """Seconds of each part and peak memory, kept in a file."""

    path: Path
    parts: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> Clock:
        """A clock that goes on from what `path` holds."""
        kept = json.loads(path.read_text())["seconds"] if path.exists() else {}
        return cls(path, kept)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        print(f"\n■ {name}", flush=True)
        start = time.monotonic()
        yield
        taken = time.monotonic() - start
        # A part that is called again finds its work done: what it took the first time counts.
        self.parts[name] = round(max(taken, self.parts.get(name, 0.0)), 1)
        self.path.write_text(json.dumps({"seconds": self.parts, "peak_gib": peak_gib()}) + "\n")


def peak_gib() -> float:
    """Peak resident memory of this process in GiB (Linux counts KiB, macOS bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)


def run(output_dir: Path, seed: int, plan: Plan | None = None) -> Path:
    """Do it all, or what is left of it; returns the report's path.

    Raises UserError where `output_dir` holds a demo of another seed or plan.
    """
    plan = plan or Plan()
    rows, clock = measure(output_dir, seed, plan)
    with clock.part("report"):
        report = write(output_dir, rows, seed)
    print(table(output_dir), f"\n{spent(clock)}\nReport: {report}", sep="\n")
    return report


def measure(
    output_dir: Path, seed: int, plan: Plan
) -> tuple[dict[str, list[EvaluatedReply]], Clock]:
    """Sample, train and evaluate, or what is left of it: rows of each method, and the clock."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    asked_for = {"stage": "demo", "seed": seed, "plan": asdict(plan)}
    mark_run(output_dir, asked_for, resume=(output_dir / RUN_MARKER).is_file())
    clock = Clock.of(output_dir / "clock.json")
    asked = heldout(plan.heldout, plan.out_of_domain)
    rows = base_methods(output_dir, asked, plan, seed, clock)
    for stage in ("stage1", "stage2"):
        rows |= stage_method(output_dir, stage, asked, plan, seed, clock)
    return rows, clock


def heldout(in_domain: int, out_of_domain: int) -> list[Question]:
    """Held-out questions, the same for every seed of training."""
    from metaconf.data import embedded_questions, pick

    chosen = pick(embedded_questions("heldout"), in_domain, 0)
    return [*chosen, *pick(embedded_questions("ood"), out_of_domain, 0)]


def base_methods(
    out: Path, asked: Sequence[Question], plan: Plan, seed: int, clock: Clock
) -> dict[str, list[EvaluatedReply]]:
    """Load the base, sample for stage 1, and measure what it says before any training."""
    with clock.part("load"):
        from metaconf.data import embedded_questions, pick
        from metaconf.evaluation.generate import Plain, evaluate
        from metaconf.generation.local import load_local
        from metaconf.training.prepare import prepare

        base = load_local("embedded")
    if not (out / "prepare" / "sft.jsonl").exists():
        with clock.part("sample"):
            questions = pick(embedded_questions("stage1"), plan.stage1_questions, seed)
            into = out / "prepare"
            config = Config("sft", {}, output_dir=str(into), seed=seed, confidence=CONFIDENCE)
            prepare(config, questions, base, plan.samples)
    with clock.part("evaluate the base"):
        folder = out / "base"
        files: dict[Plain, str] = {
            "asked": "asked.jsonl",
            "samples8": "answers.jsonl",
            "probability": "answers.jsonl",
        }
        return {key: evaluate(base, asked, key, folder / file) for key, file in files.items()}


def stage_method(
    out: Path, stage: str, asked: Sequence[Question], plan: Plan, seed: int, clock: Clock
) -> dict[str, list[EvaluatedReply]]:
    """Train one stage (unless its model is there) and measure it."""
    from metaconf.evaluation.generate import evaluate
    from metaconf.generation.local import load_local

    folder = out / stage
    # The tokenizer is saved after the weights: where it is, they are whole.
    if (folder / "tokenizer_config.json").exists():
        model = load_local(str(folder))
    else:
        with clock.part(stage):
            model = (train_stage1 if stage == "stage1" else train_stage2)(out, plan, seed)
    for checkpoint in checkpoints(folder):  # the model is saved: nothing is left to resume
        shutil.rmtree(checkpoint)
    with clock.part(f"evaluate {stage}"):
        return {stage: evaluate(model, asked, "reply", folder / "heldout.jsonl", stage)}


def train_stage1(out: Path, plan: Plan, seed: int) -> Any:
    """Stage 1 from the embedded model on the prepared rows."""
    from metaconf.generation.local import load_local
    from metaconf.records import read_jsonl
    from metaconf.training import stage1

    rows = [row for _, row in read_jsonl(out / "prepare" / "sft.jsonl")]
    file = str(out / "prepare" / "sft.jsonl")
    trainer = {**STAGE1, **_resumed(out, "stage1")}
    config = Config("sft", trainer, train_file=file, seed=seed, confidence=CONFIDENCE)
    return stage1.train(load_local("embedded"), rows, config, out / "stage1")


def train_stage2(out: Path, plan: Plan, seed: int) -> Any:
    """Stage 2 from the stage-1 model on fresh questions."""
    from metaconf.data import embedded_questions, pick
    from metaconf.generation.local import load_local
    from metaconf.training import stage2

    questions = pick(embedded_questions("stage2"), None, seed)
    trainer = {**STAGE2, "max_steps": plan.stage2_steps, **_resumed(out, "stage2")}
    start = str(out / "stage1")
    config = Config("grpo", trainer, start, seed=seed, confidence=CONFIDENCE)
    return stage2.train(load_local(start), questions, config, out / "stage2")


def _resumed(out: Path, stage: str) -> dict[str, Any]:
    """Settings of the trainer that save the stage's state, and that go on from what was saved."""
    saved = {"save_strategy": "steps", "save_steps": SAVE_STEPS[stage], "save_total_limit": 1}
    whole = checkpoints(out / stage)
    return {**saved, RESUME_KEY: str(whole[-1])} if whole else saved


METHODS = {
    "asked": replace(methods.METHODS["asked"], name="base, asked in words"),
    "probability": replace(methods.METHODS["probability"], name="base, its answer's probability"),
    "samples8": replace(methods.METHODS["samples8"], name="base, agreement of 8 samples"),
    "stage1": replace(methods.METHODS["reply"], name="after stage 1"),
    "stage2": replace(methods.METHODS["reply"], name="after stage 2"),
}
"""What the demo compares, in the order of its table."""


def write(out: Path, rows: Mapping[str, Sequence[EvaluatedReply]], seed: int) -> Path:
    """Tables, curves and the report of what was measured."""
    from metaconf.evaluation.run import write_results
    from metaconf.report.card import write_card

    curves = {
        name: json.loads((out / stage / "curve.json").read_text())
        for name, stage in (("stage 1", "stage1"), ("stage 2", "stage2"))
    }
    write_json(out / "curves.json", curves)
    ordered = {key: rows[key] for key in METHODS}
    report = write_results(out, "MetaConf on the embedded model", ordered, seed, METHODS)
    for stage in ("stage1", "stage2"):
        write_card(out / stage, out, stage)
    return report


COLUMNS = {
    "accuracy": "accuracy",
    "mean_confidence": "confidence",
    "ece": "ECE",
    "brier": "Brier",
    "auroc": "AUROC",
    "format_rate": "format",
}


def table(out: Path) -> str:
    """The small table that the demo ends with."""
    measured = load_run(out).methods
    lines = ["", f"{'held-out questions':32}" + "".join(f"{c:>12}" for c in COLUMNS.values())]
    for method in measured:
        cells = (method.figures.get(key, Figure()).value for key in COLUMNS)
        shown = (f"{'–' if c is None else format(c, '.3f'):>12}" for c in cells)
        lines.append(f"{method.name:32}" + "".join(shown))
    return "\n".join(lines)


def spent(clock: Clock) -> str:
    """Time by part and peak memory, in words."""
    parts = ", ".join(f"{name} {seconds:.0f}" for name, seconds in clock.parts.items())
    return f"{sum(clock.parts.values()):.0f} s ({parts}); peak memory {peak_gib()} GiB"
