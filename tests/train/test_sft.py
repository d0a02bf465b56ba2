"""Stage 1: which tokens are learnt, and that learning happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from metaconf.reply import format_reply
from metaconf.train.encode import encode_reply
from metaconf.train.levels import level_tokens, soften
from metaconf.train.sft import ConfidenceSFTTrainer, Row, collate, losses, sft_config

ASKED = (("What is 1 + 2?", "3", 0.95), ("In which country is Quito?", "Ecuador", 0.3))


def rows(local: Any, n: int = 4) -> list[Row]:
    made: list[Row] = []
    for question, answer, target in (ASKED * n)[:n]:
        reply = encode_reply(local.tokenizer, format_reply(answer, "I know it.", round(target, 1)))
        weights = soften([target])[0].tolist()  # pyright: ignore[reportArgumentType]
        prompt = list(local.reply_prompt(question))
        made.append(Row(prompt, reply.tokens, reply.level_at or 0, weights))
    return made


@pytest.mark.parametrize("digits", ["single", "glued", "ten", "metaspace"])
def test_the_whole_reply_and_its_end_are_learnt_and_nothing_else(
    local_of: Callable[..., Any], digits: str
) -> None:
    local = local_of(digits=digits)
    made = rows(local)
    batch = collate([row.columns() for row in made], local.tokenizer.pad_token_id)
    prefix = batch["prefix"][0].tolist()
    assert len(prefix) > 10
    levels = level_tokens(local.tokenizer)
    for i, row in enumerate(made):
        real = batch["attention_mask"][i].bool()
        ids, labels = batch["input_ids"][i], batch["labels"][i]
        assert [*prefix, *ids[real].tolist()] == [*row.prompt, *row.reply]
        assert labels[labels != -100].tolist() == row.reply
        assert row.reply[-1] == local.tokenizer.eos_token_id
        assert (ids[labels != -100] == labels[labels != -100]).all()
        assert labels[0] == -100  # a prompt token predicts the reply's first
        assert ids[batch["level_at"][i]] in levels.first
        assert (labels[~real] == -100).all()
    assert batch["levels"].shape == (4, 11)


def test_rows_with_one_prompt_keep_a_token_of_it(local_of: Callable[..., Any]) -> None:
    row = rows(local_of(), 1)[0]
    batch = collate([row.columns(), row.columns()], 0)
    assert batch["prefix"].shape == (1, len(row.prompt) - 1)
    assert (batch["labels"][:, 0] == -100).all() and (batch["labels"][:, 1:] != -100).all()


def hidden_for(head: torch.Tensor, ids: torch.Tensor, strength: float = 40.0) -> torch.Tensor:
    """Hidden states (B, T, V) that predict each next token of `ids`, for an identity head."""
    following = torch.cat([ids[:, 1:], ids[:, :1]], 1)
    return strength * torch.nn.functional.one_hot(following, len(head)).float()


@pytest.mark.parametrize("digits", ["single", "ten"])
def test_the_text_loss_leaves_the_level_out(local_of: Callable[..., Any], digits: str) -> None:
    local = local_of(digits=digits)
    batch = collate([row.columns() for row in rows(local)], 0)
    tokens = level_tokens(local.tokenizer)
    head = torch.eye(len(local.tokenizer))
    hidden = hidden_for(head, batch["input_ids"])
    text, confidence = losses(hidden, head, batch, tokens)
    assert text < 1e-3
    # The target is spread on two levels, the model sure of one: cross-entropy tells.
    assert confidence > 1
    at = (torch.arange(len(hidden)), batch["level_at"] - 1)
    wrong = hidden.clone()
    wrong[at] = 0
    assert losses(wrong, head, batch, tokens)[0] < 1e-3
    shifted = hidden.clone()
    shifted[at[0], at[1] - 1] = 0
    assert losses(shifted, head, batch, tokens)[0] > 0.05


@pytest.mark.parametrize("digits", ["single", "glued", "ten"])
def test_the_confidence_loss_is_least_at_the_target(
    local_of: Callable[..., Any], digits: str
) -> None:
    local = local_of(digits=digits)
    batch = collate([row.columns() for row in rows(local)], 0)
    tokens = level_tokens(local.tokenizer)
    head = torch.eye(len(local.tokenizer))
    hidden = hidden_for(head, batch["input_ids"])
    places = torch.arange(4), batch["level_at"] - 1

    def loss(weights: torch.Tensor) -> float:
        wanted = torch.full((4, len(head)), 1e-9)
        for level, token in enumerate(tokens.first):
            wanted[:, token] += weights[:, level]
        hidden[places] = wanted.log()
        return losses(hidden, head, batch, tokens)[1].item()

    best = loss(batch["levels"])
    entropy = -(batch["levels"] * batch["levels"].clamp_min(1e-9).log()).sum(-1).mean().item()
    assert best <= entropy + 1e-3
    assert best < loss(batch["levels"].roll(1, 1)) - 1
    assert best < loss(torch.full((4, 11), 1 / 11)) - 0.5


def trainer(local: Any, folder: Path, **settings: Any) -> ConfidenceSFTTrainer:
    default: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "gradient_checkpointing": False,
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
    }
    made = Dataset.from_list([row.columns() for row in rows(local)])
    return ConfidenceSFTTrainer(
        model=local.model,
        args=sft_config({**default, **settings}),
        train_dataset=made,
        eval_dataset=made,
        processing_class=local.tokenizer,
        data_collator=lambda batch: collate(batch, 0),
        text_weight=1.0,
        confidence_weight=0.5,
    )


def test_three_steps_lower_both_losses(fresh_local: Callable[..., Any], tmp_path: Path) -> None:
    made = trainer(fresh_local(), tmp_path)
    made.train()
    logs = [log for log in made.state.log_history if "loss_text" in log]
    for name in ("loss", "loss_text", "loss_confidence"):
        assert logs[2][name] < logs[0][name]
    first = logs[0]
    both = first["loss_text"] + 0.5 * first["loss_confidence"]
    assert first["loss"] == pytest.approx(both, rel=1e-3)
    # Evaluation goes through the same loss.
    assert made.evaluate()["eval_loss"] < logs[0]["loss"]


def test_accumulated_steps_are_a_mean(fresh_local: Callable[..., Any], tmp_path: Path) -> None:
    found: list[tuple[float, float]] = []
    for size, steps in ((4, 1), (2, 2)):
        made = trainer(
            fresh_local(),
            tmp_path,
            max_steps=1,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            max_grad_norm=1e9,
        )
        made.train()
        log = next(log for log in made.state.log_history if "loss_text" in log)
        found.append((log["loss"], log["grad_norm"]))
    assert found[1] == pytest.approx(found[0], rel=0.1)
