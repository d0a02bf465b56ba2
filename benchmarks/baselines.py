"""Every method for a confidence on the default questions: the base's and the trained model's.

    python benchmarks/baselines.py --model runs/demo/stage2 [--questions 500]

What `metaconf evaluate --baselines` does, twice, and its figures as benchmarks/results/
baselines.json. Goes on where it was interrupted (runs/bench-baselines). Intervals: 95 %, by
question; recalibrated on calibration questions, as many as are asked (at most 500).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import record

from metaconf.evaluation.methods import BASELINES
from metaconf.evaluation.run import Evaluation, run
from metaconf.runs import RUN_MARKER

SHOWN = ("accuracy", "auroc", "brier", "ece", "brier_recalibrated", "ece_recalibrated", "tokens")


def measured(model: str, folder: Path, questions: int, baselines: tuple[str, ...]) -> Any:
    """metrics.json of one model with these baselines."""
    if not (folder / "report.html").exists():
        begun = (folder / RUN_MARKER).is_file()
        told = Evaluation(model, "embedded", questions, baselines=baselines)
        run(told, folder, begun)
    return json.loads((folder / "metrics.json").read_text())


def figures_of(name: str, metrics: Any) -> dict[str, record.Figure]:
    """metric_MODEL_method → figure, for what is known."""
    found: dict[str, record.Figure] = {}
    for method in metrics["methods"]:
        for metric in SHOWN:
            one = method["figures"].get(metric)
            if one is not None and one["value"] is not None:
                ends = None if one["low"] is None else (one["low"], one["high"])
                key = f"{metric}_{name}_{method['key']}"
                found[key] = record.figure(round(one["value"], 4), ends)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="runs/demo/stage2", help="the trained model")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/bench-baselines"))
    arguments = parser.parse_args()
    found: dict[str, record.Figure] = {}
    # Several replies in words: of the base after worked examples, of the trained model its own.
    for name, model, without in (
        ("base", "embedded", ("replies8", "expected")),
        ("trained", arguments.model, ("verbal2", "verbal8")),
    ):
        baselines = tuple(key for key in BASELINES if key not in without)
        folder = arguments.output_dir / name
        found |= figures_of(name, measured(model, folder, arguments.questions, baselines))
    command = f"python benchmarks/baselines.py --questions {arguments.questions}"
    notes = (
        "The base's `reply` is our format asked of a model that was not trained. Methods in words"
        " show five worked examples; tokens: written for one question, samples included."
    )
    record.write("baselines", command, found, [0], notes, ("torch", "transformers"))


if __name__ == "__main__":
    main()
