"""`metaconf calibrate` and `metaconf decide` on files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaconf.cli import main
from metaconf.decisions.run import decide
from metaconf.errors import UserError


def replies(path: Path, n: int, seed: int = 0, **more: Any) -> Path:
    rng = np.random.default_rng(seed)
    c = np.round(rng.random(n), 1)
    y = rng.random(n) < c
    rows = [
        {"question_id": f"q{i}", "confidence": float(a), "correctness": float(b), **more}
        for i, (a, b) in enumerate(zip(c, y, strict=True))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*words: str | Path) -> int:
    return main([str(word) for word in words])


def test_from_labelled_replies_to_decisions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled, new = replies(tmp_path / "a.jsonl", 2000), replies(tmp_path / "b.jsonl", 300, 1)
    with new.open("a") as out:
        out.write('{"question_id": "none", "confidence": null, "correctness": 0.0}\n')
    rule, out = tmp_path / "rule.json", tmp_path / "out.jsonl"
    assert run("calibrate", labelled, "--output", rule, "--alpha", "0.2") == 0
    assert "error ≤ 0.2 with probability 0.9: answer where" in capsys.readouterr().out
    kept = json.loads(rule.read_text())
    threshold = kept["rule"]["threshold"]
    assert 0.5 <= threshold <= 0.8 and kept["left_out"] == 0
    assert run("decide", new, "--calibration", rule, "--output", out) == 0
    said = capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 301 and rows[-1]["decision"] == "unknown"
    answered = [row for row in rows if row["decision"] == "answer"]
    assert all(row["confidence"] >= threshold for row in answered)
    assert f"{len(answered)} of 301: answer" in said and "1 of 301: unknown" in said
    assert "No drift" in said
    assert 1 - np.mean([row["correctness"] for row in answered]) < 0.25
    # Nothing is overwritten.
    assert run("calibrate", labelled, "--output", rule) == 2
    assert run("decide", new, "--calibration", rule, "--output", out) == 2


@pytest.mark.parametrize(
    ("right", "why"),
    [
        (lambda i: 1.0, "Warning: all 40 labelled replies are right, so the confidences are left"),
        (lambda i: 0.0, "Warning: all 40 labelled replies are wrong, so the confidences are left"),
        (lambda i: float(i > 0), "Warning: only 1 of 40 labelled replies are wrong"),
    ],
)
def test_g2_one_class_is_not_made_certain_in_silence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    right: Callable[[int], float],
    why: str,
) -> None:
    path, rule, out = (tmp_path / name for name in ("a.jsonl", "rule.json", "o.jsonl"))
    stated = [round(0.5 + 0.05 * (i % 10), 2) for i in range(40)]
    rows = [
        {"question_id": f"q{i}", "confidence": c, "correctness": right(i)}
        for i, c in enumerate(stated)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("calibrate", path, "--output", rule) == 0
    said = capsys.readouterr().out
    assert why in said and "Recalibration: none." in said
    assert run("decide", path, "--calibration", rule, "--output", out) == 0
    assert why in capsys.readouterr().out
    decided = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["recalibrated"] for row in decided] == stated


def test_g2_a_flat_map_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jsonl"
    order = [*zip([0.2] * 200 + [0.9] * 200, [0, 1] * 200, strict=True)]
    rows = [
        {"question_id": i, "confidence": float(a), "correctness": float(b)}
        for i, (a, b) in enumerate(order)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("calibrate", path, "--output", tmp_path / "rule.json") == 0
    said = capsys.readouterr().out
    assert "Warning: every confidence becomes 0.5" in said


def test_a5_a_calibration_that_never_closes_its_brackets_is_refused(tmp_path: Path) -> None:
    rule = tmp_path / "rule.json"
    rule.write_text("[" * 100_000)
    new = replies(tmp_path / "a.jsonl", 3)
    assert run("decide", new, "--calibration", rule, "--output", tmp_path / "o") == 2


def test_drift_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = tmp_path / "rule.json"
    assert run("calibrate", replies(tmp_path / "a.jsonl", 500), "--output", rule) == 0
    sure = tmp_path / "sure.jsonl"
    sure.write_text("".join(f'{{"question_id": {i}, "confidence": 0.9}}\n' for i in range(100)))
    assert run("decide", sure, "--calibration", rule, "--output", tmp_path / "o.jsonl") == 0
    assert "Warning: the confidences have drifted" in capsys.readouterr().out


def test_falling_silent_is_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = tmp_path / "rule.json"
    assert run("calibrate", replies(tmp_path / "a.jsonl", 500), "--output", rule) == 0
    new = replies(tmp_path / "b.jsonl", 300, 1)
    lines = [json.loads(line) for line in new.read_text().splitlines()]
    silent = [{**row, "confidence": None} if i % 5 == 0 else row for i, row in enumerate(lines)]
    new.write_text("".join(json.dumps(row) + "\n" for row in silent))
    assert run("decide", new, "--calibration", rule, "--output", tmp_path / "o.jsonl") == 0
    said = capsys.readouterr().out
    assert (
        "No drift of the confidences" in said and "Warning: 20.0% state no confidence, 0.0%" in said
    )


def test_lines_may_name_the_question_and_hold_the_reply_alone(tmp_path: Path) -> None:
    """What `evaluate --replies` takes, calibrate and decide take."""
    path, rule, out = (tmp_path / name for name in ("a.jsonl", "rule.json", "o.jsonl"))
    reply = "Answer: x\nSelf-reflection: I know x.\nConfidence: {}"
    rows = [
        {"question": f"Which {i}?", "reply": reply.format(i % 11), "correctness": float(i % 11 > 4)}
        for i in range(220)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("calibrate", path, "--output", rule) == 0
    assert len(json.loads(rule.read_text())["confidences"]) == 220
    assert run("decide", path, "--calibration", rule, "--output", out) == 0
    first = json.loads(out.read_text().splitlines()[7])
    assert first["question_id"] == "Which 7?" and first["confidence"] == 0.7
    assert first["reply"] == rows[7]["reply"]


BAD = {
    '{"confidence": 0.5}': "a.jsonl:1: names no question; give question_id or question",
    '{"question_id": "q", "confidence": 5}': "a.jsonl:1: confidence is 5; give a number from 0",
    '{"question_id": "q", "confidence": 0.5}': "no reply has both",
    '{"question_id": "q", "confidence": true, "correctness": 1}': "confidence is True",
    "": "holds no reply",
    '{"question_id": "q", "confidence": 1, "correctness": 1}\n' * 2: "more than one reply",
    '{"question_id": "q", "confidence": 1, "method": "a"}\n'
    '{"question_id": "q", "confidence": 1, "method": "b"}': "choose one by --method: a, b",
}


BAD['{"question_id": "q", "confidence": 1, "system": "a"}'] = "1: has `system`, which is called"


@pytest.mark.parametrize("text", BAD)
def test_bad_files_are_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, rule = tmp_path / "a.jsonl", tmp_path / "rule.json"
    path.write_text(text)
    assert run("calibrate", path, "--output", rule) == 2
    assert BAD[text] in capsys.readouterr().err
    assert not rule.exists()


OTHER = '{"version": 2, "rule": {"x": 1}, "map": {"kind": "none", "numbers": []}}'


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 9}', OTHER])
def test_a_foreign_calibration_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = tmp_path / "rule.json"
    rule.write_text(text)
    new = replies(tmp_path / "a.jsonl", 3)
    assert run("decide", new, "--calibration", rule, "--output", tmp_path / "o") == 2
    assert "rule.json: is " in capsys.readouterr().err


ODD = [None, "text", [], {}, -1, 0.5, 1e308, -1e308, 10**400, True, [[]], [1e308, 2], "0.5"]
SLOPE = {"kind": "logistic", "numbers": [[1.0, 0.0]]}
KNOTS = {"kind": "isotonic", "numbers": [[0.2, 0.8], [0.1, 0.9]]}


@pytest.mark.parametrize("fitted", [None, SLOPE, KNOTS], ids=["none", "slope", "knots"])
@pytest.mark.filterwarnings("error")
def test_a_calibration_with_an_odd_value_is_used_or_refused_in_one_line(
    fitted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled, new = replies(tmp_path / "a.jsonl", 60), replies(tmp_path / "b.jsonl", 30, 1)
    rule, out = tmp_path / "rule.json", tmp_path / "out.jsonl"
    assert run("calibrate", labelled, "--output", rule, "--alpha", "0.5") == 0
    kept = json.loads(rule.read_text())
    kept["map"] = fitted or kept["map"]
    places = [(key,) for key in kept]
    places += [(top, key) for top in ("rule", "map") for key in kept[top]]
    places += [("map", "numbers", i) for i in range(len(kept["map"]["numbers"]))]
    places += [("map", "numbers", i, 0) for i in range(len(kept["map"]["numbers"]))]
    places += [("confidences", 0)]
    for place in places:
        for odd in ODD:
            changed = json.loads(json.dumps(kept))
            holder = changed
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = odd
            rule.write_text(json.dumps(changed))
            out.unlink(missing_ok=True)
            # Not by the command: to read eight hundred command lines would take most of the time.
            try:
                decide(new, rule, out, None)
            except UserError as refused:
                assert str(refused).startswith(f"{rule}: "), (place, odd)
                continue
            rows = [json.loads(line) for line in out.read_text().splitlines()]
            assert all(0 <= row["recalibrated"] <= 1 for row in rows), (place, odd)
            assert place not in [("replies",), ("silent",)], odd
    assert capsys.readouterr().err == ""


def test_one_method_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jsonl"
    one = replies(path, 50, method="stage2").read_text()
    path.write_text(one + one.replace("stage2", "asked"))
    rule = tmp_path / "rule.json"
    assert run("calibrate", path, "--output", rule, "--method", "stage2") == 0
    assert len(json.loads(rule.read_text())["confidences"]) == 50
    assert run("calibrate", path, "--output", tmp_path / "x", "--method", "none") == 2
    assert "it has asked, stage2" in capsys.readouterr().err
