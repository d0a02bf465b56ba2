"""Readings of reflections in evaluate and compare: stored, counted, never of two readers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metaconf.evaluation.compare import compare, load, markdown
from metaconf.evaluation.readings import (
    COMPARED,
    reading_figures,
    samples_figure,
    warning,
    with_readings,
)
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.evaluation.run import write_results
from metaconf.grading.reading import reading
from metaconf.records import write_jsonl

SURE, UNSURE = "I am certain of this.", "I have never heard of <b>it</b>."


def row(i: int, **fields: Any) -> EvaluatedReply:
    right = float(i % 2)
    plain: dict[str, Any] = {"method": "reply", "prompt": "?", "answer": "a", "family": f"f{i % 3}"}
    plain |= {"reflection": SURE if right else UNSURE, "confidence": 0.9 if right else 0.1}
    return EvaluatedReply(f"q{i}", correctness=right, **plain | fields)


def test_each_reflection_is_read_and_a_judges_readings_stay_alone() -> None:
    rows = [row(0), row(1), row(2, reflection=None), row(3, reflection="It is a lake.")]
    found = [one.reading for one in with_readings(rows)]
    assert found == [reading(UNSURE), reading(SURE), None, None]
    judged = [row(0, reading=0.5), row(1)]
    assert [one.reading for one in with_readings(judged)] == [0.5, None]


def test_figures_of_words_that_agree_and_of_words_that_do_not() -> None:
    good = reading_figures(with_readings([row(i) for i in range(40)]), replicates=50)
    assert good["contradiction_rate"].value == 0.0 and good["contradiction_rate"].n == 40
    assert good["reading_auroc"].value == good["reading_auroc_within"].value == 1.0
    assert good["reading_rank_correlation"].value == pytest.approx(1.0)
    assert (good["cmfg_star"].value or 0) > 0.9 and good["reading_coverage"].value == 1.0
    bad = [row(i, reflection=UNSURE) for i in range(40)] + [row(40, reflection="It is a lake.")]
    found = reading_figures(with_readings(bad), replicates=50)
    assert found["contradiction_rate"].value == 0.5 and found["contradiction_rate"].n == 40
    assert found["reading_coverage"].value == pytest.approx(40 / 41)
    assert found["reading_auroc"].value == 0.5
    assert reading_figures([row(0, reflection=None)]) == {}
    said = warning(with_readings(bad))
    assert said is not None and "20 of 40" in said and UNSURE in said


def test_words_beside_the_agreement_of_own_samples() -> None:
    rows = with_readings([row(i) for i in range(10)])
    same = {one.question_id: one.reading for one in rows}
    assert samples_figure(rows, same).value == pytest.approx(1.0)
    assert samples_figure(rows, {}).value is None


def test_a_run_stores_them_and_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(i, reflection=UNSURE) for i in range(20)]
    page = write_results(tmp_path, "Run", {"reply": rows}).read_text()
    said = capsys.readouterr().err
    assert "contradict each other in 10 of 20 replies" in said and UNSURE in said
    stored = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
    assert {one["reading"] for one in stored} == {reading(UNSURE)}
    (method,) = json.loads((tmp_path / "metrics.json").read_text())["methods"]
    assert method["figures"]["contradiction_rate"]["value"] == 0.5
    first = page.partition('<section id="methods"')[0]
    assert "10 of 20 replies" in first and "States 0.9, sounds like" in first
    assert "&lt;b&gt;it&lt;/b&gt;" in first and "<b>it</b>" not in page
    write_results(tmp_path, "Run", {"reply": [row(i) for i in range(20)]})
    assert capsys.readouterr().err == ""


def test_a_run_warns_of_a_confidence_that_tells_kinds_apart_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And stays silent where it tells more; one line in the report, too."""
    plain: dict[str, Any] = {"reflection": None}
    rows = [row(i, family=f"f{i % 2}", confidence=0.2 + 0.6 * (i % 2), **plain) for i in range(80)]
    rows = [replace(r, correctness=float((i // 2 % 5 == 0) != i % 2)) for i, r in enumerate(rows)]
    page = write_results(tmp_path, "Run", {"reply": rows}).read_text()
    said = "the confidence is shown to tell only the kind of question apart: AUROC within"
    assert said in capsys.readouterr().err
    first = page.partition('<section id="methods"')[0]
    assert f"Reply: {said}" in first and "AUROC within kinds</dt>" in first
    write_results(tmp_path, "Run", {"base": rows, "reply": [row(i, **plain) for i in range(80)]})
    assert capsys.readouterr().err == ""


def test_compare_shows_their_differences(tmp_path: Path) -> None:
    for name, reflection in (("a", None), ("b", UNSURE)):
        rows = [row(i, **({"reflection": reflection} if reflection else {})) for i in range(30)]
        write_jsonl(tmp_path / f"{name}.jsonl", (one.to_json() for one in rows))
    runs = load([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")], None)
    found = compare(runs, 0)
    second = found["runs"][1]
    assert second["figures"]["contradiction_rate"]["value"] == 0.5
    assert second["differences"]["contradiction_rate"]["value"] == 0.5
    assert second["differences"]["reading_auroc"]["value"] == pytest.approx(-0.5)
    assert second["differences"]["contradiction_rate"]["low"] > 0.2
    assert all(name in markdown(found) for name in COMPARED)
    for name in ("a", "b"):
        rows = [row(i, reflection=None) for i in range(30)]
        write_jsonl(tmp_path / f"{name}.jsonl", (one.to_json() for one in rows))
    plain = compare(load([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")], None), 0)
    assert "contradiction_rate" not in markdown(plain)
