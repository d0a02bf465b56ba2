"""The wheel holds what the commands read, all of it, and is small.

`python tests/sweeps/wheel.py` installs it into a fresh environment and runs the commands.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST = 12 * 2**20
"""Bytes of the wheel."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="builds the wheel; it is in the extra `dev`")
    out = tmp_path_factory.mktemp("wheel")
    program = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(program, cwd=ROOT, check=True, capture_output=True)
    (path,) = out.glob("metaconf-*-py3-none-any.whl")
    return path


def tracked(folder: str) -> set[str]:
    """Files of a folder of the checkout that belong to the project, relative to it."""
    program = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    listed = subprocess.run(program, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {str(Path(line).relative_to(folder)) for line in listed.splitlines()}


def test_it_holds_every_file_of_the_package_and_the_configurations(wheel: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: its files cannot be listed")
    with zipfile.ZipFile(wheel) as packed:
        held = {name.removeprefix("metaconf/") for name in packed.namelist()}
    meant = tracked("src/metaconf") | {f"configs/{name}" for name in tracked("configs")}
    assert meant - held == set()
    assert {name for name in held - meant if ".dist-info/" not in name} == set()


def test_it_is_small_and_names_command_and_plugin(wheel: Path) -> None:
    assert wheel.stat().st_size <= MOST
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (one for one in packed.namelist() if one.endswith("entry_points.txt"))
        points = packed.read(name).decode()
    assert "metaconf = metaconf.cli:main" in points
    assert "[inspect_ai]\nmetaconf = metaconf.harnesses.inspect" in points
