"""What is checked of a model once, when it is loaded and before anything is sampled from it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import torch

from metaconf.errors import UserError
from metaconf.prompts.chat import messages, render


def check_loaded(name: str, model: Any, tokenizer: Any, info: dict[str, Any]) -> None:
    """Refuse weights that are missing or not finite, and tokens without an embedding; name weights
    that the model has no place for; make the generation configuration one that can be saved.

    `info` is the loading info of transformers; empty for an adapter. Raises UserError.
    """
    missing, surplus = (
        sorted(map(str, info.get(part) or ())) for part in ("missing_keys", "unexpected_keys")
    )
    if missing:
        raise UserError(
            f"{name}: its files lack {_some(missing)}, which would be random numbers; fetch the"
            " model again"
        )
    if surplus:
        told = f"{name}: its files hold {_some(surplus)}, which its config.json has no place for"
        print(f"metaconf: {told}: they are left out", file=sys.stderr)
    if broken := [n for n, weight in model.named_parameters() if not is_finite(weight)]:
        raise UserError(
            f"{name}: {_some(broken)} hold values that are not finite numbers; take an earlier"
            " checkpoint, or fetch the model again"
        )
    _check_tokens(name, model, tokenizer)
    _make_saveable(name, model)


def _some(names: list[str]) -> str:
    """How many tensors, and the first three by name."""
    dots = ", …" if len(names) > 3 else ""
    return f"{len(names)} tensor{'s'[: len(names) > 1]} ({', '.join(names[:3])}{dots})"


@torch.no_grad()
def is_finite(weight: torch.Tensor) -> bool:
    """Whether all values of a tensor are finite. A finite sum says so, forty times as fast."""
    return bool(weight.sum().isfinite() or weight.isfinite().all())


def _check_tokens(name: str, model: Any, tokenizer: Any) -> None:
    """Refuse a vocabulary, or a chat template, with tokens beyond the embedding's rows. Tokens that
    were added and that no prompt uses may stand there, as in Gemma 3."""
    rows = model.get_input_embeddings().weight.shape[0]
    used: Iterable[int] = [tokenizer.vocab_size - 1, tokenizer.eos_token_id or 0]
    if getattr(tokenizer, "chat_template", None):
        used = [*used, *render(tokenizer, messages("?"))]
    if (highest := max(used)) >= rows:
        raise UserError(
            f"{name}: its tokenizer or chat template gives token {highest}"
            f" ({tokenizer.convert_ids_to_tokens(highest)!r}), and the model's embedding has"
            f" {rows} rows; give the tokenizer that belongs to the model"
        )


def _make_saveable(name: str, model: Any) -> None:
    """Leave the end tokens alone of a generation configuration that contradicts itself:
    transformers would refuse to save it with the trained model, and nothing of it is used here."""
    from transformers import GenerationConfig

    config = getattr(model, "generation_config", None)
    if config is None:
        return
    try:
        config.validate(strict=True)
    except ValueError:
        ends = {key: getattr(config, key) for key in ("bos_token_id", "eos_token_id")}
        model.generation_config = GenerationConfig(**ends, pad_token_id=config.pad_token_id)
        print(
            f"metaconf: {name}: its generation_config.json contradicts itself; of it the end"
            " tokens are kept",
            file=sys.stderr,
        )
