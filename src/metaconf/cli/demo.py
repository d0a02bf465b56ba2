"""`metaconf demo`: the main job on the embedded model, from nothing to an open-able report.

sample → stage 1 → stage 2 → evaluate → report, each part timed. Every setting stands in one file,
configs/demo.yaml unless another is given, and its sections are what `metaconf prepare`, `sft` and
`grpo` are run with. Every part leaves files, and what is there is not done again, so that a demo
that was killed goes on where it was, a stage of training from its last checkpoint.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from metaconf import api
from metaconf.cli.preflight import check_learnable, check_run
from metaconf.config.blocks import Config, Stage
from metaconf.config.load import OF_DEMO, SECTIONS, load_config, resolved
from metaconf.config.refused import refuse_together
from metaconf.config.values import convert, read_yaml, shipped
from metaconf.errors import UserError
from metaconf.evaluation import methods
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.files import write_json
from metaconf.metrics import Figure
from metaconf.records import Question
from metaconf.report.load import load_run
from metaconf.runs import RESUME_KEY, RUN_MARKER, checkpoints, held, mark_run

Rows = dict[str, list[EvaluatedReply]]
"""By method, a row a question."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A file with sections for both stages, and the keys that the command line changes in each."""

    file: Path
    keys: Mapping[Stage, Mapping[str, str]]
    heldout: int
    out_of_domain: int

    def config(self, stage: Stage) -> Config:
        """The section of a stage. Raises UserError as `load_config`."""
        words = [f"--{name}={text}" for name, text in self.keys[stage].items()]
        return load_config(self.file, stage, words)


def read(file: Path | None = None, words: Sequence[str] = (), **given: int | None) -> Demo:
    """The demo of `file` (None: the one that ships) with `--sft.KEY value`, `--grpo.KEY value` and
    the `given` seed, heldout and out_of_domain, where they are not None.

    Raises UserError for what the commands of the stages would refuse.
    """
    file, keys = file or shipped("demo.yaml"), _by_section(words)
    data, lines = read_yaml(file)
    if not all(name in data for name in SECTIONS):
        raise UserError(f"{file}: no sections sft and grpo; write both, as in configs/demo.yaml")
    for own in keys.values():
        own |= {} if given.get("seed") is None else {"seed": str(given["seed"])}
    counts = data | {name: value for name, value in given.items() if value is not None}
    whole = {
        name: convert(counts.get(name), COUNT, f"{file}:{lines.get(name, 1)}: {name}")
        for name in OF_DEMO
    }
    demo = Demo(file, keys, **whole)
    for stage in SECTIONS:
        _check(demo, stage)
    return demo


COUNT = Annotated[int, Field(ge=1)]


def _by_section(words: Sequence[str]) -> dict[Stage, dict[str, str]]:
    """Keys with their texts by the section that they stand in."""
    found: dict[Stage, dict[str, str]] = {stage: {} for stage in SECTIONS}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, text = word.partition("=")
        section, _, key = name.removeprefix("--").partition(".")
        if not key or section not in SECTIONS or not (equals or rest):
            raise UserError(f"command line: {word}: write --sft.KEY value or --grpo.KEY value")
        found[section][key] = text if equals else rest.pop(0)
    return found


def _check(demo: Demo, stage: Stage) -> None:
    """Refuse now what a stage would refuse when its turn comes. Raises UserError."""
    config, default = demo.config(stage), load_config(Path(os.devnull), stage)
    refuse_together(stage, config.trainer, config.use_peft)
    check_learnable(config.questions, config.judge)
    files, free = (
        (one.output_dir, one.train_file, one.trainer.get(RESUME_KEY)) for one in (config, default)
    )
    if files != free:
        raise UserError(
            f"{demo.file}: {stage}: output_dir, train_file, {RESUME_KEY}: the demo's files are in"
            " the folder that --output_dir names; leave these keys out"
        )
    if config.model_name_or_path != demo.config("sft").model_name_or_path:
        raise UserError(
            f"{demo.file}: model_name_or_path: stage 2 starts from the model of stage 1; write the"
            " key once, beside the sections"
        )


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


