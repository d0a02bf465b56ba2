"""What prepare says of its targets: shares, scores over all and within kinds, and its doubts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metaconf.metrics import auroc, auroc_within, brier
from metaconf.records import Question
from metaconf.training.evidence import Answered
from metaconf.training.learnable import ENOUGH, Learnable, learnable

RNG = np.random.default_rng(0)
N = 600
EASE = np.where(np.arange(N) % 2, 0.8, 0.2)
Y = (RNG.random(N) < EASE).astype(float)
KNOWS = np.clip(0.7 * EASE + 0.2 * Y + 0.1 * RNG.random(N), 0, 1)


def answer(i: int, right: float | None, family: str = "") -> Answered:
    question = Question(f"q{i}", "?", (), family=family or f"kind {i % 2}")
    return Answered(question, "Quito", 0.5, right, 1.0, ())


def rows(targets: np.ndarray) -> list[dict[str, Any]]:
    return [{"id": f"q{i}", "target": float(target)} for i, target in enumerate(targets)]


def of(targets: np.ndarray) -> Learnable:
    return learnable([answer(i, y) for i, y in enumerate(Y)], rows(targets))


def test_the_targets_are_measured_as_a_confidence_is() -> None:
    found = of(KNOWS)
    assert found.figures["accuracy"].value == pytest.approx(Y.mean())
    assert found.figures["auroc"].value == pytest.approx(auroc(KNOWS, Y))
    kinds = (np.arange(N) % 2).tolist()
    assert found.figures["auroc_within"].value == pytest.approx(auroc_within(KNOWS, Y, kinds)[0])
    assert found.figures["brier"].value == pytest.approx(brier(KNOWS, Y))
    others = (Y.sum() - Y) / (N - 1)
    assert found.brier_share == pytest.approx(np.mean((others - Y) ** 2))
    halves = Y[::2], Y[1::2]
    by_kind = np.mean([((half.sum() - half) / 299 - half) ** 2 for half in halves])
    assert found.brier_kinds is not None and found.brier_share is not None
    assert found.brier_kinds == pytest.approx(by_kind) and by_kind < found.brier_share - 0.05
    assert found.warnings() == []
    assert found.to_json()["figures"]["auroc_within"]["n"] == N
    said = found.in_words()
    for value in (Y.mean(), auroc(KNOWS, Y), auroc_within(KNOWS, Y, kinds)[0]):
        assert f"{value:.2f}" in said
    assert f"{brier(KNOWS, Y):.3f}" in said and f"{found.brier_kinds:.3f}" in said


def test_targets_that_teach_nothing_are_warned_of() -> None:
    (said,) = of(EASE).warnings()
    assert said.startswith("the confidence target is shown to tell only the kind of question apart")
    (said,) = of(RNG.random(N)).warnings()
    assert said.startswith("the confidence target is not shown to tell right answers from wrong")
    few = learnable([answer(i, y) for i, y in enumerate(Y[:50])], rows(KNOWS[:50]))
    assert few.warnings()[0].startswith("50 rows are few") and str(ENOUGH) in few.warnings()[0]


def test_what_is_not_known_is_said() -> None:
    ungraded = learnable([answer(i, None) for i in range(3)], rows(KNOWS[:3]))
    assert ungraded.in_words() == "What can be learnt is not known: no reply is graded."
    assert ungraded.brier_share is None and ungraded.brier_kinds is None
    dropped = learnable([answer(0, 1.0), answer(1, 0.0)], [])
    assert dropped.in_words().startswith("What can be learnt is not known: no reply has both")
    right = learnable([answer(i, 1.0) for i in range(30)], rows(KNOWS[:30]))
    assert "AUROC of not known (nothing is right" in right.in_words()
    alone = [answer(i, y, f"kind {i}") for i, y in enumerate(Y)]
    found = learnable(alone, rows(KNOWS))
    assert found.brier_kinds == found.brier_share
