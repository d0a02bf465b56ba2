"""Recipes in the trainer: what reaches the loss, token by token, and that each of them trains."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training import QUESTIONS, config_of, drawn, trainer_of

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from metaconf.errors import UserError
from metaconf.grading.reading import reading
from metaconf.rewards.parts import four_parts
from metaconf.rewards.recipe import WHOLE, ExpectedScore, Recipe, Where
from metaconf.rewards.recipes import OURS, PUBLISHED, recipe_of
from metaconf.rewards.targets import mixed_accuracy
from metaconf.training import stage2
from metaconf.training.encode import locate
from metaconf.training.forward import read_replies
from metaconf.training.grpo import ConfidenceGRPOTrainer
from metaconf.training.levels import LEVELS, soft_labels
from metaconf.training.score import expected_score_losses
from metaconf.training.segments import segment_token_ranges


def gradients(model: Any, loss: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in model.parameters()]


def reference(
    made: ConfidenceGRPOTrainer, batch: dict[str, Any], advantages: torch.Tensor, step: float
) -> torch.Tensor:
    """The loss by its definition, from a plain pass a row: −Σ A·ratio / tokens, and cross-entropy
    of the levels to their own, a fifth of it on the two around E, tilted to move E by step·(a − E).
    """
    model: Any = made.model
    count = batch["completion_mask"].sum()
    policy, levels, outcomes = torch.zeros(()), [], []
    for row in range(len(advantages)):
        prompt = batch["prompt_ids"][row][batch["prompt_mask"][row].bool()]
        reply = batch["completion_ids"][row][batch["completion_mask"][row].bool()]
        logits = model(torch.cat([prompt, reply])[None]).logits[0, len(prompt) - 1 : -1]
        logps = torch.log_softmax(logits.float() / made.temperature, -1)
        said = logps[torch.arange(len(reply)), reply]
        ratio = (said - said.detach()).exp()
        policy = policy - (advantages[row, : len(reply)] * ratio).sum() / count
        if batch["level_at"][row] >= 0 and not batch["outcome"][row].isnan():
            levels.append(_levels(made, prompt, reply, int(batch["level_at"][row])))
            outcomes.append(batch["outcome"][row])
    if not step:
        return policy
    p, a = torch.stack(levels), torch.stack(outcomes)
    still, k = p.detach().double(), torch.arange(LEVELS) / 10
    mean = (still * k).sum(-1, keepdim=True)
    variance = (still * (k - mean) ** 2).sum(-1, keepdim=True).clamp_min(0.05**2)
    tilt = step * (a[:, None] - mean) * still * (k - mean) / variance
    goal = 0.8 * still + 0.2 * torch.from_numpy(soft_labels(mean[:, 0].numpy())) + tilt
    return policy - (goal.float() * p.log()).sum(-1).mean()


def _levels(made: Any, prompt: torch.Tensor, reply: torch.Tensor, at: int) -> torch.Tensor:
    ids = torch.cat([prompt, reply])[None]
    places = {"at": torch.tensor([at]), "tokens": made.levels}
    read = read_replies(made.model, ids, torch.ones_like(ids), len(reply), **places)
    assert read.levels is not None
    return read.levels[0]


def same_loss(made: ConfidenceGRPOTrainer, batch: dict[str, Any], wanted: torch.Tensor) -> None:
    ours = made._compute_loss(made.model, {**batch, "num_items_in_batch": _items(batch)})
    assert ours.item() == pytest.approx(wanted.item(), abs=1e-5)
    pairs = zip(gradients(made.model, ours), gradients(made.model, wanted), strict=True)
    for a, b in pairs:
        assert torch.allclose(a, b, atol=2e-4 * b.abs().max().item() + 1e-6)


def _items(batch: dict[str, Any]) -> torch.Tensor:
    return batch["completion_mask"].sum()


def test_the_default_recipe_teaches_what_it_always_did(
    taught: Callable[[], Any], tmp_path: Path
) -> None:
    """Written out once more from its definition: pay less the group's mean, to every token but the
    number's, and the exact term; so that no change of the recipes moves the default."""
    made = trainer_of(taught(), config_of(), tmp_path)
    batch, tokens, parsed = drawn(made)
    stored = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
    pay = []
    for row, said in zip(stored, parsed, strict=True):
        a, c = row["correctness"], said.confidence
        quality = sum(row["quality"].values()) / len(row["quality"]) if row["quality"] else 0.0
        read = reading(said.reflection)
        if c is not None and read is not None:
            opposite = (c >= 0.6 and read <= 0.4) or (c <= 0.2 and read >= 0.6)
            quality = 0.0 if opposite else quality
        calibration = 0.0 if c is None else 1 - (a - c) ** 2
        pay.append(calibration + 0.5 * quality + a + 0.5 * (not said.problems))
    assert len(set(pay)) > 2
    whole = np.array(pay) - np.repeat(np.reshape(pay, (2, 4)).mean(1), 4)
    wanted = torch.zeros(batch["completion_ids"].shape)
    for row, reply in enumerate(tokens):
        wanted[row] = whole[row]
        at = int(batch["level_at"][row])
        if at >= 0:
            length = len(locate(made.processing_class, reply).spans["confidence"])
            wanted[row, at : at + length - 1] = 0
    assert torch.allclose(batch["advantages"], wanted, atol=1e-6)
    same_loss(made, batch, reference(made, batch, wanted, 0.2))


