"""Keys of TRL's that our trainers would ignore, override or fail on: refused by name, with why.

TRL takes about 200 keys, and our passes, collator and sampler stand in the place of what many of
them steer. A key that changed nothing would be taken for one that did. Its default may be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metaconf.config.blocks import Client, Config
from metaconf.errors import UserError

_LAID_OUT = "rows come laid out from `prepare`, a reply each, and are taught whole"
_ORDERED = "rows have an order of their own: confidence.*_fraction say how many of each kind"
_LOSS = "the losses are ours; `confidence` has their weights"
_TOKENIZER = "the tokenizer is used as it is; save one with it beside the model"
_LOADED = "the model is loaded by ourselves"
_PASS = "our forward passes would not follow it"
_SHARDED = "our forward passes need the whole model in each process; torchrun spreads the rows"
_AVERAGED = "gradients are averaged by ourselves"
_EVAL = "there is no evaluation during training but that of eval_steps in stage 2"
_COMMAND = "the command says it"
_COUNT = "a prompt that rows share is run once, so the count would be wrong"
_LAUNCHER = "the launcher says it"
_DRAWN = "replies are drawn by the trainer's own sampler"
_WHOLE = "replies are drawn from the whole distribution"
_VLLM = "replies are drawn by the trainer's own sampler, not by vLLM"
_ENTROPY = "our forward pass gives no gradient of the entropy"

_BOTH = (
    dict.fromkeys(("model_init_kwargs", "trust_remote_code", "use_cache"), _LOADED)
    | dict.fromkeys(("use_liger_kernel", "liger_kernel_config"), _PASS)
    | dict.fromkeys(("torch_compile", "torch_compile_backend", "torch_compile_mode"), _PASS)
    | {"router_aux_loss_coef": _PASS, "label_smoothing_factor": _LOSS}
    | dict.fromkeys(("deepspeed", "fsdp", "fsdp_config", "parallelism_config"), _SHARDED)
    | dict.fromkeys(("ddp_broadcast_buffers", "ddp_bucket_cap_mb"), _AVERAGED)
    | dict.fromkeys(("ddp_find_unused_parameters", "ddp_static_graph"), _AVERAGED)
    | {"average_tokens_across_devices": _AVERAGED}
    | dict.fromkeys(("eval_strategy", "eval_delay", "eval_on_start"), _EVAL)
    | dict.fromkeys(("eval_accumulation_steps", "eval_do_concat_batches"), _EVAL)
    | dict.fromkeys(("eval_use_gather_object", "per_device_eval_batch_size"), _EVAL)
    | dict.fromkeys(("batch_eval_metrics", "include_for_metrics", "label_names"), _EVAL)
    | dict.fromkeys(("bf16_full_eval", "fp16_full_eval", "prediction_loss_only"), _EVAL)
    | dict.fromkeys(("load_best_model_at_end", "metric_for_best_model"), _EVAL)
    | dict.fromkeys(("greater_is_better",), _EVAL)
    | dict.fromkeys(("do_train", "do_eval", "do_predict"), _COMMAND)
    | {"local_rank": _LAUNCHER, "include_num_input_tokens_seen": _COUNT}
    | {"data_seed": "seed is of everything random", "length_column_name": _ORDERED}
)
REFUSED: dict[str, dict[str, str]] = {
    "sft": _BOTH
    | dict.fromkeys(("packing", "packing_strategy", "eval_packing", "padding_free"), _LAID_OUT)
    | dict.fromkeys(("pad_to_multiple_of", "truncation_mode", "dataset_num_proc"), _LAID_OUT)
    | dict.fromkeys(("dataset_text_field", "dataset_kwargs", "remove_unused_columns"), _LAID_OUT)
    | dict.fromkeys(("assistant_only_loss", "completion_only_loss"), _LAID_OUT)
    | {"shuffle_dataset": f"{_ORDERED}; train_sampling_strategy: random mixes them"}
    | dict.fromkeys(("eos_token", "pad_token", "chat_template_path"), _TOKENIZER)
    | {"loss_type": _LOSS, "activation_offloading": _PASS}
    | {"dataloader_multiprocessing_context": "our collator cannot be sent to such a process"},
    "grpo": _BOTH
    | dict.fromkeys(("use_transformers_paged", "generation_kwargs", "cache_implementation"), _DRAWN)
    | dict.fromkeys(("use_transformers_continuous_batching", "max_tool_calling_iterations"), _DRAWN)
    | {"transformers_continuous_batching_config": _DRAWN, "ds3_gather_for_generation": _DRAWN}
    | dict.fromkeys(("top_k", "top_p", "min_p", "repetition_penalty"), _WHOLE)
    | dict.fromkeys(("use_vllm", "vllm_mode", "vllm_model_impl", "vllm_enable_sleep_mode"), _VLLM)
    | dict.fromkeys(("vllm_gpu_memory_utilization", "vllm_group_port"), _VLLM)
    | dict.fromkeys(("vllm_importance_sampling_cap", "vllm_importance_sampling_mode"), _VLLM)
    | dict.fromkeys(("vllm_importance_sampling_clip_max", "vllm_max_model_length"), _VLLM)
    | dict.fromkeys(("vllm_importance_sampling_clip_min", "vllm_server_base_url"), _VLLM)
    | dict.fromkeys(("vllm_importance_sampling_correction", "vllm_server_host"), _VLLM)
    | dict.fromkeys(("vllm_server_port", "vllm_server_timeout"), _VLLM)
    | dict.fromkeys(("vllm_structured_outputs_regex", "vllm_tensor_parallel_size"), _VLLM)
    | dict.fromkeys(("entropy_coef", "entropy_coef_delta", "entropy_coef_max"), _ENTROPY)
    | dict.fromkeys(("entropy_coef_min", "entropy_target", "use_adaptive_entropy"), _ENTROPY)
    | {"chat_template_kwargs": "prompts are written by ourselves, in both stages alike"}
    | {"reward_weights": "the weights are the recipe's; the reward block has ours"}
    | {"remove_unused_columns": "the rows' columns are needed to grade the replies"}
    | {"cast_lm_head_to_fp32": _PASS, "log_multimodal": "there are only texts"}
    | {"num_generations_eval": _EVAL, "train_sampling_strategy": "TRL's own sampler groups replies"}
    | {"auto_find_batch_size": "a smaller batch would tear the replies to a question apart"},
}
"""Key → why, for each stage. What is in neither list works: it is TRL's or Transformers' own."""
_OF_RECIPE = "the recipe chooses the loss and the target of the confidence; remove the key"
_CONFIDENCE = {
    "labels": "num_labeled", "weight": "confidence_loss_weight",
    "direct": "confidence_only_loss_weight", "alone": "confidence_only_fraction",
    "whole": "full_reply_fraction",
}  # fmt: skip
_CLIENT = {
    "base_url": "base_url", "key_env": "api_key_env", "model": "model",
    "concurrency": "concurrency", "attempts": "max_retries", "deadline": "timeout",
    "price_in": "input_price", "price_out": "output_price", "budget": "budget",
    "extra": "extra_body",
}  # fmt: skip
_CURVE = {"every": "steps", "questions": "questions", "path": "path"}
RENAMED = (
    {f"confidence.{old}": f"confidence.{new}" for old, new in _CONFIDENCE.items()}
    | {
        f"{who}.{old}": f"client.{new}"
        for who in ("judge", "teacher")
        for old, new in _CLIENT.items()
    }
    | {f"lora.{key}": f"lora_{key}" for key in ("r", "alpha", "dropout", "target_modules")}
    | {f"curve.{old}": f"eval_{new}" for old, new in _CURVE.items()}
)
"""Old key of ours → its name now. Nothing was released with the old ones, so they are refused."""
_CONSTANT = "its default was the only value that we recommend; remove the key"
REMOVED = {
    **{old: f"it is called {new} now" for old, new in RENAMED.items()},
    "credit": "each recipe says itself which segments it credits; remove the block",
    "lora": "its keys stand at the top level now: use_peft, lora_r, lora_alpha, …",
    "curve": "its keys stand at the top level now: eval_steps, eval_questions, eval_path",
    **dict.fromkeys((f"confidence.{name}" for name in ("score", "rule", "goal")), _OF_RECIPE),
    "confidence.prior": _OF_RECIPE,
    "confidence.answers": "the greedy answer is the one that is taught; remove the key",
    "confidence.families": "the probe does not read the question's family; remove the key",
    **dict.fromkeys(
        (
            f"confidence.{name}"
            for name in ("sharp", "exact", "step", "blur", "certainty_noise_std")
        ),
        _CONSTANT,
    ),
    **dict.fromkeys(
        ("confidence.init_probe_neuron", "confidence.written"),
        "training alone learns as much in one pass; remove the key",
    ),
    **dict.fromkeys(
        ("confidence.answer_model", "confidence.answers_of"),
        "stage 1 takes one pass over the answers of model_name_or_path; remove the key",
    ),
    **dict.fromkeys(
        ("confidence.text_loss", "confidence.text"),
        "the text is learnt by its cross-entropy; remove the key",
    ),
    **dict.fromkeys(
        ("confidence.target_logit_scale", "confidence.stretch"),
        "the targets are learnt as they are, and `metaconf calibrate` maps what is stated; remove"
        " the key",
    ),
    **dict.fromkeys(
        ("lora_layers_from", "lora.from_depth"),
        "the adapter is in all layers; give lora_target_modules a pattern of names for a part",
    ),
    **dict.fromkeys((f"watch.{name}" for name in ("commonest", "right_at_0", "length")), _CONSTANT),
    **dict.fromkeys((f"{who}.stop_after" for who in ("judge", "teacher")), _CONSTANT),
    **dict.fromkeys(
        (f"{who}.url_env" for who in ("judge", "teacher")),
        "set client.base_url, or the environment variable DEEPSEEK_BASE_URL",
    ),
    "judge.pays": "a judge gives points; without one the reflection is scored by rule; remove it",
}
"""Key or block of ours that is no more → what to do."""
NEUTRAL = {("sft", "remove_unused_columns"): False}
"""What may be written where TRL's default would break our trainers."""
REPORTS = {
    "azure_ml": "azureml", "comet_ml": "comet_ml", "mlflow": "mlflow", "neptune": "neptune",
    "tensorboard": "tensorboard", "wandb": "wandb", "codecarbon": "codecarbon",
    "clearml": "clearml", "dagshub": "dagshub", "flyte": "flytekit", "dvclive": "dvclive",
    "swanlab": "swanlab", "trackio": "trackio",
}  # fmt: skip
"""Trackers, and the package that has each."""
_LEVELS = ("debug", "info", "warning", "error", "critical", "passive", "detail")
ONLY: dict[tuple[str, str], tuple[Any, ...]] = {
    ("grpo", "loss_type"): (
        *("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "vespo", "luspo"),
    ),
    ("grpo", "importance_sampling_level"): ("token", "sequence"),
    ("grpo", "multi_objective_aggregation"): ("sum_then_normalize", "normalize_then_sum"),
    ("grpo", "scale_rewards"): ("group", "batch", "none", "True", "False"),
    ("sft", "train_sampling_strategy"): ("sequential", "random"),
    **{(s, k): _LEVELS for s in REFUSED for k in ("log_level", "log_level_replica")},
    **{(stage, "report_to"): ("all", "none", *REPORTS) for stage in REFUSED},
    **{(s, "debug"): ("", "underflow_overflow", "tpu_metrics_debug") for s in REFUSED},
    **{
        (s, "ddp_backend"): ("nccl", "gloo", "mpi", "xccl", "hccl", "cncl", "mccl") for s in REFUSED
    },
    ("grpo", "pad_to_multiple_of"): ("auto",),
}
"""Texts that a key takes, where TRL looks only when the model is loaded or replies are drawn."""
_BOUNDS: dict[tuple[float | None, float | None], str] = {
    (1, None): "per_device_train_batch_size gradient_accumulation_steps save_total_limit max_length"
    " max_completion_length num_iterations steps_per_generation generation_batch_size ddp_timeout"
    " ref_model_sync_steps dataloader_prefetch_factor torch_empty_cache_steps",
    (0, None): "warmup_steps weight_decay adam_epsilon max_grad_norm dataloader_num_workers beta"
    " epsilon epsilon_high neftune_noise_alpha num_completions_to_print",
    (1e-6, None): "num_train_epochs logging_steps save_steps temperature delta"
    " sapo_temperature_neg sapo_temperature_pos",
    (0, 1): "adam_beta1 adam_beta2 ref_model_mixup_alpha top_entropy_quantile",
    (0, 10): "learning_rate",
    (-1, None): "max_steps",
    (2, None): "num_generations",
}
RANGES = {name: bounds for bounds, names in _BOUNDS.items() for name in names.split()}
"""The least and the greatest value of a number, where TRL finds out in the middle of a run."""
NEVER: dict[str, dict[Any, str]] = {
    "max_steps": {0: "nothing would be trained; -1 counts by num_train_epochs"},
    "num_generations": {None: "there must be several replies to a question"},
    "save_strategy": {"best": _EVAL},
    "lr_scheduler_type": {"reduce_lr_on_plateau": _EVAL, "greedy": _EVAL},
}
"""Single values that need what is not there."""
ACCELERATOR = (
    *("split_batches", "dispatch_batches", "even_batches", "use_seedable_sampler"),
    *("non_blocking", "gradient_accumulation_kwargs", "use_configured_state"),
)
"""Keys of accelerator_config."""
PACKAGES = (
    ("bnb", "bitsandbytes"), ("8bit", "bitsandbytes"), ("paged", "bitsandbytes"),
    ("lion", "bitsandbytes"), ("ademamix", "bitsandbytes"), ("galore", "galore_torch"),
    ("lomo", "lomo_optim"), ("grokadamw", "grokadamw"), ("schedule_free", "schedulefree"),
    ("apollo", "apollo_torch"), ("stable_adamw", "torch_optimi"), ("xla", "torch_xla"),
    ("npu", "torch_npu"), ("anyprecision", "torchdistx"), ("torch_4bit", "torchao"),
    ("torch_8bit", "torchao"),
)  # fmt: skip
"""What an optimizer's name holds, and the package that has it; the last that fits counts."""


def removed(name: str) -> str | None:
    """What to do about a key of ours that is no more; None for any other key."""
    return REMOVED.get(name) or REMOVED.get(name.partition(".")[0])


def refuse(stage: str, name: str, value: Any, default: Any, where: str) -> None:
    """Raise UserError, opened by `where`, for a key of TRL's or a value of it that would be
    ignored or end in a traceback. `default` is TRL's."""
    why = REFUSED[stage].get(name)
    if why is not None and not _same(value, NEUTRAL.get((stage, name), default)):
        raise UserError(f"{where}: {value!r} cannot be used: {why}; leave the key out")
    if why := NEVER.get(name, {}).get(value if isinstance(value, str | int | None) else ""):
        raise UserError(f"{where}: {value!r} cannot be used: {why}; choose another")
    if name == "accelerator_config" and value is not None:
        _refuse_accelerator(value, where)
    for package in _needed(name, value):
        if find_spec(package) is None:
            raise UserError(f"{where}: {value!r} needs {package}, which is not installed")


def _refuse_accelerator(value: Any, where: str) -> None:
    if isinstance(value, str) and not Path(value).is_file():
        raise UserError(f"{where}: {value!r} is no file; give one, or its keys")
    if isinstance(value, dict) and (others := sorted(set(map(str, value)) - {*ACCELERATOR})):
        raise UserError(f"{where}: unknown key {others[0]}; known are {', '.join(ACCELERATOR)}")


def refuse_together(stage: str, trainer: Mapping[str, Any], adapter: bool) -> None:
    """Refuse keys that TRL does not take together. Raises UserError."""
    for key, other in (
        ("log_completions_hub_repo", "log_completions"),
        ("dataloader_prefetch_factor", "dataloader_num_workers"),
    ):
        if trainer.get(key) is not None and not trainer.get(other):
            raise UserError(f"{key}: {trainer[key]!r} has no effect without {other}; set that too")
    if stage == "grpo" and trainer.get("sync_ref_model"):
        if not trainer.get("beta"):
            raise UserError("sync_ref_model: needs beta above 0, for else nothing is compared to")
        if adapter:
            raise UserError(
                "sync_ref_model: needs use_peft: false; the reference is the model without it"
            )


def without_effect(config: Config) -> dict[str, str]:
    """Keys of ours that nothing would read → what they need."""
    judge, teacher = config.judge.kind == "llm", config.teacher.kind == "llm"
    probe = config.confidence.target == "probe"
    client = [f"client.{one.name}" for one in fields(Client)]
    needs = {
        "judge.kind: llm": (judge, ("judge.steps", "judge.max_failed")),
        "teacher.kind: llm": (teacher, ("teacher.max_dropped",)),
        "judge.kind or teacher.kind: llm": (judge or teacher, client),
        "engine.kind: vllm": (config.engine.kind == "vllm", ("engine.options",)),
        "confidence.target: probe": (probe, ("confidence.num_labeled",)),
        "eval_steps above 0": (config.eval_steps > 0, ("eval_questions", "eval_path")),
    }
    return {key: need for need, (there, keys) in needs.items() if not there for key in keys}


def _same(value: Any, other: Any) -> bool:
    """Equal, and of one kind: for Python True is 1."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    return value == other


def _needed(name: str, value: Any) -> list[str]:
    """Packages that a value needs."""
    if name == "optim":
        return [package for part, package in PACKAGES if part in str(value)][-1:]
    if name == "report_to":
        asked = value if isinstance(value, list) else [value]
        return [REPORTS[one] for one in asked if one in REPORTS]
    return []
