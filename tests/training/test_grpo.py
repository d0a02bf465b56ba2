"""Stage 2: what we rely on in TRL's trainer, and what our overrides add."""

from __future__ import annotations

import ast
import inspect
import os
import re
import textwrap
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from metaconf.errors import UserError
from metaconf.prompts.chat import messages
from metaconf.reply import format_reply, parse_reply
from metaconf.rewards.advantages import Advantages, TrainingSignal
from metaconf.rewards.recipe import WHOLE, ExpectedScore, Recipe
from metaconf.runs import MANIFEST
from metaconf.training.encode import encode_reply

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from metaconf.training.grpo import IGNORE, ConfidenceGRPOTrainer, rollout
from metaconf.training.segments import without_confidence

QUESTIONS = ("What is 1 + 2?", "In which country is Quito?")


def parameters(name: str) -> list[str]:
    return list(inspect.signature(getattr(GRPOTrainer, name)).parameters)


def test_trl_still_has_the_methods_that_we_override() -> None:
    assert parameters("_generate_and_score_completions") == ["self", "inputs"]
    assert parameters("_compute_loss") == ["self", "model", "inputs"]
    scoring = parameters("_get_per_token_logps_and_entropies")
    assert scoring[:5] == ["self", "model", "input_ids", "attention_mask", "logits_to_keep"]
    assert "compute_entropy" in scoring
    assert parameters("_calculate_rewards") == [
        *("self", "inputs", "prompts", "completions", "completion_ids_list"),
    ]
    assert parameters("_log_metric") == ["self", "name", "value"]
    assert "rollout_func" in parameters("__init__")
    assert parameters("training_step")[:3] == ["self", "model", "inputs"]


def test_trl_still_asks_a_rollout_for_these_keys() -> None:
    source = inspect.getsource(GRPOTrainer._generate)
    assert 'required_keys = {"prompt_ids", "completion_ids", "logprobs"}' in source
    assert "self.rollout_func(prompts, self)" in source


def test_trl_still_adds_columns_to_the_rows_that_it_was_given() -> None:
    """Ours is "scored", which is read after TRL has computed the rewards."""
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    call = "self._calculate_rewards(inputs, prompts, completions, completion_ids_list)"
    assert source.count(call) == 1
    # The rows are the same objects all along.
    assert not re.search(r"\binputs = ", source)
    # What is NaN in all parts takes no part, there too.
    assert "torch.isnan(rewards_per_func).all(dim=1)" in source


