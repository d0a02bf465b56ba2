"""The adapter that ships: what it holds, and that the merged model is the adapted one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from metaconf.embedded import model as embedded
from metaconf.embedded.model import ADAPTER, PREFIX, A, _merge
from tools import embedded_adapter

LAYER = "model.layers.0.mlp.up_proj.weight"


def test_what_ships_is_small_and_of_low_rank() -> None:
    assert (ADAPTER / "adapter_model.safetensors").stat().st_size <= 8e6
    config = json.loads((ADAPTER / "adapter_config.json").read_text())
    parts = load_file(ADAPTER / "adapter_model.safetensors")
    assert config["r"] == config["lora_alpha"] == embedded_adapter.RANK  # a scale of 1
    assert {t.shape[0] for name, t in parts.items() if name.endswith(A)} == {config["r"]}
    assert all(name.startswith(PREFIX) for name in parts)
    facts = json.loads((ADAPTER / "metaconf.json").read_text())
    assert [stage["stage"] for stage in facts["stages"]] == ["sft"]


def test_an_update_of_low_rank_is_held_whole_and_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    base = {LAYER: torch.randn(40, 30).bfloat16(), "model.norm.weight": torch.ones(30)}
    update = 0.5 * torch.randn(40, 4) @ torch.randn(4, 30)
    folders = {name: tmp_path / name for name in ("base", "trained", "adapter", "merged")}
    for name in ("base", "trained"):
        folders[name].mkdir()
        (folders[name] / "metaconf.json").write_text("{}")
    save_file(base, folders["base"] / "model.safetensors")
    trained = {**base, LAYER: (base[LAYER].float() + update).bfloat16()}
    save_file(trained, folders["trained"] / "model.safetensors")
    monkeypatch.setattr(embedded_adapter, "embedded_model", lambda: folders["base"])
    assert embedded_adapter.write(folders["trained"], folders["adapter"]) > 0.999
    config = json.loads((folders["adapter"] / "adapter_config.json").read_text())
    assert config["target_modules"] == ["up_proj"]
    monkeypatch.setattr(embedded, "ADAPTER", folders["adapter"])
    _merge(folders["base"], folders["merged"])
    merged = load_file(folders["merged"] / "model.safetensors")
    assert torch.allclose(merged[LAYER].float(), trained[LAYER].float(), rtol=0.02, atol=0.03)
    assert merged[LAYER].dtype == torch.bfloat16 and set(merged) == set(base)
