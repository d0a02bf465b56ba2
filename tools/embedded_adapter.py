"""Makes the adapter that ships: the difference of a stage-1 model of the embedded default to its
base, as the nearest LoRA adapter of rank RANK.

    metaconf demo --output_dir runs/bench-default/seed42 --seed 42
    python -m tools.embedded_adapter runs/bench-default/seed42/stage1
    python benchmarks/adapter.py --model runs/bench-default/seed42/stage1

The nearest matrix of a rank is its truncated singular value decomposition (Eckart and Young, 1936).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from metaconf.embedded.model import ADAPTER, HUB_ID, PREFIX, A, embedded_model
from metaconf.records import FACTS

RANK = 12
"""With it the adapter stays below 8 MB."""
B = A.replace("lora_A", "lora_B")


def adapter(trained: Path) -> tuple[dict[str, torch.Tensor], float]:
    """The matrices of the adapter by PEFT's names, and the share of the squared difference that
    they hold. `trained`: a folder with the base's layers, its embedding unchanged."""
    base, now = (load_file(folder / "model.safetensors") for folder in (embedded_model(), trained))
    found: dict[str, torch.Tensor] = {}
    whole = kept = 0.0
    for name, weight in now.items():
        update = weight.float() - base[name].float()
        if weight.ndim != 2 or not update.any():
            continue
        left, sizes, right = torch.linalg.svd(update, full_matrices=False)
        whole, kept = whole + float(sizes @ sizes), kept + float(sizes[:RANK] @ sizes[:RANK])
        root, place = sizes[:RANK].sqrt(), f"{PREFIX}{name.removesuffix('.weight')}"
        found[place + A] = (root[:, None] * right[:RANK]).bfloat16().contiguous()
        found[place + B] = (left[:, :RANK] * root).bfloat16().contiguous()
    return found, kept / whole


def write(trained: Path, out: Path = ADAPTER) -> float:
    """Write the adapter of the model in `trained`; returns the share that it holds."""
    found, kept = adapter(trained)
    out.mkdir(parents=True, exist_ok=True)
    save_file(found, out / "adapter_model.safetensors", {"format": "pt"})
    layers = [name.removesuffix(A) for name in found if name.endswith(A)]
    modules = sorted({layer.rpartition(".")[2] for layer in layers})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": HUB_ID,
        "r": RANK,
        "lora_alpha": RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": modules,
        "inference_mode": True,
    }
    (out / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
    shutil.copy(trained / FACTS, out / FACTS)
    return kept


if __name__ == "__main__":
    share = write(Path(sys.argv[1]))
    size = (ADAPTER / "adapter_model.safetensors").stat().st_size / 1e6
    print(f"{ADAPTER.name}: {size:.1f} MB, {share:.3f} of the squared difference")
