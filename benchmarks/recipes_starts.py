"""The stage-1 models that the recipes' benchmark starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recipes_plan import Plan

from metaconf.cli import demo
from metaconf.config.blocks import Confidence, Config


def start_folder(out: Path, seed: int) -> Path:
    """Where the start of a seed is: `model`, what `prepare` wrote, and the clock."""
    return out / "stage1" / f"seed{seed}"


def stage1_start(out: Path, plan: Plan, seed: int) -> Path:
    """The demo's stage 1 from the base with `plan.labels` graded answers, timed as "stage1". A
    finished model is reused."""
    from metaconf.data import embedded_questions, pick
    from metaconf.generation.local import load_local
    from metaconf.training import stage1
    from metaconf.training.prepare import prepare

    folder = start_folder(out, seed)
    model = folder / "model"
    if not (model / "tokenizer_config.json").exists():
        questions = pick(embedded_questions("stage1"), plan.stage1_questions, seed)
        base, how = load_local(plan.base), Confidence(num_labeled=plan.labels)
        config = Config("sft", demo.STAGE1, plan.base, seed=seed, confidence=how)
        folder.mkdir(parents=True, exist_ok=True)
        with demo.Clock.of(folder / "clock.json").part("stage1"):
            rows = prepare(replace(config, output_dir=str(folder / "prepare")), questions, base)
            stage1.train(load_local(plan.base), rows, config, model)
    return model