def test_trl_still_uses_the_model_in_its_loss_for_one_pass_alone() -> None:
    """We give it the pass in the place of the model."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(GRPOTrainer._compute_loss)))
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "model"]
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "self._get_per_token_logps_and_entropies"
    )
    assert uses == [call.args[0]]


def test_trl_still_takes_advantages_by_token() -> None:
    assert "if advantages.dim() == 1" in inspect.getsource(GRPOTrainer._compute_loss)
    # Our term is divided by the accumulation steps as theirs is.
    assert GRPOTrainer.loss_is_scaled_for_ga is True
    assert "self.current_gradient_accumulation_steps" in inspect.getsource(
        GRPOTrainer._compute_loss
    )


def test_only_the_confidences_tokens_lose_their_advantage(tokenizer_of: Callable[..., Any]) -> None:
    tokenizer = tokenizer_of()
    texts = [
        format_reply("3", "I know it.", 1.0),
        format_reply("3 and 4", "I know it.", 0.85),
        "Answer: 3\nSelf-reflection: hm\nConfidence: 85%",
        "no reply",
    ]
    found = [encode_reply(tokenizer, text) for text in texts]
    width = max(len(f.tokens) for f in found)
    spread = without_confidence(torch.tensor([1.0, -2.0, 3.0, 4.0]), found, width)
    assert spread.shape == (4, width)
    for row, reply, advantage, value in zip(
        spread, found, (1.0, -2.0, 3.0, 4.0), ("10", "8.5", "", ""), strict=True
    ):
        zero = (row == 0).nonzero()[:, 0].tolist()
        assert tokenizer.decode([reply.tokens[i] for i in zero]) == value
        assert set(row.tolist()) - {0.0} == {advantage}


def asked(question: str) -> list[dict[str, str]]:
    return messages(question)


def stub(local: Any, step: int = 0, seed: int = 0) -> Any:
    args = SimpleNamespace(max_completion_length=6, temperature=1.3, seed=seed)
    return SimpleNamespace(
        args=args,
        processing_class=local.tokenizer,
        state=SimpleNamespace(global_step=step),
        model=local.model,
        servers=None,
        accelerator=SimpleNamespace(unwrap_model=lambda model: model, autocast=nullcontext),
    )


def test_rollout_answers_each_prompt_in_its_place(local_of: Callable[..., Any]) -> None:
    local = local_of()
    first, second = (asked(q) for q in QUESTIONS)
    out = rollout([first, first, second, first, second], stub(local))
    assert set(out) == {"prompt_ids", "completion_ids", "logprobs"}
    prompts = [list(local.reply_prompt(QUESTIONS[i])) for i in (0, 0, 1, 0, 1)]
    assert out["prompt_ids"] == prompts
    replies = out["completion_ids"]
    assert len(replies) == 5 and all(1 <= len(r) <= 6 for r in replies)
    assert len({tuple(replies[i]) for i in (0, 1, 3)}) == 3
    # The same replies whatever else is asked; others at another step or seed.
    assert rollout([second, first], stub(local))["completion_ids"] == [replies[2], replies[0]]
    for other in (stub(local, step=1), stub(local, seed=1)):
        assert rollout([first], other)["completion_ids"][0] != replies[0]


def trainer(
    local: Any,
    folder: Path,
    score: ExpectedScore,
    outcome: Callable[[str], float],
    reward: Callable[[str], float | None] = lambda text: 0.0,
    credit: Callable[[list[str]], Advantages] | None = None,
    **settings: Any,
) -> ConfidenceGRPOTrainer:
    default: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 2,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 40,
        "learning_rate": 2e-3,
        "lr_scheduler_type": "constant",
        "beta": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "gradient_checkpointing": False,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }

    def compute(questions: Sequence[str], texts: Sequence[str], step: int) -> TrainingSignal:
        found = np.array([outcome(text) for text in texts])
        given = np.array([reward(text) for text in texts], float)  # None: NaN
        apart = credit(list(texts)) if credit else None
        signal = TrainingSignal(
            {"given": given}, given, {"given": given}, found, found, np.ones(len(found)), apart, 0.0
        )
        return replace(signal, parsed=tuple(parse_reply(text) for text in texts))

    recipe = Recipe("tried", lambda _: {}, {WHOLE: {"given": 1.0}}, expected_score=score)
    rows = [{"prompt": asked(q), "question": q} for q in QUESTIONS] * 8
    return ConfidenceGRPOTrainer(
        model=local.model,
        args=GRPOConfig(**{**default, **settings}),
        train_dataset=Dataset.from_list(rows),
        processing_class=local.tokenizer,
        recipe=recipe,
        compute_rewards=compute,
    )


def test_scoring_agrees_with_trls_own(taught: Callable[[], Any], tmp_path: Path) -> None:
    local = taught()
    tokenizer = local.tokenizer
    made = trainer(local, tmp_path, ExpectedScore(1.0, step=0.3), lambda text: 1.0, temperature=0.8)
    local.model.eval()
    made.current_gradient_accumulation_steps = 1
    inputs = [{"prompt": asked(q), "question": q} for q in QUESTIONS for _ in range(4)]
    batch = made._generate_and_score_completions(inputs)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    length = batch["completion_ids"].shape[1]
    with torch.no_grad():
        args = (made.model, ids, mask, length)
        ours = made._get_per_token_logps_and_entropies(*args, compute_entropy=True)
        theirs = GRPOTrainer._get_per_token_logps_and_entropies(made, *args, compute_entropy=True)
    real = batch["completion_mask"].bool()
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        assert torch.allclose(a[real], b[real], atol=2e-4)
    assert ours[2] is theirs[2] is None
    # The replies are well formed, and their levels lie where the confidence is written.
    texts = tokenizer.batch_decode(batch["completion_ids"], skip_special_tokens=True)
    stated = [parse_reply(text).confidence for text in texts]
    assert sum(c is not None for c in stated) == 8
    for row, at, confidence in zip(batch["completion_ids"], batch["level_at"], stated, strict=True):
        assert (at == IGNORE) == (confidence is None)
        if confidence is not None:
            assert tokenizer.decode([row[at]]) == f"{10 * confidence:.0f}"[0]


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_the_exact_score_moves_the_confidence_alone(
    taught: Callable[[], Any], tmp_path: Path, outcome: float
) -> None:
    made = trainer(
        taught(), tmp_path, ExpectedScore(1.0, step=0.5), lambda text: outcome, max_steps=6
    )
    made.train()
    logs = [log for log in made.state.log_history if "confidence/expected" in log]
    assert len(logs) >= 3  # a reply with two reflections states none, and some write two later on

    def change(name: str) -> float:
        """From the first two steps to the last: each asks other questions."""
        return sum(log[name] for log in logs[-2:]) / 2 - sum(log[name] for log in logs[:2]) / 2

    assert change("confidence/brier") < 0
    assert change("confidence/expected") * (2 * outcome - 1) > 0.02


def test_unknown_outcomes_teach_nothing(taught: Callable[[], Any], tmp_path: Path) -> None:
    local = taught()
    before = [p.clone() for p in local.model.parameters()]
    made = trainer(
        local,
        tmp_path,
        ExpectedScore(1.0, step=0.5),
        lambda text: float("nan"),
        max_steps=1,
        weight_decay=0.0,
    )
    with pytest.raises(UserError, match="1 steps left the weights as they were"):
        made.train()
    assert all(torch.equal(a, b) for a, b in zip(before, local.model.parameters(), strict=True))


def test_one_failed_reward_leaves_the_others_finite(
    taught: Callable[[], Any], tmp_path: Path
) -> None:
    calls: list[str] = []

    def reward(text: str) -> float | None:
        calls.append(text)
        return None if len(calls) == 2 else float(len(calls))

    made = trainer(taught(), tmp_path, ExpectedScore(0.0, step=0.3), lambda text: 1.0, reward)
    inputs = [{"prompt": asked(q), "question": q} for q in QUESTIONS for _ in range(4)]
    batch = made._generate_and_score_completions(inputs)
    advantages = batch["advantages"]
    assert advantages.isfinite().all() and advantages[1] == 0 and (advantages[[0, 2, 3]] != 0).all()


def test_a_reply_that_TRL_masks_teaches_no_number(
    taught: Callable[[], Any], tmp_path: Path
) -> None:
    local, score = taught(), ExpectedScore(1.0, step=0.5)
    at = encode_reply(local.tokenizer, format_reply("3", "I know it.", 0.7)).level_at or 0
    settings = {"mask_truncated_completions": True, "max_completion_length": at + 1}
    made = trainer(local, tmp_path, score, lambda text: 1.0, **settings)
    inputs = [{"prompt": asked(q), "question": q} for q in QUESTIONS for _ in range(4)]
    batch = made._generate_and_score_completions(inputs)
    cut = ~batch["completion_mask"].any(1)
    replies = inputs[0]["scored"].replies
    assert any(reply.level_at is not None for reply, one in zip(replies, cut, strict=True) if one)
    assert (batch["level_at"][cut] == IGNORE).all()


def test_a_loss_that_is_not_finite_stops_training(
    taught: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = taught()
    before = [p.clone() for p in local.model.parameters()]
    made = trainer(local, tmp_path, ExpectedScore(1.0, step=0.5), lambda text: 1.0)
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / MANIFEST).write_text('{"files": {}}')
    broken = local.model.model.norm.weight.sum() * float("nan")
    monkeypatch.setattr(made, "_confidence_loss", lambda forward, inputs: broken)
    with pytest.raises(UserError, match=r"loss is nan at step 0.*checkpoint-3"):
        made.train()
    assert all(torch.equal(a, b) for a, b in zip(before, local.model.parameters(), strict=True))
