"""Two hosts, which are two network namespaces joined by a cable: where it is cut the run ends in
time, and goes on from its last checkpoint alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from test_stage2 import ROOT
from training import ASKED, save

from metaconf.errors import UserError
from metaconf.generation.local import LocalModel
from metaconf.training.processes import together

HOSTS = ("metaconf-1", "metaconf-2")
LIMIT, WAITS = 30, 60
"""Seconds after which a silent process is given up, and in which the run must have ended."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def inside(host: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", host, *words]


@pytest.fixture
def hosts() -> Iterator[None]:
    with ExitStack() as stack:
        for host in HOSTS:
            ip("netns", "add", host)
            stack.callback(ip, "netns", "delete", host)
        ends = [f"mc{number}" for number in (1, 2)]
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (host, end) in enumerate(zip(HOSTS, ends, strict=True), 1):
            ip("link", "set", end, "netns", host, "name", "cable")
            ip("-n", host, "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
            for device in ("cable", "lo"):
                ip("-n", host, "link", "set", device, "up")
        yield


def started(words: list[str], folder: Path, name: str) -> list[subprocess.Popen[bytes]]:
    """The command on both hosts; what they say goes to NAME-1.log and NAME-2.log."""
    found = []
    for number, host in enumerate(HOSTS):
        program = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        program += ["--node-rank", str(number), "--master-addr", "10.77.0.1"]
        program += ["--master-port", "29511", str(Path(__file__).with_name("float32_cli.py"))]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "cable"}
        with (folder / f"{name}-{number + 1}.log").open("wb") as log:
            how = inside(host, sys.executable, *program, *words)
            found.append(subprocess.Popen(how, env=env, stdout=log, stderr=log))
    return found


def codes(processes: list[subprocess.Popen[bytes]], seconds: float) -> list[int]:
    end = time.monotonic() + seconds
    return [process.wait(max(end - time.monotonic(), 0.1)) for process in processes]


@pytest.mark.long
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="network namespaces need root and the program ip",
)
def test_a_host_that_is_cut_off_ends_the_run_which_goes_on_alike(
    hosts: None,
    tmp_path: Path,
    taught: Callable[[], LocalModel],
    record_property: Callable[[str, object], None],
) -> None:
    model, asked = save(taught, tmp_path / "taught"), tmp_path / "asked.jsonl"
    asked.write_text("\n".join(json.dumps(row) for row in ASKED))
    config = str(ROOT / "configs" / "grpo_train_config.yaml")
    words = ["grpo", "--config", config, "--model", str(model), "--questions", str(asked)]
    words += ["--max_steps", "12", "--save_steps", "2", "--save_total_limit", "9"]
    words += ["--num_generations", "4", "--per_device_train_batch_size", "4", "--beta", "0"]
    words += ["--max_completion_length", "40", "--learning_rate", "1e-3"]
    words += ["--ddp_timeout", str(LIMIT)]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert codes(started([*words, "--output_dir", str(whole)], tmp_path, "whole"), 280) == [0, 0]

    running = started([*words, "--output_dir", str(cut)], tmp_path, "cut")
    while not (cut / "checkpoint-2").exists():
        assert all(process.poll() is None for process in running)
        time.sleep(0.05)
    ip("-n", HOSTS[0], "link", "set", "cable", "down")
    begun = time.monotonic()
    assert 0 not in codes(running, WAITS)
    record_property("cut_host_seconds", time.monotonic() - begun)
    for number in (1, 2):
        said = (tmp_path / f"cut-{number}.log").read_text()
        assert "metaconf: error: another process is gone or silent" in said, said[-3000:]
    assert not (cut / "model.safetensors").exists()

    ip("-n", HOSTS[0], "link", "set", "cable", "up")
    again = started([*words, "--output_dir", str(cut), "--resume"], tmp_path, "again")
    assert codes(again, 280) == [0, 0]
    for name in ("model.safetensors", "replies.jsonl", "replies-1.jsonl"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name


@pytest.mark.parametrize(
    "lost",
    [
        RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.77.0.2]:4711"),
        torch.distributed.DistBackendError("NCCL communicator was aborted on rank 1."),
    ],
)
def test_the_loss_of_another_process_is_one_line(lost: RuntimeError) -> None:
    with pytest.raises(UserError, match=r"gone or silent .*--resume"), together():
        raise lost
    with pytest.raises(RuntimeError, match="another matter"), together():
        raise RuntimeError("another matter")
