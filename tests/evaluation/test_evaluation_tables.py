"""The content of metrics.json: what is counted where, and that the report reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metaconf.evaluation.methods import Method
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.evaluation.tables import POINTS, pair, share, tables
from metaconf.metrics import auroc_within, ece, wilson
from metaconf.records import write_jsonl
from metaconf.report.load import load_run


def row(i: int, **fields: Any) -> EvaluatedReply:
    plain: dict[str, Any] = {"method": "s", "prompt": "?", "family": "f", "formatted": True}
    plain |= {"cause": "reasoning", "split": "heldout", "answer": "a", "reflection": "r"}
    plain |= {"confidence": (i % 10) / 10, "correctness": float(i % 3 == 0), "truth": "a"}
    return EvaluatedReply(f"q{i}", **plain | fields)


def mixed() -> list[EvaluatedReply]:
    """60 in-domain rows (ten without confidence and ill-formed) and 20 of another domain."""
    plain = [row(i) for i in range(50)]
    plain += [row(i, confidence=None, problems=("no confidence",)) for i in range(50, 60)]
    far = [row(i, split="ood", family="far", cause=None, correctness=1.0) for i in range(60, 80)]
    return plain + far


def only(rows: list[EvaluatedReply], **more: Any) -> Any:
    (result,) = tables({"s": rows}, replicates=50, **more)
    return result


def test_a_set_that_is_all_out_of_domain_has_a_headline() -> None:
    rows = [row(i, split="ood", correctness=float(i % 2)) for i in range(20)]
    (method,) = tables({"reply": rows})
    assert (method.name, method.description) == ("reply", "the trained model's own reply")
    assert method.figures["accuracy"].value == 0.5
    assert method.figures["accuracy"].n == 20 and method.reliability


def test_the_headline_is_in_domain_and_over_all_replies() -> None:
    figures = only(mixed()).figures
    rows = mixed()[:60]
    assert figures["n"].value == 60
    assert figures["accuracy"].n == 60
    assert figures["accuracy"].value == pytest.approx(sum(r.correctness or 0 for r in rows) / 60)
    stated = [r for r in rows if r.confidence is not None]
    expected = ece(*pair(stated))
    assert figures["ece"].value == pytest.approx(expected)
    assert figures["ece"].n == 50
    assert figures["ece"].null[0] < figures["ece"].null[1]
    assert figures["format_rate"].value == pytest.approx(50 / 60)
    assert figures["format_rate"].low < 50 / 60 < figures["format_rate"].high


def test_auroc_within_kinds_stands_beside_the_overall_one() -> None:
    """A kind is the family, else the cause, else the task."""
    families = [row(i, family=f"f{i % 2}") for i in range(60)]
    confidence, correctness = pair(families)
    expected = auroc_within(confidence, correctness, [i % 2 for i in range(60)])[0]
    assert only(families).figures["auroc_within"].value == pytest.approx(expected)
    causes = [row(i, family="", cause=f"c{i % 2}") for i in range(60)]
    tasks = [row(i, family="", cause=None, task=("math", "short")[i % 2]) for i in range(60)]
    for rows in (causes, tasks):
        assert only(rows).figures["auroc_within"].value == pytest.approx(expected)
    alone = only([row(i) for i in range(60)]).figures["auroc_within"]
    assert alone.value is None and alone.n == 60 and "of one kind" in alone.reason


def test_groups_by_family_cause_and_domain() -> None:
    groups = only(mixed()).groups
    assert list(groups) == ["family=f", "family=far", "cause=reasoning", "domain=in", "domain=ood"]
    assert groups["domain=ood"]["n"].value == 20
    assert groups["domain=ood"]["accuracy"].value == 1.0
    assert groups["domain=in"]["n"].value == groups["cause=reasoning"]["n"].value == 60
    assert groups["family=f"]["format_rate"].value == pytest.approx(50 / 60)


def test_a_user_file_has_one_domain_and_no_empty_groups() -> None:
    groups = only([row(i, family="", cause=None, split="") for i in range(9)]).groups
    assert list(groups) == ["domain=in"]


def test_short_answers_have_no_format() -> None:
    assert "format_rate" not in only([row(i, formatted=False) for i in range(9)]).figures


def test_nothing_is_known_of_no_rows_and_of_rows_without_grades() -> None:
    for rows in ([], [row(i, correctness=None) for i in range(9)]):
        method = only(rows)
        assert method.figures["accuracy"].value is None
        assert method.figures["accuracy"].reason
        assert method.reliability == method.risk_coverage == ()


def test_one_question_has_no_interval() -> None:
    method = only([row(0)])
    assert method.figures["accuracy"].value == 1.0
    assert method.figures["accuracy"].low is None


def test_the_curve_is_thinned_and_keeps_its_ends() -> None:
    many = [row(i, confidence=i / 1000) for i in range(1001)]
    curve = only(many).risk_coverage
    assert len(curve) == POINTS
    assert curve[0][0] == pytest.approx(1 / 1001)
    assert curve[-1] == (1.0, pytest.approx(1 - sum(r.correctness or 0 for r in many) / 1001))
    assert list(curve) == sorted(curve)
    few = only([row(i) for i in range(30)]).risk_coverage
    assert len(few) == 10


def test_a_share_that_does_not_vary_still_has_an_interval() -> None:
    ids = [f"q{i}" for i in range(30)]
    figure = share([1.0] * 30, ids)
    assert (figure.value, figure.n, figure.reason) == (1.0, 30, None)
    assert (figure.low, figure.high) == wilson(1.0, 30)
    # Two replies to each question are not independent: 15 questions bound it, not 30.
    assert share([1.0] * 30, ids[:15] * 2).low == wilson(1.0, 15)[0]
    assert share([None] * 30, ids).value is None
    varied = share([0.0, 1.0] * 15, ids)
    assert varied.low is not None
    assert 0.25 < varied.low < 0.5


def test_the_same_rows_give_the_same_figures_in_any_order() -> None:
    assert only(mixed(), seed=3) == only(mixed(), seed=3)
    first, second = only(mixed()[:60]).figures, only(mixed()[:60][::-1]).figures
    assert first["auroc"].value == pytest.approx(second["auroc"].value)


def test_the_report_reads_what_is_written(tmp_path: Path) -> None:
    extra = {"s": {"cause_named": share([1.0, 0.0, 1.0], ["a", "b", "c"], replicates=50)}}
    named = {"s": Method("A name", "", "")}
    results = tables({"s": mixed(), "t": []}, 0, named, extra, replicates=50)
    content = {"methods": [one.to_json() for one in results]}
    (tmp_path / "metrics.json").write_text(json.dumps(content, allow_nan=False))
    write_jsonl(tmp_path / "replies.jsonl", [one.to_json() for one in mixed()])
    first, second = load_run(tmp_path).methods
    assert [first, second] == results  # what is written is what is read
    assert (first.key, first.name, second.name) == ("s", "A name", "t")
    assert first.figures["cause_named"].value == pytest.approx(2 / 3)
    assert first.figures["ece"].null is not None
    assert sum(b.n for b in first.reliability) == 50
    assert all(b.accuracy_low is not None for b in first.reliability)
    assert first.risk_coverage[-1][0] == 1.0
    assert first.groups["domain=ood"]["accuracy"].value == 1.0
