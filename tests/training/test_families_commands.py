"""Both stages of each family by the commands, for two steps: what they compute of the model is what
one plain forward pass a row gives. Windows are shorter than the rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from taught import teach
from test_families import FAMILIES, tiny
from test_stage2 import ROOT
from torch.nn.functional import cross_entropy
from training import ASKED, STAGE_1

from metaconf.cli import main
from metaconf.training import grpo
from metaconf.training.forward import Reading, read_replies
from metaconf.training.sft import PACKED, ConfidenceSFTTrainer

IN_THE_SUITE = ("gemma3_text",)
"""Its window has rows run plainly."""


@torch.no_grad()
def plain_loss(model: Any, inputs: dict[str, Any]) -> float:
    """Cross-entropy of the labels, from a pass of each row's own tokens alone."""
    prefix, ids, _, mask = (inputs[name] for name in PACKED)
    found: list[torch.Tensor] = []
    for row, seen, labels in zip(ids, mask, inputs["labels"], strict=True):
        at = (labels[1:] != -100).nonzero()[:, 0]
        tokens = torch.cat([prefix[0], row[seen[at[-1]]]])
        logits = model(input_ids=tokens[None], use_cache=False).logits[0]
        logits = logits[prefix.shape[1] + at].float()
        found.append(cross_entropy(logits, labels[1:][at], reduction="none"))
    return torch.cat(found).mean().item()


@torch.no_grad()
def plain_logps(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, length: int, temperature: float
) -> torch.Tensor:
    """As `Reading.logps`, from a pass of each row's own tokens alone."""
    found = torch.zeros(len(ids), length)
    for row, real, line in zip(ids, mask.bool(), found, strict=True):
        tokens, count = row[real], int(real[-length:].sum())
        logits = model(input_ids=tokens[None], use_cache=False).logits[0].float()
        logps = torch.log_softmax(logits[-count - 1 : -1] / temperature, -1)
        line[:count] = logps.gather(1, tokens[-count:, None])[:, 0]
    return found


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """How far what a stage reads at each step is from plain passes."""
    found: dict[str, list[float]] = {"sft": [], "grpo": []}
    read_rows = ConfidenceSFTTrainer._read

    def read_batch(self: Any, model: Any, inputs: dict[str, Any], text: bool = True) -> Any:
        loss, levels = read_rows(self, model, inputs, text)
        if loss is not None:
            wanted = plain_loss(model, inputs)
            found["sft"].append(abs(loss.item() - wanted) / max(wanted, 1.0))
        return loss, levels

    def read(
        model: Any, ids: Any, mask: Any, length: int, temperature: float, *places: Any
    ) -> Reading:
        reading = read_replies(model, ids, mask, length, temperature, *places)
        wanted = plain_logps(model, ids, mask, length, temperature)
        found["grpo"].append((reading.logps - wanted).abs().max().item())
        return reading

    monkeypatch.setattr(ConfidenceSFTTrainer, "_read", read_batch)
    monkeypatch.setattr(grpo, "read_replies", read)
    return found


def command(stage: str, model: Path, out: Path, source: Path, *more: str) -> list[str]:
    config = ROOT / "configs" / f"{stage}_train_config.yaml"
    words = [stage, "--config", str(config), "--model", str(model), "--output_dir", str(out)]
    words += ["--train_file" if stage == "sft" else "--questions", str(source), "--max_steps", "2"]
    words += ["--per_device_train_batch_size", "16" if stage == "sft" else "8"]
    return [
        *words,
        "--learning_rate",
        "1e-4",
        "--logging_steps",
        "1",
        "--save_strategy",
        "no",
        *more,
    ]


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=pytest.mark.slow if name in IN_THE_SUITE else pytest.mark.long)
        for name in sorted(FAMILIES)
    ],
)
def test_both_stages_train_by_the_commands(
    tmp_path: Path,
    apart: dict[str, list[float]],
    family: str,
    record_property: Callable[[str, object], None],
) -> None:
    local, model = tiny(family, spread=0.05), tmp_path / "model"
    teach(local)
    for part in (local.model, local.tokenizer):
        part.save_pretrained(model)
    rows, questions = tmp_path / "rows.jsonl", tmp_path / "questions.jsonl"
    rows.write_text("\n".join(json.dumps(row) for row in STAGE_1))
    questions.write_text("\n".join(json.dumps(row) for row in ASKED))
    sft, out = tmp_path / "sft", tmp_path / "grpo"
    assert main(command("sft", model, sft, rows, "--confidence.full_reply_fraction", "1")) == 0
    sizes = ("--num_generations", "4", "--max_completion_length", "40", "--beta", "0")
    sizes += ("--temperature", "0.5")  # what is drawn keeps the format
    assert main(command("grpo", sft, out, questions, *sizes)) == 0
    for stage in apart:
        assert len(apart[stage]) == 2 and max(apart[stage]) < 1e-4
        record_property(f"families_difference_{stage}", max(apart[stage]))
    curve = json.loads((out / "curve.json").read_text())
    assert max(row["sampling/sampling_logp_difference/mean"] for row in curve) < 1e-4
    assert any("confidence/expected" in row for row in curve)
    assert (out / "model.safetensors").exists()
