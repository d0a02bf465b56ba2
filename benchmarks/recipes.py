"""Every recipe on one trainer: same stage-1 start, same number of sampled replies, same questions.

    python benchmarks/recipes.py --seeds 0 1 2 [--minutes 60]

The start of a seed is our stage 1 with part of the labels (`recipes_starts`); from it ours, ours
with one thing changed (ABLATIONS) and the published recipes train stage 2. RLCR comes once more
with ten times the replies. Of the seeds, ours and RLCR take all, the other published recipes the
first two, what is changed or longer the first.

Work is cut into pieces (one recipe, one seed: trained, then asked the held-out questions) and goes
on where it was interrupted; --minutes begins no piece after so long. What a piece measured is kept
in --keep, small enough for the repository, so that the seeds may be done on several days and
machines; models and raw replies stay in runs/bench-recipes. Writes
benchmarks/results/recipes.json; what was not measured is absent. Intervals are 95 %, by
resampling questions and seeds together; a difference is recipe − metaconf on the same questions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import default
import recipes_figures
import recipes_reached
import record
from recipes_measured import asked, base_rows, named_answers, probe
from recipes_plan import QUICK, Plan
from recipes_reached import LONGER
from recipes_starts import stage1_start
from scoring import slim

from metaconf.cli import demo
from metaconf.config.blocks import Config
from metaconf.rewards.recipes import OURS, PUBLISHED
from metaconf.runs import RUN_MARKER, mark_run

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
TIMES = 10
"""LONGER has so many times the replies: how long does RLCR take to be calibrated?"""
RECIPES = (OURS, *PUBLISHED, LONGER, *ABLATIONS)
SEEDS = {OURS: 3, "rlcr": 3, "start": 3, **dict.fromkeys((LONGER, *ABLATIONS), 1)}
"""Of how many of the seeds a recipe is run; of two where it is not named."""
START = "start"
"""That start itself, untrained."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One recipe, or START, with one seed."""

    recipe: str
    seed: int

    def folder(self, out: Path) -> Path:
        return out / START / self.recipe / f"seed{self.seed}"

    def kept(self, keep: Path) -> Path:
        return recipes_figures.kept(keep, START, self.recipe, self.seed)


def pieces(recipes: Sequence[str], seeds: Sequence[int]) -> list[Piece]:
    """All of them; every recipe has its first seed before any has its second."""
    every = [Piece(recipe, n) for n in seeds for recipe in (START, *recipes)]
    return [piece for piece in every if piece.seed in seeds[: SEEDS.get(piece.recipe, 2)]]


def do(piece: Piece, start: Path, out: Path, keep: Path, plan: Plan) -> None:
    """Train (or take the start as it is), ask the held-out questions, keep rows, curve, tokens."""
    from metaconf.evaluation.generate import evaluate
    from metaconf.evaluation.reader import readings
    from metaconf.generation.local import load_local

    folder = piece.folder(out)
    curve = folder / "curve.json"
    if piece.recipe == START:
        folder.mkdir(parents=True, exist_ok=True)
        local = load_local(str(start))
    elif (folder / "tokenizer_config.json").exists():  # saved after the weights
        local = load_local(str(folder))
    else:
        shutil.rmtree(folder, ignore_errors=True)  # cut short while it trained
        local = _train(piece, start, folder, plan)
    rows = evaluate(local, asked(plan), "reply", folder / "heldout.jsonl", piece.recipe)
    measured: dict[str, Any] = {
        "plan": decided(piece, plan),
        "rows": slim(rows),
        "read": {key: [round(x, 4) for x in one] for key, one in readings(rows).items()},
        "curve": json.loads(curve.read_text()) if curve.exists() else [],
        "tokens": sum(row.tokens or 0 for row in rows) / len(rows),
    }
    if piece.recipe in (START, OURS):
        answers = folder / "answers.jsonl"
        measured |= {"named": named_answers(local, rows, answers, plan)}
    if piece.recipe == OURS:
        measured |= {"probe": probe(out, plan, piece.seed)}
    recipes_figures.write(piece.kept(keep), measured)
    for weights in (folder / "model.safetensors", folder / "best"):  # 0.3 GB a piece
        shutil.rmtree(weights) if weights.is_dir() else weights.unlink(missing_ok=True)


def decided(piece: Piece, plan: Plan) -> dict[str, Any]:
    """What decided a piece's figures: the plan, and of LONGER how much longer it is."""
    return {k: v for k, v in deciding(plan).items() if k != "times" or piece.recipe == LONGER}


