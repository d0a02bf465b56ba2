"""One stage-2 step of ours beside one of TRL's plain GRPOTrainer: same shapes, same run.

    python benchmarks/trl_plain.py [--model runs/demo/stage1]

Both train the same model on the same questions with the settings of the recipes' benchmark; TRL's
side is TRL alone, with its own generation and loss, and the reward of RLCR. They take
turns in one process, so that a busy machine slows both. Writes benchmarks/results/trl_plain.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import record
import shipped
from recipes_plan import GROUP
from transformers import PrinterCallback, ProgressCallback

from metaconf.config.blocks import Config

STEPS, TURNS = 6, 2
LENGTH = "completions/mean_length"
WARM = 2
"""Steps of a turn that are not counted: the first generation batch sets caches up."""
Log = list[dict[str, float]]
"""One row a logged step; TRL itself takes the time of a step, drawing of its replies included."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="runs/demo/stage1", help="a stage-1 model")
    model: str = parser.parse_args().model
    logging.basicConfig(level=logging.ERROR)
    sides: dict[str, Callable[[Path], Log]] = {
        "trl": lambda out: plain(model, out),
        "rlcr": lambda out: ours(model, "rlcr", out),
        "metaconf": lambda out: ours(model, "metaconf", out),
    }
    logs: dict[str, list[Log]] = {name: [] for name in sides}
    for turn in range(TURNS):
        for name, side in sides.items():
            out = Path(tempfile.mkdtemp())
            logs[name].append(side(out)[WARM:])
            shutil.rmtree(out)
            print(f"turn {turn + 1}: {name} {seconds(logs[name][-1]):.2f} s a step", flush=True)
    record.write("trl_plain", "python benchmarks/trl_plain.py", figures(logs), [0], NOTES, PACKAGES)


NOTES = (
    f"Embedded model after stage 1, LoRA of rank 64, 16 replies a step in groups of {GROUP}, drawn"
    f" 32 at a time, at most 80 tokens; means over {TURNS} turns of {STEPS - WARM} steps, after"
    f" {WARM} that are not counted. A ratio is ours over TRL's; its interval spans the turns."
)
PACKAGES = ("torch", "transformers", "trl", "peft")


def settings(model: str, recipe: str, out: Path) -> Config:
    """What both sides are trained with."""
    keys = {"model_name_or_path": model, "recipe": recipe, "num_generations": GROUP, "seed": 0}
    more = {"output_dir": out, "max_steps": STEPS, "disable_tqdm": True, "save_strategy": "no"}
    return shipped.config("grpo", keys | more)


def plain(model: str, out: Path) -> Log:
    """TRL's GRPOTrainer as its documentation shows it."""
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    from metaconf.data import embedded_questions, pick
    from metaconf.generation.local import load_local
    from metaconf.rewards.recipes import PUBLISHED
    from metaconf.training.adapters import lora
    from metaconf.training.reward_computer import RewardComputer
    from metaconf.training.stage1 import hardware
    from metaconf.training.stage2 import question_rows

    local = load_local(model)
    asked = pick(embedded_questions("stage2"), None, 0)
    config = settings(model, "rlcr", out)
    rows = question_rows(local, asked, config.max_prompt_length)
    recipe = PUBLISHED["rlcr"]
    compute = RewardComputer(recipe, out / "replies.jsonl")

    def rlcr(completions: list[Any], question: list[str], **_: Any) -> list[float]:
        return compute(question, [reply[0]["content"] for reply in completions]).total.tolist()

    trainer = GRPOTrainer(
        model=local.model,
        args=GRPOConfig(**{**hardware(), **config.trainer, "scale_rewards": recipe.scale}),
        train_dataset=Dataset.from_list(rows),
        processing_class=local.tokenizer,
        reward_funcs=rlcr,  # pyright: ignore[reportArgumentType]
        peft_config=lora(config, local.model),
    )
    for loud in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(loud)
    trainer.train()
    return [row for row in trainer.state.log_history if "step_time" in row]


def ours(model: str, recipe: str, out: Path) -> Log:
    """The product's stage 2."""
    from metaconf.training import stage2

    stage2.run(settings(model, recipe, out))
    rows = json.loads((out / "curve.json").read_text())
    return [row for row in rows if "step_time" in row]


def seconds(log: Log) -> float:
    """Mean seconds of a step."""
    return float(np.mean([row["step_time"] for row in log]))


def figures(logs: dict[str, list[Log]]) -> dict[str, record.Figure]:
    """Seconds and tokens of each side, and ours over TRL's, turn by turn."""
    turns = {name: np.array([seconds(log) for log in each]) for name, each in logs.items()}
    found: dict[str, record.Figure] = {}
    for name, each in logs.items():
        # Logged where replies were drawn: every other step.
        drawn = [row for log in each for row in log if LENGTH in row]
        lengths = [row[LENGTH] for row in drawn]
        mean = round(float(turns[name].mean()), 2)
        found[f"step_seconds_{name}"] = record.figure(mean, None, "s")
        found[f"tokens_reply_{name}"] = record.figure(
            round(float(np.mean(lengths)), 1), None, "tokens"
        )
    for name in ("rlcr", "metaconf"):
        ratios = turns[name] / turns["trl"]
        value = round(float(turns[name].sum() / turns["trl"].sum()), 3)
        bounds = (float(ratios.min()), float(ratios.max()))
        found[f"step_ratio_{name}"] = record.figure(value, bounds, "x", "<= 1.0")
    return found


if __name__ == "__main__":
    main()
