"""The default benchmark with LLaMA-Factory, then a pass of TRL's engine, in stage 1: same rows.

    make llama-factory && python benchmarks/llama_factory.py --seeds 42

Three models a seed are asked the held-out questions: LLaMA-Factory's; that one after the README's
pass of TRL's engine, which teaches the confidence ("stage1"); and after stage 2. Goes on
where it was interrupted. Writes benchmarks/results/llama_factory.json; differences are a figure
less TRL's of the same seed on the same questions (runs/bench-default, made here unless
benchmarks/default.py left it), resampled by question and seed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import default
import numpy as np
import record
import scoring
import shipped

from metaconf.evaluation.generate import evaluate
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.generation.local import load_local

CONFIG = "configs/llama_factory_sft_cpu.yaml"
PASS = ("--confidence.full_reply_fraction", "0.2")
"""What the README gives the pass of TRL's engine after LLaMA-Factory."""
STAGES = ("llama_factory", "stage1", "stage2")
NOTES = (Path(__file__).parent / "llama-factory-notes.txt").read_text(encoding="utf-8").strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--trl", type=Path, default=Path("runs/bench-default"))
    parser.add_argument("--output_dir", type=Path, default=Path("runs/bench-llama-factory"))
    args = parser.parse_args()
    trl: list[shipped.Rows] = []
    ours: list[shipped.Rows] = []
    folders: list[Path] = []
    for seed in args.seeds:
        own = args.trl / f"seed{seed}"
        trl.append(default.measured(own, seed))
        folders.append(args.output_dir / f"seed{seed}")
        ours.append(by_llama_factory(folders[-1], own / "prepare", seed))
    found = spent(folders)
    for stage in STAGES:
        found |= figures(stage, [rows[stage] for rows in ours], [_beside(stage, r) for r in trl])
    packages = ["torch", "transformers", "trl", "peft"]
    words = " ".join(map(str, args.seeds))
    command = f"python benchmarks/llama_factory.py --seeds {words}"
    record.write("llama_factory", command, found, args.seeds, NOTES, packages)


def _beside(stage: str, trl: shipped.Rows) -> list[EvaluatedReply]:
    """What a stage is compared with: LLaMA-Factory's model with TRL's stage 1."""
    return trl["stage1" if stage == "llama_factory" else stage]


def by_llama_factory(out: Path, prepared: Path, seed: int) -> shipped.Rows:
    """Train and ask the three models of one seed, or what is left of it."""
    first = ["--engine", "llama-factory", "--config", CONFIG, "--dataset_dir", str(prepared)]
    second = ["--config", "configs/sft_train_config.yaml", "--model", str(out / STAGES[0])]
    second += ["--train_file", str(prepared / "sft.jsonl"), *PASS]
    third = ["--config", str(shipped.DEMO), "--model", str(out / STAGES[1])]
    rows: shipped.Rows = {}
    for stage, words in zip(STAGES, (first, second, third), strict=True):
        model = out / stage
        _timed("grpo" if stage == "stage2" else "sft", words, model, seed)
        replies = model / "heldout.jsonl"
        rows[stage] = evaluate(load_local(str(model)), default.asked(), "reply", replies, stage)
    return rows


def _timed(command: str, words: list[str], model: Path, seed: int) -> None:
    """One command that trains, unless its model is there; its seconds beside the model."""
    if shipped.is_whole(model):
        return
    shutil.rmtree(model, ignore_errors=True)  # cut short while it trained
    start = time.monotonic()
    shipped.command(command, *words, "--output_dir", str(model), "--seed", str(seed))
    (model / "seconds.json").write_text(json.dumps(time.monotonic() - start))


def spent(folders: list[Path]) -> dict[str, record.Figure]:
    """Means over seeds of the seconds of each training; LLaMA-Factory's steps and last loss."""
    found: dict[str, record.Figure] = {}
    for stage in STAGES:
        each = [json.loads((folder / stage / "seconds.json").read_text()) for folder in folders]
        found[f"seconds_{stage}"] = record.figure(_mean(each), unit="s")
    logs = [_log(folder / STAGES[0]) for folder in folders]
    losses = [[row["loss"] for row in log if "loss" in row][-1] for log in logs]
    steps = [max(row["step"] for row in log) for log in logs]
    return found | {
        "final_loss": record.figure(_mean(losses)),
        "steps": record.figure(_mean(steps)),
    }


def _log(model: Path) -> list[dict[str, Any]]:
    return json.loads((model / "llama_factory" / "trainer_state.json").read_text())["log_history"]


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def figures(
    stage: str, ours: list[list[EvaluatedReply]], trl: list[list[EvaluatedReply]]
) -> dict[str, record.Figure]:
    """Each score of `ours`, and how far it lies from that of `trl`."""
    found: dict[str, record.Figure] = {}
    for name, score in {"accuracy": scoring.mean_right, **scoring.SCORES}.items():
        pairs = scoring.graded if name == "accuracy" else scoring.pairs
        own, other = ([pairs(scoring.in_domain(r)) for r in runs] for runs in (ours, trl))
        found[f"{name}_{stage}"] = scoring.over_seeds(own, score)
        found[f"{name}_difference_{stage}"] = scoring.apart_over_seeds(own, other, score)
    return found


if __name__ == "__main__":
    main()
