"""In bfloat16: the model that replies, and the one that is saved, is the one that was trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from test_sft import trainer
from tiny import tiny_model
from training import config_of

from metaconf.generation.local import LocalModel, load_local
from metaconf.generation.sampler import Draw, Sampling, draw
from metaconf.training.adapters import finish, weights_dtype
from metaconf.training.forward import read_replies
from metaconf.training.merged import merged_adapter

STEPS, RATE = 40, 1e-6
"""The length and learning rate that ship with the seed's configuration of stage 2."""


@pytest.fixture
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    """Weights of the size that trained models have."""
    folder = tiny_model(tmp_path_factory.mktemp("tiny"), spread=0.1)
    return load_local(str(folder), torch.float32)


def adapted(local: LocalModel, dtype: torch.dtype, **more: Any) -> LocalModel:
    torch.manual_seed(1)
    config = LoraConfig(
        r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM", **more
    )
    model: Any = get_peft_model(copy.deepcopy(local.model).to(dtype), config)
    return LocalModel(model, local.tokenizer)


def cosine(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    a, b = (torch.cat([x[n].double().flatten() for n in sorted(one)]) for x in (one, other))
    return (a @ b / (a.norm() * b.norm())).item()


def updates(after: dict[str, Any], before: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {n: after[n].float() - w.float() for n, w in before.items() if "proj" in n}


def test_a_small_update_is_what_is_saved(
    local: LocalModel, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    local.model.to(torch.bfloat16)
    start = {n: w.clone() for n, w in local.model.state_dict().items()}
    found: dict[torch.dtype, dict[str, torch.Tensor]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        made = adapted(local, dtype)
        out = tmp_path / str(dtype)
        trainer(made, out, max_steps=STEPS, learning_rate=RATE, logging_steps=STEPS).train()
        rounded: Any = copy.deepcopy(made.model).merge_and_unload()
        finish(made.model, local.tokenizer, out)
        found[dtype] = updates(load_file(out / "model.safetensors"), start)
    best = found[torch.float32]
    record_property("bf16_update_cosine", saved := cosine(found[torch.bfloat16], best))
    left = cosine(updates(rounded.state_dict(), start), best)
    record_property("bf16_update_cosine_merged", left)
    assert saved > 0.99 and left < 0.7


def test_a_large_update_is_saved_in_the_format_that_was_trained(
    local: LocalModel, tmp_path: Path
) -> None:
    made = adapted(local, torch.bfloat16, init_lora_weights=False)
    finish(made.model, made.tokenizer, tmp_path)
    kinds = {weight.dtype for weight in load_file(tmp_path / "model.safetensors").values()}
    assert kinds == {torch.bfloat16}


def test_an_adapter_may_be_kept_as_one(local: LocalModel, tmp_path: Path) -> None:
    made = adapted(local, torch.float32, init_lora_weights=False)
    trained = finish(made.model, made.tokenizer, tmp_path, merge=False)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert not names & {"config.json", "model.safetensors"}
    assert not hasattr(trained.model, "merge_adapter")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_policy_that_replies_is_the_one_that_is_trained(
    local: LocalModel, dtype: torch.dtype, record_property: Callable[[str, object], None]
) -> None:
    local = adapted(local, dtype, init_lora_weights=False)
    prompt = tuple(local.reply_prompt("What is 1 + 2?"))
    before = [weight.clone() for weight in local.model.parameters()]
    with merged_adapter(local.model) as model:
        drawn = draw(model, [Draw(prompt, "q", tuple(range(16)))], Sampling(24))
    pairs = zip(before, local.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    ids = torch.tensor([[*prompt, *row.tokens] for row in drawn])
    with torch.no_grad():
        read = read_replies(local.model, ids, torch.ones_like(ids), 24)
    gap = read.logps - torch.tensor([row.logprobs for row in drawn])
    # An estimate of the divergence without bias (Schulman, Approximating KL divergence, 2020).
    divergence = (gap.exp() - 1 - gap).mean().item()
    record_property("sampler_trainer_kl", divergence)
    assert 0 <= divergence < (1e-9 if dtype == torch.float32 else 1e-3)


def test_all_weights_are_trained_in_float32() -> None:
    assert weights_dtype(config_of(use_peft=False)) == torch.float32
    assert weights_dtype(config_of(use_peft=True)) is None
    assert weights_dtype(config_of(use_peft=False, dtype="bfloat16")) == torch.bfloat16
