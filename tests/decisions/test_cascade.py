"""A cascade: its counts, its guarantee, and `metaconf calibrate` with several files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaconf.cli import main
from metaconf.decisions.abstain import LEVELS
from metaconf.decisions.cascade import NONE, CascadeRule, _table, answering, fit
from metaconf.decisions.cascade_run import read_cascade
from metaconf.errors import UserError

COSTS = (1.0, 10.0)
Pairs = tuple[np.ndarray, np.ndarray]


def drawn(n: int, seed: int, skill: tuple[float, ...] = (0.9, 1.0), silent: float = 0.05) -> Pairs:
    """Confidences of models that are right as often as they say, easier questions for all."""
    rng = np.random.default_rng(seed)
    easy = rng.random((n, 1)) ** 0.5
    c = np.round(np.clip(np.array(skill) * easy + rng.normal(0, 0.1, (n, len(skill))), 0, 1), 1)
    y = (rng.random(c.shape) < c).astype(float)
    quiet = rng.random(c.shape) < silent
    return np.where(quiet, np.nan, c), np.where(quiet, np.nan, y)


def place(threshold: float | None) -> int:
    return NONE if threshold is None else LEVELS.index(threshold)


def by_hand(c: np.ndarray, y: np.ndarray, thresholds: Any, costs: Any) -> list[float]:
    """(answered, lost, cost), one question after the other."""
    answered = lost = cost = 0.0
    for stated, right in zip(c, y, strict=True):
        for model, least in enumerate(thresholds):
            if least is None:
                continue
            cost += costs[model]
            if stated[model] >= least:
                answered, lost = answered + 1, lost + 1 - right[model]
                break
    return [answered, lost, cost]


def test_the_table_counts_what_each_rule_does() -> None:
    c, y = drawn(60, 0, (0.5, 0.7, 0.9))
    table, rng = _table(c, y, (1, 5, 30)), np.random.default_rng(1)
    for _ in range(150):
        levels = [None if k == NONE else LEVELS[k] for k in rng.integers(0, NONE + 1, 3)]
        at = np.ravel_multi_index([place(one) for one in levels], (NONE + 1,) * 3)
        found = [table.answered[at], table.lost[at], table.cost[at]]
        assert found == pytest.approx(by_hand(c, y, levels, (1, 5, 30))), levels
        assert (answering(c, levels) >= 0).sum() == found[0]


@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_the_error_is_kept_as_often_as_it_says(alpha: float) -> None:
    """The cheap model errs as little at a low confidence as at a high one, but a bit above α: the
    cascade must use the dear one. Its realised error is counted on many new questions."""

    def world(n: int, seed: int) -> Pairs:
        c, y = drawn(n, seed, (0.8, 0.95), 0.0)
        wrong = np.random.default_rng(seed + 1).random(n) < 1.1 * alpha
        y[:, 0] = ~wrong
        return c, y

    rules = [fit(*world(700, 2 * seed), COSTS, alpha, 0.1).thresholds for seed in range(80)]
    new_c, new_y = world(40_000, 10**6)
    broken = used = 0
    for thresholds in rules:
        by = answering(new_c, thresholds)
        rows = np.flatnonzero(by >= 0)
        used += len(rows) > 0
        broken += len(rows) > 0 and 1 - new_y[rows, by[rows]].mean() > alpha
    assert used > 30 and broken <= 80 * 0.1 + 3 * np.sqrt(80 * 0.09)


def test_cheap_answers_are_taken_where_they_are_good_enough() -> None:
    c, y = drawn(3000, 3)
    rule = fit(c, y, COSTS, 0.2, 0.1)
    cheap, dear = rule.thresholds
    assert cheap is not None and dear is not None and rule.certified
    assert min(rule.answered_by) > 100 and rule.cost < COSTS[1]
    [answered, _, cost] = by_hand(c, y, rule.thresholds, COSTS)
    assert (sum(rule.answered_by), rule.cost) == (answered, pytest.approx(cost / 3000))
    # What no answer costs decides how much the dear model is asked.
    assert fit(c, y, COSTS, 0.2, 0.1, abstention_cost=0.0).thresholds[1] is None
    # A dear model that knows no more than the cheap one is not asked.
    same = fit(c[:, [1, 1]], y[:, [1, 1]], COSTS, 0.2, 0.1)
    assert same.thresholds[0] is not None and same.thresholds[1] is None


def test_nothing_is_certified_of_models_that_guess() -> None:
    c, _ = drawn(400, 4)
    rule = fit(c, np.where(np.isnan(c), np.nan, 0.5), COSTS, 0.1, 0.1)
    assert not rule.certified and rule.thresholds == (None, None) and rule.answered == 0
    assert (answering(c, rule.thresholds) == -1).all()


def test_graded_replies_and_bad_rows() -> None:
    c, y = drawn(2000, 5)
    assert fit(c, 0.5 + y / 2, COSTS, 0.2, 0.1).certified
    with pytest.raises(ValueError, match="above 0"):
        fit(c, y, (0, 1), 0.1, 0.1)
    with pytest.raises(ValueError, match="correctness is missing"):
        fit(np.nan_to_num(c), y, COSTS, 0.1, 0.1)
    with pytest.raises(ValueError, match="3 models"):
        fit(c, y, (1, 2, 3), 0.1, 0.1)


def files(folder: Path, n: int = 2000) -> list[str]:
    c, y = drawn(n, 6)
    for model in range(2):
        rows = [
            {
                "question_id": f"q{i}",
                "confidence": None if np.isnan(c[i, model]) else c[i, model],
                "correctness": 0.0 if np.isnan(y[i, model]) else y[i, model],
            }
            for i in range(n)
        ][:: 1 - 2 * model]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{model}.jsonl").write_text(text)
    return [str(folder / f"{model}.jsonl") for model in range(2)]


def test_calibrate_writes_what_serve_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, replies = tmp_path / "cascade.json", files(tmp_path)
    words = ["--costs", "1", "10", "--alpha", "0.2", "--output", str(out)]
    words += ["--abstention_cost", "60"]
    assert main(["calibrate", *replies, *words]) == 0
    said = capsys.readouterr().out
    found = read_cascade(out)
    rule: CascadeRule = found.rule
    assert f"{rule.answered} of {rule.tested} labelled questions" in said
    assert f"0.jsonl: answers where its confidence is at least {rule.thresholds[0]:g}" in said
    assert rule.labelled == 2000 and rule.tested == 1400
    c, y = found.final()
    by = answering(found.confidence, rule.thresholds)
    sure = by >= 0
    assert len(c) == (~np.isnan(found.confidence[np.arange(2000), np.where(sure, by, 1)])).sum()
    assert len(c) == len(y) and len(found.maps) == 2
    other, same = found.rules([0.1, 0.2])
    assert same.thresholds == rule.thresholds != other.thresholds and same.error == rule.error
    assert main(["calibrate", *replies, *words]) == 2  # nothing is overwritten
    new = ["--calibration", str(out), "--output", str(tmp_path / "d.jsonl")]
    assert main(["decide", replies[0], *new]) == 2
    assert "is of a cascade" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda words: words[:2], "--costs: 0 for 2 files"),
        (lambda words: [*words[:2], "--costs", "1"], "--costs: 1 for 2 files"),
        (lambda words: [words[0], "--costs", "1"], "--costs: only a cascade has costs"),
        (lambda words: [*words[:2], "--costs", "1", "0"], "0 is too small"),
        (lambda words: [words[0], "other.jsonl", "--costs", "1", "2"], "0 questions have a graded"),
        (lambda words: [words[0], "twice.jsonl", "--costs", "1", "2"], "more than one reply"),
    ],
)
def test_what_is_no_cascade_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Any,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    row = '{"question_id": "other", "confidence": 0.5, "correctness": 1}\n'
    (tmp_path / "other.jsonl").write_text(row)
    (tmp_path / "twice.jsonl").write_text(row * 2)
    words = change(files(tmp_path, 20))
    try:
        code = main(["calibrate", *words, "--output", "out.json"])
    except SystemExit as error:  # of argparse
        code = error.code
    assert code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_a_spoilt_file_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "cascade.json"
    assert main(["calibrate", *files(tmp_path, 50), "--costs", "1", "9", "--output", str(out)]) == 0
    kept = json.loads(out.read_text())
    for change in (
        {"version": 9},
        {"maps": kept["maps"][:1]},
        {"confidences": [[2.0, 0.1]] * 50},
        {"cascade": {**kept["cascade"], "thresholds": [3, None]}},
        {"cascade": {}},
        {"costs": [0, 9]},
        {"costs": [1, 9, 9]},
        {"abstention_cost": -1},
    ):
        out.write_text(json.dumps(kept | change))
        with pytest.raises(UserError, match=r"cascade\.json: is no cascade"):
            read_cascade(out)
    with pytest.raises(UserError, match="cannot be read"):
        read_cascade(tmp_path / "none.json")
