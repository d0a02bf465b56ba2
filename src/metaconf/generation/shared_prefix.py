"""Attention that keeps what all rows share in one copy.

Every prompt begins with the same instruction. In the usual cache its keys and values are copied
for each row and moved again for each token; here they stay one copy, which all rows read in one
matrix product, and only what differs is kept by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

NAME = "metaconf_shared_prefix"

_prefix: ContextVar[list[tuple[torch.Tensor, torch.Tensor]] | None] = ContextVar(
    "shared_prefix", default=None
)


def supports(config: Any) -> bool:
    """Whether every layer is plain causal attention (no window, no soft cap)."""
    layers = getattr(config, "layer_types", None) or ["full_attention"]
    # Mistral lists no layer types: its window is this one number.
    limits = ("sliding_window", "attn_logit_softcapping")
    plain = all(getattr(config, limit, None) is None for limit in limits)
    return set(layers) == {"full_attention"} and plain and _rotary(config)


def _rotary(config: Any) -> bool:
    """Families whose attention takes rotated keys through transformers' attention interface."""
    return config.model_type in {"llama", "qwen2", "qwen3", "mistral", "smollm3", "gemma"}


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query (B, H, T, D); key, value (B, K, S, D) of the row's own tokens; mask (B, 1, T, S),
    added to the scores. Returns (B, T, H, D)."""
    batch, heads, length, width = query.shape
    kv_heads = key.shape[1]
    rows = query.reshape(batch, kv_heads, -1, width)  # (B, K, G·T, D)
    own = rows @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        own = (
            own.view(batch, kv_heads, -1, length, key.shape[2]) + attention_mask[:, :, None]
        ).view_as(own)
    shared_key, shared_value = (_prefix.get() or [])[module.layer_idx]  # pyright: ignore
    flat = rows.transpose(0, 1).reshape(kv_heads, -1, width)
    shared = (flat @ shared_key.transpose(1, 2) * scaling).view(
        kv_heads, batch, -1, shared_key.shape[1]
    )
    weights = torch.softmax(torch.cat([shared.transpose(0, 1), own], -1).float(), -1).to(
        value.dtype
    )
    over_shared, over_own = weights.split([shared_key.shape[1], key.shape[2]], -1)
    mixed = over_own @ value
    flat_weights = over_shared.transpose(0, 1).reshape(kv_heads, -1, shared_key.shape[1])
    mixed = mixed + (flat_weights @ shared_value).view(kv_heads, batch, -1, width).transpose(0, 1)
    return mixed.reshape(batch, heads, length, width).transpose(1, 2), None


@contextmanager
def shared_prefix(model: Any, layers: list[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[None]:
    """Within: `model` attends to `layers`, keys and values (K, P, D) each, before its own cache."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
    before = model.config._attn_implementation
    token = _prefix.set(layers)
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        _prefix.reset(token)
