"""The benchmark of published replies: their figures, a file that is missing, and rows by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The program, with few draws and results of its own."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    program = __import__("published")
    monkeypatch.setattr(program.record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(program, "DRAWS", 5)
    monkeypatch.setattr(program, "REPEATS", 50)
    yield program
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(ROOT / "benchmarks")):
            del sys.modules[name]


def test_their_figures_come_out_of_their_replies(published: Any) -> None:
    if not published.REPLIES.is_file():
        pytest.skip("the published replies are not at hand")
    assert published.difference(published.read(published.REPLIES)) < 1e-6


def test_a_missing_file_is_said_and_nothing_is_written(
    published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = tmp_path / "none.jsonl"
    monkeypatch.setattr(sys, "argv", ["published.py", "--replies", str(path)])
    published.main()
    assert "none.jsonl: no such file, so nothing is measured" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()


def test_recalibration_abstention_and_cascade_of_a_small_file(
    published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(400)
    sets = ("commonsenseqa", "math-500")
    rows = [
        {"set": name, "system": system, "confidence": round(0.5 + c / 2, 2), "correctness": y}
        for name in sets
        for system in published.PUBLISHED[name]
        for c, y in zip(chance, (rng.random(400) < chance).astype(float), strict=True)
    ]
    path = tmp_path / "replies.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(sys, "argv", ["published.py", "--replies", str(path)])
    published.main()
    found = json.loads((tmp_path / "results" / "published.json").read_text())["figures"]
    assert found["max_difference"]["value"] > 0.01  # not the published replies
    before, after = (found[f"brier{end}_math-500_rlcr"]["value"] for end in ("", "_after200"))
    assert after < before - 0.01 and found["ece_after200_math-500_rlcr"]["value"] < 0.15
    assert 0 < found["coverage_alpha20_math-500_rlcr"]["value"] < 0.6
    assert found["coverage_cascade_alpha20_math-500"]["value"] > 0
    assert 0 < found["calls_cascade_alpha20_math-500"]["value"] <= 2


def test_answers_are_graded_anew(published: Any, tmp_path: Path) -> None:
    from datasets import Dataset

    right, wrong = "<answer> 14/3 </answer>", "<answer>1</answer> no, <answer>-1</answer>"
    rows = [
        {
            "unique_id": "a",
            "problem": "What is f?",
            "answer": r"\frac{14}{3}",
            "subject": "Algebra",
        },
        {"unique_id": "b", "problem": "What is b?", "answer": "1", "subject": "Number Theory"},
        {"unique_id": "c", "problem": "What is c?", "answer": "1", "subject": "Algebra"},
    ]
    texts = [right, wrong, "no answer"]
    made = Dataset.from_list(
        [{**row, "RLCR-output_0": text} for row, text in zip(rows, texts, strict=True)]
    )
    made.save_to_disk(tmp_path / "made")
    (path,) = (tmp_path / "made").glob("*.arrow")
    theirs = published.Replies(np.array([0.7, 0.8, 0.9]), np.array([0.0, 1.0, 0.0]))
    found = published.regraded(path, {"RLCR": theirs})["RLCR"]
    assert found.y.tolist() == [1.0, 0.0, 0.0]
    assert found.kinds == ("Algebra", "Number Theory", "Algebra")
