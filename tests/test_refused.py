"""G4: every key of TRL's either works or is refused by name, before torch is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metaconf.config.load import Stage, _train_table, load_config
from metaconf.config.refused import NEUTRAL, only, refuse, refuse_together, refused
from metaconf.errors import UserError

_WORKS = """
    accelerator_config activation_checkpointing activation_checkpointing_kwargs adam_beta1
    adam_beta2 adam_epsilon auto_find_batch_size beta bf16 dataloader_drop_last
    dataloader_in_order dataloader_multiprocessing_context dataloader_num_workers
    dataloader_persistent_workers dataloader_pin_memory dataloader_prefetch_factor ddp_backend
    ddp_timeout debug delta disable_dropout disable_tqdm enable_jit_checkpoint epsilon
    epsilon_high fp16 full_determinism generation_batch_size gradient_accumulation_steps
    gradient_checkpointing gradient_checkpointing_kwargs hub_always_push hub_model_id
    hub_private_repo hub_revision hub_strategy hub_token ignore_data_skip
    importance_sampling_level learning_rate log_completions log_completions_hub_repo log_level
    log_level_replica log_on_each_node log_unique_prompts logging_first_step
    logging_nan_inf_filter logging_steps logging_strategy loss_type lr_scheduler_kwargs
    lr_scheduler_type mask_truncated_completions max_completion_length max_grad_norm max_length
    max_steps multi_objective_aggregation neftune_noise_alpha num_completions_to_print
    num_generations num_iterations num_train_epochs off_policy_mask_threshold optim optim_args
    optim_target_modules output_dir pad_to_multiple_of per_device_train_batch_size project
    push_to_hub ref_model_mixup_alpha ref_model_sync_steps report_to
    restore_callback_states_from_checkpoint resume_from_checkpoint run_name sapo_temperature_neg
    sapo_temperature_pos save_on_each_node save_only_model save_steps save_strategy
    save_total_limit scale_rewards seed shuffle_dataset skip_memory_metrics steps_per_generation
    sync_ref_model temperature tf32 top_entropy_quantile torch_empty_cache_steps
    trackio_bucket_id trackio_space_id trackio_static_space_id train_sampling_strategy
    use_bias_correction_kl use_cpu use_vllm vespo_k_neg vespo_k_pos vespo_lambda_neg
    vespo_lambda_pos vllm_importance_sampling_clip_max vllm_importance_sampling_clip_min
    vllm_importance_sampling_correction vllm_importance_sampling_mode vllm_mode
    vllm_server_base_url vllm_server_timeout
    warmup_steps weight_decay
"""
WORKS = frozenset(_WORKS.split())
"""Keys of one stage or of both: read in TRL and Transformers, and tried."""
STAGES: tuple[Stage, ...] = ("sft", "grpo")
BY_TYPE: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [1, 7],
    "float": [1.0, 0.5],
    "str": ["other"],
    "list[str]": [["other"]],
    "list[float]": [[0.5]],
    "dict": [{"other": 1}],
}


def others(stage: Stage, key: str) -> list[Any]:
    """Values that the key takes and that are not what may be written."""
    types, texts, default = _train_table()[stage][key]
    kept = NEUTRAL.get((stage, key), default)
    values = texts or [value for name in types for value in BY_TYPE.get(name, [])]
    return [v for v in values if v != kept or (v is True and kept is not True)]


OURS_TOO = {"eval_steps"}
"""A key of TRL's name that we read ourselves."""


@pytest.mark.parametrize("stage", STAGES)
def test_g4_every_key_of_trl_works_or_is_refused(stage: Stage) -> None:
    """Fails after an upgrade: read what a new key does in our trainers, and put it in one list."""
    keys = set(_train_table()[stage]) - OURS_TOO
    decided = set(refused(stage))
    assert decided <= keys
    assert keys - decided <= WORKS
    assert all(why and ";" not in why[-1:] for why in refused(stage).values())
    everywhere = set().union(*(set(_train_table()[s]) - set(refused(s)) for s in STAGES))
    assert everywhere - OURS_TOO == WORKS


@pytest.mark.parametrize(("stage", "key"), [(s, k) for s in STAGES for k in sorted(refused(s))])
def test_g4_a_key_that_would_be_ignored_is_refused_by_name(
    tmp_path: Path, stage: Stage, key: str
) -> None:
    default = _train_table()[stage][key][2]
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\n")
    kept = NEUTRAL.get((stage, key), default)
    if kept != []:
        refuse(stage, key, kept, default, "c.yaml:1")  # what changes nothing may be written
    tried = [value for value in others(stage, key) if value is not kept]
    assert tried or _train_table()[stage][key][0] == ["null"]
    for value in tried:
        with pytest.raises(UserError, match=f"c.yaml:1: {key}: .* cannot be used: .*leave the key"):
            refuse(stage, key, value, default, f"c.yaml:1: {key}")


