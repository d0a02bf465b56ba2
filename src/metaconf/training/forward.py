"""Forward passes of a batch whose rows share a prefix, and what training reads from them.

All prompts start with the same instruction. It is run once, with gradients, and its keys and values
are reused by all rows. Gradient checkpointing drops the cache; then each row runs its whole prompt,
which takes less memory and more time. From the hidden states come the log-probabilities of the
reply tokens and the exact distribution over the confidence levels; level 10 ("1", "0") takes one
more token a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from metaconf.errors import UserError
from metaconf.generation.prefill import added, common_prefix
from metaconf.training.levels import LevelTokens, level_probabilities

CHUNK = 1024
"""Reply tokens whose logits over the vocabulary are in memory at once."""
_RESHAPED = ("final_logit_softcapping", "logit_scale", "logits_scaling")


@dataclass
class Pass:
    """A forward pass of B rows.

    `hidden` (B, T, D) predicts the T reply tokens; `tokens` (B, S) are all that were run, `mask`
    (B, S) is 1 for those that are no padding, `cache` holds their keys and values (None: dropped),
    and `starts` (B,) is where each row's reply starts in S.
    """

    hidden: torch.Tensor
    tokens: torch.Tensor
    cache: Any
    mask: torch.Tensor
    starts: torch.Tensor


def decoder_of(model: Any) -> tuple[Any, Any]:
    """The decoder and output matrix (V, D) of a causal model, also inside a PEFT wrapper. Raises
    UserError where the logits are not hidden state × output matrix."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = causal.get_output_embeddings()
    reshaped = [n for n in _RESHAPED if getattr(causal.config, n, None) not in (None, 1, 1.0)]
    if reshaped or getattr(head, "bias", None) is not None or hasattr(head, "base_layer"):
        raise UserError(
            f"{causal.config.model_type}: its logits are not hidden state × output matrix "
            f"({', '.join(reshaped) or 'a bias or an adapter on the output layer'}), which "
            "training needs; choose another model, or another lora_target_modules"
        )
    return causal.get_decoder(), head.weight


def run_after_prefix(
    decoder: Any, prefix: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, Any, torch.Tensor]:
    """Run `ids` (B, T) after `prefix` (1, P), which is run for one row.

    Returns hidden states (B, T, D), the cache (None under gradient checkpointing), and the mask
    (B, P + T).
    """
    mask = torch.cat([mask.new_ones(len(ids), prefix.shape[1]), mask], 1)
    if _drops_cache(decoder):
        whole = torch.cat([prefix.expand(len(ids), -1), ids], 1)
        out = decoder(input_ids=whole, attention_mask=mask, use_cache=False)
        return out.last_hidden_state[:, prefix.shape[1] :], None, mask
    cache = _cache_of(decoder, prefix, len(ids))
    out = decoder(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True)
    return out.last_hidden_state, cache, mask


def forward_packed(
    decoder: Any,
    prefix: torch.Tensor,
    ids: torch.Tensor,
    positions: torch.Tensor,
    attention_mask: torch.Tensor,
) -> torch.Tensor:
    """Hidden states (B, T, D) of packed rows `ids` (B, T) after `prefix` (1, P), as `rows.collate`
    lays them out: `positions` (B, T), and `attention_mask` (B, T, T), True where the first token
    attends to the second."""
    start = prefix.shape[1]
    dtype = next(decoder.parameters()).dtype
    if torch.is_autocast_enabled(ids.device.type):
        dtype = torch.get_autocast_dtype(ids.device.type)
    inputs: dict[str, Any] = {"input_ids": ids, "position_ids": positions}
    # Every token attends to the prefix.
    mask = torch.nn.functional.pad(attention_mask, (start, 0), value=True)  # (B, T, P + T)
    if _drops_cache(decoder):
        inputs = {
            "input_ids": torch.cat([prefix.expand(len(ids), -1), ids], 1),
            "position_ids": torch.nn.functional.pad(positions, (start, 0)),
            "use_cache": False,
        }
        inputs["position_ids"][:, :start] = torch.arange(start, device=ids.device)
        mask = torch.nn.functional.pad(mask, (0, 0, start, 0))  # (B, P + T, P + T)
        mask[:, :start, :start] = mask.new_ones(start, start).tril()
    else:
        inputs |= {"past_key_values": _cache_of(decoder, prefix, len(ids)), "use_cache": True}
    # A mask of four dimensions is added to the attention scores as it is.
    out = decoder(attention_mask=added(mask, dtype)[:, None], **inputs)
    return out.last_hidden_state[:, -ids.shape[1] :]


