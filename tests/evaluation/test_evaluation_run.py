"""`metaconf evaluate`: bad input is refused before torch, and a killed run goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_model

from metaconf.errors import UserError
from metaconf.evaluation.generate import Settings
from metaconf.evaluation.run import Evaluation, _sets, run
from metaconf.report.load import load_run

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def questions(tmp_path: Path) -> str:
    path = tmp_path / "questions.jsonl"
    rows = [{"question": f"What is {i} + 1?", "answer": i + 1} for i in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short replies, and without the one metric that takes most of the time."""
    monkeypatch.setattr(
        "metaconf.evaluation.run.Settings", lambda _, seed: Settings(12, 3, 8, seed)
    )
    monkeypatch.setattr("metaconf.evaluation.tables.METRICS", ("accuracy", "ece", "auroc"))


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaconf.report.write_report", lambda run: run / "report.html")


def metrics(out: Path) -> Any:
    return json.loads((out / "metrics.json").read_text())


def test_a_whole_run_with_baselines(model: str, questions: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    baselines = ("samples8", "asked", "probability")
    report = run(Evaluation(model, questions, 4, seed=1, baselines=baselines), out)
    assert report == out / "report.html"
    assert report.is_file()
    found = load_run(out)
    assert [s.key for s in found.methods] == ["asked", "samples8", "probability", "reply"]
    assert len(found.replies) == 4 * 4
    assert found.missing == ("curves.json",)
    assert "cause_named" in found.methods[-1].figures
    assert json.loads((out / "run.json").read_text())["command"] == "evaluate"


@pytest.mark.usefixtures("no_page")
def test_a_killed_run_goes_on_and_ends_the_same(
    model: str, questions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    run(Evaluation(model, questions), whole)
    run(Evaluation(model, questions), torn)
    raw = torn / "raw" / "reply.jsonl"
    lines = raw.read_bytes().splitlines(keepends=True)
    raw.write_bytes(b"".join(lines[:2]) + lines[2][:9])
    (torn / "metrics.json").unlink()
    run(Evaluation(model, questions), torn, resume=True)
    assert sorted(raw.read_bytes().splitlines()) == sorted(b"".join(lines).splitlines())
    assert metrics(torn)["methods"] == metrics(whole)["methods"]


@pytest.mark.usefixtures("no_page")
def test_another_question_is_no_resumption(model: str, questions: str, tmp_path: Path) -> None:
    run(Evaluation(model, questions, 2), tmp_path / "run")
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    with pytest.raises(UserError, match="another questions"):
        run(Evaluation(model, questions, 3), tmp_path / "run", resume=True)
    with pytest.raises(UserError, match=r"another .*seed"):
        run(Evaluation(model, questions, 2, seed=9), tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="holds another run"):
        run(Evaluation(model, questions, 2), tmp_path / "run")
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before


def test_bad_input_is_refused_before_torch_and_writes_nothing(
    model: str, questions: str, tmp_path: Path
) -> None:
    broken, poem, out = tmp_path / "broken.jsonl", tmp_path / "poem.jsonl", tmp_path / "run"
    broken.write_text('{"question": "Who?"}\n')
    poem.write_text('{"question": "Who?", "answer": "me", "task": "poem"}\n')
    program = f"""
import sys
from pathlib import Path
from metaconf.errors import UserError
from metaconf.evaluation.run import Evaluation, run
for model, source in [
    ({str(tmp_path)!r}, {questions!r}), ({model!r}, "none.jsonl"), ({model!r}, {str(broken)!r}),
    ({model!r}, {str(poem)!r}), ({model!r}, "embedded:nosplit"),
]:
    try:
        run(Evaluation(model, source), Path({str(out)!r}))
    except UserError as error:
        print(error)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    for part, line in zip(
        ("config.json", "none.jsonl", "broken.jsonl:1", "'poem'", "'nosplit'"), said, strict=True
    ):
        assert part in line
    assert not out.exists()


def test_plain_embedded_means_questions_that_no_stage_trains_on() -> None:
    every, _ = _sets(Evaluation("embedded", "embedded"))
    assert {q.split for q in every} == {"heldout", "ood"}
    assert _sets(Evaluation("embedded", "embedded", 5)) == (every[:5], [])
