"""Where the prompt ends and the reply begins: the border that a tokenizer may merge over (T3)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import TEMPLATE, tiny_tokenizer

from metaconf.prompts.chat import INSTRUCTION, messages, render
from metaconf.reply import format_reply
from metaconf.training.encode import encode_reply, locate
from metaconf.training.levels import level_tokens
from metaconf.training.rows import Row, collate, train_rows

REPLY = format_reply("Ecuador", "I know Quito well.", 0.8)


def merging_tokenizer() -> Any:
    """A tokenizer whose template ends in ":", and which knows ":Answer" as one piece."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    parts: list[Any] = [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(True)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)  # pyright: ignore
    tokenizer.decoder = decoders.Metaspace()  # pyright: ignore
    trainer = trainers.BpeTrainer(  # pyright: ignore
        vocab_size=200,
        special_tokens=["<|im_start|>", "<|im_end|>", "<unk>"],
        initial_alphabet=[chr(i) for i in range(32, 127)] + ["\n"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(["assistant:Answer: so", "Confidence: 7"] * 50, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = TEMPLATE.replace("<|im_start|>assistant\n", "assistant:")
    return made


def thinking_tokenizer() -> Any:
    """A template that begins each reply with an empty think block, as Qwen3's does."""
    made = tiny_tokenizer()
    made.chat_template = TEMPLATE.replace("assistant\n", "assistant\n<think>\n\n</think>\n\n")
    return made


def row_of(tokenizer: Any) -> Row:
    turns = [
        {"from": "human", "value": "In which country is Quito?"},
        {"from": "gpt", "value": REPLY},
    ]
    row = {"id": "q", "system": INSTRUCTION, "target": 0.8, "conversations": turns}
    return train_rows(SimpleNamespace(tokenizer=tokenizer), [row])[0]  # pyright: ignore


@pytest.mark.parametrize("make", [merging_tokenizer, thinking_tokenizer])
def test_T3_the_whole_reply_and_its_end_are_in_the_loss(make: Any) -> None:
    tokenizer = make()
    row = row_of(tokenizer)
    assert tokenizer.decode(row.reply) == REPLY + "<|im_end|>"
    asked = messages("In which country is Quito?")
    assert row.prompt == render(tokenizer, asked)
    batch = collate([row.columns()], 0, level_tokens(tokenizer).first[1])
    labels = batch["labels"][0]
    learnt = [token for place, token in enumerate(row.reply) if place != row.level_at]
    assert labels[labels != -100].tolist() == learnt and learnt[-1] == tokenizer.eos_token_id
    # Learnt where they stand: the reply's tokens follow the prompt's, none is moved.
    places = (labels != -100).nonzero()[:, 0]
    assert torch.equal(batch["input_ids"][0][places], labels[places])
    assert int(places[0]) == len(row.prompt) - batch["prefix"].shape[1]


def test_T3_the_trap_is_there() -> None:
    """Tokenized together, prompt and reply would not begin with the prompt's tokens."""
    tokenizer = merging_tokenizer()
    prompt = render(tokenizer, messages("In which country is Quito?"))
    text = tokenizer.decode(prompt)
    assert text.endswith("assistant:")
    together = tokenizer.encode(text + REPLY, add_special_tokens=False)
    assert together[: len(prompt)] != prompt
    assert tokenizer.convert_ids_to_tokens(encode_reply(tokenizer, REPLY).tokens)[0] != ":Answer"


def test_T3_a_begun_think_block_leaves_the_segments_where_they_are() -> None:
    tokenizer = thinking_tokenizer()
    prompt = render(tokenizer, messages("In which country is Quito?"))
    assert tokenizer.decode(prompt).endswith("<think>\n\n</think>\n\n")
    reply = locate(tokenizer, encode_reply(tokenizer, REPLY).tokens)
    for name, value in (("answer", "Ecuador"), ("confidence", "8")):
        start, end = reply.spans[name]
        assert tokenizer.decode(reply.tokens[start:end]).strip() == value
    assert "thinking" not in reply.spans
