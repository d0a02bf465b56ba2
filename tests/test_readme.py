"""The README is short and true: its size, its figures, the reply that it shows.

Links, commands and snippets are checked with the other pages, in test_docs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from metaconf.reply import parse_reply

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= 170
    assert len(README.split()) <= 1100
    assert sum(line.startswith("|") for line in lines) <= 20


def test_the_two_commands_stand_there() -> None:
    assert re.search(r"^make demo\b", README, re.M) and re.search(r"^make test\b", README, re.M)


def test_figures_are_those_of_the_results() -> None:
    """Of the README and of docs/."""
    program = [sys.executable, str(ROOT / "benchmarks" / "readme.py"), "--check"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_result_stands_in_the_pages() -> None:
    text = README + (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    named = set(re.findall(r"<!-- figures:(\w+) -->", text))
    results = {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert results <= named, "add a block to docs/results.md, and its table to benchmarks/readme.py"


def test_the_replies_shown_are_well_formed() -> None:
    block = re.search(r"<!-- figures:example -->(.*?)<!-- end -->", README, re.S)
    shown = [text.strip().splitlines() for text in (block[1] if block else "").split("\n\n")]
    replies = [parse_reply("\n".join(map(str.strip, lines[1:]))) for lines in shown if lines]
    assert len(replies) == 3 and all(reply.well_formed for reply in replies)
