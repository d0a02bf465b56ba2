"""Training in two processes: the same steps as in one with as many rows, and one set of files."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from forked import spread
from safetensors.torch import load_file
from test_stage2 import ROOT
from training import ASKED, STAGE_1, save
from trl.models.utils import _ForwardRedirection

from metaconf.cli import main
from metaconf.errors import UserError
from metaconf.generation.local import LocalModel
from metaconf.records import read_jsonl
from metaconf.runs import LAUNCH, RUN_MARKER, check_output_dir, is_main_process
from metaconf.training.processes import check_groups, inside
from metaconf.training.sft import ConfidenceSFTTrainer


@pytest.fixture
def model(tmp_path: Path, taught: Callable[[], LocalModel]) -> Path:
    return save(taught, tmp_path / "taught")


def run(layout: str, words: list[str]) -> None:
    """The command in this process, by `torchrun`, or in processes as that would start them."""
    processes, out = LAYOUTS[layout][0], Path(words[words.index("--output_dir") + 1])
    if processes == 1:
        assert main(words) == 0
    elif (layout, words[0]) == ("two", "sft"):
        torchrun(processes, words)
    else:
        spread(processes, words, out.parent)


def torchrun(processes: int, words: list[str]) -> None:
    program = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [sys.executable, *program, str(Path(__file__).with_name("float32_cli.py")), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


ROWS = 8
LAYOUTS = {"one": (1, 1), "accumulated": (1, 2), "two": (2, 1), "both": (2, 2)}
"""Processes and micro-batches that make the same ROWS rows of a step."""
PLAIN = ["--warmup_steps", "0", "--optim", "sgd", "--max_grad_norm", "1e6"]
FULL = pytest.param("false", marks=pytest.mark.long, id="full")
PEFT = pytest.mark.parametrize("peft", [pytest.param("true", id="lora"), FULL])


def taken(model: Path, folder: Path, words: list[str], peft: str) -> None:
    """Two steps of plain descent under every layout, each in a folder of its name."""
    words = [*words, "--model", str(model), "--max_steps", "2", "--save_strategy", "no", *PLAIN]
    words += ["--use_peft", peft, "--lr_scheduler_type", "constant"]
    for name, (count, parts) in LAYOUTS.items():
        size = ["--per_device_train_batch_size", str(ROWS // count // parts)]
        size += ["--gradient_accumulation_steps", str(parts)]
        run(name, [*words, *size, "--output_dir", str(folder / name)])


def apart(folder: Path, start: Path) -> float:
    """The largest difference of a weight from those of one process, as a share of the largest
    movement."""
    before, *after = (
        load_file(f / "model.safetensors") for f in (start, *map(folder.joinpath, LAYOUTS))
    )
    single = after[0]
    moved = max((single[name] - before[name]).abs().max().item() for name in single)
    assert moved > 1e-2
    found = max((single[n] - o[n]).abs().max().item() for o in after[1:] for n in single)
    return found / moved


@PEFT
@pytest.mark.slow
@pytest.mark.usefixtures("float32")
def test_stage_2_takes_the_same_steps_however_its_rows_are_spread(
    tmp_path: Path, model: Path, peft: str, record_property: Callable[[str, object], None]
) -> None:
    """With credit by segment, the expected score, and replies of which some state no number."""
    questions = tmp_path / "questions.jsonl"
    questions.write_text("\n".join(json.dumps(row) for row in ASKED))
    config = str(ROOT / "configs" / "grpo_train_config.yaml")
    words = ["grpo", "--config", config, "--questions", str(questions), "--num_generations", "4"]
    words += ["--max_completion_length", "40", "--learning_rate", "0.1", "--beta", "0"]
    words += ["--temperature", "1.15"]
    taken(model, tmp_path, words, peft)

    def drawn(name: str) -> list[dict[str, Any]]:
        found = [row for path in (tmp_path / name).glob("replies*") for _, row in read_jsonl(path)]
        return sorted(found, key=lambda row: (row["step"], row["text"]))

    whole = drawn("one")
    stated = [row["confidence"] is not None for row in whole]
    assert len(whole) == 2 * ROWS and 4 < sum(stated) < 2 * ROWS
    for name in LAYOUTS:
        assert [row["text"] for row in drawn(name)] == [row["text"] for row in whole], name
    assert (tmp_path / "two" / RUN_MARKER).exists() and (tmp_path / "two" / "README.md").exists()
    record_property("weights_difference_ddp_grpo", found := apart(tmp_path, model))
    assert found < 1e-5


@PEFT
@pytest.mark.slow
@pytest.mark.usefixtures("float32")
def test_stage_1_takes_the_same_steps_however_its_rows_are_spread(
    tmp_path: Path, model: Path, peft: str, record_property: Callable[[str, object], None]
) -> None:
    """On rows of different lengths, of which some have a reflection."""
    source = tmp_path / "sft.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in STAGE_1))
    config = str(ROOT / "configs" / "sft_train_config.yaml")
    words = ["sft", "--config", config, "--train_file", str(source), "--learning_rate", "0.1"]
    shares = [
        "--confidence.confidence_only_epochs",
        ".6",
        "--confidence.full_reply_fraction",
        "1",
    ]
    taken(model, tmp_path, [*words, *shares], peft)
    record_property("weights_difference_ddp_sft", found := apart(tmp_path, model))
    assert found < 1e-5


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


class Wrapper(torch.nn.Module):
    """Stands for one that averages gradients: it counts its forward passes."""

    def __init__(self, module: torch.nn.Module):
        super().__init__()
        self.module, self.passes = module, 0

    def forward(self, *args: Any) -> Any:
        self.passes += 1
        return self.module(*args)


def test_what_is_read_of_a_model_is_one_forward_pass_of_its_wrapper() -> None:
    signature = inspect.signature(_ForwardRedirection.__call__)
    assert list(signature.parameters)[:4] == ["self", "wrapper_module", "original_module", "method"]
    model = torch.nn.Linear(2, 2)
    wrapper, x = Wrapper(model), torch.ones(1, 2)
    accelerator = SimpleNamespace(unwrap_model=lambda one: one.module, autocast=nullcontext)
    twice = inside(accelerator, wrapper, lambda whole, x: whole(whole(x)), x)
    assert wrapper.passes == 1
    assert torch.equal(twice, model(model(x))) and torch.equal(wrapper(x), model(x))


def test_the_schedule_counts_the_processes() -> None:
    alone, whole = ({"wordings": [], "level_at": at} for at in (None, 3))
    args = SimpleNamespace(per_device_train_batch_size=4, gradient_accumulation_steps=2)
    for processes, steps in ((1, 5), (2, 2)):
        accelerator = SimpleNamespace(num_processes=processes)
        of = SimpleNamespace(
            train_dataset=[alone] * 40 + [whole], args=args, accelerator=accelerator
        )
        assert ConfidenceSFTTrainer._first_steps(of) == steps  # pyright: ignore
