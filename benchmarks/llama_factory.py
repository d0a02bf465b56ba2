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
from pathlib import Path
from typing import Any

import default
import numpy as np
import record
import scoring

from metaconf.cli import demo
from metaconf.cli import main as metaconf
from metaconf.evaluation.rows import EvaluatedReply

CONFIG = "configs/llama_factory_sft_cpu.yaml"
PASS = ("--confidence.full_reply_fraction", "0.2")
"""What the README gives the pass of TRL's engine after LLaMA-Factory."""
STAGES = ("llama_factory", "stage1", "stage2")
NOTES = (Path(__file__).parent / "llama-factory-notes.txt").read_text(encoding="utf-8").strip()
Rows = dict[str, list[EvaluatedReply]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--trl", type=Path, default=Path("runs/bench-default"))
    parser.add_argument("--output_dir", type=Path, default=Path("runs/bench-llama-factory"))
    args = parser.parse_args()
    trl: list[Rows] = []
    ours: list[Rows] = []
    folders: list[Path] = []
    for seed in args.seeds:
        own = args.trl / f"seed{seed}"
        trl.append(default.measured(own, seed)[0])
        folders.append(args.output_dir / f"seed{seed}")
        ours.append(by_llama_factory(folders[-1], own / "prepare", seed))
    found = spent(folders)
    for stage in STAGES:
        found |= figures(stage, [rows[stage] for rows in ours], [_beside(stage, r) for r in trl])
    packages = ["torch", "transformers", "trl", "peft"]
    words = " ".join(map(str, args.seeds))
    command = f"python benchmarks/llama_factory.py --seeds {words}"
    print(record.write("llama_factory", command, found, args.seeds, NOTES, packages).read_text())


def _beside(stage: str, trl: Rows) -> list[EvaluatedReply]:
    """What a stage is compared with: LLaMA-Factory's model with TRL's stage 1."""
    return trl["stage1" if stage == "llama_factory" else stage]


def by_llama_factory(out: Path, prepared: Path, seed: int) -> Rows:
    """Train and ask the three models of one seed, or what is left of it."""
    clock = demo.Clock.of(out / "clock.json")
    out.mkdir(parents=True, exist_ok=True)
    first = ["--engine", "llama-factory", "--config", CONFIG, "--dataset_dir", str(prepared)]
    second = ["--config", "configs/sft_train_config.yaml", "--model", str(out / STAGES[0])]
    second += ["--train_file", str(prepared / "sft.jsonl"), *PASS]
    for stage, words in ((STAGES[0], first), (STAGES[1], second)):
        with clock.part(stage):
            _sft([*words, "--output_dir", str(out / stage), "--seed", str(seed)], out / stage)
    asked = demo.heldout(default.PLAN.heldout, default.PLAN.out_of_domain)
    rows: Rows = {}
    for stage in STAGES:
        rows |= demo.stage_method(out, stage, asked, default.PLAN, seed, clock)
    return rows


def _sft(words: list[str], model: Path) -> None:
    """One `metaconf sft`, unless its model is there: the tokenizer is saved after the weights."""
    if (model / "tokenizer_config.json").exists():
        return
    shutil.rmtree(model, ignore_errors=True)  # cut short while it trained
    if metaconf(["sft", *words]):
        raise SystemExit(f"{model}: stage 1 failed")


def spent(folders: list[Path]) -> dict[str, record.Figure]:
    """Means over seeds of the seconds of each training; LLaMA-Factory's steps and last loss."""
    clocks = [json.loads((folder / "clock.json").read_text())["seconds"] for folder in folders]
    found = {
        f"seconds_{stage}": record.figure(_mean([clock[stage] for clock in clocks]), unit="s")
        for stage in STAGES
    }
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
