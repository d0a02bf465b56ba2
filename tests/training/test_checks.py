"""A4: tokenizers that training cannot use; G4: what TRL's configuration itself refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_model

from metaconf.cli import main
from metaconf.errors import UserError
from metaconf.training.checks import check_tokenizer

ROW = {
    "conversations": [
        {"from": "human", "value": "Where?"},
        {"from": "gpt", "value": "Answer: Lima\nSelf-reflection: I know it.\nConfidence: 9"},
    ],
    "system": "Reply.",
    "id": "a",
    "target": 0.9,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path / "model")
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "q.jsonl").write_text('{"question": "Where?", "answer": "Lima"}\n')
    (tmp_path / "plain.yaml").write_text("use_cpu: true\n")
    return tmp_path


COMMANDS = {
    "sft": "sft --config plain.yaml --train_file rows.jsonl --model model",
    "grpo": "grpo --config plain.yaml --questions q.jsonl --model model",
    "prepare": "prepare --questions q.jsonl --model model",
}


def spoil(folder: Path, **more: Any) -> None:
    path = folder / "model" / "tokenizer_config.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, **more}))


def one_line(words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = sorted(path.name for path in folder.iterdir())
    capsys.readouterr()
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("metaconf: error: ") and said.count("\n") == 1
    assert {path.name for path in folder.iterdir()} <= {*before, "runs"}
    assert not list(folder.glob("runs/*/run.json"))
    return said


@pytest.mark.parametrize("command", COMMANDS)
def test_a4_a_tokenizer_without_an_end_is_refused_before_the_run(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder, eos_token=None)
    said = one_line(COMMANDS[command], folder, capsys)
    assert "model: its tokenizer has no end-of-sequence token" in said
    assert "set eos_token in its tokenizer_config.json" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_a4_an_end_that_the_model_has_no_row_for_is_refused(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder, eos_token="<|never|>")
    assert "'<|never|>' is number" in one_line(COMMANDS[command], folder, capsys)


def test_a4_good_tokenizers_pass(folder: Path) -> None:
    check_tokenizer("model")
    with pytest.raises(UserError, match="cannot be loaded"):
        check_tokenizer(str(folder / "none"))


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("sft", "--debug nonsense"),
        ("sft", "--hub_strategy nonsense"),
        ("sft", "--log_level nonsense"),
        ("grpo", "--num_generations 3"),
        ("grpo", "--generation_batch_size 8 --steps_per_generation 2"),
    ],
)
def test_g4_what_trl_refuses_is_one_line_before_the_run(
    folder: Path, command: str, more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = one_line(f"{COMMANDS[command]} {more}", folder, capsys)
    assert "Config refuses these settings" in said or "is none of" in said
