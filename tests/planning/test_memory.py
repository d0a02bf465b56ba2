"""The arithmetic, by hand, for a model of 8 billion parameters; and what is known of other code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metaconf.config.blocks import Config
from metaconf.errors import UserError
from metaconf.planning.memory import (
    CHUNK,
    IN_FLIGHT,
    Run,
    gradients,
    layer_activations,
    optimizer,
    peak,
    phases,
    weights,
)
from metaconf.planning.settings import DEFAULTS, Machine, run_of
from metaconf.planning.sizes import FAMILIES, read_sizes
from metaconf.planning.speed import operations, tokens

LLAMA_8B: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
PARAMETERS = 8_030_261_248
"""Of Llama 3 8B, as its model card has it."""
ADAPTER = 167_772_160
"""r = 64: 32 layers · 64 · (8192 + 5120 + 5120 + 8192 + 3 · 18432)."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    return tmp_path


def run(folder: Path, gpus: int = 1, sharding: Any = "ddp", **keys: Any) -> Run:
    """A stage 1 with four rows of 50 + 98 + 8 tokens behind a prefix of 100."""
    config = Config("sft", {}, model_name_or_path=str(folder), **keys)
    made, _ = run_of(config, Machine(gpus, 80.0, sharding))
    return replace(made, rows=4, prefix=100, prompt=50, reply=98, branches=8)


def test_the_states_of_an_adapter(folder: Path) -> None:
    made = run(folder)
    assert made.sizes.parameters == PARAMETERS
    assert made.trained == ADAPTER
    assert weights(made) == 2 * PARAMETERS + 4 * ADAPTER == 16_731_611_136
    assert gradients(made) == 4 * ADAPTER
    assert optimizer(made) == 8 * ADAPTER


def test_the_states_of_all_weights(folder: Path) -> None:
    made = run(folder, use_peft=False)
    matrices = PARAMETERS - 128_256 * 4096 - (2 * 32 + 1) * 4096  # no input embedding, no norms
    assert weights(made) == 4 * PARAMETERS + 2 * matrices  # float32, and autocast's copies
    assert (gradients(made), optimizer(made)) == (4 * PARAMETERS, 8 * PARAMETERS)
    assert gradients(run(folder, 2, use_peft=False)) == 8 * PARAMETERS  # and DDP's buckets


def test_the_states_that_are_spread(folder: Path) -> None:
    zero2 = run(folder, 8, "zero2", use_peft=False)
    assert weights(zero2) == 2 * PARAMETERS
    assert gradients(zero2) == 2 * (PARAMETERS / 8 + 1_000_000_000)
    assert optimizer(zero2) == 16 * PARAMETERS / 8
    layer = 218_103_808  # 4096 · (2 · 4096 + 2 · 1024 + 3 · 14336)
    gathered = 2 * (2 * layer + 2 * 128_256 * 4096)
    for how, each in (("zero3", 2), ("fsdp2", 4)):
        spread = run(folder, 8, how, use_peft=False)
        assert weights(spread) == each * PARAMETERS / 8 + gathered
        assert not spread.shares_prefix
    assert optimizer(run(folder, 8, "fsdp2", use_peft=False)) == PARAMETERS


def test_the_activations_of_a_layer(folder: Path) -> None:
    made = run(folder)
    assert (made.tokens, made.seen) == (4 * 156 + 100, 4 * 256 + 100)
    # Norms in float32; queries and result; gate, activation and up; a copy for each adapter, and r.
    each = 2 * 4 * 4096 + 2 * 2 * 4096 + 2 * 3 * 14336 + 2 * (6 * 4096 + 14336) + 2 * 64 * 7
    assert each == 213_888
    assert layer_activations(made) == each * 724 + 2 * 2 * 4096 * 1124
    found = phases(made)["loss"]
    assert found.logits == 4 * (3 * 4 * 98 + 4 * 4) * 128_256
    assert 32 * layer_activations(made) < found.activations < 1.02 * 32 * layer_activations(made)


def test_the_activations_of_a_layer_where_weights_are_spread(folder: Path) -> None:
    made = run(folder, 8, "fsdp2", use_peft=False)
    # Hidden states in bfloat16; matrices with the same input share it; each row runs the prefix.
    each = (2 * 4 + 2 * 2 + 2 * 2) * 4096 + 2 * 3 * 14336 + 2 * (3 * 4096 + 14336)
    assert layer_activations(made) == (each + 2 * 2 * 4096) * 4 * 256


