"""Data parallelism: several processes (`torchrun`, `accelerate launch`) train one model, each on
its own rows; under DeepSpeed and FSDP each holds a part of it.

A wrapper around the model averages gradients, and gathers weights, only for passes through itself.
So all that training reads of the model is computed inside one call of the wrapper. What needs the
weights beside that (drawing replies, checks, saving) gets a plain copy of the model, filled for as
long as it is used: the wrapper and its hooks are left alone.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from trl.models.utils import _ForwardRedirection

from metaconf.errors import UserError

DEEPSPEED, FSDP = "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP"
"""What `accelerate launch` sets to "true" in the processes that it starts."""
_FSDP = {
    "FSDP_VERSION": "2",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",  # a checkpoint holds an ordinary model
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",  # it leaves all processes but one without weights
}
"""What FSDP must be set to."""
_NEVER = ("ACCELERATE_USE_PARALLELISM_CONFIG", "ACCELERATE_USE_MEGATRON_LM")
_START = "start by `accelerate launch --config_file` with a file of configs/accelerate"


def check_processes(args: Any) -> None:
    """Refuse ways to spread a model over processes that training does not follow. Raises UserError.

    Models are loaded whole by each process, also under ZeRO-3: they are checked, and get their
    adapter, before they are spread.
    """
    if asked := [name for name in ("deepspeed", "fsdp") if getattr(args, name, None)]:
        raise UserError(f"{asked[0]}: the launcher says it; {_START}")
    if others := [name for name in _NEVER if os.environ.get(name) == "true"]:
        raise UserError(f"{others[0]}: training does not follow it; {_START}")
    used = [name for name in (DEEPSPEED, FSDP) if os.environ.get(name) == "true"]
    for name, value in _FSDP.items() if FSDP in used else ():
        if (found := os.environ.get(name, "")) != value:
            raise UserError(f"{name} is {found!r}, and only {value} works; {_START}")
    if used and args.use_cpu:
        raise UserError(
            f"{used[0]}: a model is spread over GPUs alone, and there is none; start with torchrun"
        )
    unset_hf_deepspeed_config()


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


# The whole of a model of which each process holds a part


def hollow(model: Any) -> Any:
    """A copy of a model that is not spread yet: buffers as they are, and weights of no numbers."""
    weights: dict[int, Any] = {
        id(weight): torch.nn.Parameter(weight.data.new_empty(0), weight.requires_grad)
        for weight in model.parameters()
    }
    plain = copy.deepcopy(model, weights)  # which takes them for copied
    for part in plain.modules():  # TRL's own forward of a model runs the one that it was made for
        part.__dict__.pop("forward", None)
    return plain


@contextmanager
def whole(trainer: Any) -> Iterator[Any]:
    """The model of `trainer` with all its weights in this process. Every process must enter."""
    model = filled(trainer)
    try:
        yield model
    finally:
        if model is getattr(trainer, "hollow", None):
            for weight in model.parameters():
                weight.data = weight.data.new_empty(0)


@torch.no_grad()
def filled(trainer: Any) -> Any:
    """As `whole`, to be kept."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if (plain := getattr(trainer, "hollow", None)) is None:
        return model
    spread = dict(model.named_parameters())
    for name, weight in plain.named_parameters():
        weight.data = _gathered(spread[name]).to(weight.dtype)
    return plain.train(model.training)


def is_spread(model: Any) -> bool:
    """Whether each process holds a part of every weight of `model` (ZeRO-3, FSDP)."""
    first = next(model.parameters(), None)
    parts = model.modules() if hasattr(model, "modules") else ()
    return hasattr(first, "ds_id") or any(isinstance(part, FSDPModule) for part in parts)


def _gathered(weight: torch.nn.Parameter) -> torch.Tensor:
    if isinstance(weight, DTensor):  # FSDP
        return weight.full_tensor()
    spread = hasattr(weight, "ds_id")  # ZeRO-3
    if spread or hasattr(weight, "_hp_mapping"):
        from deepspeed import utils, zero  # pyright: ignore[reportMissingImports]

        if weight.requires_grad and weight.dtype != torch.float32:
            exact: Any = utils.safe_get_full_fp32_param(weight)  # what the steps add to
            return exact
        if spread:
            with zero.GatheredParameters([weight]):
                return weight.data.clone()
    return weight.data


@contextmanager
def together() -> Iterator[None]:
    """Turn the loss of another process, or of the network to it, into one line: a UserError."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error):
            raise
        raise UserError(
            f"another process is gone or silent ({' '.join(str(error).split())[:300]}); look at the"
            " logs of all, then give --resume to each (ddp_timeout: seconds until a silent one is"
            " given up)"
        ) from error


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
