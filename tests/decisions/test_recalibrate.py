"""Recalibration: each kind undoes what it can, and the choice is made on what was not fitted."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from metaconf.decisions.recalibrate import KINDS, Map, choose, fit, too_little
from metaconf.metrics import brier


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def distorted(slope: float, offset: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Stated confidences whose log-odds × slope + offset are the true ones."""
    rng = np.random.default_rng(0)
    stated = rng.uniform(0.05, 0.95, n)
    true = 1 / (1 + np.exp(-(slope * logit(stated) + offset)))
    return stated, (rng.random(n) < true).astype(float)


@pytest.mark.parametrize(
    ("kind", "slope", "offset"), [("temperature", 0.4, 0.0), ("logistic", 0.6, -1.0)]
)
def test_the_numbers_are_found_again(kind: str, slope: float, offset: float) -> None:
    found = fit(kind, *distorted(slope, offset))
    assert found.numbers[0] == pytest.approx((slope, offset), abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_keep_the_range_and_the_order_and_go_through_json(kind: str) -> None:
    found = fit(kind, *distorted(0.5, -0.5, 500))
    points = np.linspace(0, 1, 101)
    mapped = found(points)
    assert ((mapped >= 0) & (mapped <= 1)).all() and (np.diff(mapped) >= 0).all()
    kept = json.loads(json.dumps(asdict(found)))
    again = Map(kept["kind"], tuple(map(tuple, kept["numbers"])))
    assert (again(points) == mapped).all()
    with pytest.raises(ValueError, match="outside"):
        found([1.2])


@pytest.mark.parametrize(
    ("slope", "offset", "kinds"),
    [(1.0, 0.0, {"none", "temperature", "logistic"}), (0.4, -1.5, {"logistic"})],
)
def test_the_choice_is_by_held_out_score(slope: float, offset: float, kinds: set[str]) -> None:
    c, y = distorted(slope, offset, 4000)
    found, scores = choose(c, y, range(4000))
    assert found.kind in kinds
    assert set(scores) == set(KINDS) and scores[found.kind] == min(scores.values())
    new, right = distorted(slope, offset, 9000)
    assert brier(found(new), right) <= brier(new, right) + 1e-3


def test_one_question_cannot_be_split() -> None:
    assert choose([0.2, 0.9], [0, 1], ["q", "q"]) == (Map("none"), {})


@pytest.mark.parametrize(
    ("confidence", "right", "why"),
    [
        (np.linspace(0.1, 1, 40), [1] * 40, "all 40 labelled replies are right"),
        (np.linspace(0.1, 1, 40), [0] * 40, "all 40 labelled replies are wrong"),
        (np.linspace(0.1, 1, 40), [1] * 39 + [0], "only 1 of 40 labelled replies are wrong"),
        (np.linspace(0.1, 1, 40), [0] * 39 + [1], "only 1 of 40 labelled replies are right"),
        ([0.2, 0.9, 0.5], [0, 1, 1], "only 1 of 3 labelled replies are wrong"),
        (np.linspace(0.1, 1, 40), [0.9] * 40, "only 4 of 40 labelled replies are wrong"),
        ([0.9] * 40, [0, 1] * 20, "all 40 labelled replies state the same confidence, 0.9"),
    ],
)
def test_g2_too_little_leaves_the_confidences_as_they_are(
    confidence: Any, right: Any, why: str
) -> None:
    assert too_little(confidence, right).startswith(why)
    found, scores = choose(confidence, right, range(len(right)))
    assert (found, scores) == (Map("none"), {})


def test_g2_enough_of_both_is_mapped() -> None:
    c, y = distorted(0.4, -1.5, 400)
    assert too_little(c, y) == ""
    assert choose(c, y, range(400))[0].kind != "none"


def test_one_class_stays_finite() -> None:
    for kind in KINDS:
        assert np.isfinite(fit(kind, [0.2, 0.9, 1.0], [1, 1, 1])([0.0, 0.5, 1.0])).all()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no recalibration 'beta'"):
        fit("beta", [0.5], [1])
