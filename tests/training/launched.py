"""`metaconf` in processes that train together, as `accelerate launch` starts them on GPUs by a
configuration that ships, but without a GPU.

On a processor accelerate shards nothing, or counts one process. So the state that it keeps of the
processes is made here, before TRL asks for it.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from unittest.mock import patch

from forked import SERVER

CONFIGS = Path(__file__).parents[2] / "configs" / "accelerate"


def launch(engine: str, count: int, words: list[str], folder: Path, bf16: bool = False) -> None:
    """The command `words` in `count` processes under the configuration of `engine`, in float32 or,
    with `bf16`, as a GPU computes; raises AssertionError with what was said where one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = environment(engine, count) if count > 1 else {}
    logs = [folder / f"rank-{n}.log" for n in range(count)]
    processes = []
    for n, log in enumerate(logs):
        own = {"RANK": str(n), "LOCAL_RANK": str(n), "WORLD_SIZE": str(count)} if shared else {}
        processes.append(SERVER.Process(target=_run, args=({**shared, **own}, words, log, bf16)))
        processes[-1].start()
    for process in processes:
        process.join()
    said = "\n".join(log.read_text()[-3000:] for log in logs)
    assert [process.exitcode for process in processes] == [0] * count, said


def environment(engine: str, count: int) -> dict[str, str]:
    """What `accelerate launch` adds to the environment by the configuration of `engine`."""
    from accelerate.commands.launch import launch_command, launch_command_parser

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["--config_file", str(CONFIGS / f"{engine}.yaml"), "--num_processes", str(count)]
    args = launch_command_parser().parse_args([*words, "--main_process_port", port, "metaconf"])
    found: dict[str, str] = {}
    before = dict(os.environ)
    with patch("torch.distributed.run.run", lambda _: found.update(os.environ)):
        launch_command(args)
    os.environ.clear()
    os.environ.update(before)
    changed = {name: value for name, value in found.items() if before.get(name) != value}
    return {**changed, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def _run(env: dict[str, str], words: list[str], log: Path, bf16: bool) -> None:
    os.environ.update(env, OMP_NUM_THREADS="1", GLOO_SOCKET_IFNAME="lo", DS_ACCELERATOR="cpu")
    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    import torch
    from transformers import training_args

    from metaconf.cli import main
    from metaconf.generation import local
    from metaconf.training import stage1, stage2

    torch.set_num_threads(1)
    local.default_dtype = lambda: torch.bfloat16 if bf16 else torch.float32
    stage1.hardware = stage2.hardware = lambda: {
        "use_cpu": False,
        "bf16": bf16,
        "accelerator_config": {"use_configured_state": True},
    }
    training_args.is_torch_bf16_gpu_available = lambda: bf16  # pyright: ignore
    _spread()
    sys.exit(main(words))


def _spread() -> None:
    """Make the state that accelerate makes on GPUs."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    from metaconf.training.processes import DEEPSPEED, FSDP

    if os.environ.get(DEEPSPEED) == "true":
        import deepspeed  # pyright: ignore[reportMissingImports] # noqa: F401

        # More than a minute of compiling; `deepspeed.comm.torch` is also a name of torch.
        sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # pyright: ignore
        PartialState(backend="gloo")
        return
    state = PartialState(cpu=True)
    if os.environ.get(FSDP) == "true":
        state.distributed_type = DistributedType.MULTI_GPU
