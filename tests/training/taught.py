"""Teaches a tiny model the reply format, for the tests that need replies with a number."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from metaconf.generation.local import LocalModel
from metaconf.reply import format_reply
from metaconf.training.encode import encode_reply
from metaconf.training.forward import Tree, decoder_of, forward_tree
from metaconf.training.levels import level_logprobs, level_tokens, soft_labels
from metaconf.training.rows import Continuation, Row, collate
from metaconf.training.sft import PACKED, text_loss

QUESTIONS = ("What is 1 + 2?", "In which country is Quito?")


def teach(local: LocalModel) -> None:
    """Afterwards it replies in the format, with confidences of 2 to 8."""
    model, tokenizer = local.model, local.tokenizer
    levels = level_tokens(tokenizer)
    rows: list[dict[str, Any]] = []
    for question, stated in itertools.product(QUESTIONS, (0.2, 0.3, 0.7, 0.8)):
        reply = encode_reply(tokenizer, format_reply("3", "I know it.", stated))
        at = reply.level_at or 0
        continuations = (Continuation(at, [], stated, without_reflection=False),)
        prompt = list(local.reply_prompt(question))
        rows.append(Row(prompt, reply.tokens, at, continuations).columns())
    batch = collate(rows, 0, levels.first[1])
    weights = torch.from_numpy(soft_labels(batch["targets"].numpy())).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    for step in range(90):
        optimizer.param_groups[0]["lr"] = 1e-2 if step < 60 else 2e-3
        decoder, head = decoder_of(model)
        hidden = forward_tree(decoder, Tree(*(batch[name] for name in PACKED)))
        row, place, after_one = batch["level_positions"].T
        states = hidden[row, place], hidden[row, after_one]
        said = level_logprobs(*states, head, levels, tokenizer.eos_token_id)
        loss = text_loss(hidden, head, batch["labels"]) - (weights * said).sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
