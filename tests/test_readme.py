"""What the README says is true: its figures, its commands, the files that it names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from metaconf.cli.arguments import command_line
from metaconf.config.load import load_config
from metaconf.reply import parse_reply

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_results() -> None:
    program = [sys.executable, str(ROOT / "benchmarks" / "readme.py"), "--check"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_named_files_exist() -> None:
    named = re.findall(
        r"\]\(([^)#:]+)\)|`((?:configs|utils|prompts|src|docs|benchmarks|tests)/[^`]*)`", README
    )
    paths = [a or b for a, b in named]
    assert len(paths) > 5
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert missing == []


def test_commands_exist() -> None:
    commands = re.findall(r"^(?:\$ \.venv/bin/)?metaconf (\w+)", README, re.M)
    known = command_line().format_help()
    assert {"ask", "prepare", "sft", "evaluate", "compare", "calibrate", "decide"} <= set(commands)
    assert all(command in known for command in commands)
    targets = re.findall(r"^make (\w[\w-]*)", README, re.M)
    makefile = (ROOT / "Makefile").read_text()
    assert targets and all(f"\n{target}:" in makefile for target in targets)


def test_yaml_can_be_read(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)```", README, re.S | re.M)
    assert blocks
    for block in blocks:
        (tmp_path / "a.yaml").write_text(block)
        config = load_config(tmp_path / "a.yaml", "grpo")
        assert (config.teacher.kind, config.judge.kind) == ("llm", "llm")


def test_the_reply_shown_is_well_formed() -> None:
    block = re.search(r"```\n(Answer: .*?)```", README, re.S)
    assert block and parse_reply(block[1]).well_formed
