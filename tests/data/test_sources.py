"""Where questions come from: JSON, CSV, Parquet and what `datasets` loads, and their faults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from layouts import LAYOUTS
from pyarrow import parquet

from metaconf.cli import main
from metaconf.config.blocks import AS_IS
from metaconf.data import load_questions
from metaconf.errors import UserError
from metaconf.records import Question


def answers(found: list[Question]) -> list[str]:
    return [one.targets[0].texts[0] for one in found]


def table(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def rows_of(*values: Any) -> list[dict[str, Any]]:
    return [{"question": f"When {i}?", "answer": value} for i, value in enumerate(values)]


@pytest.mark.parametrize("form", ["list", "data", "jsonl"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_json(tmp_path: Path, form: str, mark: bytes) -> None:
    rows = rows_of(1912, "1912 BC", 3.0)
    text = {
        "list": json.dumps(rows, indent=1),
        "data": json.dumps({"version": "1", "data": rows}),
        "jsonl": "\n".join(map(json.dumps, rows)),
    }[form]
    (tmp_path / "s.json").write_bytes(mark + text.encode())
    assert answers(load_questions(str(tmp_path / "s.json"))) == ["1912", "1912 BC", "3"]


def test_csv_keeps_text_and_takes_lists_as_json(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(
        b"\xef\xbb\xbfquestion,answer,aliases,choices\r\n"
        b'"When,\r\nthen?",1912,"[""in 1912"", 12]",\r\n'
        b'When?,1912 BC,,\r\n\r\nWhich?,B,,"[""red"", ""blue""]"\r\n'
    )
    first, second, third = load_questions(str(path))
    assert (first.prompt, first.targets[0].texts) == ("When,\r\nthen?", ("1912", "in 1912", "12"))
    assert second.targets[0].texts == ("1912 BC",)
    assert (third.targets[0].texts, third.id) == (("B", "blue"), "s:6")
    path.with_suffix(".tsv").write_text("question\tanswer\nWhen, then?\t007\n")
    assert answers(load_questions(str(path.with_suffix(".tsv")))) == ["007"]


def test_parquet(tmp_path: Path) -> None:
    rows = [{**row, "aliases": None} for row in rows_of(*[1912.0] * 5000)]
    rows[-1]["aliases"] = ["in 1912"]
    found = load_questions(table(tmp_path / "s.parquet", rows))
    assert (len(found), set(answers(found))) == (5000, {"1912"})
    assert found[-1].targets[0].texts == ("1912", "in 1912")
    assert found[-1].id == "s:5000"


def test_parquet_of_published_layouts(tmp_path: Path) -> None:
    for name in ("triviaqa", "hotpotqa", "commonsenseqa", "mmlu"):
        rows, expected, _ = LAYOUTS[name]
        (one,) = load_questions(table(tmp_path / "s.parquet", rows))
        assert replace(one, id="") == replace(expected, id="")


def test_a_folder_as_the_hub_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows, expected, _ = LAYOUTS["mmlu"]
    table(tmp_path / "quiz" / "data" / "train-00000-of-00001.parquet", rows * 300)
    folder = str(tmp_path / "quiz")
    found = load_questions(folder)
    assert len(found) == 300
    assert found[-1] == replace(expected, id="quiz-train:300")
    table(tmp_path / "quiz" / "data" / "test-00000-of-00001.parquet", rows)
    assert [one.id for one in load_questions(f"{folder}:test")] == ["quiz-test:1"]
    assert load_questions(folder, replace(AS_IS, split="test")) == load_questions(f"{folder}:test")
    with pytest.raises(UserError, match=r"has the splits train, test; write .*quiz:SPLIT"):
        load_questions(folder)
    with pytest.raises(UserError, match=r"quiz: cannot be loaded.*split \(dev\)"):
        load_questions(f"{folder}:dev")
    table(tmp_path / "quiz" / "data" / "test-00000-of-00001.parquet", [{**rows[0], "answer": 9}])
    with pytest.raises(UserError, match=r"quiz:test, row 1: answer 'J' is none of the choices"):
        load_questions(f"{folder}:test")


def test_the_hub_id_chooses_the_map(tmp_path: Path) -> None:
    from metaconf.data.columns import choose
    from metaconf.data.opened import Row

    row = Row("x, row 1", 1, LAYOUTS["gsm8k"][0][0])
    found = choose(AS_IS, "openai/gsm8k", row)
    assert found is not None and (found.name, found.chosen) == ("gsm8k", True)
    with pytest.raises(UserError, match="ready map popqa needs"):
        choose(AS_IS, "akariasai/PopQA", row)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.csv", b"question,answer\nWhen?,1,2\n", ["s.csv:2", "3 cells, but 2 columns"]),
        ("s.csv", b'question,answer\nA,1\n"When?,1\n', ["s.csv:3", "not CSV"]),
        ("s.csv", b"question,answer\nA,1\nWhen?,\n", ["s.csv:3: answer is null"]),
        ("s.csv", b"question,answer,answer\n", ["s.csv:1", "'answer' stands twice"]),
        ("s.csv", b"question;answer\nWhen?;1\n", ["s.csv:2: no 'question'", "question;answer"]),
        ("s.csv", b"question,answer\nWo?,K\xf6ln\n", ["s.csv:2: not UTF-8"]),
        ("s.csv", b"question,answer\n", ["holds no question"]),
        ("s.csv", b"", ["holds no question"]),
        ("s.json", b'[{"question": "A", "answer": 1},\n {"question": }]', ["s.json:2: not JSON"]),
        ("s.json", b'[{"question": "A", "answer": 1}, 2]', ["s.json, row 2: int instead"]),
        ("s.json", b'[{"question": "A", "answer": null}]', ["s.json, row 1: answer is null"]),
        ("s.json", b'{"question": "A", "answer": 1}\n{"question": "A"}', ["s.json:2: no 'answer'"]),
        ("s.json", b"[]", ["holds no question"]),
        ("s.json", b"3", ["int instead of a list"]),
        ("s.json", b"\xff", ["s.json:1: not UTF-8"]),
        ("s.parquet", b"PAR1 no parquet", ["s.parquet: not Parquet"]),
        ("s.parquet", b"", ["s.parquet: not Parquet"]),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        load_questions(str(tmp_path / name))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_ids_twice_and_nulls_in_parquet_name_the_row(tmp_path: Path) -> None:
    rows = [{**row, "id": "x"} for row in rows_of("a", "b")]
    with pytest.raises(UserError, match=r"s.parquet, row 2: id 'x' was used in row 1"):
        load_questions(table(tmp_path / "s.parquet", rows))
    with pytest.raises(UserError, match=r"s.parquet, row 2: answer is null"):
        load_questions(table(tmp_path / "s.parquet", rows_of("a", None)))


@pytest.mark.parametrize("name", ["absent.csv", "absent.json", "absent.parquet", "absent"])
def test_missing_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}: cannot be read"):
        load_questions(str(tmp_path / name))


@pytest.mark.parametrize("name", ["A" * 5000 + ".jsonl", "A" * 5000, "\0", "a\0.json", "\0.csv.gz"])
def test_what_no_file_can_be_called_is_refused_in_one_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_questions(name)
    assert main(["questions", name]) == 2
    assert "Traceback" not in (err := capsys.readouterr().err) and err.count("\n") == 1


@pytest.mark.parametrize("text", ["\u200b", " \u200b\u00ad\ufeff ", "\u2060", "\ufe0f"])
@pytest.mark.parametrize("key", ["answer", "question", "aliases"])
def test_a_text_that_draws_nothing_is_empty(tmp_path: Path, text: str, key: str) -> None:
    row = {"question": "Who?", "answer": "Mali", key: [text] if key == "aliases" else text}
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    with pytest.raises(UserError, match=f"{key} is empty"):
        load_questions(str(tmp_path / "q.jsonl"))
    row[key] = f"a{text}b"
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    assert load_questions(str(tmp_path / "q.jsonl"))
