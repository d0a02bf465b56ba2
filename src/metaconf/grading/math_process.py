"""The child process that compares expressions by math-verify (math_worker.py), from any thread.

Symbolic algebra on text from a model can take all time and memory there are: only a process can be
stopped and limited.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from metaconf.errors import UserError

SECONDS = 5.0
"""Limit of one comparison; past it the answer counts as wrong."""


class Worker:
    """One child process; calls wait for each other, the child is replaced after a time-out."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        self.owner = 0

    def ask(self, gold: str, answer: str) -> dict[str, object] | None:
        """The verdict, or None if it took too long or too much memory."""
        with self.lock:
            process = self._running()
            request = {"gold": gold, "answer": answer, "seconds": SECONDS}
            line = _exchange(process, json.dumps(request))
            if not line:
                self.stop()
            return json.loads(line) if line else None

    def _running(self) -> subprocess.Popen[str]:
        # A forked child of ours must not share the pipes of its parent.
        gone = self.process is None or self.process.poll() is not None
        if gone or self.owner != os.getpid():
            self.owner = os.getpid()
            self.process = _start()
        assert self.process
        return self.process

    def stop(self) -> None:
        if self.process is not None and self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    pipe.close()
        self.process = None


def _exchange(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin and process.stdout
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process.stdout.readline()
    except BrokenPipeError:
        return ""


def _start() -> subprocess.Popen[str]:
    script = Path(__file__).with_name("math_worker.py")
    process = subprocess.Popen(
        [sys.executable, "-P", str(script)],  # -P: modules beside the script hide no others
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout
    if process.stdout.readline() != "ready\n":
        process.kill()
        process.wait()
        raise UserError(
            "math grader: math-verify cannot be started; pip install 'math-verify[antlr4_13_2]'"
        )
    return process


WORKER = Worker()
atexit.register(WORKER.stop)
