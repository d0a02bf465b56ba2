"""The decision, and the two watches: how often they warn without cause, and that they do warn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from metaconf.serving.calibration import (
    FALSE_ALARM,
    Calibration,
    Watch,
    against,
    decision,
    offers,
)

Make = Callable[..., Calibration]


def test_evidence_is_the_mean_likelihood_ratio() -> None:
    rates = np.linspace(0.2, 1, 200_001)
    ratio = (rates / 0.2) ** 3 * ((1 - rates) / 0.8) ** 5
    assert against(3, 8, 0.2) == pytest.approx(math.log(ratio.mean()), abs=1e-4)
    assert against(0, 0, 0.1) == 0.0 and against(0, 10**6, 0.1) < 0 < against(900, 10**3, 0.1)
    assert math.isfinite(against(1000, 1000, 0.1))


def test_conflict_warns_without_cause_as_seldom_as_it_says() -> None:
    """Looked at after every label, at the worst error that is not too high."""
    draw, limit, alarms = np.random.default_rng(0), -math.log(FALSE_ALARM), 0
    for _ in range(300):
        wrong = np.cumsum(draw.random(200) < 0.1)
        alarms += any(against(w, n, 0.1) > limit for n, w in enumerate(wrong.tolist(), 1))
    assert alarms <= 300 * FALSE_ALARM + 3 * math.sqrt(300 * FALSE_ALARM)


def test_a_conflict_is_seen_and_ends_the_certificate(calibration: Calibration) -> None:
    watch = Watch(calibration, labelled=60)
    assert watch.state == "calibrated"
    watch.wrong = 30.0
    assert watch.state == "conflict"
    found = decision(calibration, watch.state, 0.9)
    assert found["action"] == "answer" and not found["certified"] and "above 0.2" in found["reason"]


def test_drift_is_seen_and_its_absence_is_not(calibration: Calibration) -> None:
    same, other = Watch(calibration), Watch(calibration)
    draw = np.random.default_rng(1)
    for _ in range(2000):
        same.served(float(draw.choice(calibration.confidence)))
        other.served(float(draw.choice(calibration.confidence) / 2))
    assert (same.state, other.state) == ("calibrated", "stale")
    assert not decision(calibration, "stale", 0.9)["certified"]


def test_decisions(calibration: Calibration, make_calibration: Make) -> None:
    least = calibration.rule.threshold
    assert least is not None
    actions = [
        decision(calibration, "calibrated", c)["action"] for c in (least, least - 0.01, None)
    ]
    assert actions == ["answer", "abstain", "unknown"]
    assert decision(None, "unsupported", 0.9)["action"] == "unknown"
    few = make_calibration(n=12, alpha=0.05)
    assert Watch(few).state == "insufficient_evidence"
    found = decision(few, Watch(few).state, 1.0)
    assert found["action"] == "abstain" and not found["certified"]
    assert "cannot be certified with 12" in found["reason"]


def test_more_error_tolerated_is_more_answered(calibration: Calibration) -> None:
    found = offers(calibration)
    assert found[19]["alpha"] == 0.2 and found[19]["thresholds"] == (calibration.rule.threshold,)
    coverage = [one["coverage"] for one in found]
    assert coverage[0] < coverage[-1] and all(0 <= c <= 1 for c in coverage)
    assert all((one["thresholds"] == (None,)) == (one["coverage"] == 0) for one in found)
