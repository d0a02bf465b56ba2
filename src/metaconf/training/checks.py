"""Checks that need transformers or TRL, made before a run starts and a model is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from metaconf.embedded.model import resolve_model
from metaconf.errors import UserError
from metaconf.generation.local import load_tokenizer
from metaconf.prompts.chat import messages, render
from metaconf.training.levels import level_tokens


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
