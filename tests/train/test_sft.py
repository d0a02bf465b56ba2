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
from metaconf.train.levels import lead_in, level_tokens, soften
from metaconf.train.sft import (
    ConfidenceSFTTrainer,
    Row,
    collate,
    level_loss,
    sft_config,
    text_loss,
)

NAMES = ("loss_text", "loss_confidence", "loss_direct")
ASKED = (("What is 1 + 2?", "3", 0.95), ("In which country is Quito?", "Ecuador", 0.3))


def rows(local: Any, n: int = 4) -> list[Row]:
    made: list[Row] = []
    for question, answer, target in (ASKED * n)[:n]:
        reply = encode_reply(local.tokenizer, format_reply(answer, "I know it.", round(target, 1)))
        weights = soften([target])[0].tolist()  # pyright: ignore[reportArgumentType]
        prompt = list(local.reply_prompt(question))
        end = reply.spans["answer"][1]
        made.append(Row(prompt, reply.tokens, end, reply.level_at or 0, weights))
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
    head = torch.eye(len(local.tokenizer))
    hidden = hidden_for(head, batch["input_ids"])
    assert text_loss(hidden, head, batch) < 1e-3
    at = (torch.arange(len(hidden)), batch["level_at"] - 1)
    wrong, shifted = hidden.clone(), hidden.clone()
    wrong[at] = 0
    shifted[at[0], at[1] - 1] = 0
    assert text_loss(wrong, head, batch) < 1e-3
    assert text_loss(shifted, head, batch) > 0.05


@pytest.mark.parametrize("digits", ["single", "glued", "ten"])
def test_the_confidence_loss_is_least_at_the_target(
    local_of: Callable[..., Any], digits: str
) -> None:
    local = local_of(digits=digits)
    target = collate([row.columns() for row in rows(local)], 0)["levels"]
    tokens = level_tokens(local.tokenizer)
    head = torch.eye(len(local.tokenizer))

    def loss(weights: torch.Tensor) -> float:
        wanted = torch.full((4, len(head)), 1e-9)
        for level, token in enumerate(tokens.first):
            wanted[:, token] += weights[:, level]
        return level_loss(wanted.log(), head, target, tokens).item()

    best = loss(target)
    entropy = -(target * target.clamp_min(1e-9).log()).sum(-1).mean().item()
    assert best <= entropy + 1e-3
    assert best < loss(target.roll(1, 1)) - 1
    assert best < loss(torch.full((4, 11), 1 / 11)) - 0.5
    # Whatever is likely there and is no level costs.
    outside = torch.full((4, len(head)), 1e-9)
    outside[:, 5] = 1.0
    assert level_loss(outside.log(), head, target, tokens) > 10


@pytest.mark.parametrize("digits", ["single", "glued", "ten"])
def test_each_loss_is_that_of_a_plain_forward(
    fresh_local: Callable[..., Any], tmp_path: Path, digits: str
) -> None:
    local = fresh_local(digits=digits)
    made, batch_rows = trainer(local, tmp_path), rows(local)
    model, tokens = local.model.train(), level_tokens(local.tokenizer)
    label = lead_in(local.tokenizer)
    assert local.tokenizer.decode(label).strip(" ") == "\nConfidence:"
    with torch.no_grad():
        loss = made.compute_loss(model, collate([row.columns() for row in batch_rows], 0))
        seen = {name: made._metrics["train"][name][-1] for name in NAMES}
        told, direct, text = [], [], []
        for row in batch_rows:
            level = row.reply[: row.level_at]
            answer = row.reply[: row.answer_end] + label
            assert "Self-reflection" not in local.tokenizer.decode(answer)
            for kept, words in ((told, level), (direct, answer)):
                logits = model(torch.tensor([[*row.prompt, *words]])).logits[0, -1]
                weights = torch.tensor([row.levels])
                eye = torch.eye(len(logits))
                kept.append(level_loss(logits[None], eye, weights, tokens))
            logits = model(torch.tensor([[*row.prompt, *row.reply]])).logits[0]
            logprobs = torch.log_softmax(logits[len(row.prompt) - 1 : -1], -1)
            picked = logprobs[torch.arange(len(row.reply)), torch.tensor(row.reply)]
            text += [-p for i, p in enumerate(picked) if i != row.level_at]
    plain = [torch.stack(values).mean().item() for values in (text, told, direct)]
    assert [seen[name] for name in NAMES] == pytest.approx(plain, rel=1e-3)
    assert loss.item() == pytest.approx(plain[0] + 0.5 * plain[1] + 0.25 * plain[2], rel=1e-3)


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
        confidence_weight=0.5,
        direct_weight=0.25,
    )


def test_three_steps_lower_every_loss(fresh_local: Callable[..., Any], tmp_path: Path) -> None:
    made = trainer(fresh_local(), tmp_path)
    made.train()
    logs = [log for log in made.state.log_history if "loss_text" in log]
    for name in ("loss", *NAMES):
        assert logs[2][name] < logs[0][name]
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