def deciding(plan: Plan) -> dict[str, Any]:
    """The plan and TIMES, as plain data."""
    return asdict(plan) | {"times": TIMES}


def _train(piece: Piece, start: Path, folder: Path, plan: Plan) -> Any:
    from metaconf.data import embedded_questions, pick
    from metaconf.generation.local import load_local
    from metaconf.training import stage2

    questions = pick(embedded_questions("stage2"), None, piece.seed)
    return stage2.train(load_local(str(start)), questions, config(piece, plan), folder)


def config(piece: Piece, plan: Plan) -> Config:
    """What a piece is trained with: as many replies (LONGER: TIMES as many), and looks at the
    held-out questions, whatever the size of its updates."""
    named: Any = OURS if piece.recipe in ABLATIONS else piece.recipe.removesuffix("-longer")
    times = TIMES if piece.recipe == LONGER else 1
    trainer = {**demo.STAGE2, "max_steps": plan.steps * times}
    if named != OURS:
        trainer["num_generations"] = GROUP
    trainer |= ABLATIONS.get(piece.recipe, {})
    together = trainer.get("gradient_accumulation_steps", 1)
    trainer["max_steps"] //= together
    every = max(1, plan.every * times // together)
    return Config(
        "grpo", trainer, seed=piece.seed, recipe=named, eval_steps=every, eval_questions=plan.curve
    )


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/bench-recipes"))
    parser.add_argument("--keep", type=Path, default=record.RESULTS / "recipes")
    parser.add_argument("--quick", action="store_true", help="a few steps: does it run?")
    for name in ("base", "steps", "labels", "heldout", "out_of_domain", "every", "curve"):
        kind = str if name == "base" else int
        parser.add_argument(f"--{name}", type=kind, help=f"default: {getattr(Plan(), name)}")
    return parser.parse_args(words)


def _plan(arguments: argparse.Namespace) -> Plan:
    given = {
        name: value
        for name in Plan.__slots__  # pyright: ignore
        if (value := getattr(arguments, name, None)) is not None
    }
    return Plan(**{**asdict(QUICK if arguments.quick else Plan()), **given})


def _todo(arguments: argparse.Namespace) -> Iterator[Piece]:
    every = pieces(arguments.recipes, arguments.seeds)
    return (p for p in every if not p.kept(arguments.keep).exists())


def main(words: Sequence[str] | None = None) -> None:
    arguments = _arguments(words)
    begun, plan, out = time.monotonic(), _plan(arguments), arguments.output_dir
    asked_for = {"stage": "bench-recipes", "plan": asdict(plan)}
    mark_run(out, asked_for, resume=(out / RUN_MARKER).is_file())
    for piece in _todo(arguments):
        if time.monotonic() - begun > 60 * arguments.minutes:
            left = len(list(_todo(arguments)))
            print(f"{left} pieces left after {arguments.minutes:g} minutes: run it again")
            break
        print(f"\n■ {piece.recipe}, seed {piece.seed}", flush=True)
        do(piece, stage1_start(out, plan, piece.seed), out, arguments.keep, plan)
    which = (arguments.keep, deciding(plan), arguments.recipes, arguments.seeds)
    found = recipes_figures.figures(*which, base_rows(out, plan))
    found = recipes_reached.aims(found, record.RESULTS / "trl_plain.json")
    path = record.write(
        "recipes", _command(arguments, plan), found, arguments.seeds, notes(plan), default.PACKAGES
    )
    print(path.read_text())


def notes(plan: Plan) -> str:
    """What a reader of the figures must know."""
    replies = plan.steps * demo.STAGE2["per_device_train_batch_size"]
    return (
        f"{replies} graded replies a recipe and seed, all with the settings of the demo's stage 2"
        f" in groups of {GROUP} (ours: pairs), from our stage 1, whose probe on {plan.labels}"
        f" graded answers gives the targets of all {plan.stage1_questions} stage-1 questions;"
        f" {plan.heldout} held-out questions in domain. Calibrated: AUROC of the answer's own"
        f" probability and ECE <= {recipes_reached.ECE_REACHED}, at a look of the curve on"
        f" {plan.curve} questions for calibration, or at the end on all that are held out."
    )


def _command(arguments: argparse.Namespace, plan: Plan) -> str:
    """The command line that gives these figures again; of a folder its name alone."""
    words = ["python benchmarks/recipes.py --seeds", *map(str, arguments.seeds)]
    words += ["--steps", str(plan.steps), "--heldout", str(plan.heldout)]
    if set(arguments.recipes) != set(RECIPES):
        words += ["--recipes", *arguments.recipes]
    return " ".join(words)


if __name__ == "__main__":
    main()
