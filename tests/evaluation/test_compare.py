"""Runs side by side: paired, on the shared questions, and honest about what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaconf.cli import main
from metaconf.errors import UserError
from metaconf.evaluation import compare as module
from metaconf.evaluation.compare import markdown


def write(path: Path, noise: float, ids: range, extra: str = "") -> Path:
    """Replies to the same questions; the confidence is as noisy as it is told."""
    rng = np.random.default_rng(0)
    truth = rng.random(400)
    right, blur = rng.random(400) < truth, rng.normal(size=400)
    rows = [
        {
            "question_id": f"q{i:03}",
            "family": f"f{i % 4}",
            "confidence": float(np.clip(truth[i] + noise * blur[i], 0, 1)),
            "correctness": float(right[i]),
        }
        for i in ids
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + extra)
    return path


def compare(paths: list[Path], seed: int = 0) -> dict[str, Any]:
    return module.compare(module.load([str(path) for path in paths], None), seed)


def test_differences_are_paired_and_to_the_first(tmp_path: Path) -> None:
    sharp = write(tmp_path / "sharp" / "replies.jsonl", 0.0, range(350))
    blurred = write(tmp_path / "blurred.jsonl", 0.4, range(50, 400))
    found = compare([sharp.parent, blurred])
    assert found["questions"] == 300 and found["left_out"] == [50, 50]
    first, other = found["runs"]
    assert "differences" not in first
    for name in ("brier", "auroc", "auroc_within", "accuracy"):
        gap = other["figures"][name]["value"] - first["figures"][name]["value"]
        assert other["differences"][name]["value"] == pytest.approx(gap)
    assert other["differences"]["accuracy"]["value"] == 0
    assert other["differences"]["brier"]["low"] > 0 > other["differences"]["auroc"]["high"]
    assert other["differences"]["auroc_within"]["high"] < 0
    assert other["wins"] == (0, 4)
    table = markdown(found)
    assert "auroc | auroc_within" in table
    assert table.count("\n| ") == 4 and "0 of 4" in table and "300 questions" in table


def test_a_reply_without_a_confidence_is_no_win_and_no_zero(tmp_path: Path) -> None:
    line = '{"question_id": "q400", "family": "f9", "confidence": %s, "correctness": 1}\n'
    a = write(tmp_path / "a.jsonl", 0.0, range(20), line % "0.5")
    b = write(tmp_path / "b.jsonl", 0.0, range(20), line % "null")
    other = compare([a, b])["runs"][1]
    assert other["wins"] == (0, 4)
    assert other["figures"]["brier"]["n"] == 20 and other["figures"]["accuracy"]["n"] == 21


def test_silence_where_it_is_unsure_is_shown_and_no_gain(tmp_path: Path) -> None:
    """A run that states a confidence only where it is sure looked twenty times better."""

    def row(i: int, confidence: float | None) -> str:
        sure = i % 2 == 0
        told = {"question_id": f"q{i}", "task": f"t{i % 4}", "correctness": float(sure)}
        return json.dumps({**told, "confidence": confidence}) + "\n"

    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("".join(row(i, 0.9) for i in range(80)))
    b.write_text("".join(row(i, 0.9 if i % 2 == 0 else None) for i in range(80)))
    found = compare([a, b])
    first, other = found["runs"]
    assert found["complete"] == 40 and other["figures"]["parse_rate"]["value"] == 0.5
    assert other["differences"]["parse_rate"]["value"] == -0.5
    assert other["figures"]["brier"]["value"] == first["figures"]["brier"]["value"]
    assert other["differences"]["brier"]["value"] == 0 and other["wins"] == (0, 2)
    table = markdown(found)
    assert "the 40 on which every run states a confidence" in table and "| parse_rate |" in table


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", 0, range(5)), write(tmp_path / "b", 0, range(5, 9))
    with pytest.raises(UserError, match="at least two"):
        compare([a])
    with pytest.raises(UserError, match="no question in common"):
        compare([a, b])
    twice = tmp_path / "twice"
    twice.write_text(a.read_text() * 2)
    with pytest.raises(UserError, match="several replies to one question"):
        compare([a, twice])


def test_the_command_prints_markdown_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write(tmp_path / "a", 0, range(30)), write(tmp_path / "b", 0.2, range(30))
    out = tmp_path / "c.json"
    assert main(["compare", str(a), str(b), "--output", str(out)]) == 0
    assert capsys.readouterr().out.startswith("30 questions")
    assert len(json.loads(out.read_text())["runs"]) == 2


def test_a_folder_gets_json_markdown_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write(tmp_path / "a", 0, range(60)), write(tmp_path / "<b>", 0.4, range(80))
    out = tmp_path / "out"
    assert main(["compare", str(a), str(b), "--output_dir", str(out)]) == 0
    assert capsys.readouterr().out.rstrip().endswith(str(out / "report.html"))
    found = json.loads((out / "comparison.json").read_text())
    assert (out / "comparison.md").read_text().startswith("60 questions")
    metrics = json.loads((out / "metrics.json").read_text())
    assert [s["key"] for s in metrics["methods"]] == [str(a), str(b)]
    assert metrics["methods"][1]["figures"]["n"]["value"] == 60
    page = (out / "report.html").read_text()
    brier = found["runs"][1]["differences"]["brier"]
    shown = f"{brier['low']:+.3f} to {brier['high']:+.3f}"
    assert f"{brier['value']:+.3f}" in page and shown in page
    won, families = found["runs"][1]["wins"]
    assert "Over 60 questions that every run answered" in page and f"{won} of {families}" in page
    assert "&lt;b&gt;" in page and "<b>" not in page
    # A folder that holds something is not written into, and that is said before the work.
    assert main(["compare", str(a), str(b), "--output_dir", str(out)]) == 2


def test_one_run_s_methods_are_compared_by_name(tmp_path: Path) -> None:
    """The demo's folder holds several: before and after are two of them."""
    folder = tmp_path / "run"
    file = write(folder / "replies.jsonl", 0, range(40))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    both = [{**row, "method": name} for row in rows for name in ("base", "stage2")]
    file.write_text("".join(json.dumps(row) + "\n" for row in both))
    runs = module.load([f"{folder}:base", f"{file}:stage2"], None)
    assert [len(run.rows) for run in runs] == [40, 40]
    assert {row.method for row in runs[1].rows.values()} == {"stage2"}
    with pytest.raises(UserError, match=r"choose one by .*:METHOD: base, stage2"):
        module.load([str(folder), f"{folder}:stage2"], None)
    with pytest.raises(UserError, match="is given twice"):
        module.load([f"{folder}:base"] * 2, None)
