"""Data parallelism: several processes (`torchrun`, `accelerate launch`) train one model, each on
its own rows.

Our forward passes run the model without its wrapper. The wrapper averages gradients only for passes
through itself, so they are averaged here.
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import DistributedType

from metaconf.errors import UserError

PLAIN = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)


def check_processes(accelerator: Any) -> None:
    """Refuse sharded models (DeepSpeed, FSDP): no process holds the weights that are run here."""
    if accelerator.distributed_type not in PLAIN:
        raise UserError(
            f"{accelerator.distributed_type.value}: the model is spread over the processes, and our"
            " forward passes need it whole; start without sharding, by `torchrun` for example"
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


def average_gradients(accelerator: Any, model: Any) -> None:
    """Average the gradients over the processes where an update follows."""
    if accelerator.num_processes > 1 and accelerator.sync_gradients:
        for weight in model.parameters():
            if weight.grad is not None:
                weight.grad = accelerator.reduce(weight.grad, reduction="mean")


def any_rank(flag: bool) -> bool:
    """Whether `flag` is set in any of the processes. Every process must call it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return flag
    found: list[bool] = [False] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, flag)
    return any(found)
