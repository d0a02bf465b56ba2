"""Stage 1: TRL's SFTTrainer on question, answer, reflection and confidence.

Three losses, apart. Cross-entropy on the text. On the confidence's first token cross-entropy to a
distribution over the levels whose mean is the target: mixed into the text's it drowns, one token
in forty. And the same once more straight after the answer, in a branch of the same forward pass
that leaves the reflection out: the wording of a given reflection tells the level, so after it the
model need not look into itself, and when it writes its own reflection it has learnt too little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from metaconf.engines.prefill import common_prefix
from metaconf.train.forward import (
    branch,
    decoder_of,
    refuse_several_processes,
    right_padded,
    run_after_prefix,
)
from metaconf.train.levels import LevelTokens, first_token_weights, lead_in, level_tokens


@dataclass(frozen=True, slots=True)
class Row:
    """One training row: prompt and reply tokens, where in the reply the answer ends and the level
    is predicted, the level's weights (11)."""

    prompt: list[int]
    reply: list[int]
    answer_end: int
    level_at: int
    levels: list[float]

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def collate(rows: Sequence[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """Rows → tensors: the shared start of all prompts (1, P), and the rest (B, T), right-padded.

    `labels` (B, T) are -100 outside the reply; `answer_end` and `level_at` (B,) are the places in T
    after the answer and of the level's first token; `levels` (B, 11) its target.
    """
    shared = common_prefix([r["prompt"] for r in rows])
    rest = [[*r["prompt"][shared:], *r["reply"]] for r in rows]
    begins = [len(r["prompt"]) - shared for r in rows]
    ids, mask = right_padded(rest, pad=pad)
    width = ids.shape[1]
    labels = torch.tensor(
        [
            [-100] * b + row[b:] + [-100] * (width - len(row))
            for b, row in zip(begins, rest, strict=True)
        ]
    )
    return {
        "prefix": torch.tensor([rows[0]["prompt"][:shared]], dtype=torch.long),
        "input_ids": ids,
        "attention_mask": mask,
        "labels": labels,
        **{
            name: torch.tensor([b + r[name] for b, r in zip(begins, rows, strict=True)])
            for name in ("answer_end", "level_at")
        },
        "levels": torch.tensor([r["levels"] for r in rows]),
    }


class ConfidenceSFTTrainer(SFTTrainer):
    """SFTTrainer with the three losses; `confidence_weight` and `direct_weight` weigh those of the
    level after the reflection and straight after the answer, the text's has weight 1."""

    # Ours are means of a micro-batch: the Trainer divides them by the accumulation steps.
    loss_is_scaled_for_ga = False

    def __init__(self, *args: Any, confidence_weight: float, direct_weight: float, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.confidence_weight, self.direct_weight = confidence_weight, direct_weight
        self.tokens: LevelTokens = level_tokens(self.processing_class)
        self.lead_in = lead_in(self.processing_class)
        refuse_several_processes(self.accelerator.num_processes)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        decoder, head = decoder_of(self.accelerator.unwrap_model(model))
        hidden, cache, mask = run_after_prefix(
            decoder, inputs["prefix"], inputs["input_ids"], inputs["attention_mask"]
        )
        rows = torch.arange(len(hidden), device=hidden.device)
        text = text_loss(hidden, head, inputs)
        said = hidden[rows, inputs["level_at"] - 1]
        told = level_loss(said, head, inputs["levels"], self.tokens)
        loss = text + self.confidence_weight * told
        self._note(model, loss_text=text, loss_confidence=told)
        if self.direct_weight:
            places = inputs["prefix"].shape[1] + inputs["answer_end"]
            ids = places.new_tensor([self.lead_in] * len(hidden))
            forked = branch(decoder, cache, mask, places, ids)[:, -1]
            direct = level_loss(forked, head, inputs["levels"], self.tokens)
            loss = loss + self.direct_weight * direct
            self._note(model, loss_direct=direct)
        return loss

    def _note(self, model: Any, **values: torch.Tensor) -> None:
        for name, value in values.items():
            self._metrics["train" if model.training else "eval"][name].append(value.item())


def text_loss(
    hidden: torch.Tensor, head: torch.Tensor, batch: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Mean cross-entropy of the reply's tokens, the level's left out: hidden (B, T, D)."""
    labels = batch["labels"].clone()
    labels[torch.arange(len(labels), device=labels.device), batch["level_at"]] = -100
    at = (labels[:, 1:] != -100).nonzero(as_tuple=True)
    # Selected rows are contiguous: a sliced view would make the product copy the head a row.
    logits = (hidden[:, :-1][at] @ head.T).float()
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][at])


def level_loss(
    hidden: torch.Tensor, head: torch.Tensor, levels: torch.Tensor, tokens: LevelTokens
) -> torch.Tensor:
    """Mean cross-entropy of the level's first token to `levels` (B, 11): hidden (B, D).

    Over the whole vocabulary, so that nothing but a level is learnt to stand there.
    """
    count = 10 if tokens.ten_next is not None else len(tokens.first)
    logits = (hidden @ head[list(tokens.first[:count])].T).float()
    weights = first_token_weights(levels) if count == 10 else levels
    total = torch.logsumexp((hidden @ head.T).float(), -1)
    return (total - (weights.to(logits) * logits).sum(-1)).mean()


def sft_config(trainer: dict[str, Any]) -> SFTConfig:
    """TRL's configuration with what our rows need."""
    fixed: dict[str, Any] = {
        "remove_unused_columns": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "report_to": "none",
    }
    return SFTConfig(**{**fixed, **trainer})
