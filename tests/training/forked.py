"""`metaconf` in other processes, forked from one that has imported TRL: a start of Python and its
imports take longer than a tiny training. (A fork of the tests' own process could not train: torch
does not survive one once gradients were computed.)
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["metaconf.training.stage1", "metaconf.training.stage2"])


def start(words: list[str], log: Path, float32: bool = False, **env: str) -> BaseProcess:
    """The command `words` in a process of its own, with `env`; what it says goes to `log`.
    `float32`: models load in it on every processor, for comparisons that bfloat16 would drown."""
    process = SERVER.Process(target=_run, args=(words, log, float32, env))
    process.start()
    return process


def spread(count: int, words: list[str], folder: Path) -> None:
    """The command in `count` processes that train together, as `torchrun` would start them, in
    float32; raises AssertionError with what was said where one fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    logs = [folder / f"rank-{n}.log" for n in range(count)]
    processes = [
        start(words, log, True, RANK=str(n), LOCAL_RANK=str(n), **shared)
        for n, log in enumerate(logs)
    ]
    for process in processes:
        process.join()
    said = "\n".join(log.read_text()[-3000:] for log in logs)
    assert [process.exitcode for process in processes] == [0] * count, said


def _run(words: list[str], log: Path, float32: bool, env: dict[str, str]) -> None:
    os.environ.update(env, OMP_NUM_THREADS="1")
    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    import torch

    from metaconf.cli import main
    from metaconf.generation import local

    torch.set_num_threads(1)
    if float32:
        local.default_dtype = lambda: torch.float32
    sys.exit(main(words))
