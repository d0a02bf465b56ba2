"""Calibrations of replies that are right as often as they say, of one model and of a cascade."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metaconf.decisions import cascade_run
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


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a cheap and a dear model, the dear one surer and more often right."""
    folder, rng = tmp_path_factory.mktemp("cascade"), np.random.default_rng(0)
    easy = rng.random((3000, 1)) ** 0.5
    c = np.round(np.clip(np.array([0.9, 1.0]) * easy + rng.normal(0, 0.1, (3000, 2)), 0, 1), 1)
    y = rng.random(c.shape) < c
    for model in range(2):
        pairs = zip(c[:, model].tolist(), y[:, model].tolist(), strict=True)
        rows = [
            {"question_id": f"q{i}", "confidence": a, "correctness": float(b)}
            for i, (a, b) in enumerate(pairs)
        ]
        (folder / f"{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = [folder / f"{model}.jsonl" for model in range(2)]
    cascade_run.calibrate(files, [1.0, 10.0], folder / "cascade.json", 0.2, 0.1)
    thresholds = cascade_run.read_cascade(folder / "cascade.json").rule.thresholds
    assert all(0.2 < (one or 0) <= limit for one, limit in zip(thresholds, (0.9, 0.8), strict=True))
    return folder / "cascade.json"
