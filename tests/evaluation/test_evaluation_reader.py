"""Figures of what reflections tell a reader."""

from __future__ import annotations

from typing import Any

import pytest

from metaconf.evaluation.reader import FEWEST, reader_figures, readings
from metaconf.evaluation.rows import EvaluatedReply

COUNT = 120


def row(i: int, **fields: Any) -> EvaluatedReply:
    right = float(i % 2)
    plain: dict[str, Any] = {"prompt": f"Where is place {i}?", "family": "city"}
    plain |= {"split": "heldout", "answer": "Peru", "correctness": right}
    plain |= {"reflection": "I know it well." if right else "I hardly recall it."}
    return EvaluatedReply(f"q{i}", **plain | fields)


def test_reflections_that_tell_what_is_right_gain_and_others_lose_it() -> None:
    found: Any = reader_figures([row(i) for i in range(COUNT)], replicates=200)
    assert found["reader_auroc"].value == 1.0
    gain = found["reflection_brier_gain"]
    assert gain.value == pytest.approx(0.25, abs=0.05) and gain.low > 0.15
    for control in ("reflection_brier_gain_swapped", "reflection_brier_gain_same"):
        assert found[control].value < 0.0, control


def test_what_cannot_be_read_is_left_out_and_counted() -> None:
    changes: list[dict[str, Any]] = [{"reflection": None}, {"answer": None}, {"correctness": None}]
    changes += [{"split": "ood"}, {"family": "alone"}]
    rows = [row(i, **(changes[i] if i < len(changes) else {})) for i in range(COUNT)]
    assert set(readings(rows)) == {f"q{i}" for i in range(5, COUNT)}
    assert reader_figures(rows, replicates=20)["reflection_brier_gain"].n == COUNT - 5


def test_of_too_few_replies_nothing_is_said() -> None:
    assert reader_figures([row(i) for i in range(FEWEST - 1)]) == {}