def test_segments_reach_the_loss_apart(taught: Callable[[], Any], tmp_path: Path) -> None:
    """dcpo: correctness before the number, −|c − t| on it, each by its group's deviation, and each
    half of the reply's weight."""
    made = trainer_of(taught(), config_of("dcpo"), tmp_path)
    batch, tokens, parsed = drawn(made)
    a = batch["outcome"].double().numpy()
    mean = np.repeat(a.reshape(2, 4).mean(1), 4)
    c = np.array([np.nan if p.confidence is None else p.confidence for p in parsed])
    far = np.where(np.isnan(c), -1.0, -np.abs(c - (a + mean) / 2))

    def apart(pay: np.ndarray) -> np.ndarray:
        grouped = pay.reshape(2, 4)
        spread = grouped.std(1, ddof=1, keepdims=True) + 1e-4
        return ((grouped - grouped.mean(1, keepdims=True)) / spread).ravel()

    before, number = apart(a), apart(far)
    wanted = torch.zeros(batch["completion_ids"].shape)
    for row, reply in enumerate(tokens):
        at = segment_token_ranges(locate(made.processing_class, reply))
        # What is missing is credited to the whole reply.
        start = at["confidence"][0] if "confidence" in at else 0
        end = start if {"answer", "reflection"} <= set(at) and start else len(reply)
        half = len(reply) / 2
        wanted[row, :end] += before[row] * half / end
        wanted[row, start : len(reply)] += number[row] * half / (len(reply) - start)
    stated = sum(p.confidence is not None for p in parsed)
    assert stated >= 5 and np.abs(number).max() > 0.5
    assert torch.allclose(batch["advantages"], wanted, atol=1e-5)
    same_loss(made, batch, reference(made, batch, wanted, 0.0))


def test_conftuner_moves_the_number_and_reinforces_nothing(
    taught: Callable[[], Any], tmp_path: Path
) -> None:
    made = trainer_of(taught(), config_of("conftuner"), tmp_path)
    batch, tokens, _ = drawn(made)
    assert not batch["advantages"].any()
    losses = [
        (levels * (batch["outcome"][row] - torch.arange(11) / 10) ** 2).sum()
        for row, levels in _all_levels(made, batch, tokens)
    ]
    same_loss(made, batch, torch.stack(losses).mean())


def test_credo_weighs_the_expectations_distance_to_its_mixed_goal(
    taught: Callable[[], Any], tmp_path: Path
) -> None:
    made = trainer_of(taught(), config_of("credo"), tmp_path)
    batch, tokens, parsed = drawn(made)
    a = batch["outcome"]
    goal = (a + a.reshape(2, 4).mean(1).repeat_interleave(4)) / 2
    stated = [row for row, said in enumerate(parsed) if said.confidence is not None]
    far = {row: abs(a[row].item() - (parsed[row].confidence or 0.0)) for row in stated}
    mean = sum(far.values()) / len(far)
    weight = {row: min(max(1 + far[row] - mean, 0.5), 2) for row in stated}
    assert len(set(weight.values())) > 2
    losses = [
        weight[row] * (levels @ (torch.arange(11) / 10) - goal[row]) ** 2
        for row, levels in _all_levels(made, batch, tokens)
        if not parsed[row].problems
    ]
    policy = reference(made, batch, batch["advantages"], 0.0)
    same_loss(made, batch, policy + torch.stack(losses).mean())


