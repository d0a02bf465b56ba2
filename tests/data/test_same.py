"""The same question twice, and `metaconf questions`, which shows that and the rest of a set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metaconf.cli import main
from metaconf.data import duplicates, overlap
from metaconf.data.same import same_form
from metaconf.records import Question, Target, write_jsonl


def asked(*prompts: str, name: str = "q") -> list[Question]:
    return [Question(f"{name}{i}", p, (Target(("x",)),)) for i, p in enumerate(prompts)]


def test_spellings_of_one_question() -> None:
    one = same_form("What is  the 'capital' of Fiji?")
    for other in ("what is the capital\nof fiji", "WHAT IS THE CAPITAL OF Ｆiji ?"):
        assert same_form(other) == one
    for a, b in (("5 - 3", "5 + 3"), ("1.5", "15"), ("5! is", "5 is"), ("résumé", "resume")):
        assert same_form(a) != same_form(b)


def test_duplicates_and_overlap() -> None:
    questions = asked("Who?", "Why?", "who", "WHO ?")
    found = [(a.id, b.id) for a, b in duplicates(questions)]
    assert found == [("q0", "q2"), ("q0", "q3")]
    others = asked("When?", "why", name="o")
    assert [(a.id, b.id) for a, b in overlap(questions, others)] == [("q1", "o1")]
    assert not overlap(others[:1], questions)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    prompts = ["What is \x1b[2J 2+2?", "Why?", "why", "Who?"]
    rows: list[dict[str, Any]] = [
        {"q": prompt, "a": ["4", "four"], "t": None} for prompt in prompts
    ]
    rows[0]["t"] = "math"
    write_jsonl(tmp_path / "train.jsonl", rows)
    write_jsonl(tmp_path / "held.jsonl", [{"question": "WHO?", "answer": "I"}])
    return tmp_path


COLUMNS = "{question: q, answer: a, task: t}"


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["questions", "train.jsonl", "--columns", COLUMNS, "--against", "held.jsonl"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "train.jsonl: 4 questions (short 3, math 1); map: questions.columns" in out
    assert out.count("── example") == 3 and out.count("[system] Reply in three lines.") == 3
    assert "── target (math): 4 = four" in out and "\x1b" not in out
    assert "repeated in this set: 1 of 4; first: train:2 and train:3" in out
    assert "also in held.jsonl: 1 of 4; first: train:4 and held:1" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.jsonl"], "train.jsonl:1: no 'question' (is 'q' meant?)"),
        (["train.jsonl", "--columns", "{question: q}"], "no column for answer"),
        (["train.jsonl", "--columns", "q"], "--columns: 'q' is not a mapping"),
        (["train.jsonl", "--map", "gsm"], "--map: 'gsm' is none of"),
        (["none/at.jsonl"], "none/at.jsonl: cannot be read"),
    ],
)
def test_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["questions", *words]) == 2
    assert told in capsys.readouterr().err


def test_evaluate_reads_by_the_same_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    words = ["evaluate", "--model", "model", "--questions", "train.jsonl", "--columns"]
    assert main([*words, "{question: q, answer: b}"]) == 2
    assert "no column 'b' for answer; there are q, a, t" in capsys.readouterr().err
    assert main(["evaluate", "--replies", "r.jsonl", "--map", "gsm8k"]) == 2
    assert "--map: --replies asks no model" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["prepare"], ["grpo", "--config", "grpo.yaml"]])
def test_nothing_is_learnt_from_what_no_rule_can_grade(
    folder: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    columns = "questions:\n  columns: {question: q, answer: a, task: long}\n"
    (folder / "grpo.yaml").write_text(columns)
    (folder / "prepare.yaml").write_text(columns)
    words = [*command, "--model", "model", "--questions", "train.jsonl"]
    words += ["--config", "prepare.yaml"] if command == ["prepare"] else []
    assert main(words) == 2
    assert "all 4 questions are of the task long" in capsys.readouterr().err


def test_nothing_of_it_imports_torch(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    (folder / "quiz").mkdir()
    rows = pa.Table.from_pylist([{"question": "Why?", "answer": "x"}])
    parquet.write_table(rows, folder / "quiz" / "train.parquet")
    program = (
        "import sys; from metaconf.cli import main;"
        "assert main(['questions', 'quiz', '--against', 'quiz/train.parquet']) == 0;"
        "print({'torch', 'transformers', 'trl'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "also in quiz/train.parquet: 1 of 1" in done.stdout
    assert done.stdout.endswith("set()\n")
