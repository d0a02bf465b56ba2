"""Stage 1: which tokens are learnt, and that learning happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from training import product

from metaconf.config.blocks import Confidence
from metaconf.reply import format_reply
from metaconf.training.encode import encode_reply
from metaconf.training.levels import expectation, lead_in, level_logprobs, level_tokens, soft_labels
from metaconf.training.own_confidences import OWN_CONFIDENCES
from metaconf.training.rows import Continuation, Row, collate, collate_batch
from metaconf.training.score import taught_loss
from metaconf.training.sft import ConfidenceSFTTrainer, sft_config, text_loss

NAMES = ("loss_text", "loss_confidence", "loss_confidence_only")
HOW = Confidence(confidence_loss_weight=0.5, confidence_only_loss_weight=0.25)
ASKED = (("What is 1 + 2?", "3", 0.95), ("In which country is Quito?", "Ecuador", 0.3))


def rows(local: Any, n: int = 4) -> list[Row]:
    made: list[Row] = []
    for question, answer, target in (ASKED * n)[:n]:
        reply = encode_reply(local.tokenizer, format_reply(answer, "I know it.", round(target, 1)))
        prompt = list(local.reply_prompt(question))
        label = lead_in(local.tokenizer)
        continuations = (
            Continuation(reply.level_at or 0, [], target, without_reflection=False),
            Continuation(reply.spans["answer"][1], label, target),
        )
        made.append(Row(prompt, reply.tokens, reply.level_at or 0, continuations))
    return made


def batch_of(local: Any, made: list[Row]) -> dict[str, torch.Tensor]:
    one = level_tokens(local.tokenizer).first[1]
    return collate([row.columns() for row in made], local.tokenizer.pad_token_id, one)


@pytest.mark.parametrize("digits", ["single", "glued", "ten", "metaspace"])
def test_the_whole_reply_and_its_end_are_learnt_and_nothing_else(
    local_of: Callable[..., Any], digits: str
) -> None:
    local = local_of(digits=digits)
    made = rows(local)
    batch = batch_of(local, made)
    prefix = batch["prefix"][0].tolist()
    assert len(prefix) > 10
    levels = level_tokens(local.tokenizer)
    for i, row in enumerate(made):
        ids, labels = batch["input_ids"][i], batch["labels"][i]
        words = [
            t for continuation in row.continuations for t in (*continuation.tokens, levels.first[1])
        ]
        whole = [*row.prompt, *row.reply, *words]
        assert [*prefix, *ids[: len(whole) - len(prefix)].tolist()] == whole
        learnt = [t for place, t in enumerate(row.reply) if place != row.level_at]
        assert labels[labels != -100].tolist() == learnt
        assert row.level_at and row.reply[row.level_at] in levels.first
        assert row.reply[-1] == local.tokenizer.eos_token_id
        assert (ids[labels != -100] == labels[labels != -100]).all()
        assert labels[0] == -100  # a prompt token predicts the reply's first
    assert batch["targets"].tolist() == pytest.approx([0.95, 0.95, 0.3, 0.3] * 2)


def test_rows_with_one_prompt_keep_a_token_of_it(local_of: Callable[..., Any]) -> None:
    local = local_of()
    row = rows(local, 1)[0]
    batch = batch_of(local, [row, row])
    assert batch["prefix"].shape == (1, len(row.prompt) - 1)
    learnt = batch["labels"] != -100
    assert not learnt[:, 0].any() and (learnt.sum(1) == len(row.reply) - 1).all()


def test_a_token_sees_only_its_own_way(local_of: Callable[..., Any]) -> None:
    """Read back from mask and positions: the tokens before each level, in order."""
    local = local_of()
    made, one = rows(local, 2), level_tokens(local.tokenizer).first[1]
    batch = batch_of(local, made)
    prefix = batch["prefix"][0].tolist()
    ways = [(row, continuation) for row in made for continuation in row.continuations]
    for (line, place, last), (row, continuation) in zip(
        batch["level_positions"].tolist(), ways, strict=True
    ):
        way = [*row.prompt, *row.reply[: continuation.at], *continuation.tokens]
        for end, wanted in ((place, way), (last, [*way, one])):
            seen = batch["attention_mask"][line, end]
            ids, positions = batch["input_ids"][line][seen], batch["position_ids"][line][seen]
            assert positions.tolist() == list(range(len(prefix), len(prefix) + len(ids)))
            assert [*prefix, *ids.tolist()] == wanted


def hidden_for(head: torch.Tensor, ids: torch.Tensor, strength: float = 40.0) -> torch.Tensor:
    """Hidden states (B, T, V) that predict each next token of `ids`, for an identity head."""
    following = torch.cat([ids[:, 1:], ids[:, :1]], 1)
    return strength * torch.nn.functional.one_hot(following, len(head)).float()


@pytest.mark.parametrize("digits", ["single", "ten"])
def test_the_text_loss_leaves_the_level_out(local_of: Callable[..., Any], digits: str) -> None:
    local = local_of(digits=digits)
    made = rows(local)
    batch = batch_of(local, made)
    head = torch.eye(len(local.tokenizer))
    hidden = hidden_for(head, batch["input_ids"])
    assert text_loss(hidden, product(head), batch["labels"]) < 1e-3
    told = [0, 2, 4, 6]  # the first continuation of each row is the reply's own level
    at = tuple(batch["level_positions"][told][:, :2].T)
    wrong, shifted = hidden.clone(), hidden.clone()
    wrong[at] = 0
    shifted[at[0], at[1] - 1] = 0
    assert text_loss(wrong, product(head), batch["labels"]) < 1e-3
    assert text_loss(shifted, product(head), batch["labels"]) > 0.05


@pytest.mark.parametrize("digits", ["single", "glued", "ten"])
def test_the_confidence_loss_is_least_at_the_target(
    local_of: Callable[..., Any], digits: str
) -> None:
    local = local_of(digits=digits)
    tokens, means = level_tokens(local.tokenizer), torch.tensor([0.95, 0.3, 0.12, 0.0])
    target = torch.from_numpy(soft_labels(means.numpy())).float()
    head = torch.eye(len(local.tokenizer))

    def loss(levels: torch.Tensor) -> float:
        """Of a model that says `levels` (n, 11)."""
        first, after_one = (torch.full((4, len(head)), 1e-9) for _ in range(2))
        for level, token in enumerate(tokens.first):
            first[:, token] += levels[:, level]
        if tokens.ten_next is not None:
            after_one[:, tokens.ten_next] = levels[:, 10] / (levels[:, 1] + levels[:, 10] + 1e-9)
            after_one[:, 7] = 1 - after_one[:, tokens.ten_next]
        said = level_logprobs(
            first.log(), after_one.clamp_min(1e-9).log(), product(head), tokens, 7
        )
        assert said.exp() == pytest.approx(levels, abs=1e-3)
        return taught_loss(said, means).item()

    best = loss(target)
    entropy = -(target * target.clamp_min(1e-9).log()).sum(-1).mean().item()
    assert best == pytest.approx(entropy, abs=1e-2)
    assert best < loss(target.roll(1, 1)) - 1
    assert best < loss(torch.full((4, 11), 1 / 11)) - 0.5
    # Whatever is likely there and is no level costs.
    outside = torch.full((4, len(head)), 1e-9)
    outside[:, 5] = 1.0
    assert taught_loss(level_logprobs(outside.log(), outside, product(head), tokens, 7), means) > 10


def test_a_shorter_step_narrows_towards_the_expectation() -> None:
    broad = torch.full((1, 11), 1 / 11).log().requires_grad_()
    for step, gains in ((1.0, 9), (0.1, 5)):  # E = .5; the goals are .9 and .54
        loss = taught_loss(torch.log_softmax(broad, -1), torch.tensor([0.5 + step * 0.4]))
        (gradient,) = torch.autograd.grad(loss, broad)
        assert gradient.argmin().item() == gains


@pytest.mark.parametrize("digits", ["single", "glued", "ten"])
def test_each_loss_is_that_of_a_plain_forward(
    fresh_local: Callable[..., Any], tmp_path: Path, digits: str
) -> None:
    local = fresh_local(digits=digits)
    made, batch_rows = trainer(local, tmp_path), rows(local)
    model, tokens = local.model.train(), level_tokens(local.tokenizer)
    assert local.tokenizer.decode(lead_in(local.tokenizer)).strip(" ") == "\nConfidence:"
    with torch.no_grad():
        loss = made.compute_loss(model, batch_of(local, batch_rows))
        seen = {name: made._metrics["train"][name][-1] for name in NAMES}
        told, direct, text = [], [], []
        for row in batch_rows:
            for continuation in row.continuations:
                words = [*row.reply[: continuation.at], *continuation.tokens]
                assert (
                    "Self-reflection" in local.tokenizer.decode(words)
                ) != continuation.without_reflection
                ways = (words, [*words, tokens.first[1]])
                here, after = (
                    model(torch.tensor([[*row.prompt, *way]])).logits[:, -1] for way in ways
                )
                end = local.tokenizer.eos_token_id
                said = level_logprobs(here, after, product(torch.eye(here.shape[-1])), tokens, end)
                (direct if continuation.without_reflection else told).append(
                    taught_loss(said, torch.tensor([continuation.target]))
                )
            logits = model(torch.tensor([[*row.prompt, *row.reply]])).logits[0]
            logprobs = torch.log_softmax(logits[len(row.prompt) - 1 : -1], -1)
            picked = logprobs[torch.arange(len(row.reply)), torch.tensor(row.reply)]
            text += [-p for i, p in enumerate(picked) if i != row.level_at]
    plain = [torch.stack(values).mean().item() for values in (text, told, direct)]
    assert [seen[name] for name in NAMES] == pytest.approx(plain, rel=1e-3)
    assert loss.item() == pytest.approx(plain[0] + 0.5 * (plain[1] + plain[2]), rel=1e-3)


def test_rows_without_a_reflection_teach_answer_and_confidence(
    fresh_local: Callable[..., Any], tmp_path: Path
) -> None:
    local = fresh_local()
    made = trainer(local, tmp_path)
    batch = batch_of(local, short(rows(local, 2)))
    learnt = local.tokenizer.decode(batch["labels"][0][batch["labels"][0] != -100])
    assert learnt == "Answer: 3"
    with torch.no_grad():
        loss = made.compute_loss(local.model.train(), batch)
    seen = {name: values[-1] for name, values in made._metrics["train"].items()}
    assert {name for name in seen if name.startswith("loss")} == {
        "loss_text",
        "loss_confidence_only",
    }
    assert loss.item() == pytest.approx(
        seen["loss_text"] + 0.25 * seen["loss_confidence_only"], rel=1e-3
    )


def test_reflection_and_confidences_are_taught_for_the_models_own_confidence(
    fresh_local: Callable[..., Any], tmp_path: Path
) -> None:
    local = fresh_local()
    answers, whole = short(rows(local, 2)), rows(local, 2)[1]
    levels = trainer(local, tmp_path)._read(local.model, batch_of(local, answers))[1]
    own = expectation(torch.softmax(levels, -1)).tolist()
    columns = [
        with_wordings(local, answers[0], (own[0] - 0.3, own[0] + 0.01, own[0] + 0.2)),
        with_wordings(local, answers[1], (own[1] + 0.3, own[1] + 0.1, own[1] - 0.02)),
        whole.columns(),
    ]
    made = trainer(local, tmp_path, columns)
    made.state.global_step = 1
    batch = worded(made, columns)
    assert "rows" not in batch
    text = [local.tokenizer.decode(row[row != -100]) for row in batch["labels"]]
    assert "wording 1" in text[0] and "wording 2" in text[1] and "I know it." in text[2]
    # The third row, whose one reflection is given, has the answer of the second.
    assert batch["targets"].tolist() == pytest.approx([own[0], own[1], own[1], own[1]], abs=1e-5)
    kept = json.loads((tmp_path / OWN_CONFIDENCES).read_text())
    assert kept == pytest.approx([*own, own[1]], abs=1e-5)
    (tmp_path / OWN_CONFIDENCES).write_text(json.dumps([own[0] - 0.3, own[1] + 0.3, 0.7]))
    resumed = trainer(local, tmp_path, columns)  # the model has changed, what it was taught has not
    text = [local.tokenizer.decode(row[row != -100]) for row in worded(resumed, columns)["labels"]]
    assert "wording 0" in text[0] and "wording 0" in text[1]
    assert worded(resumed, columns)["targets"][2:].tolist() == pytest.approx([0.7, 0.7])


def test_without_a_first_part_the_target_chooses_the_wording(
    fresh_local: Callable[..., Any], tmp_path: Path
) -> None:
    local = fresh_local()
    columns = [with_wordings(local, row, (0.1, 0.4, 0.9)) for row in short(rows(local, 2))]
    batch = worded(trainer(local, tmp_path, columns), columns)  # targets .95 and .3
    text = [local.tokenizer.decode(row[row != -100]) for row in batch["labels"]]
    assert "wording 2" in text[0] and "wording 1" in text[1]


def with_wordings(local: Any, row: Row, confidences: tuple[float, ...]) -> dict[str, Any]:
    texts = [format_reply("3", f"wording {k}", 0.5) for k in range(3)]
    coded = [encode_reply(local.tokenizer, text) for text in texts]
    wordings = [replace(row, reply=c.tokens, level_at=c.level_at) for c in coded]
    return replace(row, wordings=tuple(zip(confidences, wordings, strict=True))).columns()


def worded(made: ConfidenceSFTTrainer, columns: list[dict[str, Any]]) -> dict[str, Any]:
    """The first batch of a step on these rows, as the Trainer takes it."""
    batches, _ = made.get_batch_samples(iter([made.data_collator(columns)]), 1, "cpu")
    return batches[0]


def test_a_weight_adds_to_the_text_loss(local_of: Callable[..., Any]) -> None:
    local = local_of()
    batch, head = batch_of(local, rows(local, 2)), torch.eye(len(local.tokenizer))
    hidden = torch.randn(*batch["labels"].shape, len(head))
    at = batch["labels"] != -100
    first = torch.zeros(at.shape)
    place = at[0].nonzero()[0]
    first[0, place] = 1.0
    alone = torch.nn.functional.cross_entropy(hidden[0, place - 1], batch["labels"][0, place])
    whole = text_loss(hidden, product(head), batch["labels"])
    mixed = whole + 3 * alone / at.sum()
    assert text_loss(hidden, product(head), batch["labels"], 1 + 3 * first) == pytest.approx(mixed)


def short(whole: list[Row]) -> list[Row]:
    """The rows without reflection and level."""
    return [
        Row(r.prompt, r.reply[: r.continuations[1].at], None, r.continuations[1:]) for r in whole
    ]


def trainer(
    local: Any, folder: Path, columns: list[dict[str, Any]] | None = None, **settings: Any
) -> ConfidenceSFTTrainer:
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
    made = Dataset.from_list(columns or [row.columns() for row in rows(local)])
    one = level_tokens(local.tokenizer).first[1]
    return ConfidenceSFTTrainer(
        model=local.model,
        args=sft_config({**default, **settings}),
        train_dataset=made,
        eval_dataset=made,
        processing_class=local.tokenizer,
        data_collator=lambda batch: collate_batch(batch, 0, one),
        how=HOW,
    )


def test_three_steps_lower_every_loss(fresh_local: Callable[..., Any], tmp_path: Path) -> None:
    made = trainer(fresh_local(), tmp_path)
    made.train()
    logs = [log for log in made.state.log_history if "loss_text" in log]
    for name in ("loss", *NAMES):
        assert logs[2][name] < logs[0][name]
    # Evaluation goes through the same loss.
    assert made.evaluate()["eval_loss"] < logs[0]["loss"]


def rates(made: ConfidenceSFTTrainer, steps: int) -> list[float]:
    made.create_optimizer_and_scheduler(steps)
    optimizer: Any = made.optimizer
    found: list[float] = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.lr_scheduler.step()
    return found


def test_each_part_has_its_own_schedule_unless_one_is_chosen(
    fresh_local: Callable[..., Any], tmp_path: Path
) -> None:
    local = fresh_local()
    whole = rows(local)
    columns = [row.columns() for row in (*short(whole), *short(whole), *whole)]
    made = trainer(local, tmp_path, columns, per_device_train_batch_size=len(whole), warmup_steps=2)
    made.two_parts = True
    # Two steps on answers alone, then the others; the rise is over two steps, the fall over one.
    assert rates(made, 6) == pytest.approx([0.005, 0.01, 0.005, 0.01, 0.01, 0.01])
    again = trainer(local, tmp_path, columns)
    assert rates(again, 6) == [0.01] * 6


def test_gradient_checkpointing_takes_the_same_steps(
    fresh_local: Callable[..., Any], tmp_path: Path
) -> None:
    logs: list[list[float]] = []
    for checkpointing in (False, True):
        made = trainer(fresh_local(), tmp_path, gradient_checkpointing=checkpointing)
        made.train()
        logs.append([log["loss"] for log in made.state.log_history if "loss_text" in log])
    assert logs[0] == pytest.approx(logs[1], rel=1e-3)


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
