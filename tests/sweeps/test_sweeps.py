"""Of the sweeps a sample that is drawn by the commit's hash; `make sweep` runs all of them."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import faults
import hostile
import pytest


@pytest.fixture(scope="module")
def seed() -> str:
    """The commit, so that every one draws other points, and the same ones each time."""
    asked = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(asked, cwd=faults.HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def test_hostile_settings_are_refused_or_have_an_effect(seed: str) -> None:
    rows = hostile.sweep(hostile.drawn(120, seed))
    assert len(rows) == 120
    assert not [row for row in rows if row.kind not in ("refused", "accepted")]


def test_the_settings_sweep_finds_what_it_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = hostile.Pair("calibrate", "alpha", "x")
    for found, kind in (
        ((0, "plain", ""), "without effect"),
        ((2, "", "metaconf: error: something is wrong"), "unclear"),
        ((2, "", "warning\nmetaconf: error: --alpha: 'x'"), "unclear"),
        ((2, "", "metaconf: error: --alpha: 'x'"), "refused"),
    ):
        monkeypatch.setattr(hostile, "outcome", lambda *_, found=found: found)
        assert hostile.judge(pair, "plain").kind == kind
    monkeypatch.setattr(hostile, "outcome", lambda *_: 1 // 0)
    assert hostile.judge(pair, "plain").kind == "traceback"


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None, reason="needs Linux and cc"
)
def test_a_run_survives_faults_at_any_of_its_file_operations(seed: str, tmp_path: Path) -> None:
    command = random.Random(seed).choice(faults.COMMANDS)
    words = ["--work", str(tmp_path), "--commands", command, "--sample", "2", "--seed", seed]
    told = [sys.executable, str(faults.HERE / "faults.py"), *words]
    environment = {name: value for name, value in os.environ.items() if name != faults.SHIM}
    done = subprocess.run(told, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout)
    assert len(rows) == 2 and not [row for row in rows if faults.is_wrong(row)]
