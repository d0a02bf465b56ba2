"""Recipes in the trainer: what reaches the loss, token by token, and that each of them trains."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from training import QUESTIONS, config_of

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from metaconf.config_blocks import Confidence, Config, Credit, Lora
from metaconf.errors import UserError
from metaconf.prompts.chat import messages
from metaconf.records import Question, Target
from metaconf.reply import parse_reply
from metaconf.rewards.recipes import OURS, PUBLISHED, recipe_of
from metaconf.train import stage2
from metaconf.train.encode import locate
from metaconf.train.forward import decoder_of, levels_after, run_replies
from metaconf.train.grpo import ConfidenceGRPOTrainer
from metaconf.train.levels import expectation, soften
from metaconf.train.payment import Payment
from metaconf.train.segments import ranges


def trainer_of(local: Any, config: Config, out: Path) -> ConfidenceGRPOTrainer:
    """As `stage2.train` builds it, without training."""
    recipe = recipe_of(config)
    args = stage2.settings(config, out, recipe)
    payment = Payment(recipe, out / "replies.jsonl", config.credit, args.scale_rewards)
    rows = [{"prompt": messages(q.prompt), "question": json.dumps(q.to_json())} for q in QUESTIONS]
    local.model.set_attn_implementation("eager")
    return ConfidenceGRPOTrainer(
        model=local.model,
        args=args,
        train_dataset=Dataset.from_list(rows * 4),
        processing_class=local.tokenizer,
        reward_funcs=payment.functions(),
        exact=recipe.exact,
        lesson=payment.lesson,
        even=config.credit.even,
    )


def drawn(made: ConfidenceGRPOTrainer) -> tuple[dict[str, Any], list[list[int]], list[Any]]:
    """A generation batch, its replies' tokens, and what they say."""
    inputs = [
        {"prompt": messages(q.prompt), "question": json.dumps(q.to_json())}
        for q in QUESTIONS
        for _ in range(4)
    ]
    made.model.train()  # pyright: ignore
    made.current_gradient_accumulation_steps = 1
    batch = made._generate_and_score_completions(inputs)
    pairs = zip(batch["completion_ids"], batch["completion_mask"], strict=True)
    tokens = [row[mask.bool()].tolist() for row, mask in pairs]
    decode: Any = made.processing_class.decode  # pyright: ignore
    return batch, tokens, [parse_reply(decode(t, skip_special_tokens=True)) for t in tokens]


def gradients(model: Any, loss: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in model.parameters()]


def reference(
    made: ConfidenceGRPOTrainer, batch: dict[str, Any], advantages: torch.Tensor, step: float
) -> torch.Tensor:
    """The loss by its definition, from a plain pass a row: −Σ A·ratio / tokens, and cross-entropy
    of the levels to the two around E + step·(a − E)."""
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
    mean = expectation(p.detach())
    goal = torch.from_numpy(soften((mean + step * (a - mean)).double().numpy())).float()
    return policy - (goal * p.log()).sum(-1).mean()


def _levels(made: Any, prompt: torch.Tensor, reply: torch.Tensor, at: int) -> torch.Tensor:
    ids = torch.cat([prompt, reply])[None]
    decoder, head = decoder_of(made.model)
    done = run_replies(decoder, ids, torch.ones_like(ids), len(reply))
    one = torch.tensor([0])
    return levels_after(done, decoder, head, one, torch.tensor([at]), made.levels)[0]


def same_loss(made: ConfidenceGRPOTrainer, batch: dict[str, Any], wanted: torch.Tensor) -> None:
    ours = made._compute_loss(made.model, {**batch, "num_items_in_batch": _items(batch)})
    assert ours.item() == pytest.approx(wanted.item(), abs=1e-5)
    pairs = zip(gradients(made.model, ours), gradients(made.model, wanted), strict=True)
    for a, b in pairs:
        assert torch.allclose(a, b, atol=2e-4 * b.abs().max().item() + 1e-6)


def _items(batch: dict[str, Any]) -> torch.Tensor:
    return batch["completion_mask"].sum()