def run(output_dir: Path, demo: Demo) -> Path:
    """Do it all, or what is left of it; returns the report's path.

    Raises UserError where `output_dir` holds a demo of other settings.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    settings = {stage: demo.config(stage) for stage in SECTIONS}
    begun = (output_dir / RUN_MARKER).is_file()  # a demo goes on where it was
    check_run(settings["sft"].model_name_or_path, output_dir, begun)
    counts = {"heldout": demo.heldout, "out_of_domain": demo.out_of_domain}
    sections = {stage: resolved(config) for stage, config in settings.items()}
    with held(output_dir):
        mark_run(output_dir, {"stage": "demo", **counts, **sections}, begun)
        clock = Clock.of(output_dir / "clock.json")
        rows = measure(output_dir, demo, clock)
        with clock.part("report"):
            report = write(output_dir, rows, settings["sft"].seed)
    print(table(output_dir), f"\n{spent(clock)}\nReport: {report}", sep="\n")
    return report


def measure(out: Path, demo: Demo, clock: Clock) -> Rows:
    """Sample, train and evaluate, or what is left of it."""
    from metaconf.data import embedded_heldout

    asked = embedded_heldout(demo.heldout, demo.out_of_domain)
    rows_file, made = out / "prepare" / "sft.jsonl", out / "stage1"
    if not rows_file.exists():
        resume = (out / "prepare" / RUN_MARKER).is_file()
        with clock.part("sample"):
            api.prepare(demo.file, resume, **demo.keys["sft"], output_dir=out / "prepare")
    model = demo.config("sft").model_name_or_path
    rows = base_methods(out / "base", model, asked, clock)
    train(made, clock, api.train_sft, demo.file, {**demo.keys["sft"], "train_file": rows_file})
    rows |= stage_method(made, asked, clock)
    from_stage1 = {**demo.keys["grpo"], "model_name_or_path": made}
    train(out / "stage2", clock, api.train_grpo, demo.file, from_stage1)
    return rows | stage_method(out / "stage2", asked, clock)


def base_methods(folder: Path, model: str, asked: Sequence[Question], clock: Clock) -> Rows:
    """What the base says before any training."""
    with clock.part("load"):
        from metaconf.evaluation.generate import Plain, evaluate
        from metaconf.generation.local import load_local

        base = load_local(model)
    with clock.part("evaluate the base"):
        files: dict[Plain, str] = {
            "asked": "asked.jsonl",
            "samples8": "answers.jsonl",
            "probability": "answers.jsonl",
        }
        return {key: evaluate(base, asked, key, folder / file) for key, file in files.items()}


def train(
    run: Path, clock: Clock, command: Callable[..., Path], file: Path, keys: Mapping[str, Any]
) -> None:
    """Train one stage in the folder `run`, from its last checkpoint if there is one; not again
    where the model is there."""
    # It is the last of the model's files to be saved: where it is, they are whole.
    if not (run / "config.json").exists():
        if not checkpoints(run):
            shutil.rmtree(run, ignore_errors=True)
        with clock.part(run.name):
            command(file, bool(checkpoints(run)), **keys, output_dir=run)
    for checkpoint in checkpoints(run):  # the model is saved: nothing is left to resume
        shutil.rmtree(checkpoint)


def stage_method(run: Path, asked: Sequence[Question], clock: Clock) -> Rows:
    """What the model of a stage says."""
    from metaconf.evaluation.generate import evaluate
    from metaconf.generation.local import load_local

    with clock.part(f"evaluate {run.name}"):
        model = load_local(str(run))
        return {run.name: evaluate(model, asked, "reply", run / "heldout.jsonl", run.name)}


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
    report = write_results(out, "MetaConf: the demo", ordered, seed, METHODS)
    for stage in ("stage1", "stage2"):
        write_card(out / stage, out, stage)
    return report


COLUMNS = {
    "accuracy": "accuracy",
    "mean_confidence": "confidence",
    "ece": "ECE",
    "brier": "Brier",
    "auroc": "AUROC",
    "auroc_within": "within",
    "format_rate": "format",
}


def table(out: Path) -> str:
    """The small table that the demo ends with; "within" is the AUROC within kinds of question."""
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
