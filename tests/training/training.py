"""What the tests of stage 2 train on: two questions and a small configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from metaconf.config.blocks import Config
from metaconf.generation.local import LocalModel
from metaconf.prompts.chat import INSTRUCTION, messages
from metaconf.records import Question, Target
from metaconf.reply import format_reply, parse_reply
from metaconf.rewards.recipe import Recipe
from metaconf.rewards.recipes import OURS, recipe_of
from metaconf.training import stage2
from metaconf.training.grpo import ConfidenceGRPOTrainer
from metaconf.training.reward_computer import RewardComputer

QUESTIONS = [
    Question("sum", "What is 1 + 2?", (Target(("3",)),)),
    Question("city", "In which country is Quito?", (Target(("Ecuador",)),)),
]
ASKED = (
    {"question": "What is 1 + 2?", "answer": 3},
    {"question": "In which country is Quito?", "answer": "Ecuador"},
)
"""The same as rows of a file."""
STAGE_1 = [
    {
        "conversations": [
            {"from": "human", "value": ASKED[number % 2]["question"]},
            {"from": "gpt", "value": format_reply("3" * (number + 1), "I know it.", 0.5)},
        ],
        "system": INSTRUCTION,
        "id": str(number),
        "target": number / 10,
    }
    for number in range(10)
]
"""Prepared rows of different lengths: a round of 16 makes two steps of 8, and fills none up."""
SMALL: dict[str, Any] = {
    "max_steps": 1,
    "per_device_train_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 40,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
    "weight_decay": 0.0,
    "max_grad_norm": 1e6,
    "save_strategy": "no",
    "disable_tqdm": True,
}


def save(taught: Callable[[], LocalModel], folder: Path) -> Path:
    """The model that has learnt the format, as an ordinary folder."""
    local = taught()
    for part in (local.model, local.tokenizer):
        part.save_pretrained(folder)
    return folder


def config_of(name: str = OURS, trainer: dict[str, Any] | None = None, **blocks: Any) -> Config:
    blocks.setdefault("use_peft", False)
    return Config("grpo", {**SMALL, **(trainer or {})}, recipe=name, **blocks)  # pyright: ignore


def product(matrix: torch.Tensor) -> Callable[..., torch.Tensor]:
    """A head that is `matrix` (V, D) alone."""

    def head(hidden: torch.Tensor, tokens: Sequence[int] | None = None) -> torch.Tensor:
        return hidden @ (matrix if tokens is None else matrix[list(tokens)]).T

    return head


def trainer_of(
    local: Any, config: Config, out: Path, recipe: Recipe | None = None
) -> ConfidenceGRPOTrainer:
    """As `stage2.train` builds it, without training; `recipe` in the place of the configured."""
    recipe = recipe or recipe_of(config)
    args = stage2.settings(config, out, recipe)
    scale: Any = args.scale_rewards
    rewards = RewardComputer(recipe, out / "replies.jsonl", scale)
    rows = [{"prompt": messages(q.prompt), "question": json.dumps(q.to_json())} for q in QUESTIONS]
    local.model.set_attn_implementation("eager")
    return ConfidenceGRPOTrainer(
        model=local.model,
        args=args,
        train_dataset=Dataset.from_list(rows * 4),
        processing_class=local.tokenizer,
        recipe=recipe,
        compute_rewards=rewards,
    )


def drawn(made: ConfidenceGRPOTrainer) -> tuple[dict[str, Any], list[list[int]], list[Any]]:
    """A generation batch, its replies' tokens, and what they say."""
    inputs = [
        {"prompt": messages(q.prompt), "question": json.dumps(q.to_json())}
        for q in QUESTIONS
        for _ in range(4)
    ]
    made.model.train()  # pyright: ignore
    made.current_gradient_accumulation_steps = 1
    batch = made._generate_and_score_completions(inputs)
    pairs = zip(batch["completion_ids"], batch["completion_mask"], strict=True)
    tokens = [row[mask.bool()].tolist() for row, mask in pairs]
    decode: Any = made.processing_class.decode  # pyright: ignore
    return batch, tokens, [parse_reply(decode(t, skip_special_tokens=True)) for t in tokens]
