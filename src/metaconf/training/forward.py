"""Forward passes of a batch whose rows share a prefix and branch, and what training reads of them.

All prompts start with the same instruction. It is run once, with gradients, and its keys and values
are reused by all rows. What is asked of a row beside its own text (a confidence straight after the
answer, the "0" that would make a 10 of a "1") is a branch: more tokens in the same row, which see
what they follow and not what stands between. Gradient checkpointing drops the cache; then each row
runs its whole prompt, which takes less memory and more time. Where a model cannot take such rows
(a window shorter than the row, convolutions, state spaces), each branch is run as a row of its own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch.utils.checkpoint import checkpoint

from metaconf.generation.prefill import UNABLE, added, common_prefix, same, working_dtype
from metaconf.training.head import Head
from metaconf.training.levels import LevelTokens, level_probabilities
from metaconf.training.processes import is_spread

log = logging.getLogger("metaconf")

CHUNK = 1024
"""Reply tokens whose logits over the vocabulary are in memory at once."""
_takes_trees: WeakKeyDictionary[Any, dict[str, bool]] = WeakKeyDictionary()


class Tree(NamedTuple):
    """Rows that branch, as `rows.collate` lays them out: `ids` (B, T) after `prefix` (1, P),
    `positions` (B, T) along each token's own ancestors (the prefix included), and `mask` (B, T, T),
    True where the first token attends to the second. A token stands behind its ancestors, and one
    that sees itself alone is padding."""

    prefix: torch.Tensor
    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor


class Reading(NamedTuple):
    """What stage 2 reads of B replies: log-probabilities and entropies (B, T) of their tokens, 0
    where there is none, and probabilities (B, 11) of the levels at the places that were given."""

    logps: torch.Tensor
    entropies: torch.Tensor
    levels: torch.Tensor | None


def decoder_of(model: Any) -> tuple[Any, Head]:
    """The decoder and the head of a causal model, also inside a PEFT wrapper."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = causal.get_decoder()
    if decoder is causal:  # Llama 4, which does not find its own
        decoder = causal.model
    return decoder, Head(causal, decoder)


# Rows that branch


def forward_tree(decoder: Any, tree: Tree) -> torch.Tensor:
    """Hidden states (B, T, D) of a tree, packed where the model can take it."""
    packed = takes_trees(decoder) and int(tree.positions.max()) < window(decoder.config)
    return (forward_packed if packed else forward_plain)(decoder, tree)


def window(config: Any) -> float:
    """The least number of tokens that a layer looks back; our masks know of no window."""
    limits = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    return min((limit for limit in limits if limit), default=math.inf)


def takes_trees(decoder: Any) -> bool:
    """Whether packed rows give what plain ones do, found once by running both on a few tokens."""
    known = _takes_trees.setdefault(decoder, {})
    attention = decoder.config._attn_implementation
    if attention not in known:
        known[attention] = _same_both_ways(decoder)
        if not known[attention]:
            log.warning(
                "%s: its layers cannot share a prefix or take rows that branch; rows are run one"
                " by one, which takes more time",
                decoder.config.model_type,
            )
    return known[attention]


@torch.no_grad()
def _same_both_ways(decoder: Any) -> bool:
    training = decoder.training
    decoder.eval()  # no dropout
    try:
        one, other = (run(decoder, _small(decoder)) for run in (forward_packed, forward_plain))
    except UNABLE:
        return False
    finally:
        decoder.train(training)
    return same(one, other, decoder)


def _small(decoder: Any) -> Tree:
    """Two rows of six tokens after a prefix of three, with a branch of two at different places."""
    embedding = decoder.get_input_embeddings()
    tokens = torch.arange(3, 23, device=embedding.weight.device) * 7 % embedding.num_embeddings
    ids, mask = tokens[3:19].view(2, 8), torch.ones(2, 8, 8, dtype=torch.bool).tril()
    positions = 3 + torch.arange(8).repeat(2, 1)
    for row, fork in enumerate((2, 4)):
        mask[row, 6:, fork:6] = False
        positions[row, 6:] = 3 + fork + torch.arange(2)
    return Tree(tokens[None, :3], ids, positions.to(ids.device), mask.to(ids.device))


def forward_packed(decoder: Any, tree: Tree) -> torch.Tensor:
    """Hidden states (B, T, D) of a tree in one pass of B rows."""
    prefix, ids, positions, seen = tree
    start = prefix.shape[1]
    inputs: dict[str, Any] = {"input_ids": ids, "position_ids": positions}
    # Every token attends to the prefix.
    mask = torch.nn.functional.pad(seen, (start, 0), value=True)  # (B, T, P + T)
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
    out = decoder(attention_mask=added(mask, working_dtype(decoder))[:, None], **inputs)
    return out.last_hidden_state[:, -ids.shape[1] :]


def forward_plain(decoder: Any, tree: Tree) -> torch.Tensor:
    """Hidden states (B, T, D) of a tree, where each way from its prefix to a last token is a row of
    its own, without cache and with a plain mask; those of padding mean nothing."""
    prefix, ids, positions, seen = tree
    itself = torch.eye(ids.shape[1], dtype=torch.bool, device=ids.device)
    followed, padding = (seen & ~itself).any(1), seen.sum(2) == 1
    padding[:, 0] = False
    row, last = (~followed & ~padding).nonzero(as_tuple=True)  # of n ways
    ways = seen[row, last]  # (n, T)
    rest = [ids[i][way].tolist() for i, way in zip(row.tolist(), ways, strict=True)]
    again, mask = right_padded(rest, ids.device)
    whole = torch.cat([prefix.expand(len(again), -1), again], 1)
    mask = torch.cat([mask.new_ones(len(again), prefix.shape[1]), mask], 1)
    hidden = decoder(input_ids=whole, attention_mask=mask, use_cache=False).last_hidden_state
    owner = torch.zeros_like(ids)
    for number in reversed(range(len(ways))):
        owner[row[number], ways[number]] = number
    return hidden[owner, positions]


