"""The model's own confidences between the parts of stage 1: recalibrated on graded answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaconf.training.own_confidences import own_confidences, recalibrated


def rows(correctness: list[float | None]) -> list[dict[str, Any]]:
    return [
        {"prompt": [i], "reply": [1], "correctness": right} for i, right in enumerate(correctness)
    ]


def graded(count: int, seed: int = 0) -> tuple[np.ndarray, list[float | None]]:
    """Confidences whose log-odds are half as far from 0 as they should be, and correctness."""
    rng = np.random.default_rng(seed)
    deserved = rng.uniform(0.02, 0.98, count)
    logits = np.log(deserved / (1 - deserved)) / 2
    right = (rng.random(count) < deserved).astype(float)
    return 1 / (1 + np.exp(-logits)), list(right)


def test_what_lies_too_near_the_middle_is_moved_to_where_it_is_right_that_often() -> None:
    said, right = graded(4000)
    found = np.array(recalibrated(said.tolist(), rows(right)))
    wanted = said**2 / (said**2 + (1 - said) ** 2)  # twice the log-odds
    assert np.abs(found - wanted).max() < 0.04
    assert (np.diff(found[np.argsort(said)]) >= 0).all()


def test_only_graded_answers_count_and_all_are_moved() -> None:
    said, right = graded(400)
    some = recalibrated(said[:300].tolist(), rows(right[:300]))
    all_ = recalibrated(said.tolist(), rows([*right[:300], *[None] * 100]))
    assert all_[:300] == pytest.approx(some)
    assert np.abs(np.array(all_[300:]) - said[300:]).max() > 0.05


@pytest.mark.parametrize("right", [[None] * 8, [1.0] * 8, [1.0, 0.0, *[None] * 6]])
def test_too_few_graded_answers_move_nothing(right: list[float | None]) -> None:
    said = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert recalibrated(said, rows(right)) == said


def test_what_is_kept_is_what_is_taught(tmp_path: Path) -> None:
    said, right = graded(200)
    given = rows(right)
    place = {id(row): confidence for row, confidence in zip(given, said, strict=True)}
    read = [0]

    def one(some: Any) -> list[float]:
        read[0] += 1
        return [float(place[id(row)]) for row in some]

    first = own_confidences(tmp_path, [*given, *given], 64, one)
    assert list(first.values()) == pytest.approx(recalibrated(said.tolist(), given))
    assert own_confidences(tmp_path, given, 64, one) == first and read[0] == 4
