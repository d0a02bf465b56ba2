"""A tiny model that has learnt the reply format, for the tests that need replies with a number."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import tiny_model

from metaconf.generation.local import LocalModel, load_local
from metaconf.reply import format_reply
from metaconf.training.encode import encode_reply
from metaconf.training.forward import Tree, decoder_of, forward_packed
from metaconf.training.levels import level_logprobs, level_tokens, soft_labels
from metaconf.training.rows import Continuation, Row, collate
from metaconf.training.sft import text_loss

QUESTIONS = ("What is 1 + 2?", "In which country is Quito?")


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Any]:
    """A tiny model that has learnt to reply in the format, with confidences of 2 to 8."""
    source = load_local(
        str(tiny_model(tmp_path_factory.mktemp("taught"), spread=0.05)), torch.float32
    )
    model, tokenizer = source.model, source.tokenizer
    levels = level_tokens(tokenizer)
    rows: list[dict[str, Any]] = []
    for question, stated in itertools.product(QUESTIONS, (0.2, 0.3, 0.7, 0.8)):
        reply = encode_reply(tokenizer, format_reply("3", "I know it.", stated))
        at = reply.level_at or 0
        continuations = (Continuation(at, [], stated, without_reflection=False),)
        prompt = list(source.reply_prompt(question))
        rows.append(Row(prompt, reply.tokens, at, continuations).columns())
    batch = collate(rows, 0, levels.first[1])
    weights = torch.from_numpy(soft_labels(batch["targets"].numpy())).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    for step in range(90):
        optimizer.param_groups[0]["lr"] = 1e-2 if step < 60 else 2e-3
        decoder, head = decoder_of(model)
        packed = [batch[name] for name in ("prefix", "input_ids", "position_ids", "attention_mask")]
        hidden = forward_packed(decoder, Tree(*packed))
        row, place, after_one = batch["level_positions"].T
        states = hidden[row, place], hidden[row, after_one]
        said = level_logprobs(*states, head, levels, tokenizer.eos_token_id)
        loss = text_loss(hidden, head, batch["labels"]) - (weights * said).sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return lambda: LocalModel(copy.deepcopy(model), tokenizer)
