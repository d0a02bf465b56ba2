"""Checks that need transformers or TRL, made before a run starts and a model is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from metaconf.embedded.model import resolve_model
from metaconf.errors import UserError
from metaconf.generation.local import load_tokenizer
from metaconf.generation.prefill import UNABLE
from metaconf.prompts.chat import messages, render
from metaconf.training.forward import decoder_of
from metaconf.training.levels import level_tokens

AHEAD = 0.2
"""Share by which tokens that follow may change a model's logits: rounding, and what it decides
between experts that are nearly equal, stays far below."""


def check_tokenizer(name_or_path: str) -> None:
    """Raise UserError for a tokenizer without an end token (no reply could end), without a chat
    template, or without single tokens for the levels 0 to 9."""
    tokenizer = load_tokenizer(name_or_path)
    end = tokenizer.eos_token_id
    if end is None:
        raise UserError(
            f"{name_or_path}: its tokenizer has no end-of-sequence token, so no reply could end;"
            " set eos_token in its tokenizer_config.json, or choose another model"
        )
    size = _vocabulary(name_or_path)
    if size is not None and end >= size:
        raise UserError(
            f"{name_or_path}: the end-of-sequence token {tokenizer.eos_token!r} is number {end},"
            f" but the model knows {size} tokens; set eos_token to one of them"
        )
    render(tokenizer, messages("?"))
    try:
        level_tokens(tokenizer)
    except ValueError as error:
        raise UserError(f"{name_or_path}: {error}; choose another model") from error


@torch.no_grad()
def check_forward(name: str, model: Any) -> None:
    """Raise UserError for a model whose parts do not make up the whole: training reads its hidden
    states, and makes logits of them as the model does. And for one whose tokens read those that
    follow, which predicts nothing. Compared on a few tokens."""
    size = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(3, 11, device=model.device)[None] * 7 % size
    try:
        wanted = model(input_ids=ids, use_cache=False).logits[0].float()
        decoder, head = decoder_of(model)
        got = head(decoder(input_ids=ids, use_cache=False).last_hidden_state[0])
        apart = ((got - wanted).norm() / wanted.norm()).item()
        reason = f"its logits come out otherwise from its hidden states, by {apart:.1%}"
        alone = model(input_ids=ids[:, :4], use_cache=False).logits[0].float()
        if (ahead := ((alone - wanted[:4]).norm() / alone.norm()).item()) > AHEAD:
            apart, reason = ahead, "its tokens read those that follow"
    except UNABLE as error:
        apart, reason = math.inf, f"{type(error).__name__}: {' '.join(str(error).split())}"
    if not apart < math.sqrt(torch.finfo(model.dtype).eps):
        raise UserError(
            f"{name}: {model.config.model_type} models cannot be trained here ({reason}); choose"
            " another model"
        )


def _vocabulary(name_or_path: str) -> int | None:
    """The size of the model's vocabulary; None where its configuration does not give it (that of an
    adapter does not)."""
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(resolve_model(name_or_path))
    except (OSError, ValueError):
        return None
    return getattr(config.get_text_config(), "vocab_size", None)


@contextmanager
def taken_by(name: str) -> Iterator[None]:
    """Turn what TRL's configuration `name` refuses into a UserError of one line."""
    try:
        yield
    except (ImportError, KeyError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name} refuses these settings ({told}); correct the keys") from error
