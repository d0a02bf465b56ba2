"""A second real task: both stages on five-way choice questions, CommonsenseQA.

    python benchmarks/commonsense.py --questions commonsense_qa.jsonl [--seeds 0]

The embedded model and configs/demo.yaml, no setting changed. Goes on where it was interrupted
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
import shipped

from metaconf import metrics
from metaconf.data import load_questions, pick
from metaconf.evaluation.generate import evaluate
from metaconf.generation.local import load_local
from metaconf.records import Question, write_jsonl

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


def trained(out: Path, splits: Splits, seed: int) -> shipped.Rows:
    """Both stages, and what each says of the held-out questions; goes on with what is there."""
    files = {name: out / f"{name}.jsonl" for name in ("stage1", "stage2")}
    for name, file in files.items():
        write_jsonl(file, [question.to_json() for question in getattr(splits, name)])
    prepared = shipped.prepared(out / "prepare", seed=seed, **{"questions.path": files["stage1"]})
    first = shipped.trained("sft", out / "stage1", seed=seed, train_file=prepared)
    keys = {"model_name_or_path": out / "stage1", "questions.path": files["stage2"]}
    models = {
        "stage1": first,
        "stage2": shipped.trained("grpo", out / "stage2", seed=seed, **keys),
    }
    return {
        name: evaluate(model, splits.heldout, "reply", out / f"{name}-heldout.jsonl", name)
        for name, model in models.items()
    }


def figures(runs: Sequence[shipped.Rows]) -> dict[str, record.Figure]:
    """Each method's figures, and how far the reply's Brier score lies from the probability's."""
    found: dict[str, record.Figure] = {}
    for key in runs[0]:
        stated = [scoring.pairs(run[key]) for run in runs]
        graded = [scoring.graded(run[key]) for run in runs]
        found[f"accuracy_{key}"] = scoring.over_seeds(graded, scoring.mean_right)
        found |= scoring.scores(key, stated)
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
    record.write("commonsense", command, figures(runs), args.seeds, NOTES, default.PACKAGES)


NOTES = (
    f"CommonsenseQA, {SIZES[0]} questions for stage 1, 192 of {SIZES[1]} for stage 2, {SIZES[3]}"
    " held out; `calibrated` is the base's answer probability after an isotonic map fitted on"
    f" {SIZES[2]} others. Chance is .2: a model of 135M parameters hardly knows better."
)

if __name__ == "__main__":
    main()
