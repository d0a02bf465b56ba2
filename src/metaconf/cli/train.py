"""The commands that train, and `audit`, which looks at what would be paid."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from metaconf.errors import UserError

if TYPE_CHECKING:
    from metaconf.config.blocks import Config, Stage


def prepare(args: argparse.Namespace) -> None:
    """`metaconf prepare`."""
    from metaconf.cli.preflight import prepare_config
    from metaconf.config.load import refuse_of_other

    refuse_of_other("prepare", args.rest)
    overrides = [*_overrides(args), "--output_dir", str(args.output_dir)]
    config = prepare_config(args.config, overrides, args.resume)
    args.run_dir = args.output_dir

    from metaconf.training import prepare as preparing

    preparing.run(config, args.resume)


def sft(args: argparse.Namespace) -> None:
    """`metaconf sft`."""
    from metaconf.config.load import refuse_of_other

    if args.questions is not None:
        raise UserError(
            f"--questions {args.questions}: stage 1 learns from prepared rows; run `metaconf"
            " prepare --questions …` first, then sft with --train_file FOLDER/sft.jsonl"
        )
    if args.engine == "llama-factory":
        _llama_factory(args)
        return
    refuse_of_other("sft", args.rest)
    _stage(args, "sft")


def grpo(args: argparse.Namespace) -> None:
    """`metaconf grpo`."""
    _stage(args, "grpo")


def _llama_factory(args: argparse.Namespace) -> None:
    from metaconf.cli.preflight import llama_factory_keys
    from metaconf.report.card import write_card
    from metaconf.training import llama_factory

    if args.resume:
        raise UserError("--resume: give LLaMA-Factory its own --resume_from_checkpoint FOLDER")
    if args.config is None:
        raise UserError("--engine llama-factory: give LLaMA-Factory's YAML: --config FILE")
    program = llama_factory.find_program(args.llama_factory)
    keys = llama_factory_keys(args.config, _overrides(args))
    print(write_card(llama_factory.run(keys, program)).parent)


def _stage(args: argparse.Namespace, stage: Stage) -> None:
    from metaconf.cli.preflight import stage_config
    from metaconf.runs import is_main_process

    config = stage_config(args.config or Path(os.devnull), stage, _overrides(args), args.resume)
    args.run_dir = Path(config.output_dir)
    if train(config, args.resume) and is_main_process():
        print(args.run_dir)


def train(config: Config, resume: bool) -> bool:
    """Train the stage of a checked configuration, and write its model's card; False where a resumed
    run had saved its model, which is said."""
    from metaconf.report.card import write_card
    from metaconf.runs import is_main_process

    if resume and _already_finished(config):
        return False
    if config.stage == "sft":
        from metaconf.training import stage1 as stage
    else:
        from metaconf.training import stage2 as stage
    run = stage.run(config)
    if is_main_process():
        write_card(run)
    return True


def _already_finished(config: Config) -> bool:
    """Whether the run that is to be resumed has saved its model; if so, say it. Its card, which is
    written last, is written where TRL's stands in its place."""
    from metaconf.report.card import write_card
    from metaconf.runs import is_finished, is_main_process

    run = Path(config.output_dir)
    if not is_finished(run):
        return False
    card = run / "README.md"
    if is_main_process() and (not card.is_file() or "- metaconf\n" not in card.read_text("utf-8")):
        write_card(run)
    print(f"metaconf: {run}: already finished; nothing was changed", file=sys.stderr)
    return True


def audit(args: argparse.Namespace) -> int:
    """`metaconf audit`; 1 where it found a defect."""
    from metaconf.config.load import load_config
    from metaconf.rewards.audit import audit as audited
    from metaconf.rewards.audit import table
    from metaconf.rewards.recipes import recipe_of

    config = load_config(args.config or Path(os.devnull), "grpo", args.rest)
    recipe = recipe_of(config)
    found = audited(recipe, config.trainer.get("scale_rewards"))
    print(table(recipe, found))
    return int(any(one.fatal for one in found))


def _overrides(args: argparse.Namespace) -> list[str]:
    """The `--key value` words of a training command, its shorthands written out."""
    model = ["--model_name_or_path", args.model] if args.model is not None else []
    questions = ["--questions.path", args.questions] if args.questions is not None else []
    return [*args.rest, *model, *questions]
