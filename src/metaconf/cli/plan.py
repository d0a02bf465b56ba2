"""`metaconf plan`: whether a training fits, before it is started."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from metaconf.errors import UserError


def plan(args: argparse.Namespace) -> int:
    """`metaconf plan`; 1 where a stage does not fit."""
    from metaconf.planning.plan import as_json, as_text, plan_of
    from metaconf.planning.settings import Machine, read_configs

    if args.gpus < 2 and args.sharding != "ddp":
        raise UserError(f"--sharding {args.sharding}: one process has all; give --gpus 2 or more")
    model = ["--model_name_or_path", args.model] if args.model is not None else []
    configs = read_configs(args.config or Path(os.devnull), [*args.rest, *model])
    machine = Machine(args.gpus, args.gpu_memory, args.sharding)
    plans = [plan_of(config, machine, args.tflops) for config in configs]
    if args.json:
        print(json.dumps([as_json(one) for one in plans], indent=1))
    else:
        print("\n\n".join(map(as_text, plans)))
    return int(not all(one.fits for one in plans))
