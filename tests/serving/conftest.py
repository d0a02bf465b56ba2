"""Calibrations of replies that are right as often as they say."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from metaconf.decisions.run import calibrate
from metaconf.serving.calibration import Calibration, load


@pytest.fixture(scope="session")
def make_calibration(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Calibration]:
    """`make_calibration(n, alpha)`: of replies that are right as often as they say."""

    def make(n: int = 1000, alpha: float = 0.2) -> Calibration:
        folder = tmp_path_factory.mktemp("calibration")
        draw = np.random.default_rng(0)
        c = np.round(draw.random(n), 1)
        rows = zip(c.tolist(), (draw.random(n) < c).tolist(), strict=True)
        lines = [
            json.dumps({"question_id": f"q{i}", "confidence": a, "correctness": float(b)})
            for i, (a, b) in enumerate(rows)
        ]
        (folder / "replies.jsonl").write_text("\n".join(lines) + "\n")
        calibrate(folder / "replies.jsonl", folder / "calibration.json", alpha, 0.1, None)
        return load(folder / "calibration.json")

    return make


@pytest.fixture(scope="session")
def calibration(make_calibration: Callable[..., Calibration]) -> Calibration:
    found = make_calibration()
    assert found.rule.threshold is not None and 0.2 < found.rule.threshold <= 0.8
    return found