@pytest.mark.parametrize(
    ("stage", "line", "said"),
    [
        ("grpo", "vllm_gpu_memory_utilization: 0.5", "servers that you start"),
        ("grpo", "vllm_mode: both", "none of colocate, server"),
        ("grpo", "top_k: 1", "from the whole distribution"),
        ("grpo", "top_p: 0.9", "from the whole distribution"),
        ("grpo", "min_p: 0.0", "from the whole distribution"),
        ("grpo", "loss_type: grpoo", "none of grpo, dapo"),
        ("grpo", "scale_rewards: groups", "none of group, batch, none"),
        ("grpo", "importance_sampling_level: word", "none of token, sequence"),
        ("grpo", "entropy_coef: 0.1", "no gradient of the entropy"),
        ("grpo", "reward_weights: [1, 2]", "the weights are the recipe's"),
        ("grpo", "remove_unused_columns: true", "needed to grade"),
        ("sft", "loss_type: dft", "the losses are ours"),
        ("sft", "label_smoothing_factor: 0.1", "the losses are ours"),
        ("sft", "packing: true", "laid out from `prepare`"),
        ("sft", "assistant_only_loss: true", "laid out from `prepare`"),
        ("sft", "completion_only_loss: false", "laid out from `prepare`"),
        ("sft", "padding_free: true", "laid out from `prepare`"),
        ("sft", "remove_unused_columns: true", "laid out from `prepare`"),
        ("sft", "eval_strategy: steps", "no evaluation during training"),
        ("sft", "load_best_model_at_end: true", "no evaluation during training"),
        ("sft", "save_strategy: best", "no evaluation during training"),
        ("sft", "lr_scheduler_type: reduce_lr_on_plateau", "no evaluation during training"),
        ("sft", "train_sampling_strategy: group_by_length", "none of sequential, random"),
        ("sft", "eos_token: x", "save one with it"),
        ("sft", "torch_compile: true", "our forward passes"),
        ("sft", "use_liger_kernel: true", "our forward passes"),
        ("sft", "deepspeed: x.json", "the launcher says it: accelerate launch"),
        ("sft", "optim: paged_adamw_8bit", "needs bitsandbytes, which is not installed"),
        ("sft", "optim: galore_adamw", "needs galore_torch"),
        ("sft", "report_to: [wandb]", "needs wandb"),
        ("sft", "per_device_train_batch_size: 0", "too small; give at least 1"),
        ("sft", "gradient_accumulation_steps: 0", "too small; give at least 1"),
        ("grpo", "num_generations: 1", "too small; give at least 2"),
        ("grpo", "temperature: 0", "too small"),
    ],
)
def test_g4_the_rows_themselves(tmp_path: Path, stage: Stage, line: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"seed: 1\n{line}\n")
    with pytest.raises(UserError) as error:
        load_config(path, stage)
    assert str(error.value).startswith(f"{path}:2: {line.partition(':')[0]}: ")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_g4_what_changes_nothing_may_be_written(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("use_vllm: false\ntop_k: 0\ntop_p: 1\nrepetition_penalty: 1.0\nmin_p: null\n")
    assert load_config(path, "grpo").trainer["top_p"] == 1
    path.write_text("packing: false\nloss_type: nll\ndo_eval: no\nremove_unused_columns: false\n")
    assert load_config(path, "sft").trainer["loss_type"] == "nll"
    path.write_text("train_sampling_strategy: random\noptim: adamw_torch\nreport_to: none\n")
    assert load_config(path, "sft").trainer["optim"] == "adamw_torch"


def test_g4_keys_that_do_not_go_together() -> None:
    refuse_together("grpo", {"sync_ref_model": True, "beta": 0.1}, adapter=False)
    for trainer, adapter in (({}, False), ({"beta": 0.1}, True)):
        with pytest.raises(UserError, match="sync_ref_model"):
            refuse_together("grpo", {"sync_ref_model": True, **trainer}, adapter)


def test_g4_limited_texts_hold_the_default() -> None:
    for stage in STAGES:
        for key, texts in only(stage).items():
            assert _train_table()[stage][key][2] in (*texts, None)


def test_g4_it_is_refused_before_torch(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("packing: true\n")
    program = (
        "import sys; from metaconf.cli import main;"
        f"assert main(['sft', '--config', {str(tmp_path / 'c.yaml')!r}]) == 2;"
        "assert not {'torch', 'transformers', 'trl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("credit.by", "which segments it credits; remove the block"),
        ("credit.confidence_to_answer", "which segments it credits"),
        ("confidence.score", "the recipe chooses the loss and the target"),
        ("confidence.goal", "the recipe chooses"),
        ("judge.pays", "a judge gives points"),
        ("confidence.answers", "the greedy answer"),
        ("confidence.families", "does not read the question's family"),
    ],
)
def test_a_key_that_was_removed_says_what_to_do(name: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("max_steps: 2\n")
    with pytest.raises(UserError, match=f"{name} was removed: .*{said}"):
        load_config(path, "grpo", [f"--{name}", "1"])
    block, _, key = name.partition(".")
    path.write_text(f"max_steps: 2\n{block}:\n  {key}: 1\n")
    with pytest.raises(UserError, match=rf"c\.yaml:\d: {block}.* was removed: .*{said}"):
        load_config(path, "grpo")
