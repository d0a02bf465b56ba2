"""Stage 2 as one call: takes questions and a stage-1 model, returns an ordinary model folder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig

from metaconf.config.blocks import EMBEDDED, Config
from metaconf.data import load_questions, pick
from metaconf.errors import UserError
from metaconf.generation.local import LocalModel, load_local, sample_replies
from metaconf.generation.sampler import GREEDY, Sampling
from metaconf.judging import judge_of
from metaconf.prompts.chat import messages
from metaconf.records import Question, Reply
from metaconf.reply import parse_reply
from metaconf.rewards.audit import audit
from metaconf.rewards.recipe import WHOLE, Recipe, Scale
from metaconf.rewards.recipes import recipe_of
from metaconf.runs import RESUME_KEY, begin, note
from metaconf.training.adapters import finish, lora, weights_dtype
from metaconf.training.checks import check_forward, check_tokenizer, taken_by
from metaconf.training.grpo import ConfidenceGRPOTrainer
from metaconf.training.heldout import HeldOut, set_aside
from metaconf.training.policy_servers import PolicyServers, servers_of
from metaconf.training.processes import check_groups, check_processes, filled, whole
from metaconf.training.progress import show, write_curve
from metaconf.training.reward_computer import RewardComputer, keep_before
from metaconf.training.stage1 import hardware
from metaconf.training.watch import StopOnRequest, Watch

log = logging.getLogger("metaconf")

DEFAULTS: dict[str, Any] = {
    "max_steps": 40,
    "num_generations": 8,
    "max_completion_length": 128,
    "beta": 0.0,
    "loss_type": "dapo",
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 10,
    "save_total_limit": 2,
    "gradient_checkpointing": False,
    "report_to": "none",
    "vllm_importance_sampling_mode": "token_truncate",
}
"""Our defaults for TRL's keys. `scale_rewards` defaults to the recipe's. Ours has none, because
division by the group's standard deviation pushes towards overconfidence on uncertain questions."""
TRIED = 8
"""Questions that are asked before anything is trained."""
MIN_FORMAT = 0.25
"""Share of their replies that must be well formed. After stage 1 nearly all are."""


def check_save_interval(args: GRPOConfig) -> None:
    """Refuse checkpoints that cannot be resumed identically.

    A checkpoint must fall where a generation batch has been used up. Raises UserError.
    """
    batches = (args.steps_per_generation or 1) * args.num_iterations
    if (
        args.save_strategy == "no"
        or args.save_steps * args.gradient_accumulation_steps % batches == 0
    ):
        return
    raise UserError(
        f"save_steps {args.save_steps} × gradient_accumulation_steps "
        f"{args.gradient_accumulation_steps} is no multiple of steps_per_generation × "
        f"num_iterations = {batches}: a run resumed there would not be identical; choose a multiple"
    )


def check_enough(args: GRPOConfig, questions: int) -> None:
    """Refuse fewer questions than one generation batch asks: no step would be taken."""
    asked = args.generation_batch_size or 1
    need = asked // (args.num_generations or 1)
    if questions < need:
        raise UserError(
            f"{questions} questions to train on, and one step asks {need}:"
            f" {asked} replies (per_device_train_batch_size {args.per_device_train_batch_size} ×"
            f" steps_per_generation {args.steps_per_generation} × {args.world_size} processes) in"
            f" groups of num_generations {args.num_generations}; give at least {need} questions, or"
            " lower per_device_train_batch_size"
        )


def check_format(
    name: str, local: LocalModel, questions: Sequence[Question], args: GRPOConfig
) -> None:
    """Refuse a model that does not write the format in greedy replies to the first TRIED questions.
    Nothing random is used up: what follows is the same. Raises UserError with one of the replies.
    """
    how = Sampling(args.max_completion_length or 0, local.end_tokens)
    replies: list[Reply] = []
    sample_replies(local, questions[:TRIED], (GREEDY,), how, replies.extend)
    bad = [reply for reply in replies if not parse_reply(reply.text).well_formed]
    if len(bad) <= (1 - MIN_FORMAT) * len(replies):
        return
    cut = sum(reply.status == "cut" for reply in bad)
    raise UserError(
        f"{name}: {len(bad)} of {len(replies)} replies are not in the format, of which stage 2"
        f" learns ({cut} of them are cut off at max_completion_length"
        f" {args.max_completion_length}); train stage 1 first (metaconf sft) and give its model."
        f" One reply: {bad[0].text[:200]!r}"
    )


def question_rows(
    local: LocalModel, questions: Sequence[Question], longest: int
) -> list[dict[str, Any]]:
    """TRL's rows. Prompts of more than `longest` tokens are left out with a warning. Raises
    UserError where none is left."""
    kept = [q for q in questions if len(local.reply_prompt(q.prompt)) <= longest]
    if len(kept) < len(questions):
        log.warning(
            "%d of %d prompts are longer than max_prompt_length %d and were left out",
            len(questions) - len(kept),
            len(questions),
            longest,
        )
    if not kept:
        raise UserError(f"no prompt has at most max_prompt_length {longest} tokens; raise it")
    return [{"prompt": messages(q.prompt), "question": json.dumps(q.to_json())} for q in kept]


