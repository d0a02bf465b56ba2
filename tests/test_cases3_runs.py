"""Trouble that others met while a run went on: identity, locks, signals, checkpoints, models.

Each test is named after its row of the third list of cases (settings: test_cases3.py).
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_model
from transformers import AutoTokenizer, Trainer

from metaconf.cli import main
from metaconf.config.blocks import Config
from metaconf.errors import UserError
from metaconf.evaluation.run import many_cut
from metaconf.generation import sampler, store
from metaconf.generation.local import load_local, load_tokenizer
from metaconf.model_files import check_files, fingerprint
from metaconf.prompts.chat import INSTRUCTION, PLAIN_TEMPLATE, messages, render
from metaconf.records import FACTS, Question, Reply, Target, read_jsonl
from metaconf.reply import format_reply
from metaconf.rewards.recipes import recipe_of
from metaconf.runs import (
    HOLDER,
    LAUNCH,
    MANIFEST,
    RUN_MARKER,
    check_output_dir,
    checkpoints,
    held,
)
from metaconf.training import checkpoints as saving
from metaconf.training import heldout, stage2
from metaconf.training.checkpoints import ResumableTrainer
from metaconf.training.checks import check_tokenizer
from metaconf.training.grpo import ConfidenceGRPOTrainer
from metaconf.training.own_replies import refuse_constant
from metaconf.training.reward_computer import keep_before
from metaconf.training.sft import ConfidenceSFTTrainer

Said = Callable[[], str]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, rows, questions, and a finished run of four steps."""
    folder = tmp_path_factory.mktemp("runs")
    tiny_model(folder / "model")
    rows = (row(i) for i in range(16))
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    asked = (f'{{"question": "What is {i} + {i}?", "answer": {2 * i}}}\n' for i in range(6))
    (folder / "questions.jsonl").write_text("".join(asked))
    assert main(sft(folder, folder / "whole")) == 0
    return folder


def row(number: int) -> dict[str, Any]:
    level = number % 10 / 10
    turns = [
        {"from": "human", "value": f"What is {number} + {number}?"},
        {"from": "gpt", "value": format_reply(str(2 * number), "I know it.", level)},
    ]
    return {"id": str(number), "system": INSTRUCTION, "target": level, "conversations": turns}


def sft(place: Path, out: Path, *more: str) -> list[str]:
    words = ["--model", str(place / "model"), "--train_file", str(place / "rows.jsonl")]
    steps = ["--per_device_train_batch_size", "4", "--max_steps", "4", "--save_steps", "2"]
    kept = ["--learning_rate", "0.01", "--save_total_limit", "9", "--output_dir", str(out)]
    return ["sft", "--config", os.devnull, *words, *steps, *kept, *more]


def evaluate(model: Path, place: Path, out: Path, *more: str) -> list[str]:
    words = ["--questions", str(place / "questions.jsonl"), "--limit", "2", "--quiet"]
    return ["evaluate", "--model", str(model), "--output_dir", str(out), *words, *more]


def prepare(place: Path, out: Path, *more: str) -> list[str]:
    words = ["--questions", str(place / "questions.jsonl"), "--output_dir", str(out)]
    target = ["--confidence.target", "self_consistency"]
    return ["prepare", "--model", str(place / "model"), *words, *target, *more]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """The last line on stderr."""
    return lambda: capsys.readouterr().err.replace("\r", "\n").strip().rpartition("\n")[2]


@pytest.fixture
def model(place: Path, tmp_path: Path) -> Path:
    """A copy of the model, to be damaged."""
    return shutil.copytree(place / "model", tmp_path / "model")


@pytest.fixture
def stopped_run(place: Path, tmp_path: Path) -> Path:
    """The finished run as it was after its last checkpoint, without its model."""
    run = shutil.copytree(place / "whole", tmp_path / "stopped")
    marker = json.loads((run / RUN_MARKER).read_text())
    del marker["finished"]
    (run / RUN_MARKER).write_text(json.dumps(marker))
    for name in (WEIGHTS, "config.json"):
        (run / name).unlink()
    return run


