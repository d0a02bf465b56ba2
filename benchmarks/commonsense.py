"""A second real task: both stages on five-way choice questions, CommonsenseQA.

    python benchmarks/commonsense.py --questions commonsense_qa.jsonl [--seeds 0]

The embedded model, the demo's recipe, no setting changed. Goes on where it was interrupted
(runs/bench-commonsense). Writes benchmarks/results/commonsense.json; values are means over seeds,
intervals are 95 % by resampling questions and seeds together.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import default
import numpy as np
import record
import scoring

from metaconf import metrics
from metaconf.cli import demo
from metaconf.config.blocks import Config
from metaconf.data import load_questions, pick
from metaconf.evaluation.generate import evaluate
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.generation.local import LocalModel, load_local
from metaconf.records import Question
from metaconf.training import stage2
from metaconf.training.prepare import prepare

SIZES = (1700, 200, 300, 800)


class Splits(NamedTuple):
    """Questions by what they are for."""

    stage1: list[Question]
    stage2: list[Question]
    calibration: list[Question]
    heldout: list[Question]


def split(questions: Sequence[Question], sizes: Sequence[int] = SIZES) -> Splits:
    """The same disjoint parts for every seed. Raises SystemExit for fewer questions."""
    if len(questions) < sum(sizes):
        raise SystemExit(f"{len(questions)} questions; {sum(sizes)} are needed")
    shuffled, ends = pick(questions, None, 0), np.cumsum([0, *sizes])
    return Splits(*(shuffled[a:b] for a, b in pairwise(ends)))


def trained(out: Path, splits: Splits, seed: int) -> dict[str, list[EvaluatedReply]]:
    """Both stages, and what each says of the held-out questions; goes on with what is there."""
    if not (out / "prepare" / "sft.jsonl").exists():
        into = out / "prepare"
        config = Config("sft", {}, output_dir=str(into), seed=seed, confidence=demo.CONFIDENCE)
        prepare(config, splits.stage1)
    rows: dict[str, list[EvaluatedReply]] = {}
    for stage in ("stage1", "stage2"):
        model = _stage(out, stage, splits, seed)
        rows[stage] = evaluate(model, splits.heldout, "reply", out / f"{stage}.jsonl", stage)
    return rows


def _stage(out: Path, stage: str, splits: Splits, seed: int) -> LocalModel:
    if (out / stage / "tokenizer_config.json").exists():
        return load_local(str(out / stage))
    plan = demo.Plan()
    if stage == "stage1":
        return demo.train_stage1(out, plan, seed)
    trainer = {**demo.STAGE2, "max_steps": plan.stage2_steps}
    config = Config("grpo", trainer, seed=seed, confidence=demo.CONFIDENCE)
    return stage2.train(load_local(str(out / "stage1")), splits.stage2, config, out / stage)


def figures(runs: Sequence[dict[str, list[EvaluatedReply]]]) -> dict[str, record.Figure]:
    """Each method's figures, and how far the reply's Brier score lies from the probability's."""
    found: dict[str, record.Figure] = {}
    for key in runs[0]:
        stated = [scoring.pairs(run[key]) for run in runs]
        graded = [scoring.graded(run[key]) for run in runs]
        found[f"accuracy_{key}"] = scoring.over_seeds(graded, scoring.mean_right)
        for name, score in scoring.SCORES.items():
            found[f"{name}_{key}"] = scoring.over_seeds(stated, score)
    ratio = found["brier_stage2"]["value"] / found["brier_calibrated"]["value"]
    found["brier_ratio"] = record.figure(round(ratio, 3), None, "x", "<= 1.0")
    tokens = {
        key: [r.tokens or 0 for run in runs for r in run[key]] for key in ("stage2", "samples8")
    }
    for key, counts in tokens.items():
        found[f"tokens_{key}"] = record.figure(round(float(np.mean(counts)), 1), None, "tokens")
    levels = [scoring.pairs(run["stage2"]) for run in runs]
    found["levels_stage2"] = scoring.over_seeds(levels, lambda c, _: metrics.effective_levels(c))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output_dir", type=Path, default=Path("runs/bench-commonsense"))
    args = parser.parse_args()
    splits, out = split(load_questions(str(args.questions))), args.output_dir
    out.mkdir(parents=True, exist_ok=True)
    base = load_local("embedded")
    shared = {
        "samples8": evaluate(base, splits.heldout, "samples8", out / "answers.jsonl"),
        "probability": evaluate(base, splits.heldout, "probability", out / "answers.jsonl"),
    }
    recalibrated = default.recalibration(base, splits.calibration, out / "calibration.jsonl")
    shared["calibrated"] = recalibrated(shared["probability"])
    runs = [shared | trained(out / f"seed{seed}", splits, seed) for seed in args.seeds]
    words = ["python benchmarks/commonsense.py --questions", args.questions.name]
    command = " ".join([*words, "--seeds", *map(str, args.seeds)])
    path = record.write("commonsense", command, figures(runs), args.seeds, NOTES, default.PACKAGES)
    print(path.read_text())


NOTES = (
    f"CommonsenseQA, {SIZES[0]} questions for stage 1, 192 of {SIZES[1]} for stage 2, {SIZES[3]}"
    " held out; `calibrated` is the base's answer probability after an isotonic map fitted on"
    f" {SIZES[2]} others. Chance is .2: a model of 135M parameters hardly knows better."
)

if __name__ == "__main__":
    main()