def _all_levels(made: Any, batch: dict[str, Any], tokens: list[list[int]]) -> Any:
    """(row, levels) of each reply that states a number, with gradients."""
    for row in range(8):
        if batch["level_at"][row] >= 0:
            prompt = batch["prompt_ids"][row][batch["prompt_mask"][row].bool()]
            reply = torch.tensor(tokens[row])
            yield row, _levels(made, prompt, reply, int(batch["level_at"][row]))


@pytest.mark.parametrize("name", [OURS, *PUBLISHED])
def test_every_recipe_trains(taught: Callable[[], Any], tmp_path: Path, name: str) -> None:
    local = taught()
    before = [p.clone() for p in local.model.parameters()]
    config = config_of(name, use_peft=True, lora_r=4)
    after = stage2.train(local, QUESTIONS, config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    assert set(rows[0]["parts"]) >= set(recipe_of(config).weights)
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert all(np.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in curve)
    pairs = list(zip(before, after.model.parameters(), strict=True))
    assert all(p.isfinite().all() for _, p in pairs)
    assert any(not torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("coef", [1.0, 0.0])
def test_a_recipe_by_segment_with_an_expected_score(
    taught: Callable[[], Any], tmp_path: Path, coef: float
) -> None:
    """What reaches the loss: the expected score to this outcome, no sampled number beside it."""
    score = ExpectedScore(coef, "expectation", lambda b: mixed_accuracy(b.correctness, b.group))
    credit: dict[Where, dict[str, float]] = {
        ("answer",): {"accuracy": 1.0},
        ("reflection",): {"reflection": 0.5},
        ("confidence",): {"calibration": 1.0},
        WHOLE: {"format": 0.5},
    }
    recipe = Recipe("tried", four_parts, credit, expected_score=score)
    made = trainer_of(taught(), config_of(), tmp_path, recipe)
    batch, tokens, parsed = drawn(made)
    a = batch["outcome"]
    mean = a.reshape(2, 4).mean(1).repeat_interleave(4)
    assert torch.allclose(batch["target"], (a + mean) / 2)
    policy = reference(made, batch, batch["advantages"], 0.0)
    where = [row for row, reply in enumerate(parsed) if reply.confidence is not None]
    at_number = torch.stack([batch["advantages"][r, batch["level_at"][r]] for r in where])
    if not coef:
        assert at_number.any()
        return same_loss(made, batch, policy)
    assert not at_number.any() and batch["advantages"].any()
    levels = dict(_all_levels(made, batch, tokens))
    losses = [
        expected_score_losses(p[None], batch["target"][r : r + 1], score) for r, p in levels.items()
    ]
    same_loss(made, batch, policy + torch.cat(losses).mean())


def test_accumulated_steps_credit_segments_as_one_batch_does(
    taught: Callable[[], Any], tmp_path: Path
) -> None:
    weights = []
    for size, parts in ((8, 1), (4, 2)):
        local = taught()
        settings = {
            "max_steps": 1,
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": parts,
            "optim": "sgd",
            "shuffle_dataset": False,
        }
        config = config_of("dcpo", settings)
        stage2.train(local, QUESTIONS, config, tmp_path / str(parts))
        weights.append([p.clone() for p in local.model.parameters()])
    start = [p.clone() for p in taught().model.parameters()]
    for one, two, before in zip(*weights, start, strict=True):
        moved = (one - before).abs().max().item()
        assert torch.allclose(one, two, atol=1e-3 * moved + 1e-7)


def test_a_setting_that_segments_would_not_follow_is_refused(tmp_path: Path) -> None:
    trainer = {"multi_objective_aggregation": "normalize_then_sum"}
    for name, refused in (("dcpo", True), (OURS, False)):
        config = config_of(name, trainer)
        if refused:
            with pytest.raises(UserError, match=r"normalize_then_sum: recipe dcpo"):
                stage2.settings(config, tmp_path, recipe_of(config))
        else:
            stage2.settings(config, tmp_path, recipe_of(config))


def test_the_scale_of_a_recipe_can_be_chosen_otherwise(tmp_path: Path) -> None:
    for name, own in ((OURS, "none"), ("rlcr", "none"), ("dcpo", "group")):
        for given, wanted in ((None, own), ("batch", "batch"), (True, "group")):
            config = config_of(name, {} if given is None else {"scale_rewards": given})
            assert stage2.settings(config, tmp_path, recipe_of(config)).scale_rewards == wanted
