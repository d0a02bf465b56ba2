"""Stage 1: TRL's SFTTrainer on question, answer, reflection and confidence.

Two losses, apart: cross-entropy on the text, and on the confidence's first token cross-entropy
to a distribution over the levels whose mean is the target. Mixed into one they drown the level,
which is one token in forty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from trl import SFTConfig, SFTTrainer

from metaconf.engines.prefill import common_prefix
from metaconf.train.forward import decoder_of, run_after_prefix
from metaconf.train.levels import LevelTokens, first_token_weights, level_tokens


@dataclass(frozen=True, slots=True)
class Row:
    """One training row: prompt and reply tokens, where the level is predicted, its weights (11)."""

    prompt: list[int]
    reply: list[int]
    level_at: int
    levels: list[float]

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def collate(rows: Sequence[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """Rows → tensors: the shared start of all prompts (1, P), and the rest (B, T), right-padded.

    `labels` (B, T) are -100 outside the reply; `level_at` (B,) is the place in T of the level's
    first token; `levels` (B, 11) its target.
    """
    shared = common_prefix([r["prompt"] for r in rows])
    rest = [[*r["prompt"][shared:], *r["reply"]] for r in rows]
    begins = [len(r["prompt"]) - shared for r in rows]
    width = max(map(len, rest))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rest])
    labels = torch.tensor(
        [
            [-100] * b + row[b:] + [-100] * (width - len(row))
            for b, row in zip(begins, rest, strict=True)
        ]
    )
    return {
        "prefix": torch.tensor([rows[0]["prompt"][:shared]], dtype=torch.long),
        "input_ids": ids,
        "attention_mask": torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rest]),
        "labels": labels,
        "level_at": torch.tensor([b + r["level_at"] for b, r in zip(begins, rows, strict=True)]),
        "levels": torch.tensor([r["levels"] for r in rows]),
    }


class ConfidenceSFTTrainer(SFTTrainer):
    """SFTTrainer with the two losses; their weights are `text_weight` and `confidence_weight`."""

    # Ours are means of a micro-batch: the Trainer divides them by the accumulation steps.
    loss_is_scaled_for_ga = False

    def __init__(self, *args: Any, text_weight: float, confidence_weight: float, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.text_weight, self.confidence_weight = text_weight, confidence_weight
        self.tokens: LevelTokens = level_tokens(self.processing_class)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        decoder, head = decoder_of(self.accelerator.unwrap_model(model))
        hidden, _, _ = run_after_prefix(
            decoder, inputs["prefix"], inputs["input_ids"], inputs["attention_mask"]
        )
        text, confidence = losses(hidden, head, inputs, self.tokens)
        mode = "train" if model.training else "eval"
        self._metrics[mode]["loss_text"].append(text.item())
        self._metrics[mode]["loss_confidence"].append(confidence.item())
        return self.text_weight * text + self.confidence_weight * confidence


def losses(
    hidden: torch.Tensor, head: torch.Tensor, batch: dict[str, torch.Tensor], tokens: LevelTokens
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean text cross-entropy (without the level's token) and mean confidence cross-entropy."""
    rows = torch.arange(len(hidden), device=hidden.device)
    labels = batch["labels"].clone()
    labels[rows, batch["level_at"]] = -100
    at = (labels[:, 1:] != -100).nonzero(as_tuple=True)
    # Selected rows are contiguous: a sliced view would make the product copy the head a row.
    logits = (hidden[:, :-1][at] @ head.T).float()
    text = torch.nn.functional.cross_entropy(logits, labels[:, 1:][at])
    level_hidden = hidden[rows, batch["level_at"] - 1]
    count = 10 if tokens.ten_next is not None else len(tokens.first)
    level_logits = (level_hidden @ head[list(tokens.first[:count])].T).float()
    weights = first_token_weights(batch["levels"]) if count == 10 else batch["levels"]
    # Over the whole vocabulary, so that nothing but a level is learnt to stand there.
    total = torch.logsumexp((level_hidden @ head.T).float(), -1)
    confidence = (total - (weights.to(level_logits) * level_logits).sum(-1)).mean()
    return text, confidence


def sft_config(trainer: dict[str, Any]) -> SFTConfig:
    """TRL's configuration with what our rows need."""
    fixed: dict[str, Any] = {
        "remove_unused_columns": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "report_to": "none",
    }
    return SFTConfig(**{**fixed, **trainer})
