"""Replies from elsewhere: measured as our own, refused by line, never dropped in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metaconf.cli import main
from metaconf.metrics import brier

pytestmark = pytest.mark.usefixtures("few_resamples")

LINES = [
    {"question_id": "a", "confidence": 0.9, "correctness": 1, "task": "maths", "answer": 12},
    {"question": "Where?", "confidence": 0.4, "correctness": 0.5, "task": "places"},
    {"question_id": "c", "confidence": None, "correctness": 0, "task": "places"},
    {
        "question_id": "d",
        "reply": "Answer: x\nSelf-reflection: y.\nConfidence: 7",
        "correctness": 1,
    },
    {"question_id": "e", "reply": "I do not know", "correctness": None},
]


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_replies_from_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path / "r.jsonl", LINES), tmp_path / "out"
    assert main(["evaluate", "--replies", str(path), "--output_dir", str(out)]) == 0
    table, _, place = capsys.readouterr().out.strip().rpartition("\n\n")
    assert place == str(out / "report.html")
    assert (
        "Brier" in table.splitlines()[0] and "0.037" in table
    )  # Brier score: (.01 + .01 + .09) / 3
    (method,) = json.loads((out / "metrics.json").read_text())["methods"]
    figures = method["figures"]
    assert figures["brier"]["value"] == pytest.approx(brier([0.9, 0.4, 0.7], [1, 0.5, 1]))
    assert (figures["brier"]["n"], figures["accuracy"]["n"], figures["n"]["value"]) == (3, 4, 5)
    assert figures["parse_rate"]["value"] == pytest.approx(3 / 5)
    assert {"family=maths", "family=places"} <= set(method["groups"])
    assert len((out / "replies.jsonl").read_text().splitlines()) == 5
    # A folder that holds a run is not written into.
    assert main(["evaluate", "--replies", str(path), "--output_dir", str(out)]) == 2


def test_methods_stand_side_by_side(tmp_path: Path) -> None:
    lines = [{**line, "method": name} for name in ("ours", "theirs") for line in LINES]
    path, out = write(tmp_path / "r.jsonl", lines), tmp_path / "out"
    assert main(["evaluate", "--replies", str(path), "--output_dir", str(out)]) == 0
    methods = json.loads((out / "metrics.json").read_text())["methods"]
    assert [method["key"] for method in methods] == ["ours", "theirs"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"confidence": 0.5}, "r.jsonl:6: names no question"),
        ({"question_id": "q"}, "r.jsonl:6: has neither a confidence nor a reply"),
        ({"question_id": "q", "confidence": 1, "system": "a"}, "r.jsonl:6: has `system`"),
        ({"question_id": "q", "confidence": 70}, "r.jsonl:6: confidence is 70; give a number"),
        ({"question_id": "q", "confidence": 1, "correctness": "yes"}, "correctness is 'yes'"),
    ],
)
def test_a_bad_line_is_named(
    line: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path / "r.jsonl", [*LINES, line]), tmp_path / "out"
    assert main(["evaluate", "--replies", str(path), "--output_dir", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a3_half_a_surrogate_pair_in_any_field_is_reported(tmp_path: Path) -> None:
    said = "Answer: x\ud83d\nSelf-reflection: y\nConfidence: 7"
    fields = ("text", "answer", "family", "question_id", "method", "truth")
    lines = [*({**LINES[0], name: said} for name in fields), {**LINES[3], "reply": said}]
    path, out = write(tmp_path / "r.jsonl", lines), tmp_path / "out"
    assert main(["evaluate", "--replies", str(path), "--output_dir", str(out)]) == 0
    assert (out / "report.html").exists()
    written = (out / "replies.jsonl").read_text(encoding="utf-8")
    assert all("x\ufffd" in line for line in written.splitlines())
    assert not list(out.glob(".*"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[" * 100_000, "r.jsonl:6: not JSON (brackets nested"),
        ('{"question_id": 1, "confidence": ' + "9" * 5000 + "}", "r.jsonl:6: not JSON (a whole"),
        ('{"question_id": 1, "confidence": ' + "9" * 4000 + "}", "r.jsonl:6: confidence is 9999"),
    ],
    ids=["brackets", "too many digits", "many digits"],
)
def test_a5_brackets_and_digits_without_end_are_one_line(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path / "r.jsonl", LINES), tmp_path / "out"
    path.write_text(path.read_text() + line + "\n")
    assert main(["evaluate", "--replies", str(path), "--output_dir", str(out)]) == 2
    err = capsys.readouterr().err
    assert said in err and len(err) < 300 and err.count("\n") == 1
    assert not out.exists()


def test_any_type_in_a_field_that_is_only_shown(tmp_path: Path) -> None:
    values: list[object] = [float("nan"), float("inf"), ["a", {"b": float("nan")}], {}, 5]
    fields = ("prompt", "truth", "family", "cause", "split", "why", "text", "answer", "extra")
    lines = [{**LINES[0], name: value} for name in fields for value in values]
    path = write(tmp_path / "r.jsonl", [*LINES, *lines])
    assert main(["evaluate", "--replies", str(path), "--output_dir", str(tmp_path / "out")]) == 0
