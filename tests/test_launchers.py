"""The files that users type the paths of: configurations and the root's thin scripts, frozen."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from metaconf.config.blocks import Reward
from metaconf.config.load import load_config
from metaconf.config.values import read_yaml
from metaconf.prompts import reflection
from metaconf.rewards import adapters

ROOT = Path(__file__).parents[1]
LAUNCHERS = {
    "train/grpo_train.py": ["main"],
    "utils/reward_function.py": ["compute_score", "reward_function"],
    "prompts/reflection_generation.py": ["REFLECTION_SYSTEM", "reflection_messages"],
}
ALLOWED = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign, ast.If)


def load(path: str) -> ModuleType:
    """A module loaded by its path, as verl does."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", LAUNCHERS)
def test_launchers_are_thin(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert all(isinstance(node, ALLOWED) for node in tree.body)
    docstring, *code = tree.body
    assert isinstance(docstring, ast.Expr)
    assert sum((node.end_lineno or 0) - node.lineno + 1 for node in code) <= 15
    assert "sys.path" not in ast.unparse(tree)
    assert all(hasattr(load(path), name) for name in LAUNCHERS[path])


def test_launchers_shadow_nothing() -> None:
    """A script's folder is the first place where Python looks for modules."""
    for path in LAUNCHERS:
        siblings = [item.stem for item in (ROOT / path).parent.glob("*.py")]
        assert siblings == [Path(path).stem]
        assert Path(path).stem not in sys.stdlib_module_names


def test_the_launched_names_are_those_of_the_package() -> None:
    rewards, prompts = load("utils/reward_function.py"), load("prompts/reflection_generation.py")
    assert rewards.compute_score is adapters.compute_score
    assert rewards.reward_function is adapters.reward_function
    assert prompts.reflection_messages is reflection.reflection_messages
    assert prompts.REFLECTION_SYSTEM == reflection.REFLECTION_SYSTEM


def test_signatures_are_frozen() -> None:
    names = {
        function: list(inspect.signature(function).parameters)
        for function in (adapters.reward_function, adapters.compute_score)
    }
    assert names[adapters.reward_function] == ["prompts", "completions", "columns"]
    assert names[adapters.compute_score] == [
        "data_source", "solution_str", "ground_truth", "extra_info", "kw",
    ]  # fmt: skip
    assert list(inspect.signature(reflection.reflection_messages).parameters) == [
        "question", "answer", "other_answers", "agreement", "amiss",
    ]  # fmt: skip


def test_the_launcher_is_metaconf_grpo(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train/grpo_train.py"), "--config", "none.yaml"]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}  # a relative one would be lost
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("metaconf: error: none.yaml: cannot be read")


def test_the_grpo_configuration_is_the_one_asked_for() -> None:
    path = ROOT / "configs/grpo_train_config.yaml"
    config = load_config(path, "grpo")
    assert read_yaml(path)[0].keys() == {
        "model_name_or_path", "max_steps", "learning_rate", "beta", "num_generations",
        "max_prompt_length", "max_completion_length", "reward", "questions",
    }  # fmt: skip
    assert config.model_name_or_path == "embedded-sft"
    assert config.max_prompt_length == 256
    assert config.reward == Reward()
    asked = {"max_steps": 40, "learning_rate": 1e-6, "beta": 0.001}
    asked |= {"num_generations": 8, "max_completion_length": 2048}
    assert {name: config.trainer[name] for name in asked} == asked


def test_the_sft_configuration_loads() -> None:
    config = load_config(ROOT / "configs/sft_train_config.yaml", "sft")
    assert (config.model_name_or_path, config.questions.path) == ("embedded", "embedded")
    assert config.trainer["learning_rate"] == 4e-4


def test_the_llama_factory_configuration_has_its_own_keys() -> None:
    values, _ = read_yaml(ROOT / "configs/llama_factory_sft.yaml")
    # The well-known example's keys, and one of ours: rows are taught in their order.
    assert values.keys() - {"disable_shuffling"} == {
        "model_name_or_path", "deepspeed", "stage", "do_train", "finetuning_type", "lora_target",
        "lora_rank", "lora_alpha", "dataset", "dataset_dir", "template", "cutoff_len",
        "overwrite_cache", "preprocessing_num_workers", "output_dir", "logging_steps",
        "save_steps", "plot_loss", "overwrite_output_dir", "save_strategy",
        "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
        "num_train_epochs", "lr_scheduler_type", "warmup_ratio", "fp16", "ddp_timeout",
    }  # fmt: skip
    assert values["stage"] == "sft" and values["finetuning_type"] == "lora"
    assert values["template"] == "llama3" and values["cutoff_len"] == 3072
    deepspeed = json.loads((ROOT / values["deepspeed"]).read_text(encoding="utf-8"))
    assert deepspeed["zero_optimization"]["stage"] == 3
    assert deepspeed["train_batch_size"] == "auto"
