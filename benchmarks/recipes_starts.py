"""The stage-1 models that the recipes' benchmark starts from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from metaconf import demo
from metaconf.config_blocks import Confidence, Config


class Plan(Protocol):
    """What a start must know of the benchmark's plan (`recipes.Plan`)."""

    @property
    def base(self) -> str: ...

    @property
    def labels(self) -> int: ...

    @property
    def stage1_questions(self) -> int: ...


def share_start(out: Path, plan: Plan, seed: int) -> Path:
    """A stage-1 model of this seed that has learnt format and reflection, and whose confidence was
    taught the share of samples that agree: no label has taught it when it is right."""
    from metaconf.engines.local import load_local
    from metaconf.questions import embedded_questions, pick
    from metaconf.records import read_jsonl
    from metaconf.train import stage1
    from metaconf.train.prepare import prepare

    folder = out / "share" / f"seed{seed}"
    if not (folder / "stage1" / "tokenizer_config.json").exists():
        prepared = folder / "prepare"
        if not (prepared / "sft.jsonl").exists():
            questions = pick(embedded_questions("stage1"), plan.stage1_questions, seed)
            how = {"samples": 8, "target": "share", "seed": seed}
            prepare(load_local(plan.base), questions, prepared, **how)
        rows = [row for _, row in read_jsonl(prepared / "sft.jsonl")]
        config = Config("sft", demo.STAGE1, seed=seed, confidence=Confidence(target="share"))
        stage1.train(load_local(plan.base), rows, config, folder / "stage1")
    return folder / "stage1"


def taught(out: Path, plan: Plan, seed: int, start: Path) -> Path:
    """The start, taught the confidences that a probe on `plan.labels` graded answers predicts for
    all the stage-1 answers; those were sampled for the start, and no further label is read."""
    from metaconf.engines.local import load_local
    from metaconf.questions import embedded_questions, pick
    from metaconf.train import stage1
    from metaconf.train.prepare import prepare

    folder = taught_folder(out, seed)
    if (folder / "stage1" / "tokenizer_config.json").exists():
        return folder / "stage1"
    sampled = out / "share" / f"seed{seed}" / "prepare" / "answers.jsonl"
    (folder / "prepare").mkdir(parents=True, exist_ok=True)
    if sampled.exists():
        shutil.copy(sampled, folder / "prepare" / "answers.jsonl")
    questions = pick(embedded_questions("stage1"), plan.stage1_questions, seed)
    how = Confidence(target="probe", labels=plan.labels)
    with demo.Clock.of(folder / "clock.json").part("taught"):
        rows = prepare(
            load_local(plan.base), questions, folder / "prepare", seed=seed, labels=how.labels
        )
        config = Config("sft", demo.STAGE1, seed=seed, confidence=how)
        stage1.train(load_local(str(start)), rows, config, folder / "stage1")
    return folder / "stage1"


def taught_folder(out: Path, seed: int) -> Path:
    return out / "taught" / f"seed{seed}"
