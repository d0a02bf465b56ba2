"""`metaconf serve` as a process: what it prints and logs, and what a kill -9 leaves of labels."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chat_server import serving
from front import GOOD, Running, says

from metaconf.cli import ask, main
from metaconf.serving.feedback import Feedback

PROGRAM = "import sys; from metaconf.cli import main; sys.exit(main(sys.argv[1:]))"
SECRET = "a-secret-of-the-server"


@contextmanager
def served(folder: Path, url: str, *words: str) -> Iterator[tuple[Any, Running]]:
    """The process, and how to ask it."""
    command = [sys.executable, "-c", PROGRAM, "serve", "--base_url", url, "--model", "upstream"]
    command += ["--port", "0", "--feedback", str(folder / "labels.sqlite"), *words]
    env = {**os.environ, "METACONF_API_KEY": SECRET, "DEEPSEEK_API_KEY": "upstream-key"}
    with (folder / "err").open("w") as err:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True, env=env)
    try:
        assert process.stdout is not None
        found = re.search(r"http://[0-9.:]+", process.stdout.readline())
        assert found is not None, (folder / "err").read_text()
        asked = Running(found[0], None, {"Authorization": f"Bearer {SECRET}"})  # pyright: ignore
        end = time.monotonic() + 30
        while time.monotonic() < end and not _up(asked):
            time.sleep(0.1)
        yield process, asked
    finally:
        process.kill()
        process.wait()


def _up(server: Running) -> bool:
    try:
        return server.ask("/healthz")[0] == 200
    except OSError:
        return False


def test_no_acknowledged_label_is_lost_to_a_kill(tmp_path: Path) -> None:
    """Labels are sent by four threads, and the process is killed in the middle of it."""
    kept: list[str] = []
    with serving(says(GOOD)) as upstream, served(tmp_path, upstream.url) as (process, server):
        ids = [server.chat(f"question {i}")["id"] for i in range(80)]

        def send(part: int) -> None:
            for one in ids[part::4]:
                try:
                    if server.ask("/feedback", {"id": one, "correctness": True})[0] == 200:
                        kept.append(one)
                except OSError:
                    return

        threads = [threading.Thread(target=send, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        while len(kept) < 20:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
    found = {row["reply_id"] for row in Feedback(tmp_path / "labels.sqlite").rows()}
    assert 20 <= len(kept) < 80 and set(kept) <= found


def test_nothing_of_a_request_is_logged_and_ctrl_c_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "my private question"
    with serving(says(GOOD)) as upstream, served(tmp_path, upstream.url) as (process, server):
        server.chat(prompt)
        server.ask("/v1/chat/completions", b'{"model": "my private question"')
        server.ask("/v1/chat/completions", {"model": prompt}, Authorization="Bearer wrong-secret")
        monkeypatch.setattr(ask, "SERVER", server.url)
        monkeypatch.setenv("METACONF_API_KEY", SECRET)
        assert main(["ask", prompt]) == 0  # of the running server, whose model is not loaded again
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert capsys.readouterr().out.splitlines()[:3] == [
        "Answer:      Mali",
        "Reflection:  I know it well.",
        "Confidence:  8 of 10",
    ]
    logged = out + (tmp_path / "err").read_text()
    for text in ("private", SECRET, "upstream-key", "wrong-secret", "Traceback"):
        assert text not in logged
    assert process.returncode == 130
    assert upstream.headers[0]["Authorization"] == "Bearer upstream-key"
    assert json.dumps(upstream.asked[0]).count(prompt) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model none/at/all/here", "no such folder"),
        ("--calibration none.json", "none.json"),
        ("--host 0.0.0.0", "METACONF_API_KEY"),
        ("--base_url http://127.0.0.1:1", "--model NAME"),
        ("--port -1", "whole number"),
    ],
)
def test_what_cannot_be_served_is_refused(
    words: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("METACONF_API_KEY", raising=False)
    try:
        code = main(["serve", *words.split()])
    except SystemExit as error:  # of argparse
        code = error.code
    assert code == 2 and said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