@pytest.mark.parametrize("exact", [1.0, 0.0])
def test_the_default_recipe_teaches_what_it_always_did(
    taught: Callable[[], Any], tmp_path: Path, exact: float
) -> None:
    """Written out once more from its definition: pay less the group's mean, to every token but the
    number's, and the exact term; so that no change of the recipes moves the default."""
    made = trainer_of(taught(), config_of(confidence=Confidence(exact=exact)), tmp_path)
    batch, tokens, parsed = drawn(made)
    stored = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
    pay = []
    for row, said in zip(stored, parsed, strict=True):
        a, c = row["correctness"], said.confidence
        quality = sum(row["quality"].values()) / len(row["quality"]) if row["quality"] else 0.0
        calibration = 0.0 if c is None else 1 - (a - c) ** 2
        pay.append(calibration + 0.5 * quality + a + 0.5 * (not said.problems))
    assert len(set(pay)) > 2
    whole = np.array(pay) - np.repeat(np.reshape(pay, (2, 4)).mean(1), 4)
    wanted = torch.zeros(batch["completion_ids"].shape)
    for row, reply in enumerate(tokens):
        wanted[row] = whole[row]
        at = int(batch["level_at"][row])
        if exact and at >= 0:
            length = len(locate(made.processing_class, reply).spans["confidence"])
            wanted[row, at : at + length - 1] = 0
    advantages = batch["advantages"]
    if not exact:
        assert advantages.shape == (8,)
        advantages = advantages[:, None].expand_as(wanted)
    assert torch.allclose(advantages, wanted, atol=1e-6)
    same_loss(made, batch, reference(made, batch, wanted, 0.2 if exact else 0.0))


def test_segments_reach_the_loss_apart(taught: Callable[[], Any], tmp_path: Path) -> None:
    """dcpo: correctness before the number, −|c − t| on it, each by its group's deviation."""
    made = trainer_of(taught(), config_of("dcpo", credit=Credit(even=False)), tmp_path)
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
        at = ranges(locate(made.processing_class, reply))
        # What is missing is credited to the whole reply.
        start = at["confidence"][0] if "confidence" in at else 0
        end = start if {"answer", "reflection"} <= set(at) and start else len(reply)
        wanted[row, :end] += before[row]
        wanted[row, start : len(reply)] += number[row]
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
    config = config_of(name, lora=Lora(r=4))
    after = stage2.train(local, QUESTIONS, config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
    assert len(rows) == 16 and {r["step"] for r in rows} == {0, 1}
    assert set(rows[0]["parts"]) >= set(recipe_of(config).weights)
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert all(np.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in curve)
    pairs = list(zip(before, after.model.parameters(), strict=True))
    assert all(p.isfinite().all() for _, p in pairs)
    assert any(not torch.equal(a, b) for a, b in pairs)


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


def test_T1_a_reward_for_all_is_refused_by_name_and_counts(
    taught: Callable[[], Any], tmp_path: Path
) -> None:
    made = trainer_of(taught(), config_of(), tmp_path)

    def mean_only(prompts: Any, completions: Any, **_: Any) -> list[float]:
        return [1.0]

    again = ConfidenceGRPOTrainer(
        model=made.model,
        args=stage2.settings(config_of("rlvr"), tmp_path, recipe_of(config_of("rlvr"))),
        train_dataset=made.train_dataset,
        processing_class=made.processing_class,
        reward_funcs=[mean_only],
        exact=made.exact,
        lesson=made.lesson,
    )
    with pytest.raises(UserError, match=r"mean_only: 1 rewards for 8 replies"):
        drawn(again)


def test_T1_an_ungraded_reply_is_counted_and_the_others_are_taught(
    taught: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import metaconf.rewards.group as group

    known = group.grade_answer
    calls: list[int] = []

    def sometimes(question: Question, answer: str | None) -> tuple[float | None, str]:
        calls.append(1)
        return (None, "the judge failed") if len(calls) == 2 else known(question, answer)

    monkeypatch.setattr(group, "grade_answer", sometimes)
    for name, column in ((OURS, "unscored"), ("dcpo", "unscored_segments")):
        calls.clear()
        made = trainer_of(taught(), config_of(name), tmp_path / name)
        batch, _, _ = drawn(made)
        advantages = batch["advantages"]
        assert advantages.isfinite().all() and not advantages[1].any()
        assert advantages[[0, 2, 3]].any()
        assert batch["outcome"].isnan().tolist() == [False, True] + [False] * 6
        assert made._metrics["train"][column] == [pytest.approx(1 / 8)]


def test_T2_cut_replies_and_equal_rewards_are_said(
    local_of: Callable[..., Any],
    fresh_local: Callable[..., Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = {"max_completion_length": 16, "max_steps": 1, "num_generations": 2}
    asked = [Question(str(i), f"What is {i} + 1?", (Target((str(i + 1),)),)) for i in range(4)]
    with caplog.at_level(logging.WARNING, logger="metaconf"):
        stage2.train(fresh_local(), asked, config_of(trainer=settings), tmp_path)
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "zero-variance share 100 %" in said and "cut share 100 %" in said


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
