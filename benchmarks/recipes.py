"""Every recipe on one trainer: same stage-1 start, same number of sampled replies, same questions.

    python benchmarks/recipes.py --seeds 0 1 2 [--start runs/share/stage1] [--minutes 60]

Work is cut into pieces (one recipe, one seed, one start: trained, then asked the held-out
questions) and goes on where it was interrupted (runs/bench-recipes); --minutes begins no piece
after so long. Without --start one is trained here, whose confidence was taught the share of
agreeing samples. --probe_start adds all recipes once more, from a start that a probe has taught:
figures end in _probe.
Writes benchmarks/results/recipes.json; what was not measured is absent. Intervals are 95 %, by
resampling questions and seeds together; a difference is recipe − metaconf on the same questions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import default
import numpy as np
import record

from metaconf import demo, metrics
from metaconf.config import RUN_MARKER
from metaconf.config_blocks import Confidence, Config, Curve
from metaconf.preflight import mark_run
from metaconf.rewards.recipes import OURS, PUBLISHED

RECIPES = (OURS, *PUBLISHED)
ECE_REACHED = 0.06
"""Calibrated: held-out AUROC of the answer's own probability, and an ECE of at most this."""
REPLICATES = 1000
Pairs = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the figures: kept with the run, which goes on with the same alone."""

    base: str = "embedded"
    steps: int = 64
    heldout: int = 1000
    out_of_domain: int = 200
    every: int = 8
    curve: int = 400
    stage1_questions: int = demo.Plan().stage1_questions


QUICK = Plan(steps=2, heldout=8, out_of_domain=2, every=2, curve=6, stage1_questions=16)


@dataclass(frozen=True, slots=True)
class Piece:
    """One recipe with one seed from one start; `recipe` "start" is that start itself, untrained."""

    start: str
    recipe: str
    seed: int

    def folder(self, out: Path) -> Path:
        return out / self.start / self.recipe / f"seed{self.seed}"


def pieces(starts: Sequence[str], recipes: Sequence[str], seeds: Sequence[int]) -> list[Piece]:
    """All of them; every recipe has its first seed before any has its second."""
    found = [Piece(start, "start", 0) for start in starts]
    return found + [Piece(s, recipe, seed) for s in starts for seed in seeds for recipe in recipes]


def do(piece: Piece, start: Path, out: Path, plan: Plan) -> None:
    """Train (or take the start as it is), ask the held-out questions, keep rows and curve."""
    from metaconf.engines.local import load_local
    from metaconf.evaluation.systems import evaluate

    folder = piece.folder(out)
    if piece.recipe == "start":
        folder.mkdir(parents=True, exist_ok=True)
        local = load_local(str(start))
    elif (folder / "tokenizer_config.json").exists():  # saved after the weights
        local = load_local(str(folder))
    else:
        shutil.rmtree(folder, ignore_errors=True)  # cut short while it trained
        local = _train(piece, start, folder, plan)
    rows = evaluate(local, asked(plan), "reply", folder / "heldout.jsonl", piece.recipe)
    names = ("question_id", "confidence", "correctness", "split", "problems")
    slim = [{name: row[name] for name in names} for row in rows]
    (folder / "rows.json").write_text(json.dumps(slim, allow_nan=False), encoding="utf-8")
    for weights in (folder / "model.safetensors", folder / "best"):  # 0.3 GB a piece
        shutil.rmtree(weights) if weights.is_dir() else weights.unlink(missing_ok=True)


def _train(piece: Piece, start: Path, folder: Path, plan: Plan) -> Any:
    from metaconf.engines.local import load_local
    from metaconf.questions import embedded_questions, pick
    from metaconf.train import stage2

    trainer = {**demo.STAGE2, "max_steps": plan.steps}
    curve = Curve(every=plan.every, questions=plan.curve)
    named: Any = piece.recipe
    config = Config("grpo", trainer, seed=piece.seed, recipe=named, curve=curve)
    questions = pick(embedded_questions("stage2"), None, piece.seed)
    return stage2.train(load_local(str(start)), questions, config, folder)


@cache
def asked(plan: Plan) -> list[Any]:
    return demo.heldout(plan.heldout, plan.out_of_domain)


def share_start(out: Path, plan: Plan) -> Path:
    """A stage-1 model that has learnt format and reflection, and whose confidence was taught the
    share of samples that agree: no label has taught it when it is right."""
    from metaconf.engines.local import load_local
    from metaconf.questions import embedded_questions, pick
    from metaconf.records import read_jsonl
    from metaconf.train import stage1
    from metaconf.train.prepare import prepare

    folder = out / "share"
    if not (folder / "stage1" / "tokenizer_config.json").exists():
        prepared = folder / "prepare"
        if not (prepared / "sft.jsonl").exists():
            questions = pick(embedded_questions("stage1"), plan.stage1_questions, 0)
            prepare(load_local(plan.base), questions, prepared, samples=8, target="share", seed=0)
        rows = [row for _, row in read_jsonl(prepared / "sft.jsonl")]
        config = Config("sft", demo.STAGE1, seed=0, confidence=Confidence(target="share"))
        stage1.train(load_local(plan.base), rows, config, folder / "stage1")
    return folder / "stage1"


def base_rows(out: Path, plan: Plan) -> dict[str, list[default.Row]]:
    """What the untrained model's own signals say of the held-out questions, and of the curve's."""
    from metaconf.engines.local import load_local
    from metaconf.evaluation.systems import evaluate
    from metaconf.questions import load_questions, pick

    base, folder = load_local(plan.base), out / "base"
    answers = folder / "answers.jsonl"
    of_curve = pick(load_questions("embedded:calibration"), plan.curve, 0)
    return {
        "samples8": evaluate(base, asked(plan), "samples8", answers),
        "probability": evaluate(base, asked(plan), "probability", answers),
        "curve": evaluate(base, of_curve, "probability", folder / "curve.jsonl"),
    }


# Figures


def inside(rows: Sequence[default.Row]) -> Pairs:
    return default.pairs(default.in_domain(rows))


def read(out: Path, start: str, recipe: str, seeds: Sequence[int]) -> dict[int, Any]:
    """Rows of the seeds that were measured."""
    files = {seed: Piece(start, recipe, seed).folder(out) / "rows.json" for seed in seeds}
    return {seed: json.loads(path.read_text()) for seed, path in files.items() if path.exists()}


def figures(
    out: Path, starts: Sequence[str], recipes: Sequence[str], seeds: Sequence[int], plan: Plan
) -> dict[str, record.Figure]:
    """The figures of what was measured so far."""
    base = base_rows(out, plan)
    found = _of_base(out, base, plan)
    for start in starts:
        end = "" if start == "start" else f"_{start}"
        ours = read(out, start, OURS, seeds)
        for recipe in ("start", *recipes):
            runs = read(out, start, recipe, [0] if recipe == "start" else seeds)
            if not runs:
                continue
            found |= _with_end(_of_runs(list(runs.values()), recipe), end)
            if recipe != OURS and ours:
                found |= _with_end(_difference(runs, ours, recipe), end)
            if recipe != "start":
                curves = [_curve(Piece(start, recipe, seed).folder(out)) for seed in runs]
                found |= _with_end(_reached(curves, inside(base["curve"]), recipe), end)
    return found


def _with_end(found: Mapping[str, record.Figure], end: str) -> dict[str, record.Figure]:
    return {f"{name}{end}": value for name, value in found.items()}


def _of_base(
    out: Path, rows: Mapping[str, list[default.Row]], plan: Plan
) -> dict[str, record.Figure]:
    from metaconf.engines.store import read_replies

    found: dict[str, record.Figure] = {}
    for key in ("probability", "samples8"):
        for name in ("auroc", "brier"):
            found |= _scored(f"{name}_{key}", [inside(rows[key])], default.SCORES[name])
    samples = [r for r in read_replies(out / "base" / "answers.jsonl").values() if r.sample >= 0]
    tokens = sum(reply.tokens for reply in samples) / max(len(asked(plan)), 1)
    return found | {"tokens_samples8": record.figure(round(tokens, 1), None, "tokens")}


def _of_runs(runs: Sequence[list[default.Row]], recipe: str) -> dict[str, record.Figure]:
    stated = [inside(rows) for rows in runs]
    graded = [default.graded(default.in_domain(rows)) for rows in runs]
    found = _scored(f"accuracy_{recipe}", graded, default.mean_right)
    for name, score in default.SCORES.items():
        found |= _scored(f"{name}_{recipe}", stated, score)
    found |= _scored(f"levels_{recipe}", stated, lambda c, _: metrics.levels(c))
    outside = [default.pairs([r for r in rows if r["split"] == "ood"]) for rows in runs]
    found |= _scored(f"ece_ood_{recipe}", outside, metrics.ece)
    formats = [{r["question_id"]: (0.0, float(not r["problems"])) for r in rows} for rows in runs]
    return found | _scored(f"format_{recipe}", formats, default.mean_right)


def _scored(name: str, runs: Sequence[Pairs], score: default.Score) -> dict[str, record.Figure]:
    """The figure over seeds, or none where a seed has not two questions or one class alone."""
    shared = set.intersection(*(set(run) for run in runs)) if runs else set()
    if len(shared) < 2 or (score is metrics.auroc and not all(_both_classes(r) for r in runs)):
        return {}
    return {name: default.over_seeds(runs, score)}


def _both_classes(run: Pairs) -> bool:
    """Enough right and wrong ones that a resample without one of them does not happen."""
    right = sum(y > 0.5 for _, y in run.values())
    return min(right, len(run) - right) >= 15


def _difference(
    runs: Mapping[int, list[default.Row]], ours: Mapping[int, list[default.Row]], recipe: str
) -> dict[str, record.Figure]:
    """Brier score of the recipe less ours, over questions that both stated a confidence for in all
    seeds that both have (the start has one, which is held against each of ours)."""
    seeds = [seed for seed in ours if seed in runs or recipe == "start"]
    pairs = [(inside(runs.get(s, next(iter(runs.values())))), inside(ours[s])) for s in seeds]
    ids = sorted(set.intersection(*(set(a) & set(b) for a, b in pairs))) if pairs else []
    if len(ids) < 2:
        return {}

    def losses(run: Pairs) -> list[float]:
        return [(run[i][0] - run[i][1]) ** 2 for i in ids]

    table = np.array([np.subtract(losses(a), losses(b)) for a, b in pairs])  # (seeds, questions)
    rng = np.random.default_rng(0)
    drawn = [
        table[rng.integers(0, len(table), len(table))][
            :, rng.integers(0, len(ids), len(ids))
        ].mean()
        for _ in range(REPLICATES)
    ]
    value = record.figure(
        round(float(table.mean()), 5), np.percentile(drawn, [2.5, 97.5]).tolist(), "", "> 0"
    )
    return {f"brier_difference_{recipe}": value}


def _curve(folder: Path) -> list[dict[str, float]]:
    return [row for row in json.loads((folder / "curve.json").read_text()) if "heldout_n" in row]


def _reached(
    curves: Sequence[list[dict[str, float]]], probability: Pairs, recipe: str
) -> dict[str, record.Figure]:
    """Replies and seconds until calibrated, means over seeds; a seed that does not get there
    counts with its whole budget, and the figure is then called a lower bound."""
    if not _both_classes(probability) or not all(curves):
        return {}
    wanted = metrics.auroc(*map(np.array, zip(*probability.values(), strict=True)))
    firsts = [next((row for row in curve if _calibrated(row, wanted)), None) for curve in curves]
    bound = "" if all(firsts) else " (lower bound)"
    found: dict[str, record.Figure] = {}
    for unit in ("replies", "seconds"):
        each = [(f or c[-1])[unit] for f, c in zip(firsts, curves, strict=True)]
        figure = record.figure(round(float(np.mean(each)), 1), None, f"{unit}{bound}")
        found[f"{unit}_to_calibrated_{recipe}"] = figure
    return found


def _calibrated(row: Mapping[str, float], wanted: float) -> bool:
    return row.get("heldout_auroc", 0.0) >= wanted and row.get("heldout_ece", 1.0) <= ECE_REACHED


# The command


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--start", type=Path, help="a stage-1 model (default: trained here)")
    parser.add_argument("--probe_start", type=Path, help="a second one, taught by a probe")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/bench-recipes"))
    parser.add_argument("--quick", action="store_true", help="a few steps: does it run?")
    for name in ("base", "steps", "heldout", "out_of_domain", "every", "curve"):
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


def _todo(arguments: argparse.Namespace, starts: Mapping[str, Path | None]) -> Iterator[Piece]:
    every = pieces(list(starts), arguments.recipes, arguments.seeds)
    return (p for p in every if not (p.folder(arguments.output_dir) / "rows.json").exists())


def main(words: Sequence[str] | None = None) -> None:
    arguments = _arguments(words)
    begun, plan, out = time.monotonic(), _plan(arguments), arguments.output_dir
    starts: dict[str, Path | None] = {"start": arguments.start}
    if arguments.probe_start is not None:
        starts["probe"] = arguments.probe_start
    asked_for = {"stage": "bench-recipes", "plan": asdict(plan)}
    mark_run(out, asked_for, resume=(out / RUN_MARKER).is_file())
    for piece in _todo(arguments, starts):
        if time.monotonic() - begun > 60 * arguments.minutes:
            left = len(list(_todo(arguments, starts)))
            print(f"{left} pieces left after {arguments.minutes:g} minutes: run it again")
            break
        print(f"\n■ {piece.recipe}, seed {piece.seed}, from {piece.start}", flush=True)
        do(piece, starts[piece.start] or share_start(out, plan), out, plan)
    found = figures(out, list(starts), arguments.recipes, arguments.seeds, plan)
    path = record.write(
        "recipes", _command(arguments, plan), found, arguments.seeds, notes(plan), default.PACKAGES
    )
    print(path.read_text())


def notes(plan: Plan) -> str:
    """What a reader of the figures must know."""
    replies = plan.steps * demo.STAGE2["per_device_train_batch_size"]
    return (
        f"{replies} sampled replies a recipe and seed, all with the settings of the demo's stage 2;"
        f" {plan.heldout} held-out questions in domain. Calibrated: on {plan.curve} questions for"
        f" calibration, AUROC of the answer's own probability and ECE <= {ECE_REACHED}."
    )


def _command(arguments: argparse.Namespace, plan: Plan) -> str:
    """The command line that gives these figures again; of a folder its name alone."""
    words = ["python benchmarks/recipes.py --seeds", *map(str, arguments.seeds)]
    words += ["--steps", str(plan.steps), "--heldout", str(plan.heldout)]
    for name in ("start", "probe_start"):
        if getattr(arguments, name) is not None:
            words += [f"--{name}", getattr(arguments, name).name]
    if set(arguments.recipes) != set(RECIPES):
        words += ["--recipes", *arguments.recipes]
    return " ".join(words)


if __name__ == "__main__":
    main()
