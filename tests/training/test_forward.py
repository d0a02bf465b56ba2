"""The shared forward pass of training against one plain pass a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from metaconf.reply import format_reply
from metaconf.training.encode import Encoded, encode_reply
from metaconf.training.forward import Tree, decoder_of, forward_packed, read_replies
from metaconf.training.levels import LEVELS, level_tokens
from metaconf.training.rows import Continuation, Row, collate
from metaconf.training.sft import text_loss

QUESTIONS = ("What is 1 + 2?", "In which country is the city of Quito?", "Why?", "Why?")
CONFIDENCES = (0.7, 1.0, 0.1, 0.4)


def rows(local: Any) -> list[tuple[list[int], Encoded]]:
    """Prompts and replies of different lengths; the last two share their prompt."""
    texts = [format_reply("Quito " * (i + 1), "I know it.", c) for i, c in enumerate(CONFIDENCES)]
    prompts = [list(local.reply_prompt(q)) for q in QUESTIONS]
    return [(p, encode_reply(local.tokenizer, t)) for p, t in zip(prompts, texts, strict=True)]


def batch(pairs: list[tuple[list[int], Encoded]]) -> tuple[torch.Tensor, torch.Tensor, int]:
    """As TRL lays them out: prompts padded on the left, replies on the right."""
    left = max(len(p) for p, _ in pairs)
    right = max(len(r.tokens) for _, r in pairs)
    ids = [[9] * (left - len(p)) + p + r.tokens + [9] * (right - len(r.tokens)) for p, r in pairs]
    mask = [
        [0] * (left - len(p)) + [1] * (len(p) + len(r.tokens)) + [0] * (right - len(r.tokens))
        for p, r in pairs
    ]
    return torch.tensor(ids), torch.tensor(mask), right


def scores(model: Any, pairs: list[Any], temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask, length = batch(pairs)
    read = read_replies(model, ids, mask, length, temperature)
    real = mask[:, -length:].bool()
    return read.logps[real], read.entropies[real]


def plain(model: Any, pairs: list[Any], temperature: float) -> torch.Tensor:
    found: list[torch.Tensor] = []
    for prompt, reply in pairs:
        logits = model(torch.tensor([[*prompt, *reply.tokens]])).logits[0, len(prompt) - 1 : -1]
        logprobs = torch.log_softmax(logits / temperature, -1)
        found.append(logprobs[torch.arange(len(reply.tokens)), torch.tensor(reply.tokens)])
    return torch.cat(found)


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "mistral", "gemma", "mistral_window"])
def test_scores_are_those_of_a_plain_forward(
    local_of: Callable[..., Any], architecture: str
) -> None:
    local = local_of(architecture)
    pairs = rows(local)
    with torch.no_grad():
        got, entropy = scores(local.model, pairs, 0.7)
        assert torch.allclose(got, plain(local.model, pairs, 0.7), atol=2e-4)
        assert (entropy >= 0).all() and entropy.shape == got.shape
        # One row alone, and rows without any reply beside it, change nothing.
        alone, _ = scores(local.model, pairs[:1], 0.7)
        empty = [*pairs, (pairs[0][0], Encoded([], {}, None))]
        assert torch.allclose(scores(local.model, empty, 0.7)[0], got, atol=1e-5)
    assert torch.allclose(alone, got[: len(alone)], atol=1e-4)


def test_gradients_flow_through_the_shared_prefix(fresh_local: Callable[..., Any]) -> None:
    local = fresh_local()
    pairs = rows(local)
    gradients: list[list[torch.Tensor]] = []
    for loss in (scores(local.model, pairs, 1.0)[0].sum(), plain(local.model, pairs, 1.0).sum()):
        local.model.zero_grad()
        loss.backward()
        gradients.append([p.grad.clone() for p in local.model.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3 * theirs.abs().max().item() + 1e-6)


def test_an_adapter_is_seen(fresh_local: Callable[..., Any]) -> None:
    from peft import LoraConfig, get_peft_model

    local = fresh_local()
    pairs = rows(local)
    config = LoraConfig(target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    with torch.no_grad():
        before, _ = scores(local.model, pairs, 1.0)
        model: Any = get_peft_model(local.model, config)
        got, _ = scores(model, pairs, 1.0)
        assert torch.allclose(got, plain(model, pairs, 1.0), atol=2e-4)
    assert not torch.allclose(got, before, atol=1e-2)


def brute_force(model: Any, tokenizer: Any, context: list[int], stem: str) -> torch.Tensor:
    """(11,) probabilities of the levels, each as a complete text, from full softmaxes."""
    start = tokenizer.encode(stem, add_special_tokens=False)

    def probability(tokens: list[int]) -> torch.Tensor:
        logits = model(torch.tensor([[*context, *tokens]])).logits[0, len(context) - 1 : -1]
        return torch.softmax(logits, -1)[torch.arange(len(tokens)), torch.tensor(tokens)].prod()

    whole = [tokenizer.encode(f"{stem} {k}", add_special_tokens=False) for k in range(LEVELS)]
    first = next(i for i in range(9) if len({w[i] for w in whole[:10]}) > 1)
    context = [*context, *whole[0][:first]]
    assert whole[0][: len(start)] == start
    found = torch.stack([probability(w[first:]) for w in whole])
    if whole[10][first] == whole[1][first]:
        found[1] = found[1] - found[10]  # "1" that does not go on to "10"
    return found / found.sum()


@pytest.mark.parametrize("digits", ["single", "glued", "ten", "metaspace"])
@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_levels_are_those_of_complete_texts(
    local_of: Callable[..., Any], architecture: str, digits: str
) -> None:
    local = local_of(architecture, digits)
    pairs, tokens = rows(local), level_tokens(local.tokenizer)
    ids, mask, length = batch(pairs)
    at = torch.tensor([reply.level_at for _, reply in pairs])
    with torch.no_grad():
        got = read_replies(local.model, ids, mask, length, at=at, tokens=tokens).levels
        assert got is not None
        for row, (prompt, reply) in zip(got, pairs, strict=True):
            # The reply up to its last line, which the stem begins again.
            text = local.tokenizer.decode(reply.tokens[:-1])
            before = len(text.rsplit("Confidence:", 1)[0])
            coded = local.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            ends = [j for j, (_, b) in enumerate(coded["offset_mapping"]) if b <= before]
            if digits == "metaspace":  # "\nConfidence:" is one piece there
                context, stem = [*prompt, *reply.tokens[: reply.level_at or 0]], None
                wanted = by_place(local.model, context, tokens)
            else:
                stem = "Confidence:"
                context = [*prompt, *reply.tokens[: ends[-1] + 1]]
                wanted = brute_force(local.model, local.tokenizer, context, stem)
            assert torch.allclose(row, wanted, atol=1e-5)
    assert got.shape == (4, LEVELS)
    assert (got[0] - got[1]).abs().max() > 1e-3


def by_place(model: Any, context: list[int], tokens: Any) -> torch.Tensor:
    first = torch.softmax(model(torch.tensor([context])).logits[0, -1], -1)[list(tokens.first)]
    after = model(torch.tensor([[*context, tokens.first[1]]])).logits[0, -1]
    ten = torch.softmax(after, -1)[tokens.ten_next]
    first[10], first[1] = first[1] * ten, first[1] * (1 - ten)
    return first / first.sum()


def gradients(local: Any, checkpointing: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What is read from one pass, and the gradients of all of it."""
    model, tokens = local.model, level_tokens(local.tokenizer)
    model.zero_grad()
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    pairs = rows(local)
    ids, mask, length = batch(pairs)
    at = torch.tensor([reply.level_at for _, reply in pairs])
    logps, _, levels = read_replies(model, ids, mask, length, at=at, tokens=tokens)
    assert levels is not None
    weights = torch.linspace(0, 1, LEVELS)
    (logps.sum() + (levels * weights).sum()).backward()
    return [logps, levels], [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3"])
def test_gradient_checkpointing_changes_nothing_but_the_memory(
    fresh_local: Callable[..., Any], architecture: str
) -> None:
    plain, checked = (gradients(fresh_local(architecture), on) for on in (False, True))
    for one, other in zip(plain, checked, strict=True):
        assert len(one) == len(other) > 0
        for a, b in zip(one, other, strict=True):
            assert torch.allclose(a, b, atol=1e-4, rtol=1e-3)


def test_trees_are_the_same_under_gradient_checkpointing(fresh_local: Callable[..., Any]) -> None:
    found: list[list[torch.Tensor]] = []
    for checkpointing in (False, True):
        local = fresh_local()
        local.model.train()
        if checkpointing:
            local.model.gradient_checkpointing_enable()
        made = [
            Row(
                prompt,
                reply.tokens,
                reply.level_at,
                (Continuation(3, [5, 6], 0.4), Continuation(2, [], 0.7)),
            )
            for prompt, reply in rows(local)
        ]
        laid = collate([row.columns() for row in made], 0, 7)
        decoder, head = decoder_of(local.model)
        packed = [laid[name] for name in ("prefix", "input_ids", "position_ids", "attention_mask")]
        assert laid["prefix"].shape[1] > 0
        hidden = forward_packed(decoder, Tree(*packed))
        row, place, after = laid["level_positions"].T
        loss = text_loss(hidden, head, laid["labels"])
        (loss + hidden[row, place].sum() + hidden[row, after].square().sum()).backward()
        grads = [p.grad for p in local.model.parameters() if p.grad is not None]
        found.append([hidden[row, place], hidden[row, after], loss, *grads])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-4, rtol=1e-3)
