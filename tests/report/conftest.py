"""A small run with hostile texts, and a headless browser to look at its report."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pages import metrics, rows

from metaconf.records import write_jsonl
from metaconf.report import write_report

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    (run / "metrics.json").write_text(json.dumps(metrics()), encoding="utf-8")
    (run / "curves.json").write_text(json.dumps({"stage 2": [{"step": 1, "reward": 0.1}]}))
    write_jsonl(run / "replies.jsonl", rows())
    return write_report(run)


@pytest.fixture(scope="session")
def chromium() -> ModuleType:
    """benchmarks/chromium.py, which is no part of the package."""
    place = ROOT / "benchmarks" / "chromium.py"
    spec = importlib.util.spec_from_file_location("chromium", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def browser(chromium: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    binary = chromium.find_chromium()
    if binary is None and not os.environ.get("CI"):
        pytest.skip(f"none of {', '.join(chromium.NAMES)} is installed: pages cannot be opened")
    assert binary is not None, "CI needs a Chromium-like browser"
    with chromium.Chromium(binary, tmp_path_factory.mktemp("browser")) as opened:
        opened.view(1280, 900)
        yield opened


@pytest.fixture
def page(browser: Any, report: Path) -> Any:
    browser.problems.clear()
    browser.view(1280, 900)
    browser.open(report)
    return browser
