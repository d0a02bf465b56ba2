"""The memory that is predicted is the memory that a training takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metaconf.planning.memory import peak

MOST = 0.15
"""The error that is allowed, as a share of what was measured."""
QUICK = "sft_all"
NAMES = (
    *("sft_all", "sft_all_checkpointing_short", "sft_lora_bfloat16", "grpo_all_accumulation"),
    *("grpo_lora_draw", "grpo_lora_bfloat16_checkpointing"),
    *("as_gpu_sft_all", "as_gpu_grpo_lora_bfloat16"),
)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == QUICK else pytest.mark.long) for n in NAMES]
)
def test_memory_is_predicted(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    from measuring import CASES, measured

    spent, run = measured(CASES[name], tmp_path)
    error = peak(run) / spent - 1
    record_property(f"memory_error_{name}", abs(error))
    record_property(f"peak_gib_{name}", spent / 2**30)
    assert abs(error) <= MOST, (spent, peak(run))
