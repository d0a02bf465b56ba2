"""Lists in a cell (F1), keys of choices (F2), long cells (F3), packed files (F4), A5."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from metaconf.cli import main
from metaconf.config.blocks import AS_IS, Questions
from metaconf.data import load_questions, packed
from metaconf.errors import UserError
from metaconf.records import Question

NAMES = ("Lima", "Ciudad de los Reyes")


def table(path: Path, *rows: dict[str, Any]) -> str:
    """The rows as CSV, as `csv` writes them, or as JSONL."""
    with path.open("w", newline="", encoding="utf-8") as out:
        if path.suffix == ".jsonl":
            out.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(out, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


def texts(question: Question) -> tuple[str, ...]:
    return question.targets[0].texts


def refusal(source: str, how: Questions = AS_IS) -> str:
    with pytest.raises(UserError) as error:
        load_questions(source, how)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["s.csv", "s.jsonl"])
@pytest.mark.parametrize(
    "cell",
    [
        "['Lima', 'Ciudad de los Reyes']",
        ' ["Lima", "Ciudad de los Reyes"] ',
        "['Lima' 'Ciudad de los Reyes']",
        "['Lima'\n 'Ciudad de los Reyes']",
        "('Lima', 'Ciudad de los Reyes')",
        "{'Lima', 'Ciudad de los Reyes'}",
        "[u'Lima', u'Ciudad de los Reyes',]",
        "array(['Lima', 'Ciudad de los Reyes'], dtype=object)",
        "np.array(['Lima', 'Ciudad de los Reyes'], dtype='<U19')",
        "[np.str_('Lima'), np.str_('Ciudad de los Reyes')]",
    ],
)
def test_f1_a_list_in_a_text_is_so_many_answers(tmp_path: Path, name: str, cell: str) -> None:
    (one,) = load_questions(table(tmp_path / name, {"question": "Where?", "answer": cell}))
    assert texts(one) == NAMES
    row = {"question": "Where?", "answer": "Lima", "aliases": cell}
    assert texts(load_questions(table(tmp_path / name, row))[0]) == NAMES
    row = {"question": "Where?", "answer": "B", "choices": cell}
    assert texts(load_questions(table(tmp_path / name, row))[0]) == ("B", NAMES[1])


def test_f1_what_pandas_and_parquet_write(tmp_path: Path) -> None:
    frame = pd.DataFrame({"question": ["Where?"], "answer": [np.array(NAMES, dtype=object)]})
    frame.to_csv(tmp_path / "s.csv", index=False)
    assert texts(load_questions(str(tmp_path / "s.csv"))[0]) == NAMES
    rows = [{"question": "Where?", "answer": list(NAMES)}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "s.parquet")
    assert texts(load_questions(str(tmp_path / "s.parquet"))[0]) == NAMES


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("['Lima', 'Ciudad", ["begins like a list but is none", "JSON"]),
        ("['Lima' 'Cusco' ... 'Ica']", ["begins like a list"]),
        ("['Lima', None]", ["answer is null"]),
        ("['Lima', ['Ica']]", ["list"]),
        ("[]", ["empty list"]),
        ("[1912, 1913]", ["several answers, or one with brackets?", "task: math"]),
        ("{'text': ['Lima'], 'answer_start': [3]}", ["an object in a text"]),
        ('{"text": ["Lima"]}', ["an object in a text"]),
        ("[" * 9 + "'a'" + "]" * 9, ["list"]),
    ],
)
def test_f1_lists_that_are_none_are_refused(tmp_path: Path, answer: str, words: list[str]) -> None:
    message = refusal(table(tmp_path / "s.csv", {"question": "Where?", "answer": answer}))
    assert "s.csv:2: answer" in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("answer", "task"),
    [
        ("[2, 5]", "math"),
        ("[2, 5)", "short"),
        ("(2, 5)", "short"),
        ("(2, 5)", "math"),
        ("{1, 2}", "math"),
        ("(Lima)", "short"),
        ("[sic]", "short"),
        ("{'", "short"),
        ('{"a": 1}', "short"),
        ("Lima, Ciudad", "short"),
        ("'Lima'", "short"),
        ("array", "short"),
    ],
)
def test_f1_other_brackets_stay_text(tmp_path: Path, answer: str, task: str) -> None:
    row = {"question": "Where?", "answer": answer, "task": task, "aliases": answer}
    assert texts(load_questions(table(tmp_path / "s.csv", row))[0]) == (answer,)


ARC = {"question": "Which?", "choices": {"text": ["2", "4", "6", "8"], "label": list("1234")}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ARC | {"answer": "4"}, ("D", "8")),
        (ARC | {"answer": "2"}, ("B", "4")),  # the row's own labels win over texts
        (ARC | {"answer": 2}, ("B", "4")),
        (ARC | {"answer": "8"}, ("D", "8")),
        (
            {"question": "Which?", "choices": {"a": "red", "b": "blue"}, "answer": "(B)"},
            ("B", "blue"),
        ),
        (
            {
                "question": "Which?",
                "choices": [{"label": "0", "text": "red"}, {"label": "1", "text": "blue"}],
                "answer": 1,
            },
            ("B", "blue"),
        ),
        ({"question": "?", "choices": ["r", "s"], "labels": ["x", "y"], "answer": "y"}, ("B", "s")),
        ({"question": "?", "choices": ["red", "blue"], "answer": "b"}, ("B", "blue")),
        ({"question": "?", "choices": ["red", "blue"], "answer": "(B)"}, ("B", "blue")),
        ({"question": "?", "choices": ["red", "blue"], "answer": "B."}, ("B", "blue")),
        ({"question": "?", "choices": ["red", "blue"], "answer": "B) blue"}, ("B", "blue")),
        ({"question": "?", "choices": ["red", "blue"], "answer": ["blue"]}, ("B", "blue")),
        ({"question": "?", "choices": ["2", "4", "6", "8"], "answer": "2"}, ("A", "2")),
        ({"question": "?", "choices": ["A", "B", "AB"], "answer": "B"}, ("B", "B")),
        ({"question": "?", "choices": [2, 4, 60], "answer": 60}, ("C", "60")),
        (
            {"question": "?", "choices": [f"t{i}" for i in range(26)], "answer": "Z"},
            ("Z", "t25"),
        ),
    ],
)
def test_f2_keys_of_choices(tmp_path: Path, row: dict[str, Any], expected: tuple[str, ...]) -> None:
    (one,) = load_questions(table(tmp_path / "s.jsonl", row))
    assert texts(one) == tuple(dict.fromkeys(expected))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ARC | {"answer": "5"}, ["none of the choices", "1, 2, 3, 4"]),
        ({"choices": ["O", "A", "B"], "answer": "A"}, ["both the letter of 'O'", "labels"]),
        ({"choices": ["2", "4", "6", "8"], "answer": 2}, ["may be its place", "index_letter"]),
        ({"choices": [2, 4, 6, 8], "answer": 2}, ["may be its place"]),
        ({"choices": ["red", "blue"], "answer": 1}, ["none of the choices", "index_letter"]),
        ({"choices": ["red", "blue"], "labels": ["1"], "answer": "1"}, ["one for each"]),
        (
            {"choices": ["red", "blue"], "labels": ["1", "(1)"], "answer": "1"},
            ["not all different"],
        ),
        ({"choices": [f"t{i}" for i in range(27)], "answer": "A"}, ["27 choices", "2 to 26"]),
        ({"choices": {"text": "red"}, "answer": "A"}, ["1 choices"]),
    ],
)
def test_f2_keys_that_name_no_choice_or_two(
    tmp_path: Path, row: dict[str, Any], words: list[str]
) -> None:
    message = refusal(table(tmp_path / "s.jsonl", {"question": "Which?", **row}))
    assert "s.jsonl:1: " in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("choices", ["choices", "choices.text"])
def test_f2_arc_rows_behind_a_map(tmp_path: Path, choices: str) -> None:
    rows = [
        {"id": "a", "question": "Which?", "choices": ARC["choices"], "answerKey": "4"},
        {"id": "b", "question": "Which?", "choices": ARC["choices"], "answerKey": "2"},
    ]
    how = Questions(columns={"question": "question", "choices": choices, "answer": "answerKey"})
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "s.parquet")
    for source in (table(tmp_path / "s.jsonl", *rows), str(tmp_path / "s.parquet")):
        assert [texts(q) for q in load_questions(source, how)] == [("D", "8"), ("B", "4")]


def test_f2_a_counted_key_is_a_place_whatever_the_texts_are(tmp_path: Path) -> None:
    row = {"question": "Which?", "subject": "x", "choices": ["C", "B", "A"], "answer": 2}
    assert texts(load_questions(table(tmp_path / "s.jsonl", row))[0]) == ("C", "A")


def test_f3_a_long_cell_is_read_and_the_limit_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    rows = [{"question": "x" * 180_000, "answer": "Lima"}, {"question": "Where?", "answer": "Ica"}]
    first, _ = load_questions(table(tmp_path / "s.csv", *rows))
    assert (len(first.prompt), csv.field_size_limit()) == (180_000, before)


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
PACKERS[".zst"] = lambda data: pa.compress(data, "zstd", asbytes=True)
ROWS = [{"question": f"Where is {i}?", "answer": "Lima"} for i in range(50)]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".json", ""])
def test_f4_packed_files_are_read(tmp_path: Path, suffix: str, kind: str) -> None:
    plain = Path(table(tmp_path / f"s{kind or '.jsonl'}", *ROWS))
    if kind == ".json":
        plain.write_text(json.dumps(ROWS))
    path = tmp_path / f"s{kind}{suffix}"
    path.write_bytes(PACKERS[suffix](plain.read_bytes()))
    assert load_questions(str(path)) == load_questions(str(plain))


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize(
    "spoil", [lambda data: data[: len(data) // 2], lambda data: data[:40] + b"xx" + data[42:]]
)
def test_f4_a_damaged_file_is_one_line(
    tmp_path: Path, suffix: str, spoil: Callable[[bytes], bytes]
) -> None:
    plain = Path(table(tmp_path / "s.jsonl", *ROWS)).read_bytes()
    path = tmp_path / f"s.jsonl{suffix}"
    path.write_bytes(spoil(PACKERS[suffix](plain)))
    assert str(path) in refusal(str(path))


def test_f4_names_that_say_another_thing_than_the_file(tmp_path: Path) -> None:
    plain = Path(table(tmp_path / "s.jsonl", *ROWS)).read_bytes()
    for suffix, pack in PACKERS.items():
        (tmp_path / f"fake.jsonl{suffix}").write_bytes(plain)
        assert "not packed by" in refusal(str(tmp_path / f"fake.jsonl{suffix}"))
        (tmp_path / "named.jsonl").write_bytes(pack(plain))
        assert f"name it named.jsonl{suffix}" in refusal(str(tmp_path / "named.jsonl"))
    for name in ("s.zip", "s.tar.gz", "s.tgz", "s.parquet.gz"):
        (tmp_path / name).write_bytes(gzip.compress(plain))
        assert "unpack it" in refusal(str(tmp_path / name))
    (tmp_path / "empty.jsonl.gz").write_bytes(b"")
    assert "not packed by gzip" in refusal(str(tmp_path / "empty.jsonl.gz"))
    (tmp_path / "latin.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n{"b": "\xe9"}\n'))
    (tmp_path / "latin.csv.gz").write_bytes(gzip.compress(b"question,answer\nWo?,K\xf6ln\n"))
    assert "latin.csv.gz:2: not UTF-8" in refusal(str(tmp_path / "latin.csv.gz"))


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".json"])
def test_f4_a_bomb_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, kind: str
) -> None:
    monkeypatch.setattr(packed, "FREE", 1 << 20)
    path = tmp_path / f"bomb{kind}{suffix}"
    path.write_bytes(PACKERS[suffix](b" " * (4 << 20)))
    assert "unpacks to more than 100 times" in refusal(str(path))


@pytest.mark.parametrize("words", [["questions", ""], ["questions", " "]])
def test_a5_an_empty_name_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("metaconf: error: ") and said.count("\n") == 1


@pytest.mark.parametrize("name", ["s.jsonl", "s.json", "s.csv"])
@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 100_000, "[" * 500 + "]" * 500])
def test_a5_brackets_without_end_are_one_line(tmp_path: Path, name: str, value: str) -> None:
    text = f'{{"question": "Where?", "answer": {value}'
    path = tmp_path / name
    path.write_text(
        f'question,answer,aliases\nWhere?,Lima,"{value}"\n' if name == "s.csv" else text
    )
    if name == "s.csv" and not value.startswith('{"'):
        assert texts(load_questions(str(path))[0]) == ("Lima", value)  # a text of brackets
    else:
        assert str(path) in refusal(str(path))


def test_a5_numbers_without_end_and_half_a_surrogate_pair_name_their_line(tmp_path: Path) -> None:
    for name, form in (("s.jsonl", "{}"), ("s.json", "[{}]")):
        path = tmp_path / name
        path.write_text(form.replace("{}", '{"question": "Where?", "answer": ' + "1" * 5000 + "}"))
        assert f"{path}:1: not JSON" in refusal(str(path))
        path.write_text(form.replace("{}", '{"question": "Where?", "answer": "\\ud800"}'))
        assert "surrogate" in refusal(str(path))
        path.write_text(form.replace("{}", '{"question": "Where?", "answer": "\\ud83d\\ude00"}'))
        assert texts(load_questions(str(path))[0]) == ("😀",)