def run_after_prefix(
    decoder: Any, prefix: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Hidden states (B, T, D) of `ids` (B, T) after `prefix` (1, P), which is run for one row."""
    mask = torch.cat([mask.new_ones(len(ids), prefix.shape[1]), mask], 1)
    if _drops_cache(decoder) or not takes_trees(getattr(decoder, "decoder", decoder)):
        whole = torch.cat([prefix.expand(len(ids), -1), ids], 1)
        out = decoder(input_ids=whole, attention_mask=mask, use_cache=False)
        return out.last_hidden_state[:, prefix.shape[1] :]
    cache = _cache_of(decoder, prefix, len(ids))
    out = decoder(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True)
    return out.last_hidden_state


def _cache_of(decoder: Any, prefix: torch.Tensor, rows: int) -> Any:
    """The cache of `prefix` (1, P), run once and repeated for all rows."""
    from transformers import DynamicCache

    cache = DynamicCache(config=decoder.config)
    if prefix.shape[1]:
        decoder(input_ids=prefix, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(rows)
    return cache


def _drops_cache(decoder: Any) -> bool:
    """Whether gradient checkpointing is on, which drops the cache silently, and the prefix with it;
    or the weights are spread over processes: they are gathered once a pass, for what the layers
    return and not for their cache, and in all processes equally often, whatever their rows."""
    if is_spread(getattr(decoder, "decoder", decoder)):  # the probe's wrapper holds it
        return True
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


# Replies


def read_replies(
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    length: int,
    temperature: float = 1.0,
    at: torch.Tensor | None = None,
    tokens: LevelTokens | None = None,
) -> Reading:
    """Read prompts (left-padded) and replies (right-padded to T = `length`) in TRL's layout:
    `input_ids` and `attention_mask` (B, prompt width + T).

    With `tokens`, the levels too, where each row writes its confidence at reply token `at` (B,);
    those of a row without one (below 0) mean nothing.
    """
    decoder, head = decoder_of(model)
    at = None if at is None or tokens is None else at.clamp_min(0)
    tree, starts = _reply_tree(input_ids, attention_mask, length, at, tokens)
    hidden = forward_tree(decoder, tree)
    row = torch.arange(len(hidden), device=hidden.device)
    places = starts[:, None] - 1 + torch.arange(length, device=hidden.device)
    real = attention_mask[:, -length:].bool()
    predicting = hidden[row[:, None], places]  # (B, T, D)
    scores = token_scores(predicting[real], head, input_ids[:, -length:][real], temperature)
    zeros = torch.zeros(real.shape, device=real.device)
    logps, entropies = (zeros.masked_scatter(real, score) for score in scores)
    if at is None or tokens is None:
        return Reading(logps, entropies, None)
    ten = torch.zeros(len(hidden), device=hidden.device)
    if tokens.ten_next is not None:  # the probability that a "1" continues to "10"
        ten = torch.softmax(head(hidden[:, -1]), -1)[:, tokens.ten_next]
    return Reading(logps, entropies, level_probabilities(predicting[row, at], head, tokens, ten))


def _reply_tree(
    ids: torch.Tensor,
    mask: torch.Tensor,
    length: int,
    at: torch.Tensor | None,
    tokens: LevelTokens | None,
) -> tuple[Tree, torch.Tensor]:
    """The tree of prompts and replies, and where (B,) each reply starts in its row. With `at`, the
    last column is the "1" that would stand there. Behind a reply's end anything may stand."""
    prompt_width, device = ids.shape[1] - length, ids.device
    sizes = mask[:, :prompt_width].sum(1)
    pairs = zip(ids.tolist(), sizes.tolist(), strict=True)
    prompts = [row[prompt_width - size : prompt_width] for row, size in pairs]
    # At least one prompt token stays in each row, to predict the first reply token.
    shared = min(common_prefix(prompts), min(map(len, prompts)) - 1)
    starts = sizes - shared
    width = int(starts.max()) + length
    columns = (prompt_width - starts)[:, None] + torch.arange(width, device=device)
    rest = ids.gather(1, columns.clamp_max(ids.shape[1] - 1))
    positions = torch.arange(width, device=device).repeat(len(ids), 1)
    seen = torch.ones(len(ids), width, width, dtype=torch.bool, device=device).tril()
    if at is not None and tokens is not None and tokens.ten_next is not None:
        rest = torch.nn.functional.pad(rest, (0, 1), value=tokens.first[1])
        positions = torch.cat([positions, (starts + at)[:, None]], 1)
        seen = torch.nn.functional.pad(seen, (0, 1, 0, 1))
        seen[:, -1, -1] = True
        seen[:, -1, :-1] = torch.arange(width, device=device) < (starts + at)[:, None]
    prefix = torch.tensor([prompts[0][:shared]], dtype=torch.long, device=device)
    return Tree(prefix, rest, positions + shared, seen), starts


def token_scores(
    hidden: torch.Tensor,
    head: Callable[..., torch.Tensor],
    targets: torch.Tensor,
    temperature: float,
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
    hidden: torch.Tensor,
    head: Callable[..., torch.Tensor],
    targets: torch.Tensor,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    logprobs = torch.log_softmax(head(hidden) / temperature, -1)
    with torch.no_grad():
        entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(1, targets[:, None])[:, 0], entropy