def settings(config: Config, out: Path, recipe: Recipe) -> GRPOConfig:
    """TRL's configuration; the generation batch defaults to one update's replies.

    Raises UserError for a setting of TRL's that credit by segment would not follow, and for groups
    that several processes would tear apart.
    """
    scale = {"scale_rewards": recipe.scale}
    # TRL counts by epochs only without steps: our default must not win over epochs that are asked.
    steps = {"max_steps": -1} if "num_train_epochs" in config.trainer else {}
    given = {**steps, **config.trainer, "seed": config.seed}
    whole = {**DEFAULTS, **scale, **hardware(), **given}
    # With these TRL would build a client of vLLM's; ours is `policy_servers`.
    for name in ("resume_from_checkpoint", "use_vllm", "vllm_mode", "vllm_server_base_url"):
        whole.pop(name, None)
    whole |= {
        "output_dir": str(out),
        "reward_weights": list(recipe.weights.values()),
        "remove_unused_columns": False,
    }
    with taken_by("GRPOConfig"):
        args = GRPOConfig(**whole)
    check_processes(args)
    check_groups(args)
    summed = args.multi_objective_aggregation == "sum_then_normalize"
    if set(recipe.credit) != {WHOLE} and not summed:
        raise UserError(
            f"multi_objective_aggregation {args.multi_objective_aggregation}: recipe {recipe.name}"
            " normalises each segment apart already; leave the key out"
        )
    return args


def replies_file(process: int) -> str:
    """The name of the file with the replies that a process drew."""
    return f"replies-{process}.jsonl" if process else "replies.jsonl"


def train(
    local: LocalModel, questions: Sequence[Question], config: Config, out: Path
) -> LocalModel:
    """Train, save the merged model under `out`, and return it ready to reply.

    Raises UserError for settings that do not go together, and where the run had to stop.
    """
    recipe = recipe_of(config)
    args = settings(config, out, recipe)
    check_save_interval(args)
    scale = cast(Scale, args.scale_rewards)
    for one in audit(recipe, scale):
        if one.fatal:
            log.warning("recipe %s: %s (metaconf audit)", recipe.name, one.sentence)
    judge = judge_of(config.judge, os.environ, out / "judge.sqlite")
    rewards = RewardComputer(recipe, out / replies_file(args.process_index), scale, judge)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = config.trainer.get("resume_from_checkpoint")
    resumed = int(checkpoint.rsplit("-", 1)[1]) if checkpoint else 0
    keep_before(rewards.path, resumed)
    questions, held = set_aside(questions, config)
    rows = question_rows(local, questions, config.max_prompt_length)
    check_enough(args, len(rows))
    attention = local.model.config._attn_implementation
    if args.use_cpu:
        local.model.set_attn_implementation("eager")
    found = servers_of(config, args)
    servers = PolicyServers(found, out) if found else None
    trainer = ConfidenceGRPOTrainer(
        model=local.model,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=local.tokenizer,
        peft_config=lora(config, local.model),
        callbacks=[Watch(config.watch, rewards), StopOnRequest(rewards)],
        recipe=recipe,
        compute_rewards=rewards,
        servers=servers,
    )
    if held:
        every = config.eval_steps
        replies = lambda: rewards.count() * args.world_size  # noqa: E731
        gather = lambda: whole(trainer)  # noqa: E731
        trainer.add_callback(HeldOut(local.tokenizer, held, every, out, replies, gather))
    show(trainer, "stage 2")
    with servers.until_done() if servers else nullcontext():
        trainer.train(resume_from_checkpoint=checkpoint)
    write_curve(out / "curve.json", trainer.state.log_history)
    if rewards.stop_reason:
        raise UserError(
            f"{rewards.stop_reason}; stopped after step {trainer.state.global_step}, which is"
            " saved: put it right, then give --resume"
        )
    note(out, config, config.questions.path, len(rows))
    return finish(filled(trainer), local.tokenizer, out, config.merge, attention)


def run(config: Config) -> Path:
    """`metaconf grpo`: stage 2 on the questions that the configuration names."""
    args = settings(config, Path(config.output_dir), recipe_of(config))
    check_save_interval(args)
    check_tokenizer(config.model_name_or_path)
    source = config.questions.path
    chosen = load_questions("embedded:stage2" if source == EMBEDDED else source, config.questions)
    questions = pick(chosen, config.questions.limit, config.seed)
    check_enough(args, len(set_aside(questions, config)[0]))
    if servers := servers_of(config, args):
        servers.served()
    local = load_local(config.model_name_or_path, weights_dtype(config))
    check_forward(config.model_name_or_path, local.model)
    resumed = bool(config.trainer.get(RESUME_KEY))
    if not resumed:
        check_format(config.model_name_or_path, local, questions, args)
    with begin(config, resumed) as out:
        train(local, questions, config, out)
    return out
