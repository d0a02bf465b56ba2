"""Users' question files: what is read, and what is refused with file, line, value and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metaconf.data import embedded_questions, load_questions, pick
from metaconf.errors import UserError
from metaconf.records import Question, Target, write_jsonl


def load(tmp_path: Path, *rows: Any, prefix: bytes = b"") -> list[Question]:
    path = tmp_path / "mine.jsonl"
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(prefix + b"".join(line + b"\n" for line in lines))
    return load_questions(str(path))


def row(answer: Any, **more: Any) -> dict[str, Any]:
    return {"question": "When?", "answer": answer, **more}


def texts(question: Question) -> tuple[str, ...]:
    assert len(question.targets) == 1
    assert question.targets[0].credit == 1
    return question.targets[0].texts


def test_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    rows = (row("a"), row("b", id="x"))
    assert load(tmp_path, *rows, prefix=b"\xef\xbb\xbf") == load(tmp_path, *rows)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (1912, ("1912",)),
        (1912.0, ("1912",)),
        (0, ("0",)),
        (-0.5, ("-0.5",)),
        ("1912 BC", ("1912 BC",)),
        (" Quito ", ("Quito",)),
        (["Quito", 1912, "Quito"], ("Quito", "1912")),
    ],
)
def test_answers(tmp_path: Path, answer: Any, expected: tuple[str, ...]) -> None:
    assert texts(load(tmp_path, row(answer))[0]) == expected


def test_aliases_after_many_nulls(tmp_path: Path) -> None:
    rows = [row("Lumen", aliases=None)] * 5000 + [row("Lumen", aliases=["City of Lumen"])]
    questions = load(tmp_path, *rows)
    assert texts(questions[0]) == ("Lumen",)
    assert texts(questions[-1]) == ("Lumen", "City of Lumen")


def test_fields_and_defaults(tmp_path: Path) -> None:
    first, second = load(tmp_path, row("a"), row("b", id=7, task="math", family="years", extra=[1]))
    assert (first.id, first.task, first.family, first.split) == ("mine:1", "short", "", "")
    assert (second.id, second.task, second.family) == ("7", "math", "years")


def test_gsm8k(tmp_path: Path) -> None:
    gsm = [row("16 - 7 = <<16-7=9>>9 eggs\n#### 18"), row("#### 2,125 \n"), row("#### tag #### 5")]
    questions = load(tmp_path, *gsm)
    assert [texts(q) for q in questions[:2]] == [("18",), ("2125",)]
    assert {q.task for q in questions[:2]} == {"math"}


def test_choices(tmp_path: Path) -> None:
    rows = [row("B", choices=["red", "blue"]), row("blue", choices=["red", "blue", "blue"])]
    letter, text = load(tmp_path, *rows)
    assert letter.prompt == "When?\nA. red\nB. blue"
    assert letter.task == "choice"
    assert texts(letter) == ("B", "blue")
    assert texts(text) == ("B", "C", "blue")


def test_own_records_come_back(tmp_path: Path) -> None:
    written = [*embedded_questions("calibration")[:50], Question("q", "Why?", (Target(("a",)),))]
    write_jsonl(tmp_path / "own.jsonl", (q.to_json() for q in written))
    assert load_questions(str(tmp_path / "own.jsonl")) == written


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(None), ["answer is null", "remove the line"]),
        (row(""), ["answer is empty"]),
        (row("  "), ["answer is empty"]),
        (row([]), ["empty list"]),
        (row(["a", None]), ["answer is null"]),
        (row(True), ["True", "bool"]),
        (row({"a": 1}), ["dict"]),
        (row("So\n#### "), ["after ####", "empty"]),
        (b'{"question": "When?", "answer": NaN}', ["nan", "finite"]),
        (b'{"question": "When?", "answer": 1e999}', ["inf", "finite"]),
        (b'{"question": "When?", "answer": "\\ud800"}', ["surrogate"]),
        (row("a", question=None), ["question is null"]),
        (row("a", aliases=[""]), ["aliases is empty"]),
        (row("a", id=""), ["id is empty"]),
        ({"question": "When?", "anwser": "a"}, ["no 'answer'", "is 'anwser' meant?"]),
        ({"prompt": "When?", "answer": "a"}, ["no 'question'", "'prompt'"]),
        (row("C", choices=["red", "blue"]), ["'C'", "A to B"]),
        (row("A", choices=["red"]), ["1 choices"]),
        (row("A", choices="red"), ["no list"]),
        ({"id": "a", "prompt": "Why?", "targets": []}, ["targets []"]),
        ({"id": "a", "prompt": "Why?", "targets": [{"texts": []}]}, ["no texts"]),
        ({"id": "a", "prompt": "Why?", "targets": ["a"]}, ["'a' is no target"]),
        ({"id": "a", "prompt": "Why?", "targets": [{"texts": ["a"], "credit": 2}]}, ["credit 2"]),
        ({"prompt": "Why?", "targets": [{"texts": ["a"]}]}, ["id is null"]),
        (b"", ["the line is empty"]),
        (b'{"question": ', ["not JSON"]),
        (b"[1]", ["list instead of"]),
        (b'{"question": "Wo?", "answer": "K\xf6ln"}', ["not UTF-8"]),
    ],
)
def test_refused_with_file_and_line(tmp_path: Path, bad: Any, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path, row("fine"), bad)
    message = str(error.value)
    assert "mine.jsonl:2" in message
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_an_id_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine.jsonl:3: id 'x' was used in line 1"):
        load(tmp_path, row("a", id="x"), row("b"), row("c", id="x"))


def test_no_questions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no question"):
        load(tmp_path)
    with pytest.raises(UserError, match=r"absent.jsonl: cannot be read"):
        load_questions(str(tmp_path / "absent.jsonl"))


def test_embedded_by_name() -> None:
    assert load_questions("embedded:ood") == embedded_questions("ood")
    assert len(load_questions("embedded")) == len(embedded_questions())
    with pytest.raises(UserError, match=r"'held-out'.*heldout"):
        load_questions("embedded:held-out")


def test_pick_is_stable() -> None:
    questions = embedded_questions("calibration")
    chosen = pick(questions, 100, seed=1)
    assert chosen == pick(questions[::-1], 100, seed=1) == pick(questions, 200, seed=1)[:100]
    assert chosen != pick(questions, 100, seed=2)
    assert sorted(pick(questions), key=lambda q: q.id) == sorted(questions, key=lambda q: q.id)
    assert len(pick(questions, 10**6)) == len(questions)
    with pytest.raises(UserError, match="0 questions"):
        pick(questions, 0)
