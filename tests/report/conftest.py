"""A small run with hostile texts, in the headless browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pages import metrics, rows

from metaconf.records import write_jsonl
from metaconf.report import write_report


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    (run / "metrics.json").write_text(json.dumps(metrics()), encoding="utf-8")
    (run / "curves.json").write_text(
        json.dumps({"stage 2": [{"step": 1, "epoch": 0.5, "reward": 0.1}]})
    )
    write_jsonl(run / "replies.jsonl", rows())
    return write_report(run)


@pytest.fixture
def page(browser: Any, report: Path) -> Any:
    browser.problems.clear()
    browser.view(1280, 900)
    browser.open(report)
    return browser
