"""Training in two processes: the same steps as in one with as many rows, and one set of files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from test_stage2 import ROOT

from metaconf.cli import main
from metaconf.errors import UserError
from metaconf.generation.local import LocalModel
from metaconf.prompts.chat import INSTRUCTION
from metaconf.records import read_jsonl
from metaconf.reply import format_reply
from metaconf.runs import LAUNCH, RUN_MARKER, check_output_dir, is_main_process
from metaconf.training.processes import check_groups, check_processes

QUESTIONS = (
    {"question": "What is 1 + 2?", "answer": 3},
    {"question": "In which country is Quito?", "answer": "Ecuador"},
)


@pytest.fixture
def model(tmp_path: Path, taught: Callable[[], LocalModel]) -> Path:
    local, folder = taught(), tmp_path / "taught"
    for part in (local.model, local.tokenizer):
        part.save_pretrained(folder)
    return folder


def run(processes: int, words: list[str]) -> None:
    """The command in this process, or in so many as `torchrun` starts them."""
    if processes == 1:
        assert main(words) == 0
        return
    program = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [sys.executable, *program, str(Path(__file__).with_name("float32_cli.py")), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def in_one_and_two(model: Path, folder: Path, rows: int, words: list[str]) -> tuple[Path, Path]:
    """Two steps of `rows` rows each by plain descent, in one process and in two: their folders."""
    words = [*words, "--model", str(model), "--max_steps", "2", "--save_strategy", "no"]
    words += [
        "--use_peft",
        "false",
        "--warmup_steps",
        "0",
        "--optim",
        "sgd",
        "--max_grad_norm",
        "1e6",
    ]
    one, two = folder / "1", folder / "2"
    for processes, out in ((1, one), (2, two)):
        size = ["--per_device_train_batch_size", str(rows // processes)]
        run(processes, [*words, *size, "--output_dir", str(out)])
    return one, two


def same_steps(one: Path, two: Path, start: Path) -> None:
    before, single, double = (load_file(f / "model.safetensors") for f in (start, one, two))
    moved = max((single[name] - before[name]).abs().max() for name in single)
    apart = max((single[name] - double[name]).abs().max() for name in single)
    assert moved > 1e-3
    assert apart < 0.02 * moved


@pytest.mark.slow
@pytest.mark.usefixtures("float32")
def test_stage_2_in_two_processes_is_stage_2_in_one(tmp_path: Path, model: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text("\n".join(json.dumps(row) for row in QUESTIONS))
    config = str(ROOT / "configs" / "grpo_train_config.yaml")
    words = ["grpo", "--config", config, "--questions", str(questions), "--num_generations", "4"]
    words += ["--max_completion_length", "40", "--learning_rate", "1", "--beta", "0"]
    one, two = in_one_and_two(model, tmp_path, 8, words)
    same_steps(one, two, model)

    def drawn(*paths: Path) -> list[tuple[int, str]]:
        return sorted((r["step"], r["text"]) for path in paths for _, r in read_jsonl(path))

    whole = drawn(one / "replies.jsonl")
    assert len(whole) == 16
    assert drawn(two / "replies.jsonl", two / "replies-1.jsonl") == whole
    assert (two / RUN_MARKER).exists() and (two / "README.md").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("float32")
def test_stage_1_in_two_processes_is_stage_1_in_one(tmp_path: Path, model: Path) -> None:
    rows = [
        {
            "conversations": [
                {"from": "human", "value": row["question"]},
                {"from": "gpt", "value": format_reply("3", "I know it.", 0.5)},
            ],
            "system": INSTRUCTION,
            "id": str(number),
            "target": 0.5,
        }
        for number, row in enumerate([QUESTIONS[0]] * 8)
    ]
    source = tmp_path / "sft.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    config = str(ROOT / "configs" / "sft_train_config.yaml")
    words = ["sft", "--config", config, "--train_file", str(source), "--learning_rate", "0.1"]
    same_steps(*in_one_and_two(model, tmp_path, 4, words), model)


def test_only_the_first_process_looks_after_the_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / RUN_MARKER).write_text("{}")
    assert is_main_process()
    with pytest.raises(UserError, match="holds another run"):
        check_output_dir(tmp_path, resume=False)
    for name in LAUNCH:
        monkeypatch.setenv(name, "1")
    assert not is_main_process()
    check_output_dir(tmp_path, resume=False)


def test_groups_that_would_be_torn_apart_are_refused() -> None:
    def told(world: int, size: int) -> Any:
        return SimpleNamespace(
            world_size=world,
            per_device_train_batch_size=size,
            steps_per_generation=1,
            num_generations=4,
        )

    check_groups(told(1, 2))
    check_groups(told(2, 8))
    with pytest.raises(UserError, match="num_generations 4"):
        check_groups(told(2, 6))


def test_a_sharded_model_is_refused() -> None:
    with pytest.raises(UserError, match="DEEPSPEED"):
        check_processes(SimpleNamespace(distributed_type=DistributedType.DEEPSPEED))
    check_processes(SimpleNamespace(distributed_type=DistributedType.MULTI_GPU))
