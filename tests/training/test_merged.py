"""Generating with a merged adapter leaves the weights as they were, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from metaconf.generation.sampler import GREEDY, Draw, Sampling, draw
from metaconf.training.merged import merged_adapter

PROMPT = Draw((7, 40, 41, 42, 43), "q", (GREEDY, 0, 1))


def adapted(local: Any, dtype: torch.dtype = torch.float32) -> Any:
    config = LoraConfig(target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    return get_peft_model(local.model.to(dtype), config)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_weights_come_back_bit_by_bit(
    fresh_local: Callable[..., Any], dtype: torch.dtype
) -> None:
    model = adapted(fresh_local(), dtype)
    before = weights(model)
    for _ in range(3):
        with merged_adapter(model) as base:
            same = all(torch.equal(before[n], t) for n, t in model.state_dict().items())
            assert same == (dtype == torch.bfloat16)  # there the adapter stays beside them
            assert not hasattr(base, "merge_adapter")
    after = weights(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_replies_are_those_of_the_merged_model(fresh_local: Callable[..., Any]) -> None:
    model = adapted(fresh_local())
    with merged_adapter(model) as base:
        rows = draw(base, [PROMPT], Sampling(8))
    clean = draw(model.get_base_model(), [PROMPT], Sampling(8))
    wanted = draw(model.merge_and_unload(), [PROMPT], Sampling(8))
    assert [r.tokens for r in rows] == [r.tokens for r in wanted]
    # Unmerged, the adapter is in the layers of the base model: the same replies, more slowly.
    assert [r.tokens for r in rows] == [r.tokens for r in clean]


def test_the_adapter_shows(fresh_local: Callable[..., Any]) -> None:
    local = fresh_local()
    plain = draw(local.model, [PROMPT], Sampling(8))
    with merged_adapter(adapted(local)) as base:
        rows = draw(base, [PROMPT], Sampling(8))
    assert [r.tokens for r in rows] != [r.tokens for r in plain]


@pytest.mark.parametrize("training", [True, False])
def test_an_error_inside_leaves_nothing_behind(
    fresh_local: Callable[..., Any], training: bool
) -> None:
    model = adapted(fresh_local())
    model.train(training)
    before = weights(model)
    with pytest.raises(ZeroDivisionError), merged_adapter(model):
        assert not model.training
        raise ZeroDivisionError
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert model.training == training


def test_a_model_without_adapter_passes_through(fresh_local: Callable[..., Any]) -> None:
    model = fresh_local().model.train()
    with merged_adapter(model) as base:
        assert base is model and not model.training
    assert model.training
