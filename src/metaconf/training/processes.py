"""Data parallelism: several processes (`torchrun`, `accelerate launch`) train one model, each on
its own rows.

A wrapper around the model averages gradients, and gathers weights, only for passes through itself.
So all that training reads of the model is computed inside one call of the wrapper.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from trl.models.utils import _ForwardRedirection

from metaconf.errors import UserError

SHARDED = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP")


def check_processes(args: Any) -> None:
    """Refuse sharded models (DeepSpeed, FSDP) by TRL's configuration or that of `accelerate
    launch`: no process holds the weights that replies are drawn from and that are saved."""
    launched = [name for name in SHARDED if os.environ.get(name) == "true"]
    if asked := [name for name in ("deepspeed", "fsdp") if getattr(args, name, None)] or launched:
        raise UserError(
            f"{asked[0]}: the model would be spread over the processes, and each needs it whole to"
            " draw replies and to save it; start without it, by `torchrun` for example"
        )


def check_groups(args: Any) -> None:
    """Refuse a TRL configuration under which the replies to a question come to several processes:
    they are graded and compared together."""
    own = args.per_device_train_batch_size * args.steps_per_generation
    if args.world_size > 1 and own % args.num_generations:
        raise UserError(
            f"per_device_train_batch_size {args.per_device_train_batch_size} × steps_per_generation"
            f" {args.steps_per_generation} is no multiple of num_generations"
            f" {args.num_generations}: a question's replies would be spread over processes; raise"
            " one of them"
        )


def inside(accelerator: Any, wrapped: Any, method: Callable[..., Any], *args: Any) -> Any:
    """`method(model, *args)` as the forward pass of the wrapper of `model`, under autocast where
    it is asked for. The result holds tensors in tuples and dictionaries alone, by which a wrapper
    finds what a gradient reaches."""
    model = accelerator.unwrap_model(wrapped)
    with accelerator.autocast():
        return _ForwardRedirection()(wrapped, model, partial(method, model), *args)


def processes() -> int:
    """How many processes train, as the launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def any_rank(flag: bool) -> bool:
    """Whether `flag` is set in any of the processes. Every process must call it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return flag
    found: list[bool] = [False] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, flag)
    return any(found)
