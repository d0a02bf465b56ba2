"""Every recipe on one trainer: same stage-1 start, same number of sampled replies, same questions.

    python benchmarks/recipes.py --sweep [--minutes 60]
    python benchmarks/recipes.py --seeds 0 1 2 [--minutes 60]

The start of a seed is our stage 1 with part of the labels (`stage1_start`); from it ours, ours
with one thing changed (ABLATIONS) and the published recipes train stage 2. RLCR comes once more
with ten times the replies. Of the seeds, ours and RLCR take all, the other published recipes the
first two, what is changed or longer the first. A published recipe has its own best learning rate:
--sweep tries RATES with the first seed, measures on the questions for calibration, and writes
learning-rates.json into --keep, which later runs read; the start is the same.

Work is cut into pieces (one recipe, one seed: trained, then asked the held-out questions; in the
sweep one recipe and one rate) and goes on where it was interrupted; --minutes begins no piece after
so long. What a piece measured is kept in --keep, small enough for the repository, so that the seeds
may be done on several days and machines; models and raw replies stay in runs/bench-recipes. Writes
benchmarks/results/recipes.json; what was not measured is absent. Intervals are 95 %, by
resampling questions and seeds together; a difference is recipe − metaconf on the same questions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import default
import recipes_figures
import recipes_reached
import record
import shipped
from recipes_measured import asked, base_rows, named_answers, probe, stage1_start
from recipes_plan import (
    ABLATIONS,
    GROUP,
    LONGER,
    QUICK,
    RATES,
    Plan,
    best_rates,
    changes,
    sweep_file,
)
from scoring import slim

from metaconf.config.values import read_yaml
from metaconf.files import write_json
from metaconf.rewards.recipes import OURS, PUBLISHED
from metaconf.runs import RUN_MARKER, mark_run
from metaconf.training.heldout import BRIER

RECIPES = (OURS, *PUBLISHED, LONGER, *ABLATIONS)
SEEDS = {OURS: 3, "rlcr": 3, "start": 3, **dict.fromkeys((LONGER, *ABLATIONS), 1)}
"""Of how many of the seeds a recipe is run; of two where it is not named."""
START = "start"
"""That start itself, untrained."""


SWEEP = "sweep"
"""Where the pieces of the sweep are."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One recipe, or START, with one seed; in the sweep at one learning rate."""

    recipe: str
    seed: int
    rate: float | None = None

    def folder(self, out: Path) -> Path:
        """Its run directory."""
        if self.rate is None:
            return out / START / self.recipe / f"seed{self.seed}"
        return out / SWEEP / self.recipe / f"{self.rate:g}" / f"seed{self.seed}"

    def kept(self, keep: Path) -> Path:
        """The file with what it measured."""
        if self.rate is None:
            return recipes_figures.kept(keep, START, self.recipe, self.seed)
        return recipes_figures.kept(keep, SWEEP, f"{self.recipe}-{self.rate:g}", self.seed)


def pieces(recipes: Sequence[str], seeds: Sequence[int]) -> list[Piece]:
    """All of them; every recipe has its first seed before any has its second."""
    every = [Piece(recipe, n) for n in seeds for recipe in (START, *recipes)]
    return [piece for piece in every if piece.seed in seeds[: SEEDS.get(piece.recipe, 2)]]


def sweep_pieces(recipes: Sequence[str], seed: int) -> list[Piece]:
    """Every recipe at each of RATES, but for those that are ours with a change, or longer."""
    tried = [recipe for recipe in recipes if recipe in (OURS, *PUBLISHED)]
    return [Piece(recipe, seed, rate) for recipe in tried for rate in RATES]


def do(piece: Piece, out: Path, keep: Path, plan: Plan) -> None:
    """Train (or take the start as it is) and keep what it measured; of the sweep the curve alone,
    else also the replies to the held-out questions."""
    folder, start = piece.folder(out), stage1_start(out, plan, piece.seed)
    if piece.recipe == START:
        local = shipped.load_local(str(start))
    else:
        keys = {"model_name_or_path": start, "seed": piece.seed, **_changes(piece, keep, plan)}
        local = shipped.trained("grpo", folder, **keys)
    curve = folder / "curve.json"
    measured = {
        "plan": decided(piece, keep, plan),
        "curve": json.loads(curve.read_text()) if curve.exists() else [],
    }
    if piece.rate is None:
        measured |= _asked(piece, local, out, plan)
    recipes_figures.write(piece.kept(keep), measured)
    for weights in (folder / "model.safetensors", folder / "best"):  # 0.3 GB a piece
        shutil.rmtree(weights) if weights.is_dir() else weights.unlink(missing_ok=True)


def _asked(piece: Piece, local: Any, out: Path, plan: Plan) -> dict[str, Any]:
    """The replies to the held-out questions, and what they show."""
    from metaconf.evaluation.generate import evaluate
    from metaconf.evaluation.reader import readings

    folder = piece.folder(out)
    rows = evaluate(local, asked(plan), "reply", folder / "heldout.jsonl", piece.recipe)
    found: dict[str, Any] = {
        "rows": slim(rows),
        "read": {key: [round(x, 4) for x in one] for key, one in readings(rows).items()},
        "tokens": sum(row.tokens or 0 for row in rows) / len(rows),
    }
    if piece.recipe in (START, OURS):
        found["named"] = named_answers(local, rows, folder / "answers.jsonl", plan)
    if piece.recipe == OURS:
        found["probe"] = probe(out, plan, piece.seed)
    return found


