"""Trouble that others met in the everyday running of training: each row refused in one line, before
torch is imported, and the output folder is left alone, so that the corrected command can use it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from metaconf.cli import main

A9 = [
    ("sft", "gradient_accumulation_steps", "-2", "too small; give at least 1"),
    ("grpo", "gradient_accumulation_steps", "-2", "too small; give at least 1"),
    ("sft", "num_train_epochs", "0", "too small"),
    ("sft", "max_steps", "0", "nothing would be trained"),
    ("grpo", "max_steps", "0", "nothing would be trained"),
    ("grpo", "max_steps", "-7", "too small; give at least -1"),
]
A10 = [
    ("grpo", "temperature", "-1", "too small"),
    ("grpo", "temperature", "0", "too small"),
    ("grpo", "temperature", ".nan", "nan is not a number"),
]
A14 = [
    ("grpo", "reward_weights", "[1, 2]", "the weights are the recipe's"),
    ("grpo", "generation_kwargs", "{top_k: 3}", "the trainer's own sampler"),
    ("grpo", "chat_template_kwargs", "{a: 1}", "written by ourselves"),
]
B5 = [
    ("sft", "report_to", "wandb", "needs wandb, which is not installed"),
    ("sft", "report_to", "wandbb", "'wandbb' is none of all, none, azure_ml"),
    ("grpo", "report_to", "[none, tensorbord]", "is none of all, none"),
    ("sft", "eval_strategy", "steps", "no evaluation during training"),
    ("grpo", "load_best_model_at_end", "true", "no evaluation during training"),
    ("sft", "save_strategy", "best", "no evaluation during training"),
    ("sft", "per_device_train_batch_size", "0", "too small; give at least 1"),
    ("grpo", "logging_steps", "0", "too small"),
    ("grpo", "num_generations", "1", "too small; give at least 2"),
    ("grpo", "max_completion_length", "0", "too small; give at least 1"),
    ("sft", "learning_rate", "-1e-4", "too small; give at least 0"),
    ("sft", "learning_rate", "1e30", "too large; give at most 10"),
    ("sft", "learning_rate", ".nan", "nan is not a number"),
    ("sft", "learning_rate", "1e999", "inf is not a number"),
    ("grpo", "seed", "4294967296", "too large; give at most 4294967295"),
    ("sft", "adam_beta2", "1.5", "too large; give at most 1"),
    ("grpo", "beta", "-0.1", "too small; give at least 0"),
]


def refused(
    row: tuple[str, str, str, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, key, value, said = row
    (folder / "c.yaml").write_text("seed: 1\n")
    words = [stage, "--config", str(folder / "c.yaml"), "--output_dir", str(folder / "run")]
    assert main([*words, f"--{key}={value}"]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"metaconf: error: command line: {key}: ") and line.count("\n") == 1
    assert said in line and not (folder / "run").exists()


@pytest.mark.parametrize("row", A9, ids=str)
def test_a9_what_trains_nothing(
    row: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(row, tmp_path, capsys)


@pytest.mark.parametrize("row", A10, ids=str)
def test_a10_a_temperature_that_draws_nothing(
    row: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(row, tmp_path, capsys)


@pytest.mark.parametrize("row", A14, ids=str)
def test_a14_keys_without_effect(
    row: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(row, tmp_path, capsys)


@pytest.mark.parametrize("row", B5, ids=str)
def test_b5_values_that_fail_after_the_model_is_loaded(
    row: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(row, tmp_path, capsys)


def test_a9_a10_a14_b5_are_refused_before_torch(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("seed: 1\n")
    words = [[s, "--config", "c.yaml", f"--{k}={v}"] for s, k, v, _ in (*A9, *A10, *A14, *B5)]
    program = (
        f"import sys; from metaconf.cli import main; assert {{*map(main, {words!r})}} == {{2}};"
        "assert not {'torch', 'transformers', 'trl'} & set(sys.modules)"
    )
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert len(done.stderr.splitlines()) == len(words)
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]
