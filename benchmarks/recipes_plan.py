"""The plan of the recipes' benchmark: how much of everything it does, and what its runs change in
configs/demo.yaml."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shipped

from metaconf.rewards.recipes import OURS, PUBLISHED


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the figures: kept with the run, which goes on with the same alone."""

    base: str = "embedded"
    steps: int = 48
    labels: int = 640
    heldout: int = 1000
    out_of_domain: int = 200
    every: int = 8
    curve: int = 250
    stage1_questions: int = shipped.config("sft").questions.limit or 0


QUICK = Plan(steps=4, labels=32, heldout=8, out_of_domain=2, every=2, curve=6, stage1_questions=40)

GROUP = 4
"""Replies to a question: the published recipes compare within a group, and the demo's pairs, which
ours keeps, are little for that."""
ABLATIONS: dict[str, dict[str, Any]] = {
    "ours-constant-rate": {"lr_scheduler_type": "constant"},
    "ours-groups": {"num_generations": GROUP},
    "ours-few-large-updates": {
        "gradient_accumulation_steps": 4, "learning_rate": 6e-5, "warmup_steps": 1,
    },
}  # fmt: skip
"""Our recipe with other keys of TRL's."""
LONGER = "rlcr-longer"
"""RLCR with TIMES as many replies: how long does it take to be calibrated?"""
TIMES = 10
RATES = (1e-5, 3e-5, 1e-4, 3e-4)
"""Learning rates that every recipe is tried with."""


def sweep_file(keep: Path) -> Path:
    """What `--sweep` writes: by recipe, the Brier score on calibration questions at each learning
    rate, and the rate with the lowest."""
    return keep / "learning-rates.json"


def best_rates(keep: Path) -> dict[str, float]:
    """The learning rate of each published recipe, where the sweep has found one. Ours keeps that of
    configs/demo.yaml, which is what ships."""
    path = sweep_file(keep)
    table = json.loads(path.read_text()) if path.exists() else {}
    return {name: row["best"] for name, row in table.items() if name != OURS}


def changes(recipe: str, plan: Plan, rate: float | None = None) -> dict[str, Any]:
    """Keys that a run has other than the section grpo of configs/demo.yaml: as many replies for
    every recipe (LONGER: TIMES as many), and looks at the calibration questions, whatever the size
    of its updates. `rate` is the learning rate, where it is not the file's."""
    named = recipe.removesuffix("-longer")
    times = TIMES if recipe == LONGER else 1
    keys: dict[str, Any] = {"num_generations": GROUP} if named in PUBLISHED else {}
    keys |= {} if rate is None else {"learning_rate": rate}
    keys |= ABLATIONS.get(recipe, {})
    together = keys.get("gradient_accumulation_steps", 1)
    return keys | {
        "recipe": OURS if recipe in ABLATIONS else named,
        "max_steps": plan.steps * times // together,
        "eval_steps": max(1, plan.every * times // together),
        "eval_questions": plan.curve,
    }
