"""Stage 2 as a user runs it: a model and questions of one's own, and a run that is killed."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked import start
from safetensors.torch import load_file
from tiny import tiny_model
from training import config_of, save

from metaconf.cli import main
from metaconf.errors import UserError
from metaconf.generation.local import LocalModel, load_local
from metaconf.records import Question, Target, read_jsonl
from metaconf.rewards.recipes import recipe_of
from metaconf.runs import RUN_MARKER, checkpoints
from metaconf.training import stage2
from metaconf.training.grpo import ConfidenceGRPOTrainer
from metaconf.training.stage2 import check_save_interval

ROOT = Path(__file__).parents[2]
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k_test.jsonl"
SMALL = [
    *("--num_generations", "2", "--per_device_train_batch_size", "4"),
    *("--max_completion_length", "12", "--learning_rate", "1e-2", "--beta", "0"),
]


def command(out: Path, model: Path, questions: Path, *more: str) -> list[str]:
    config = str(ROOT / "configs" / "grpo_train_config.yaml")
    places = ["--model", str(model), "--questions", str(questions), "--output_dir", str(out)]
    return ["grpo", "--config", config, *places, *SMALL, *more]


@pytest.mark.skipif(not GSM8K.exists(), reason="the GSM8K questions are not beside the project")
def test_a11_two_steps_that_teach_nothing_leave_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage2, "check_format", lambda *_: None)
    model = tiny_model(tmp_path / "qwen3", "qwen3")
    out = tmp_path / "run"
    assert main(command(out, model, GSM8K, "--max_steps", "2", "--questions.limit", "20")) == 2
    assert "2 steps left the weights as they were" in capsys.readouterr().err
    rows = [row for _, row in read_jsonl(out / "replies.jsonl")]
    assert len(rows) == 8 and {row["step"] for row in rows} == {0, 1}
    # A random model states nothing: known to earn nothing, not missing.
    assert all(row["confidence"] is None and row["parts"]["format"] == 0 for row in rows)
    assert not (out / "config.json").exists() and not (out / "model.safetensors").exists()


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Of one digit each: of others the tiny model has not learnt to write the format."""
    path = tmp_path / "questions.jsonl"
    pairs = ((i, j) for i in range(8) for j in range(5))
    rows = (f'{{"question": "What is {i} + {j}?", "answer": {i + j}}}\n' for i, j in pairs)
    path.write_text("".join(rows))
    return path


@pytest.mark.usefixtures("float32")
def test_gradient_checkpointing_takes_the_same_steps(
    tmp_path: Path, taught: Callable[[], LocalModel]
) -> None:
    model, questions = tmp_path / "taught", tmp_path / "questions.jsonl"
    save(taught, model)
    rows = ('{"question": "What is 1 + 2?", "answer": 3}', '{"question": "In?", "answer": "Quito"}')
    questions.write_text("\n".join(rows))
    for name, told in (("plain", "false"), ("checked", "true")):
        words = ["--max_steps", "2", "--gradient_checkpointing", told, "--save_strategy", "no"]
        words += ["--max_completion_length", "40"]
        assert main(command(tmp_path / name, model, questions, *words)) == 0
    start, plain, checked = (
        load_file(tmp_path / name / "model.safetensors") for name in ("taught", "plain", "checked")
    )
    assert max((plain[name] - start[name]).abs().max() for name in plain) > 1e-3
    for name, weight in plain.items():
        assert torch.allclose(weight, checked[name], atol=2e-4), name