def change(model: Path, to: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(to(load_file(model / WEIGHTS)), model / WEIGHTS, metadata={"format": "pt"})


def same_weights(one: Path, other: Path) -> bool:
    return (one / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# A. The run is what was asked


def test_a1_a_row_in_front_of_the_questions_and_all_are_asked_again(
    place: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions, out, whole = tmp_path / "questions.jsonl", tmp_path / "run", tmp_path / "whole"
    shutil.copy(place / "questions.jsonl", questions)
    assert main(prepare(tmp_path, out)) == 0
    questions.write_text('{"question": "Who?", "answer": "Ada"}\n' + questions.read_text())
    capsys.readouterr()
    assert main(prepare(tmp_path, out, "--resume")) == 0
    assert "54 replies are to other questions" in capsys.readouterr().err
    assert main(prepare(tmp_path, whole)) == 0
    answers = [store.read_replies(run / "answers.jsonl") for run in (out, whole)]
    assert answers[0] == answers[1] and len(answers[0]) == 7 * 9
    assert (out / "sft.jsonl").read_bytes() == (whole / "sft.jsonl").read_bytes()


def test_a2_another_model_at_the_same_path_is_refused(
    place: Path, model: Path, tmp_path: Path, said: Said
) -> None:
    assert main(evaluate(model, place, tmp_path / "run")) == 0
    change(model, lambda w: w | {"model.norm.weight": w["model.norm.weight"] * 1.01})
    assert main(evaluate(model, place, tmp_path / "run", "--resume")) == 2
    assert "its run had another model_files.weights" in said()


def test_a2_replies_of_another_model_are_asked_for_again(tmp_path: Path) -> None:
    asked, calls = [Question("q", "Who?", ())], list[Any]()

    def ask(questions: Any, samples: Any, keep: Any) -> None:
        calls.append(samples)
        keep([Reply("q", 0, f"reply {len(calls)}")])

    replies = [
        store.collect(tmp_path / "r.jsonl", asked, (0,), ask, model=name)["q", 0].text
        for name in ("one", "one", "two", "two")
    ]
    assert replies == ["reply 1", "reply 1", "reply 2", "reply 2"]


@pytest.mark.parametrize(
    ("name", "file"), [("train_file", "rows.jsonl"), ("model: tokenizer", "model/tokenizer.json")]
)
def test_a3_other_content_at_the_same_path_is_refused_by_name(
    place: Path, stopped_run: Path, said: Said, name: str, file: str
) -> None:
    before = (place / file).read_bytes()
    (place / file).write_bytes(before.replace(b" ", b"  ", 1))
    try:
        assert main(sft(place, stopped_run, "--resume")) == 2
    finally:
        (place / file).write_bytes(before)
    assert f"was begun with another content of {name}, so" in said()
    assert not (stopped_run / WEIGHTS).exists()


def test_a3_the_metadata_of_a_model_list_what_went_into_it(place: Path) -> None:
    (stage,) = json.loads((place / "whole" / FACTS).read_text())["stages"]
    marker = json.loads((place / "whole" / RUN_MARKER).read_text())
    assert stage["inputs"] == marker["inputs"] and marker["finished"]
    parts = {"train_file", "model: weights", "model: tokenizer", "prompts", "torch", "metaconf"}
    assert parts <= stage["inputs"].keys()
    assert str(place) not in json.dumps(stage)


def test_a4_a_finished_run_says_so_and_changes_nothing(place: Path, said: Said) -> None:
    before = contents(place / "whole")
    assert main(sft(place, place / "whole", "--resume")) == 0
    assert said() == f"metaconf: {place / 'whole'}: already finished; nothing was changed"
    assert contents(place / "whole") == before
    card = place / "whole" / "README.md"  # a run may end before its card has taken TRL's place
    for missing in (lambda: card.write_text("of TRL"), card.unlink):
        missing()
        assert main(sft(place, place / "whole", "--resume")) == 0
        assert contents(place / "whole") == before


def test_a4_a_run_that_saved_no_checkpoint_is_started_again(tmp_path: Path) -> None:
    (tmp_path / RUN_MARKER).write_text('{"stage": "grpo"}')
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / WEIGHTS).write_text("")
    check_output_dir(tmp_path, resume=False)
    (tmp_path / "checkpoint-2").mkdir()
    with pytest.raises(UserError, match="holds another run"):
        check_output_dir(tmp_path, resume=False)


def test_a4_a_run_stopped_after_its_last_checkpoint_takes_no_further_step(
    place: Path, stopped_run: Path
) -> None:
    assert main(sft(place, stopped_run, "--resume")) == 0
    assert same_weights(stopped_run, place / "whole")


def test_a5_epochs_that_are_asked_for_are_not_counted_in_our_default_of_steps(
    tmp_path: Path,
) -> None:
    recipe = recipe_of(Config("grpo", {}))
    for given, steps in (({}, 40), ({"num_train_epochs": 1}, -1), ({"max_steps": 3}, 3)):
        assert stage2.settings(Config("grpo", given), tmp_path, recipe).max_steps == steps
    both = {"num_train_epochs": 1, "max_steps": 3}
    assert stage2.settings(Config("grpo", both), tmp_path, recipe).max_steps == 3


def test_a6_a_template_that_drops_the_system_message(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    loop = "{% for m in messages"
    dropping = tokenizer.chat_template.replace(loop, f"{loop} if m['role'] != 'system'")
    tokenizer.chat_template = dropping
    for _ in range(2):
        text = tokenizer.decode(render(tokenizer, messages("What is 1 + 1?")))
        assert f"<|im_start|>user\n{INSTRUCTION}\n\nWhat is 1 + 1?<|im_end|>" in text
    assert capsys.readouterr().err.count("leaves the system message out") == 1


def test_a6_a_template_that_drops_turns_is_refused_where_there_are_some(model: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    assert "1 + 1" in tokenizer.decode(render(tokenizer, messages("1 + 1")))
    with pytest.raises(UserError, match="drops earlier turns"):
        render(tokenizer, messages("1 + 1", turns=[("2 + 2", "4")]))
    tokenizer.chat_template = "{{ messages[0]['role'] }}"
    with pytest.raises(UserError, match="leaves the question out"):
        render(tokenizer, messages("1 + 1"))


def test_a7_weights_without_a_layer_are_refused(
    place: Path, model: Path, tmp_path: Path, said: Said
) -> None:
    change(model, lambda w: {name: x for name, x in w.items() if ".layers.1." not in name})
    assert main(evaluate(model, place, tmp_path / "run")) == 2
    assert "its files lack 9 tensors (model.layers.1.input_layernorm.weight" in said()


def test_a7_surplus_weights_are_named(
    place: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(model, lambda w: w | {"model.layers.7.x": torch.zeros(2)})
    assert main(evaluate(model, place, tmp_path / "run")) == 0
    assert "its files hold 1 tensor (model.layers.7.x), which its" in capsys.readouterr().err


def test_a8_a_live_run_is_not_started_or_resumed_a_second_time(
    place: Path, stopped_run: Path, said: Said
) -> None:
    with held(stopped_run):
        holder = stopped_run / HOLDER
        holder.write_text(json.dumps({**json.loads(holder.read_text()), "pid": 4711}))
        before = contents(stopped_run)
        for more in ([], ["--resume"]):
            assert main(sft(place, stopped_run, *more)) == 2
            assert "process 4711 on " in (line := said()) and "is at work there" in line
        assert contents(stopped_run) == before
    # What a killed process leaves behind is no obstacle.
    (stopped_run / HOLDER).write_text('{"pid": 4711, "host": "h", "since": "then"}')
    assert main(sft(place, stopped_run, "--resume")) == 0
    assert same_weights(stopped_run, place / "whole")


def test_a8_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from metaconf.runs import held\n"
        "with held(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        with pytest.raises(UserError, match=rf"process {process.pid} on .* is at work there"):
            check_output_dir(tmp_path, resume=False)
        process.kill()
    check_output_dir(tmp_path, resume=False)


def scaled_at(monkeypatch: pytest.MonkeyPatch, step: int, factor: float) -> None:
    """Multiply all weights within a step of stage 1, as a learning rate that is too high does."""
    taken = ConfidenceSFTTrainer.training_step

    def training_step(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        loss = taken(trainer, *args, **kwargs)
        with torch.no_grad():
            for weight in trainer.model.parameters() if trainer.state.global_step == step else ():
                weight.mul_(factor)
        return loss

    monkeypatch.setattr(ConfidenceSFTTrainer, "training_step", training_step)


@pytest.mark.parametrize(
    ("step", "factor", "message"),
    [
        (1, torch.nan, "the loss is nan at step 2; training stopped. Last good checkpoint: none"),
        (3, torch.nan, "the weights are not finite numbers at step 4; training stopped."),
        (3, 1e30, "logits say nothing any more at step 4; training stopped."),
    ],
)
@pytest.mark.parametrize("saves", ["steps", "no"])
def test_a11_a_training_that_did_harm_leaves_no_model(
    place: Path, tmp_path: Path, said: Said, step: int, factor: float, message: str, saves: str
) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        scaled_at(patch, step, factor)
        words = ("--save_strategy", saves, "--save_steps", "4", "--use_peft", "false")
        assert main(sft(place, out, *words)) == 2
    assert message in said()
    assert not (out / WEIGHTS).exists() and not (out / FACTS).exists() and not checkpoints(out)
    assert main(sft(place, out, "--max_steps", "2")) == 0  # what was begun is no obstacle


def test_a11_a_training_that_did_nothing_leaves_no_model(
    place: Path, tmp_path: Path, said: Said
) -> None:
    assert main(sft(place, tmp_path / "run", "--learning_rate", "1e-45")) == 2
    assert "4 steps left the weights as they were, and no model was saved" in said()
    assert not (tmp_path / "run" / WEIGHTS).exists()


def test_a11_a_confidence_that_is_constant_on_held_out_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    questions = [Question(str(i), f"{i}?", (Target(("x",)),)) for i in range(20)]
    texts = [format_reply("x", "I know it.", 0.7)] * 20

    def sample(local: Any, asked: Any, samples: Any, how: Any, keep: Any) -> None:
        keep([Reply(q.id, -1, text) for q, text in zip(asked, texts, strict=True)])

    monkeypatch.setattr(heldout, "sample_replies", sample)
    local: Any = SimpleNamespace(end_tokens=frozenset())
    assert heldout.measure(local, questions, 8)["heldout_n"] == 20  # before the last step
    with pytest.raises(UserError, match=r"states the confidence 0.7 in all 20 replies"):
        heldout.measure(local, questions, 8, last=True)
    texts[3] = format_reply("x", "I know it.", 0.6)
    assert heldout.measure(local, questions, 8, last=True)["heldout_n"] == 20
    refuse_constant([0.7] * 19 + [None])


def test_a11_a_weight_that_is_not_a_number_is_refused(
    place: Path, model: Path, tmp_path: Path, said: Said
) -> None:
    change(model, lambda w: w | {"model.norm.weight": w["model.norm.weight"] * torch.nan})
    assert main(evaluate(model, place, tmp_path / "run")) == 2
    assert "1 tensor (model.norm.weight) hold values that are not finite numbers" in said()
    assert main(evaluate(place / "model", place, tmp_path / "run")) == 0


@pytest.mark.parametrize("name", LAUNCH[:3])
def test_a12_half_a_launch_is_ignored_with_a_word(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    for one in LAUNCH:
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, "1")
    (tmp_path / RUN_MARKER).write_text("{}")
    assert main(["compare", "x", "--output_dir", str(tmp_path)]) == 2  # refused, as by process 0
    assert "holds another run" in said()
    assert name not in os.environ


def test_a12_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from metaconf.runs import ignore_half_a_launch

    for one in LAUNCH:
        monkeypatch.setenv(one, "1")
    ignore_half_a_launch()
    assert not capsys.readouterr().err and os.environ["RANK"] == "1"
    monkeypatch.delenv("MASTER_ADDR")
    ignore_half_a_launch()
    told = "metaconf: RANK, LOCAL_RANK, WORLD_SIZE ignored, for MASTER_ADDR is not set"
    assert capsys.readouterr().err.startswith(told) and "RANK" not in os.environ


def test_a13_questions_longer_than_the_context_are_counted_and_named(
    place: Path, tmp_path: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    long = {"question": "word " * 900, "answer": "x"}
    questions, out = tmp_path / "questions.jsonl", tmp_path / "run"
    questions.write_text(json.dumps(long) + '\n{"question": "What is 1 + 1?", "answer": 2}\n')
    assert main(evaluate(place / "model", tmp_path, out)) == 0
    told = capsys.readouterr().err
    assert "1 of 2 prompts fill the model's context of 1024 tokens (first: questions:1" in told
    status = {r["question_id"]: r["status"] for _, r in read_jsonl(out / "raw" / "reply.jsonl")}
    assert status["questions:1"] == "failed" and status["questions:2"] != "failed"
    questions.write_text(json.dumps(long) + "\n")
    assert main(evaluate(place / "model", tmp_path, tmp_path / "other")) == 2
    assert "1 of 1 prompts fill the model's context" in said()


# B. Paid work is safe


@pytest.fixture
def as_at_a_terminal() -> Iterator[None]:
    """Started in the background, a process ignores SIGINT, and then so do we."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, *numbers: int) -> None:
    """Raise signals within a step of stage 1."""
    taken = ConfidenceSFTTrainer.training_step

    def training_step(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        for number in numbers if trainer.state.global_step == step else ():
            signal.raise_signal(number)
        return taken(trainer, *args, **kwargs)

    monkeypatch.setattr(ConfidenceSFTTrainer, "training_step", training_step)


@pytest.mark.usefixtures("as_at_a_terminal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_b1_a_signal_ends_after_the_step_with_a_checkpoint(
    place: Path, tmp_path: Path, said: Said, number: int
) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 2, number)
        assert main(sft(place, out)) == 128 + number
    assert said().endswith(f"--output_dir {out} --resume")
    assert [path.name for path in checkpoints(out)] == ["checkpoint-2", "checkpoint-3"]
    assert main(sft(place, out, "--resume")) == 0
    assert same_weights(out, place / "whole")


def test_b1_a_second_signal_ends_at_once(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 2, signal.SIGUSR1, signal.SIGTERM)
    assert main(sft(place, tmp_path / "run")) == 128 + signal.SIGTERM
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-2"]


def test_b1_a_signal_in_the_last_step_is_too_late(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 3, signal.SIGTERM)
    assert main(sft(place, tmp_path / "run")) == 0
    assert same_weights(tmp_path / "run", place / "whole")


def test_b1_stage_2_ends_where_it_can_be_resumed() -> None:
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    args = SimpleNamespace(steps_per_generation=2, num_iterations=1, gradient_accumulation_steps=1)
    stop = saving.StopOnSignal([signal.SIGTERM])
    stop.on_step_end(args, SimpleNamespace(global_step=3), control)
    assert not control.should_save
    stop.on_step_end(args, SimpleNamespace(global_step=4), control)
    assert control.should_save and control.should_training_stop


def test_b1_evaluate_keeps_what_is_stored(
    place: Path, tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, append = tmp_path / "run", store.append_replies

    def interrupted(*args: Any) -> None:
        append(*args)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(store, "append_replies", interrupted)
    assert main(evaluate(place / "model", place, out)) == 128 + signal.SIGTERM
    assert said().endswith("--quiet --resume")
    assert len(store.read_replies(out / "raw/reply.jsonl")) == 2


DAMAGED = [("trainer_state.json", 0.0), (MANIFEST, 0.5), (f"adapter_{WEIGHTS}", 0.5)]
DAMAGED += [("optimizer.pt", 0.5), ("rng_state.pth", 0.0)]


@pytest.mark.parametrize(("file", "left"), DAMAGED)
def test_b2_a_damaged_checkpoint_is_passed_over(
    place: Path, stopped_run: Path, file: str, left: float, capsys: pytest.CaptureFixture[str]
) -> None:
    path = stopped_run / "checkpoint-4" / file
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data))])
    assert main(sft(place, stopped_run, "--resume")) == 0
    told = capsys.readouterr().err
    assert f"checkpoint-4 is damaged ({file} " in told and "going on from checkpoint-2" in told
    assert same_weights(stopped_run, place / "whole")
    assert [path.name for path in checkpoints(stopped_run)] == ["checkpoint-2", "checkpoint-4"]


def test_b2_a_changed_byte_is_found(place: Path, stopped_run: Path, said: Said) -> None:
    for name in ("checkpoint-2", "checkpoint-4"):
        path = stopped_run / name / "optimizer.pt"
        data = bytearray(path.read_bytes())
        data[-9] ^= 1
        path.write_bytes(data)
    assert main(sft(place, stopped_run, "--resume")) == 2
    assert "checkpoint-2 is damaged (optimizer.pt is not what was written); start anew" in said()


def test_b2_replies_of_stage_2_that_were_cut_in_a_character(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    rows = [f'{{"step": {step}, "text": "a\u2028b\u00e9"}}\n'.encode() for step in range(3)]
    path.write_bytes(b"".join(rows)[:-4])  # the last one ends in half of its last letter
    keep_before(path, 2)
    assert path.read_bytes() == rows[0] + rows[1]
    keep_before(path, 1)
    assert path.read_bytes() == rows[0]


def test_b2_a_kill_while_saving_leaves_no_checkpoint(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(aside: Path, target: Path) -> None:
        assert (aside / "optimizer.pt").is_file() and not target.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(saving, "publish", killed)
    assert main(sft(place, tmp_path / "run")) == 130
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_b3_a_disk_that_is_full_while_saving_is_one_line(
    place: Path, tmp_path: Path, said: Said
) -> None:
    out, sync = tmp_path / "run", saving.sync

    def full(path: Path) -> None:
        if "checkpoint-4" in str(path):
            raise OSError(28, "No space left on device", str(path))
        sync(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "sync", full)
        assert main(sft(place, out)) == 2
    line = said()
    assert "No space left on device" in line and "make room" in line and "--resume" in line
    assert [path.name for path in checkpoints(out)] == ["checkpoint-2"]
    assert not (out / saving.ASIDE).exists()
    assert main(sft(place, out, "--resume")) == 0
    assert same_weights(out, place / "whole")


def test_b3_room_is_looked_for_before_a_step(
    place: Path, tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=2**17)
    monkeypatch.setattr("metaconf.training.checkpoints.shutil.disk_usage", lambda _: usage)
    assert main(sft(place, tmp_path / "run")) == 2
    assert "0 MiB are free on its disk, and a checkpoint takes" in said()
    assert not checkpoints(tmp_path / "run")


def test_b3_prepare_on_a_full_disk_is_one_line_and_goes_on(
    place: Path, tmp_path: Path, said: Said
) -> None:
    out, append = tmp_path / "run", store.append_replies

    def full(path: Path, *args: Any) -> None:
        append(path, *args)
        raise OSError(28, "No space left on device", str(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "append_replies", full)
        assert main(prepare(place, out)) == 2
    assert "answers.jsonl: No space left on device; put it right, then go on with" in said()
    assert main(prepare(place, out, "--resume")) == 0


def test_b4_a_generation_config_that_could_not_be_saved(
    place: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = model / "generation_config.json", tmp_path / "run"
    ends = json.loads(file.read_text())
    file.write_text(json.dumps({**ends, "do_sample": False, "temperature": 0.5, "top_p": 0.4}))
    shutil.copy(place / "rows.jsonl", tmp_path)
    assert main(sft(tmp_path, out, "--max_steps", "2")) == 0
    assert "generation_config.json contradicts itself" in capsys.readouterr().err
    saved = json.loads((out / "generation_config.json").read_text())
    assert saved["eos_token_id"] == ends["eos_token_id"] and "temperature" not in saved


# C. One line each


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def empty(data: bytes) -> bytes:
    return b""


def pointer(data: bytes) -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


@pytest.mark.parametrize("file", [WEIGHTS, "tokenizer.json", "config.json"])
@pytest.mark.parametrize("damaged", [cut, empty, pointer])
def test_c1_damaged_files_of_a_model_are_named(
    place: Path,
    model: Path,
    tmp_path: Path,
    said: Said,
    file: str,
    damaged: Callable[[bytes], bytes],
) -> None:
    (model / file).write_bytes(damaged((model / file).read_bytes()))
    assert main(evaluate(model, place, tmp_path / "run")) == 2
    assert said().startswith(f"metaconf: error: {model / file}: ")
    assert not (tmp_path / "run").exists()


def test_c1_a_shard_that_is_missing_or_lacks_a_tensor_is_named(model: Path) -> None:
    weights = load_file(model / WEIGHTS)
    (model / WEIGHTS).unlink()
    *some, last = sorted(weights)
    save_file({name: weights[name] for name in some}, model / "a.safetensors")
    index = {"weight_map": dict.fromkeys([*some, last], "a.safetensors")}
    (model / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=rf"1 of its tensors are in no file \(first: {last}\)"):
        check_files(model)
    index["weight_map"][last] = "b.safetensors"
    (model / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"b.safetensors: no such file"):
        check_files(model)


def test_c2_a_template_with_a_token_beyond_the_embedding(
    place: Path, model: Path, tmp_path: Path, said: Said
) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|x|>"]})
    tokenizer.save_pretrained(model)
    assert main(evaluate(model, place, tmp_path / "run")) == 0  # no prompt uses it
    tokenizer.chat_template = f"<|x|>{tokenizer.chat_template}"
    tokenizer.save_pretrained(model)
    assert main(evaluate(model, place, tmp_path / "other")) == 2
    assert f"gives token {rows} ('<|x|>'), and the model's embedding has {rows} rows" in said()


def test_c3_an_adapter_takes_its_bases_tokenizer_and_names_a_base_that_moved(
    place: Path, model: Path, tmp_path: Path, said: Said
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    adapter = tmp_path / "adapter"
    how = LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM")
    base: Any = AutoModelForCausalLM.from_pretrained(model)
    get_peft_model(base, how).save_pretrained(str(adapter))
    assert not (adapter / "tokenizer.json").exists()
    assert main(evaluate(adapter, place, tmp_path / "run")) == 0
    model.rename(tmp_path / "moved")
    assert main(evaluate(adapter, place, tmp_path / "other")) == 2
    assert f"an adapter of the model {model}, which is not there; set base_model_name" in said()


def test_c4_a_home_that_cannot_be_written_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, said: Said, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert main(["model", "get"]) == 2
    assert "Not a directory; set XDG_CACHE_HOME to a folder that can be written" in said()


def command(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    told = [sys.executable, "-m", "metaconf.cli", *words]
    return subprocess.run(told, stderr=subprocess.PIPE, text=True, check=False, **more)


@pytest.mark.parametrize("words", [("evaluate", "--help"), ("calibrate", "--help"), ("doctor",)])
def test_c5_a_terminal_that_knows_ascii_alone(words: tuple[str, ...]) -> None:
    plain = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = command(*words, env=plain, stdout=subprocess.PIPE)
    assert done.returncode == 0 and done.stdout.isascii() and "Traceback" not in done.stderr


def test_c6_a_closed_pipe_ends_quietly_and_a_full_device_in_one_line() -> None:
    out, into = os.pipe()
    os.close(out)
    done = command("doctor", stdout=into)
    os.close(into)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = command("doctor", stdout=full)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "No space left on device" in done.stderr


@pytest.mark.parametrize("name", ["file/run", "link", "n" * 300])
def test_c7_an_output_dir_that_cannot_be_is_refused_before_any_work(
    place: Path, tmp_path: Path, said: Said, name: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nothing")
    assert main(sft(place, tmp_path / name)) == 2
    assert (line := said()).endswith(("give another output_dir", "give another one")), line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{% for m in messages %}{{"])
def test_c8_a_template_that_fails(model: Path, template: str) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=r"its chat template fails \("):
        render(tokenizer, messages("1 + 1"))


def test_c8_rows_that_are_all_left_out(place: Path, tmp_path: Path, said: Said) -> None:
    assert main(sft(place, tmp_path / "run", "--max_length", "5")) == 2
    assert "no row is left to train on; raise max_length" in said()
    assert main(sft(place, tmp_path / "run")) == 0


def test_c8_questions_from_a_pipe(said: Said) -> None:
    out, into = os.pipe()
    os.write(into, b'{"question": "1 + 1?", "answer": 2}\n')
    os.close(into)
    assert main(["questions", f"/dev/fd/{out}"]) == 2
    assert "a pipe, which is read only once; write it to a file first" in said()
    os.close(out)


def test_d2_a_model_without_a_tokenizer(model: Path) -> None:
    for path in model.iterdir():
        if path.name not in ("config.json", WEIGHTS):
            path.unlink()
    with pytest.raises(UserError, match=r"model: holds no tokenizer \(tokenizer.json, "):
        check_files(model)


def test_d3_a_base_model_gets_a_plain_template_which_is_said_once(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "chat_template.jinja").unlink()
    for _ in range(2):
        check_tokenizer(str(model))
    assert capsys.readouterr().err.count("has no chat template (a base model?)") == 1
    tokenizer = load_tokenizer(str(model))
    turns = messages("Where?", "Reply.", [("Who?", "Ada")])
    prompt = "<|im_start|>Reply.\n\nQuestion: Who?\nAda<|im_end|>\n\nQuestion: Where?\n"
    assert tokenizer.decode(render(tokenizer, turns)) == prompt
    tokenizer.save_pretrained(tmp_path / "trained")
    assert AutoTokenizer.from_pretrained(tmp_path / "trained").chat_template == PLAIN_TEMPLATE


def test_d4_cut_replies_are_said_and_have_a_key(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = [*evaluate(place / "model", place, tmp_path / "short"), "--max_new_tokens", "2"]
    assert main(short) == 0
    said = capsys.readouterr().err
    assert "replies were cut at 2 tokens" in said and "--max_new_tokens" in said
    rows = [row for _, row in read_jsonl(tmp_path / "short" / "raw" / "reply.jsonl")]
    assert rows and all(row["tokens"] <= 2 for row in rows)
    assert main([*short[:-1], "3", "--resume"]) == 2  # other replies than were asked for
    assert many_cut([], 2) is None


def test_d5_evaluate_shows_its_headline_figures(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    capsys.readouterr()
    assert main(evaluate(place / "model", place, out)) == 0
    head, figures, *_, report = capsys.readouterr().out.strip().splitlines()
    columns = ["accuracy", "confidence", "ECE", "Brier", "AUROC", "within", "format"]
    assert head.split()[-7:] == columns
    measured = json.loads((out / "metrics.json").read_text())["methods"][0]
    assert f"{measured['figures']['accuracy']['value']:.3f}" in figures
    assert report == str(out / "report.html")


def test_d5_a_bar_moves_with_the_replies_of_a_batch(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved, steps = list[int](), iter([[], ["a"], [], ["b", "c"]])
    bar = MagicMock(update=moved.append)
    bar.__enter__.return_value = bar
    monkeypatch.setattr(sampler, "tqdm", lambda total, **_: bar)
    draws = [sampler.Draw((1, 2), key, (sampler.GREEDY,)) for key in "abc"]
    model = load_local(str(place / "model")).model
    sampler.draw(model, draws, sampler.Sampling(9), on_step=lambda _: next(steps))
    assert moved == [0, 1, 0, 2]


@pytest.mark.parametrize("command", ["sft", "grpo"])
def test_d7_a_stage_runs_without_a_configuration(
    command: str, tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command, "--model", "none/of/these"]) == 2
    assert "'none/of/these': no such folder" in said()


def test_d8_the_help_of_sft_lists_no_questions(capsys: pytest.CaptureFixture[str]) -> None:
    for command, listed in (("sft", False), ("grpo", True)):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert ("--questions QUESTIONS" in capsys.readouterr().out) is listed


# What this rests on


def test_the_methods_of_the_trainer_that_are_overridden_are_as_they_were() -> None:
    names = {
        "_save_checkpoint": "self, model, trial",
        "_get_output_dir": "self, trial",
        "_load_from_checkpoint": "self, resume_from_checkpoint, model",
    }
    for name, wanted in names.items():
        assert ", ".join(inspect.signature(getattr(Trainer, name)).parameters) == wanted
    saved = inspect.getsource(Trainer._save_checkpoint)
    assert "run_dir = self._get_output_dir(trial=trial)" in saved
    for made in (ConfidenceSFTTrainer, ConfidenceGRPOTrainer):
        assert made.__mro__[1] is ResumableTrainer


def test_a_model_of_16_gb_is_checked_and_known_again_in_two_seconds(tmp_path: Path) -> None:
    size, count = 2**27, 120
    tensors = {
        f"layers.{i}.w": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [i * size, end]}
        for i, end in enumerate(range(size, (count + 1) * size, size))
    }
    header = json.dumps(tensors).encode()
    with (tmp_path / WEIGHTS).open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        out.truncate(8 + len(header) + count * size)  # a sparse file: it takes no room
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    start = time.perf_counter()
    check_files(tmp_path)
    before = fingerprint(tmp_path)
    assert time.perf_counter() - start < 2
    with (tmp_path / WEIGHTS).open("r+b") as out:
        out.seek(-1, os.SEEK_END)
        out.write(b"\1")
    after = fingerprint(tmp_path)
    assert before["weights"] != after["weights"] and before["config"] == after["config"]
