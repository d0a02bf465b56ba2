"""What the tests of stage 2 train on: two questions and a small configuration."""

from __future__ import annotations

from typing import Any

from metaconf.config_blocks import Config, Lora
from metaconf.records import Question, Target
from metaconf.rewards.recipes import OURS

QUESTIONS = [
    Question("sum", "What is 1 + 2?", (Target(("3",)),)),
    Question("city", "In which country is Quito?", (Target(("Ecuador",)),)),
]
SMALL: dict[str, Any] = {
    "max_steps": 2,
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


def config_of(name: str = OURS, trainer: dict[str, Any] | None = None, **blocks: Any) -> Config:
    blocks.setdefault("lora", Lora(r=0))
    return Config("grpo", {**SMALL, **(trainer or {})}, recipe=name, **blocks)  # pyright: ignore