@pytest.mark.parametrize("accumulated", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_run_goes_on_alike_in_its_second_round_of_questions(
    tmp_path: Path,
    questions: Path,
    taught: Callable[[], LocalModel],
    accumulated: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Two questions a step of four: the second round begins with the third step."""
    lines = questions.read_text().splitlines()[:4]
    questions.write_text("\n".join(lines))
    model, whole, stopped = save(taught, tmp_path / "taught"), tmp_path / "a", tmp_path / "b"
    words = ["--max_steps", "4", "--max_completion_length", "30", "--save_steps", "3"]
    words += ["--gradient_accumulation_steps", accumulated]
    words += ["--per_device_train_batch_size", str(4 // int(accumulated))]
    assert main(command(whole, model, questions, *words)) == 0
    shutil.copytree(whole, stopped)
    for path in (*stopped.glob("checkpoint-4"), stopped / "model.safetensors"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    marker = json.loads((stopped / RUN_MARKER).read_text())
    (stopped / RUN_MARKER).write_text(json.dumps({**marker, "finished": False}))
    assert main(command(stopped, model, questions, *words, "--resume")) == 0
    for name in ("model.safetensors", "replies.jsonl"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name
    record_property("resume_difference", 0.0)
    asked = [row["question_id"] for _, row in read_jsonl(whole / "replies.jsonl")]
    assert len(set(asked[:8])) == len(set(asked[8:])) == 4  # each round asks all


@pytest.mark.slow
@pytest.mark.usefixtures("float32")
def test_an_adapter_that_is_kept_replies_as_the_merged_model(
    tmp_path: Path, questions: Path, taught: Callable[[], LocalModel]
) -> None:
    model, words = save(taught, tmp_path / "taught"), ["--max_steps", "2", "--use_peft", "true"]
    words += ["--max_completion_length", "40", "--save_strategy", "no"]
    found: list[torch.Tensor] = []
    for merge in ("true", "false"):
        out = tmp_path / merge
        assert main(command(out, model, questions, *words, "--merge", merge)) == 0
        assert (out / "README.md").exists()
        assert (out / "adapter_config.json").exists() == (merge == "false")
        local = load_local(str(out))
        ids = torch.tensor([local.reply_prompt("What is 1 + 1?")])
        with torch.no_grad():
            found.append(local.model(input_ids=ids).logits)
    assert torch.allclose(found[0], found[1], atol=1e-5)


def test_fewer_questions_than_a_step_asks_are_refused_before_the_model_is_loaded(
    tmp_path: Path,
    questions: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model(tmp_path / "tiny")
    monkeypatch.delattr(stage2, "load_local")
    words = ["--questions.limit", "3", "--per_device_train_batch_size", "8"]
    assert main(command(tmp_path / "run", model, questions, *words)) == 2
    assert "3 questions to train on, and one step asks 4" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_model_that_does_not_write_the_format_is_refused_before_the_run(
    tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(tmp_path / "tiny")
    assert main(command(tmp_path / "run", model, questions)) == 2
    said = capsys.readouterr().err
    assert f"{model}: 8 of 8 replies are not in the format" in said
    assert "of them are cut off at max_completion_length 12)" in said
    assert "train stage 1 first (metaconf sft)" in said and "One reply: '" in said
    assert not (tmp_path / "run").exists()


def test_the_replies_that_are_tried_change_no_random_number(
    tmp_path: Path, taught: Callable[[], LocalModel]
) -> None:
    def state() -> list[Any]:
        return [torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())]

    local, asked = taught(), [Question("q", "What is 1 + 2?", (Target(("3",)),))] * 9
    config = config_of()
    args = stage2.settings(config, tmp_path, recipe_of(config))
    before = state()
    stage2.check_format("taught", local, asked, args)
    assert state() == before
    args.max_completion_length = 12
    with pytest.raises(UserError, match="8 of them are cut off at max_completion_length 12"):
        stage2.check_format("taught", local, asked, args)


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, questions: Path, taught: Callable[[], LocalModel]
) -> None:
    torch.set_num_threads(1)
    model = save(taught, tmp_path / "taught")
    steps = ["--max_steps", "6", "--save_steps", "2", "--save_total_limit", "9"]
    steps += ["--max_completion_length", "40"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(command(whole, model, questions, *steps)) == 0

    words = command(killed, model, questions, *steps)
    process = start(words, tmp_path / "killed.log")
    saved = killed / "checkpoint-2" / "trainer_state.json"
    while not saved.exists() and process.is_alive():
        time.sleep(0.01)
    process.kill()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed"

    assert main([*words, "--resume"]) == 0
    before = load_file(model / "model.safetensors")
    for name, weight in load_file(whole / "model.safetensors").items():
        assert "proj" not in name or not torch.equal(weight, before[name]), name
        assert torch.equal(weight, load_file(killed / "model.safetensors")[name]), name
    assert (whole / "replies.jsonl").read_text() == (killed / "replies.jsonl").read_text()


def test_b1_a_signal_ends_stage_2_with_a_checkpoint_and_it_goes_on_alike(
    tmp_path: Path, questions: Path, taught: Callable[[], LocalModel]
) -> None:
    model, whole, stopped = save(taught, tmp_path / "taught"), tmp_path / "a", tmp_path / "b"
    words = ["--max_steps", "3", "--max_completion_length", "40", "--save_strategy", "no"]
    assert main(command(whole, model, questions, *words)) == 0
    taken = ConfidenceGRPOTrainer.training_step

    def training_step(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        if trainer.state.global_step == 1:
            signal.raise_signal(signal.SIGTERM)
        return taken(trainer, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfidenceGRPOTrainer, "training_step", training_step)
        assert main(command(stopped, model, questions, *words)) == 128 + signal.SIGTERM
    assert [path.name for path in checkpoints(stopped)] == ["checkpoint-2"]
    assert main(command(stopped, model, questions, *words, "--resume")) == 0
    for name in ("model.safetensors", "replies.jsonl"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name
    before = (whole / "model.safetensors").read_bytes()
    assert main(command(whole, model, questions, *words, "--resume")) == 0  # finished: no change
    assert (whole / "model.safetensors").read_bytes() == before


def test_an_interval_that_cannot_resume_identically_is_refused(tmp_path: Path) -> None:
    from trl.trainer.grpo_config import GRPOConfig

    places = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False}
    kept = {"save_strategy": "steps", "per_device_train_batch_size": 4, "num_generations": 2}
    check_save_interval(GRPOConfig(**places, **kept, save_steps=8, steps_per_generation=4))
    with pytest.raises(UserError, match=r"save_steps 6 .* no multiple .* = 4"):
        check_save_interval(GRPOConfig(**places, **kept, save_steps=6, steps_per_generation=4))