def _cache_of(decoder: Any, prefix: torch.Tensor, rows: int) -> Any:
    """The cache of `prefix` (1, P), run once and repeated for all rows."""
    from transformers import DynamicCache

    cache = DynamicCache(config=decoder.config)
    if prefix.shape[1]:
        decoder(input_ids=prefix, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(rows)
    return cache


def _drops_cache(decoder: Any) -> bool:
    """Whether gradient checkpointing is on; it drops the cache silently, and the prefix with it."""
    parts = decoder.modules() if getattr(decoder, "training", False) else ()
    return any(getattr(part, "gradient_checkpointing", False) for part in parts)


def right_padded(
    rows: Sequence[list[int]], device: Any = None, width: int = 0, pad: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of tokens → ids (B, T) and mask (B, T), T the longest row or `width` if that is more."""
    width = max(width, *map(len, rows))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows], device=device)
    return ids, mask


def run_replies(
    decoder: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, length: int
) -> Pass:
    """Run prompts (left-padded) and replies (right-padded to T = `length`) in TRL's layout:
    `input_ids` and `attention_mask` (B, prompt width + T)."""
    prompt_width = input_ids.shape[1] - length
    rows = [row[m.bool()].tolist() for row, m in zip(input_ids, attention_mask, strict=True)]
    prompts = [int(m[:prompt_width].sum()) for m in attention_mask]
    # At least one prompt token stays in each row, to predict the first reply token.
    shared = min(common_prefix(rows), min(prompts) - 1)
    rest = [row[shared:] for row in rows]
    # Every row gets room for T reply tokens, so that positions start … start + T − 1 exist.
    width = max(p - shared for p in prompts) + length
    device = input_ids.device
    ids, mask = right_padded(rest, device, width)
    prefix = input_ids.new_tensor([rows[0][:shared]])
    hidden, cache, full_mask = run_after_prefix(decoder, prefix, ids, mask)
    begins = torch.tensor([p - shared for p in prompts], device=device)
    places = begins[:, None] - 1 + torch.arange(length, device=device)
    picked = hidden[torch.arange(len(rows), device=device)[:, None], places]
    tokens = torch.cat([prefix.expand(len(rows), -1), ids], 1)
    return Pass(picked, tokens, cache, full_mask, begins + shared)


def token_scores(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each target and entropy there: hidden (N, D), targets (N,) → (N,), (N,).

    Logits live a chunk at a time and are computed again in the backward pass.
    """
    pairs = [
        checkpoint(_scores, h, head, t, temperature, use_reentrant=False)
        for h, t in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True)
    ]
    return torch.cat([p[0] for p in pairs]), torch.cat([p[1] for p in pairs])  # pyright: ignore


def _scores(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    logprobs = torch.log_softmax((hidden @ head.T).float() / temperature, -1)
    with torch.no_grad():
        entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(1, targets[:, None])[:, 0], entropy


def levels_after(
    done: Pass,
    decoder: Any,
    head: torch.Tensor,
    rows: torch.Tensor,
    at: torch.Tensor,
    tokens: LevelTokens,
) -> torch.Tensor:
    """Probabilities (n, 11) of the levels, where row `rows[i]` of the pass writes its confidence at
    reply token `at[i]`; they sum to 1. Adds one token to the pass's cache, or runs the rows again
    where it has none."""
    ten = torch.zeros(len(rows), device=at.device)
    if tokens.ten_next is not None:  # the probability that a "1" continues to "10"
        one = torch.full((len(rows), 1), tokens.first[1], device=at.device)
        after = forward_continuation(decoder, done, rows, done.starts[rows] + at, one)
        ten = torch.softmax((after[:, 0] @ head.T).float(), -1)[:, tokens.ten_next]
    return level_probabilities(done.hidden[rows, at], head, tokens, ten)


def forward_continuation(
    decoder: Any, done: Pass, rows: torch.Tensor, places: torch.Tensor, ids: torch.Tensor
) -> torch.Tensor:
    """Hidden states (n, k, D) of other tokens `ids` (n, k) that follow the positions before
    `places` (n,) of the `rows` (n,) of a pass. A cache is cut to these rows and grows by k."""
    length = ids.shape[1]
    positions = places[:, None] + torch.arange(length, device=ids.device)
    if done.cache is None:
        pairs = zip(done.tokens[rows].tolist(), places.tolist(), ids.tolist(), strict=True)
        again, mask = right_padded([[*row[:at], *words] for row, at, words in pairs], ids.device)
        out = decoder(input_ids=again, attention_mask=mask, use_cache=False)
        return out.last_hidden_state[torch.arange(len(rows), device=ids.device)[:, None], positions]
    done.cache.batch_select_indices(rows)
    mask = done.mask[rows]
    before = torch.arange(mask.shape[1], device=mask.device)[None] < places[:, None]
    out = decoder(
        input_ids=ids,
        attention_mask=torch.cat([mask * before, mask.new_ones(len(ids), length)], 1),
        position_ids=positions,
        past_key_values=done.cache,
        use_cache=True,
    )
    return out.last_hidden_state
