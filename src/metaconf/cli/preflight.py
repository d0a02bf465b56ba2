"""What can be refused before torch is imported is refused here, so that a slip costs a second.

The commands that start a run call this first and import their module after it. Only `mark_run`
writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metaconf.clients.endpoint import endpoint_of
from metaconf.config import llama_factory as config_llama_factory
from metaconf.config.blocks import (
    EMBEDDED,
    Config,
    Judge,
    Questions,
    Stage,
    Teacher,
)
from metaconf.config.load import check_model, load_config
from metaconf.config.refused import refuse_together
from metaconf.data import check_reading, load_questions
from metaconf.embedded.model import folder_of
from metaconf.errors import UserError
from metaconf.model_files import check_files
from metaconf.records import read_jsonl
from metaconf.rewards.recipes import recipe_of
from metaconf.runs import (
    RESUME_KEY,
    check_output_dir,
    check_same_settings,
    is_finished,
    newest_checkpoint,
)

PREPARED_KEYS = ("conversations", "system", "target")


def prepare_config(path: Path | None, overrides: Sequence[str], resume: bool = False) -> Config:
    """The configuration of `prepare` (no path: the defaults), all that it names checked.

    Raises UserError.
    """
    config = load_config(path or Path(os.devnull), "sft", overrides)
    check_model(config.model_name_or_path)
    check_output_dir(Path(config.output_dir), resume)
    for server in (config.judge, config.teacher):
        check_served(server)
    check_learnable(config.questions, config.judge)
    check_engine(config.engine.kind)
    check_loadable(config.model_name_or_path)
    check_same_settings(config, resume)
    return config


def stage_config(
    path: Path, stage: Stage, overrides: Sequence[str] = (), resume: bool = False
) -> Config:
    """The configuration of a training command, all that it names checked. Raises UserError.

    With `resume`, `trainer["resume_from_checkpoint"]` is the newest whole checkpoint.
    """
    if stage == "sft" and config_llama_factory.is_llama_factory(path):
        path, overrides = _in_our_keys(path, overrides)
    config = load_config(path, stage, overrides)
    if config.trainer.get(RESUME_KEY):
        raise UserError(
            f"{RESUME_KEY}: the newest checkpoint in output_dir is taken; leave the key out and"
            " give --resume"
        )
    model, run = config.model_name_or_path, Path(config.output_dir)
    refuse_together(stage, config.trainer, config.use_peft)
    check_model(model)
    check_output_dir(run, resume)
    if stage == "sft":
        check_prepared(Path(config.train_file))
    else:
        recipe_of(config)
        check_served(config.judge)
        check_learnable(config.questions, config.judge)
        if config.eval_path:
            load_questions(config.eval_path)
    check_same_settings(config, resume)
    goes_on = resume and not is_finished(run)
    checkpoint = {RESUME_KEY: str(newest_checkpoint(run))} if goes_on else {}
    check_loadable(model)
    return replace(config, trainer=config.trainer | checkpoint)


def _in_our_keys(path: Path, overrides: Sequence[str]) -> tuple[Path, list[str]]:
    """A YAML of LLaMA-Factory as overrides of an empty one; what is not used is said on stderr."""
    words, unused = config_llama_factory.as_overrides(config_llama_factory.read(path))
    if unused:
        told = "; ".join(f"{key} ({why})" for key, why in unused.items())
        print(f"{path}: keys of LLaMA-Factory that TRL does not use: {told}", file=sys.stderr)
    return Path(os.devnull), [*words, *overrides]


def llama_factory_keys(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The keys of a YAML of LLaMA-Factory with overrides, all that we rely on checked.

    Raises UserError.
    """
    keys = config_llama_factory.read(path, overrides)
    keys.setdefault("output_dir", "runs/llama_factory_sft")
    model = str(keys.setdefault("model_name_or_path", EMBEDDED))
    check_model(model)
    check_output_dir(Path(keys["output_dir"]), resume=False)
    check_prepared(config_llama_factory.train_file(keys))
    check_loadable(model)
    folder = folder_of(model)
    config_llama_factory.check_template(keys, folder / "tokenizer.json")
    return keys


def check_run(model: str, output_dir: Path, resume: bool) -> None:
    """Refuse a model or a run directory that cannot be used. Raises UserError."""
    check_model(model)
    check_output_dir(output_dir, resume)
    check_loadable(model)


def judge_config(path: Path) -> Judge:
    """The `judge` block of one of our YAML files, which must name a server. Raises UserError."""
    judge = load_config(path, "grpo", only=("judge", "client")).judge
    if judge.kind == "offline":
        raise UserError(
            f"{path}: judge.kind is 'offline', which reads no replies here; set kind: llm, and"
            " a block `client` (base_url, model, api_key_env) where they are not DeepSeek's"
        )
    check_served(judge)
    return judge


def check_engine(kind: str) -> None:
    """Refuse an engine that is not installed. Raises UserError."""
    if kind == "vllm" and find_spec("vllm") is None:
        raise UserError(
            "engine vllm: vLLM is not installed; install the extra `vllm` of this package, or use"
            " transformers"
        )


def check_served(one: Judge | Teacher) -> None:
    """Refuse a judge or teacher behind a server without an address or key. Raises UserError."""
    if one.kind == "llm":
        endpoint_of(one.client, os.environ)


def check_learnable(asked: Questions, judge: Judge) -> None:
    """Refuse questions that cannot be used, or none of which anybody can grade; all are read.

    Raises UserError.
    """
    check_reading(asked.path, asked)
    if asked.path == EMBEDDED:
        return
    questions = load_questions(asked.path, asked)
    if judge.kind == "offline" and all(question.task == "long" for question in questions):
        raise UserError(
            f"{asked.path}: all {len(questions)} questions are of the task long, which no rule can"
            " grade, so there is nothing to learn from; give questions with short answers too, or"
            " a judge (judge.kind llm)"
        )


def check_loadable(model: str) -> None:
    """Refuse a folder whose files are damaged; have the embedded model there, or refuse it if its
    wheel is missing.

    The last check of all, because the first use of that one converts it, which imports torch.
    """
    if (folder := folder_of(model)).is_dir():
        check_files(folder)


def check_prepared(path: Path) -> None:
    """Refuse what is no file of rows by `metaconf prepare`, by file and line. Raises UserError."""
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; run `metaconf prepare` first, then give the sft.jsonl that it"
            " wrote: --train_file FILE"
        )
    number = 0
    for number, row in read_jsonl(path):
        for key in PREPARED_KEYS:
            if key not in row:
                raise UserError(
                    f"{path}:{number}: no {key!r}, so not a row of `metaconf prepare`; prepare the"
                    f" questions first: metaconf prepare --questions {path}"
                )
    if not number:
        raise UserError(f"{path}: holds no row; run `metaconf prepare` again")
