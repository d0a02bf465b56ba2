"""The default benchmark with LLaMA-Factory in place of TRL in stage 1: same rows, same steps.

    make llama-factory && python benchmarks/llama_factory.py

Needs what benchmarks/default.py left of seed 42 (runs/bench-default). Goes on where it was
interrupted. Writes benchmarks/results/llama_factory.json; differences are LLaMA-Factory's figure
minus TRL's on the same held-out questions, with paired intervals.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import record
from default import PLAN
from scoring import graded, in_domain, pairs

from metaconf import demo
from metaconf.cli import main as metaconf
from metaconf.metrics import Run, paired_differences, summarise

SEED = 42
COMMAND = "python benchmarks/llama_factory.py"
CONFIG = "configs/llama_factory_sft_cpu.yaml"
SCORES = ("accuracy", "ece", "brier", "auroc")
NOTES = (Path(__file__).parent / "llama-factory-notes.txt").read_text(encoding="utf-8").strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trl", type=Path, default=Path(f"runs/bench-default/seed{SEED}"))
    parser.add_argument("--output_dir", type=Path, default=Path("runs/bench-llama-factory"))
    args = parser.parse_args()
    out: Path = args.output_dir
    out.mkdir(parents=True, exist_ok=True)
    for part in ("prepare", "base"):  # neither depends on the engine of stage 1
        if not (out / part).exists():
            (out / part).symlink_to((args.trl / part).resolve(), target_is_directory=True)
    stage1(out)
    rows, _ = demo.measure(out, SEED, PLAN)
    trl = json.loads((args.trl / "bench.json").read_text())["rows"]
    found = {"sft_seconds": record.figure(_seconds(out), unit="s"), **_loss(out / "stage1")}
    for stage in ("stage1", "stage2"):
        found |= _figures(stage, in_domain(rows[stage]), in_domain(trl[stage]))
    packages = ["torch", "transformers", "trl", "peft"]
    print(record.write("llama_factory", COMMAND, found, [SEED], NOTES, packages).read_text())


def stage1(out: Path) -> None:
    """LLaMA-Factory's whole epoch, unless its model is there."""
    if (out / "stage1" / "tokenizer_config.json").exists():
        return
    words = ["--dataset_dir", str(out / "prepare"), "--output_dir", str(out / "stage1")]
    with demo.Clock.of(out / "sft_clock.json").part("stage1"):
        code = metaconf(["sft", "--engine", "llama-factory", "--config", CONFIG, *words])
    if code:
        raise SystemExit("stage 1 failed")


def _seconds(out: Path) -> float:
    return json.loads((out / "sft_clock.json").read_text())["seconds"]["stage1"]


def _loss(model: Path) -> dict[str, record.Figure]:
    log = json.loads((model / "llama_factory" / "trainer_state.json").read_text())["log_history"]
    losses = [row["loss"] for row in log if "loss" in row]
    steps = max(row["step"] for row in log)
    return {"final_loss": record.figure(losses[-1]), "steps": record.figure(steps)}


Table = dict[str, tuple[float, float]]
"""Question id → (confidence, correctness)."""


def _figures(stage: str, ours: list[Any], trl: list[Any]) -> dict[str, record.Figure]:
    """Each score of `ours`, and how far it lies from that of `trl`."""
    found: dict[str, record.Figure] = {}
    for score in SCORES:
        own, other = (graded(x) if score == "accuracy" else pairs(x) for x in (ours, trl))
        both = sorted(own.keys() & other.keys())
        one = summarise(*_run(own, sorted(own)), [score])[score]
        apart = paired_differences(_run(own, both), _run(other, both), [score])[score]
        for name, figure in ((score, one), (f"{score}_difference", apart)):
            value, low, high = figure["value"], figure["low"], figure["high"]
            if value is not None and low is not None and high is not None:
                found[f"{name}_{stage}"] = record.figure(round(value, 4), (low, high))
    return found


def _run(table: Table, ids: list[str]) -> Run:
    return Run([table[i][0] for i in ids], [table[i][1] for i in ids], ids)


if __name__ == "__main__":
    main()