def test_what_checkpointing_keeps(folder: Path) -> None:
    made = replace(run(folder), checkpointing=True)
    assert made.tokens == 4 * 256  # each row runs the prefix
    kept = phases(made)["loss"].activations
    hidden = 2 * 4096 * 1024
    assert 36 * hidden < kept < 37 * hidden
    assert peak(made) < peak(run(folder))


def test_the_cache_while_replies_are_drawn(folder: Path) -> None:
    config = Config("grpo", {"per_device_train_batch_size": 16}, model_name_or_path=str(folder))
    made = replace(run_of(config, Machine(1, 80.0, "ddp"))[0], prefix=100, prompt=50, reply=350)
    token = 2 * 32 * 1024 * 2  # keys and values of 32 layers in bfloat16
    assert made.replies == 16 and made.prompts == 2
    grown = 2 * 1024 * 16 * 400
    assert phases(made)["draw"].cache == token * (100 + 16 * 400) + grown
    assert phases(made)["draw"].logits == 14 * 16 * 128_256


def test_the_operations_of_a_step(folder: Path) -> None:
    made = replace(run(folder, use_peft=False), accumulation=2)
    layers = 32 * (2 * 218_103_808 * 724 + 4 * 4096 * (4 * 156 * 256 + 100**2))
    assert operations(made) == 2 * 3 * (layers + 2 * 128_256 * 4096 * 4 * 98)
    assert tokens(made) == 2 * 4 * 256


# What is known of other code


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_counted_as_transformers_has_them(family: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "vocab_size": 70,
        "pad_token_id": 0,
    }
    config = AutoConfig.for_model(family, **sizes)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    count = sum(weight.numel() for weight in model.parameters())
    config.save_pretrained(tmp_path)
    assert read_sizes(tmp_path).parameters == count


def test_the_sizes_are_those_of_the_training() -> None:
    from metaconf.generation.sampler import Sampling
    from metaconf.training import forward

    assert CHUNK == forward.CHUNK
    assert Sampling(1).rows == IN_FLIGHT


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_the_defaults_are_those_of_the_stages(stage: Any) -> None:
    from metaconf.training import stage1, stage2

    theirs = {"sft": stage1.DEFAULTS, "grpo": stage2.DEFAULTS}[stage]
    assert {name: theirs[name] for name in DEFAULTS[stage]} == DEFAULTS[stage]
    read = {"gradient_accumulation_steps", "steps_per_generation", "generation_batch_size", "bf16"}
    assert not theirs.keys() & (read - DEFAULTS[stage].keys())
    assert theirs.get("optim", "adamw_torch_fused") == "adamw_torch_fused"


# What is refused


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model_type": "mamba2"}, "model_type 'mamba2' is not one"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide'"),
        ({"vocab_size": None}, "vocab_size is None"),
        ({"num_key_value_heads": [8]}, r"num_key_value_heads is \[8\]"),
    ],
)
def test_a_model_without_known_sizes_is_refused(folder: Path, changed: Any, said: str) -> None:
    (folder / "config.json").write_text(json.dumps(LLAMA_8B | changed))
    with pytest.raises(UserError, match=said):
        read_sizes(folder)


def test_an_adapter_has_the_sizes_of_its_base(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(folder)})
    )
    assert read_sizes(adapter).parameters == PARAMETERS
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "a/b"}))
    with pytest.raises(UserError, match=r"a/b/config\.json: no such file"):
        read_sizes(adapter)


def test_a_model_without_head_width_divides_the_hidden_one(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(LLAMA_8B | {"num_key_value_heads": None}))
    assert (read_sizes(folder).head_dim, read_sizes(folder).kv_heads) == (128, 32)


def test_parameters_are_those_of_the_files(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(7)}, folder / "model.safetensors")
    assert read_sizes(folder).parameters == 22


def test_a_file_that_is_cut_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="not a JSON object"):
        read_sizes(folder)


def test_an_optimizer_that_is_not_known_is_refused(folder: Path) -> None:
    config = Config("sft", {"optim": "galore_adamw"}, model_name_or_path=str(folder))
    with pytest.raises(UserError, match="optim galore_adamw: plan does not know its state"):
        run_of(config, Machine(1, 80.0, "ddp"))
