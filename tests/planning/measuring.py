"""What a training takes, measured, beside what `metaconf plan` predicts.

Random models of a few million parameters are trained for two steps by the code of `metaconf sft`
and `grpo`, on a processor. In the second step, when the optimizer has its state, the profiler sees
each allocation of PyTorch and each release: the peak of their sum, and what was there before, is
exact, and is what `torch.cuda.max_memory_allocated` gives on a GPU. The prediction is told the
tokens of the rows, and nothing else of the run.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from tiny import tiny_tokenizer
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

from metaconf.config.blocks import Confidence, Config, Stage
from metaconf.generation.local import load_local
from metaconf.planning.memory import Run
from metaconf.planning.settings import Machine, run_of
from metaconf.prompts.chat import INSTRUCTION
from metaconf.records import Question, Target
from metaconf.reply import format_reply
from metaconf.training import forward, stage1, stage2
from metaconf.training.adapters import weights_dtype

SMALL: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "tie_word_embeddings": True,
}
LARGER: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
VOCABULARY = 32_000
GRPO = {"num_generations": 4, "max_completion_length": 48, "learning_rate": 1e-5}
TRAINER = {
    "max_steps": 2,
    "save_strategy": "no",
    "disable_tqdm": True,
    "report_to": "none",
    "optim": "adamw_torch_fused",
}
ALL_WHOLE = Confidence(confidence_only_epochs=0.0, opening_fraction=0.0, full_reply_fraction=1.0)


class Case(NamedTuple):
    """One training: `question` and `reflection` are how often a sentence stands in them. `as_gpu`:
    under autocast, with fused attention."""

    stage: Stage
    model: dict[str, Any]
    dtype: str
    use_peft: bool
    trainer: dict[str, Any]
    question: int = 1
    reflection: int = 6
    as_gpu: bool = False


CASES = {
    "sft_all": Case("sft", SMALL, "float32", False, {"per_device_train_batch_size": 8}),
    "sft_all_checkpointing_short": Case(
        "sft", LARGER, "float32", False,
        {"per_device_train_batch_size": 4, "gradient_checkpointing": True}, reflection=1,
    ),
    "sft_lora_bfloat16": Case(
        "sft", LARGER, "bfloat16", True, {"per_device_train_batch_size": 8}, question=20
    ),
    "grpo_all_accumulation": Case(
        "grpo", SMALL, "float32", False,
        {**GRPO, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, question=20,
    ),
    "grpo_lora_draw": Case(
        "grpo", LARGER, "float32", True,
        {**GRPO, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 16,
         "max_completion_length": 8},
    ),
    "grpo_lora_bfloat16_checkpointing": Case(
        "grpo", SMALL, "bfloat16", True,
        {**GRPO, "per_device_train_batch_size": 16, "gradient_checkpointing": True}, question=20,
    ),
    "as_gpu_sft_all": Case(
        "sft", SMALL, "float32", False, {"per_device_train_batch_size": 8, "bf16": True},
        question=40, reflection=1, as_gpu=True,
    ),
    "as_gpu_grpo_lora_bfloat16": Case(
        "grpo", LARGER, "bfloat16", True,
        {**GRPO, "per_device_train_batch_size": 8, "bf16": True}, question=40, as_gpu=True,
    ),
}  # fmt: skip


class Trained(Exception):
    """The steps are done: nothing is to be saved."""


class Peak(TrainerCallback):
    """Bytes at the peak of the second step."""

    def __init__(self) -> None:
        self.bytes = 0
        self.profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 1:
            gc.collect()
            self.bytes = alive()
            self.profile.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 2:
            self.profile.stop()
            self.bytes += greatest_rise(self.profile)


def alive() -> int:
    """Bytes of all tensors that Python holds, those that share memory once."""
    found: dict[int, int] = {}
    for one in gc.get_objects():
        if type(one) in (torch.Tensor, torch.nn.Parameter):
            storage = one.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


def greatest_rise(done: profile) -> int:
    """The most bytes that were allocated at one time, over those at the start."""
    events = [e for e in done.profiler.kineto_results.events() if e.name() == "[memory]"]  # pyright: ignore
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()  # pyright: ignore[reportAttributeAccessIssue]
        most = max(most, now)
    return most


def save_model(folder: Path, case: Case) -> None:
    """A random model with so many tokens that a tokenizer knows each of them."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"<{number}>" for number in range(VOCABULARY - len(tokenizer))])
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    config = LlamaConfig(**case.model, **ends, vocab_size=VOCABULARY, max_position_embeddings=4096)
    LlamaForCausalLM(config).to(getattr(torch, case.dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def measured(case: Case, folder: Path) -> tuple[int, Run]:
    """Bytes at the peak of a step, and what the prediction is made from."""
    save_model(folder / "model", case)
    config = Config(
        case.stage,
        {**TRAINER, **case.trainer},
        model_name_or_path=str(folder / "model"),
        dtype=case.dtype,  # pyright: ignore[reportArgumentType]
        use_peft=case.use_peft,
        confidence=ALL_WHOLE,
        max_prompt_length=4000,
    )
    run, _ = run_of(config, Machine(0, 1.0, "ddp"))
    if case.as_gpu:
        run = replace(run, autocast=True, eager=False)
    spent, lengths = trained(config, case, folder / "run")
    return spent, replace(run, **lengths)


def trained(config: Config, case: Case, out: Path) -> tuple[int, dict[str, int]]:
    """Two steps by the code of the commands: bytes at the peak, and the lengths of the rows."""
    local = load_local(config.model_name_or_path, weights_dtype(config))
    if case.as_gpu:  # the stage sets eager attention where it trains on a processor
        local.model.set_attn_implementation = lambda *_: None
    found, lengths = Peak(), dict[str, int]()
    with watched(found, lengths), suppress(Trained):
        if case.stage == "sft":
            stage1.train(local, rows(case), config, out)
        else:
            stage2.train(local, questions(case), config, out)
    return found.bytes, lengths


@contextmanager
def watched(found: Peak, lengths: dict[str, int]) -> Iterator[None]:
    """Within: a stage measures its second step, and saves nothing."""

    def stop(*_: Any, **__: Any) -> None:
        raise Trained

    def noted(laid_out: Callable[..., Any], read: Callable[[Any, Any], dict[str, int]]) -> Any:
        def wrapped(*args: Any) -> Any:
            made = laid_out(*args)
            lengths.update(read(made, args))
            return made

        return wrapped

    with ExitStack() as stack:
        for stage in (stage1, stage2):
            begin = lambda trainer, _: trainer.add_callback(found)  # noqa: E731
            stack.enter_context(patch.object(stage, "show", begin))
            stack.enter_context(patch.object(stage, "finish", stop))
        # A random model earns no reward, so that its weights stay as they are.
        stack.enter_context(patch("metaconf.training.checkpoints.check_learned"))
        for owner, name, read in (
            (stage1, "collate_batch", lambda made, _: lengths_of_rows(made)),
            (forward, "_reply_tree", lambda made, args: lengths_of_tree(made[0], args[2])),
        ):
            stack.enter_context(patch.object(owner, name, noted(getattr(owner, name), read)))
        yield


def lengths_of_rows(batch: dict[str, Any]) -> dict[str, int]:
    """The tokens of stage 1's rows, from a batch as it was laid out."""
    reply = int((batch["labels"] != -100).sum(1).max())
    return _lengths(batch["prefix"].shape[1], batch["input_ids"].shape[1], reply)


def lengths_of_tree(tree: Any, reply: int) -> dict[str, int]:
    """Those of stage 2's rows."""
    return _lengths(tree.prefix.shape[1], tree.ids.shape[1], reply)


def _lengths(prefix: int, row: int, reply: int) -> dict[str, int]:
    """Branches count as prompt where only their sum is known: no logits are taken of either."""
    return {"prefix": prefix, "prompt": row - reply, "reply": reply, "branches": 0}


def rows(case: Case) -> list[dict[str, Any]]:
    reflection = "I know Quito well; I might also say Lima. " * case.reflection
    said = format_reply("Ecuador", reflection, 0.7)
    asked = [f"In which country is Quito? {'Kenya ' * case.question}{n % 9}" for n in range(64)]
    return [
        {
            "id": str(number),
            "system": INSTRUCTION,
            "target": 0.5,
            "conversations": [{"from": "human", "value": one}, {"from": "gpt", "value": said}],
        }
        for number, one in enumerate(asked)
    ]


def questions(case: Case) -> list[Question]:
    more = "Kenya " * case.question
    return [Question(str(n), f"{more}{n} + {n}?", (Target((str(2 * n),)),)) for n in range(64)]