def _changes(piece: Piece, keep: Path, plan: Plan) -> dict[str, Any]:
    """The keys that a piece changes in configs/demo.yaml, its learning rate among them."""
    if piece.rate is None:
        rate = best_rates(keep).get(piece.recipe.removesuffix("-longer"))
        return changes(piece.recipe, plan, rate)
    keys = changes(piece.recipe, plan, piece.rate)
    return keys | {"eval_steps": keys["max_steps"]}  # only the end counts


def decided(piece: Piece, keep: Path, plan: Plan) -> dict[str, Any]:
    """What decides a piece's figures, as plain data: the plan, configs/demo.yaml as far as it
    matters, and the keys that are changed."""
    file = _decisive(read_yaml(shipped.DEMO)[0])
    if piece.recipe == START:
        del file["grpo"]
    changed = {} if piece.recipe == START else _changes(piece, keep, plan)
    return json.loads(json.dumps({**asdict(plan), "file": file, "changed": changed}))


UNDECIDING = (
    *("heldout", "out_of_domain", "model_name_or_path", "seed"),
    *("save_", "logging_", "report_to"),
)
"""How keys of configs/demo.yaml begin that decide no figure here, or are a piece's own."""


def _decisive(block: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _decisive(value) if isinstance(value, dict) else value
        for name, value in block.items()
        if not name.startswith(UNDECIDING)
    }


def sweep(keep: Path, plan: Plan, every: Sequence[Piece]) -> Path:
    """Write which of the learning rates is the best for each recipe; returns the table's file."""
    path = sweep_file(keep)
    table = json.loads(path.read_text()) if path.exists() else {}
    for recipe in dict.fromkeys(piece.recipe for piece in every):
        tried = [piece for piece in every if piece.recipe == recipe]
        read = [recipes_figures.read(p.kept(keep), decided(p, keep, plan)) for p in tried]
        last = [[row[BRIER] for row in one["curve"] if BRIER in row][-1:] for one in read]
        scores = {p.rate: end[0] for p, end in zip(tried, last, strict=True) if end}
        if scores:
            brier = {f"{rate:g}": round(score, 4) for rate, score in scores.items()}
            table[recipe] = {"best": min(scores, key=lambda rate: scores[rate]), "brier": brier}
    write_json(path, table)
    return path


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--sweep", action="store_true", help="find learning rates, no figures")
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


def _work(every: Sequence[Piece], arguments: argparse.Namespace, plan: Plan) -> bool:
    """Do what is left of the pieces; whether all are done."""
    begun, out, keep = time.monotonic(), arguments.output_dir, arguments.keep
    left = [piece for piece in every if not piece.kept(keep).exists()]
    for place, piece in enumerate(left):
        if time.monotonic() - begun > 60 * arguments.minutes:
            print(f"{len(left) - place} pieces left after {arguments.minutes:g} minutes: run again")
            return False
        rate = "" if piece.rate is None else f", learning rate {piece.rate:g}"
        print(f"\n■ {piece.recipe}, seed {piece.seed}{rate}", flush=True)
        do(piece, out, keep, plan)
    return True


def main(words: Sequence[str] | None = None) -> None:
    arguments = _arguments(words)
    plan, out, keep = _plan(arguments), arguments.output_dir, arguments.keep
    recipes, seeds = arguments.recipes, arguments.seeds
    asked_for = {"stage": "bench-recipes", "plan": asdict(plan)}
    mark_run(out, asked_for, resume=(out / RUN_MARKER).is_file())
    if arguments.sweep:
        every = sweep_pieces(recipes, seeds[0])
        if _work(every, arguments, plan):
            print(sweep(keep, plan, every).read_text())
        return
    _work(pieces(recipes, seeds), arguments, plan)

    def decides(recipe: str, seed: int) -> dict[str, Any]:
        return decided(Piece(recipe, seed), keep, plan)

    found = recipes_figures.figures(keep, decides, recipes, seeds, base_rows(out, plan))
    found |= rates(found, keep, plan)
    found = recipes_reached.aims(found, record.RESULTS / "trl_plain.json")
    command = _command(arguments, plan)
    record.write("recipes", command, found, seeds, notes(plan), default.PACKAGES)


def rates(found: Mapping[str, Any], keep: Path, plan: Plan) -> dict[str, record.Figure]:
    """The learning rate of each recipe that was measured."""
    named = {name: f"accuracy_{name}" for name in RECIPES}
    return {
        f"learning_rate_{name}": record.figure(
            shipped.config("grpo", _changes(Piece(name, 0), keep, plan)).trainer["learning_rate"]
        )
        for name, figure in named.items()
        if figure in found
    }


def notes(plan: Plan) -> str:
    """What a reader of the figures must know."""
    replies = plan.steps * shipped.config("grpo").trainer["per_device_train_batch_size"]
    return (
        f"{replies} graded replies a recipe and seed, with the settings of configs/demo.yaml but"
        f" for groups of {GROUP} (ours: pairs) and the learning rate, each recipe at its best"
        " on the questions for calibration; from our stage 1, whose probe on"
        f" {plan.labels} graded answers gives the targets of all {plan.stage1_questions} stage-1"
        " questions;"
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
