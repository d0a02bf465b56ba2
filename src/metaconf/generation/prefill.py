"""A batch of prompts run once, ready to be continued token by token.

Where a model's cache cannot do what is asked of it here (rows of one batch kept, dropped and kept
twice, prompts of different lengths: convolutions and state spaces), whole rows are run again for
each token. Which it is, is found once by running both on a few tokens.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from metaconf.generation import shared_prefix

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel


log = logging.getLogger("metaconf")

UNABLE = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What transformers raises where a model cannot be run as it is here."""
_caches: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


@dataclass
class State:
    """Where a batch of L lines stands: cache, mask (L, S) of real tokens, last positions (L,) and
    the logits (L, V) of the next token."""

    model: Any
    cache: Any
    mask: torch.Tensor
    positions: torch.Tensor
    logits: torch.Tensor

    def advance(self, lines: list[int], tokens: list[int]) -> None:
        """Keep `lines` (an old line may be kept several times) and give each its next token."""
        device = self.mask.device
        if lines != list(range(len(self.mask))):
            kept = torch.tensor(lines, device=device)
            self.cache.batch_select_indices(kept)
            self.mask, self.positions = self.mask[kept], self.positions[kept]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(lines), 1)], 1)
        self.positions = self.positions + 1
        column = torch.tensor(tokens, device=device)[:, None]
        self.logits = _run(self.model, column, self.cache, self.mask, self.positions[:, None])


class Uncached:
    """As `State`, for L lines `rows` that are run anew for each token."""

    def __init__(self, model: Any, rows: Sequence[Sequence[int]]):
        self.model, self.rows = model, [list(row) for row in rows]
        self.logits = self._run()

    def advance(self, lines: list[int], tokens: list[int]) -> None:
        """As `State.advance`."""
        kept = zip(lines, tokens, strict=True)
        self.rows = [[*self.rows[line], token] for line, token in kept]
        self.logits = self._run()

    def _run(self) -> torch.Tensor:
        width, device = max(map(len, self.rows)), self.model.device
        ids = [row + [0] * (width - len(row)) for row in self.rows]
        mask = [[1] * len(row) + [0] * (width - len(row)) for row in self.rows]
        last = torch.tensor([len(row) - 1 for row in self.rows], device=device)
        places, which = last.unique(return_inverse=True)
        out = self.model(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=torch.tensor(mask, device=device),
            use_cache=False,
            logits_to_keep=places,
        )
        return out.logits[torch.arange(len(ids), device=device), which]


@contextmanager
def prefilled(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]]
) -> Iterator[State | Uncached]:
    """Run the prompts; what all have in common at their start is computed for one row."""
    if not caches(model):
        yield Uncached(model, prompts)
        return
    with _cached(model, prompts) as state:
        yield state


def caches(model: Any) -> bool:
    """Whether the model's cache can be used as it is here."""
    if model not in _caches:
        _caches[model] = _same_both_ways(model)
        if not _caches[model]:
            log.warning(
                "%s: its cache cannot be shared by rows; replies are drawn without it, which takes"
                " more time for each token",
                model.config.model_type,
            )
    return _caches[model]


@torch.no_grad()
def _same_both_ways(model: Any) -> bool:
    """Run prompts of unequal lengths with what they share, then keep one line twice."""
    tokens = [number * 7 % model.get_input_embeddings().weight.shape[0] for number in range(3, 15)]
    prompts = [tokens[:8], [*tokens[:4], *tokens[9:11]]]

    def run(state: State | Uncached) -> torch.Tensor:
        seen = [state.logits]
        for lines in ([1, 0, 1], [2, 0]):
            state.advance(lines, tokens[2 : 2 + len(lines)])
            seen.append(state.logits)
        return torch.cat(seen).float()

    try:
        with _cached(model, prompts) as state:
            one = run(state)
    except UNABLE:
        return False
    return same(one, run(Uncached(model, prompts)), model)


def same(one: torch.Tensor, other: torch.Tensor, model: torch.nn.Module) -> bool:
    """Whether two results (…, D) of `model` are equal at each token, but for rounding in the format
    it computes in. A wrong mask or position changes a state by about its own size."""
    one, other = one.float(), other.float()
    apart = ((one - other).norm(dim=-1) / other.norm(dim=-1)).max()
    return bool(apart < math.sqrt(torch.finfo(working_dtype(model)).eps))


def working_dtype(model: torch.nn.Module) -> torch.dtype:
    """The number format that `model` computes in: its weights', or that of autocast."""
    weight = next(model.parameters())
    if torch.is_autocast_enabled(weight.device.type):
        return torch.get_autocast_dtype(weight.device.type)
    return weight.dtype


@contextmanager
def _cached(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Iterator[State]:
    from transformers import DynamicCache

    shared = common_prefix(prompts)
    if not shared or not shared_prefix.supports(model.config):
        yield _start(model, prompts, 0, DynamicCache(config=model.config))
        return
    cache: Cache = DynamicCache(config=model.config)
    head = torch.tensor([list(prompts[0][:shared])], device=model.device)
    model(input_ids=head, past_key_values=cache, use_cache=True, logits_to_keep=_last(head))
    layers = [(layer.keys[0], layer.values[0]) for layer in cache.layers]  # pyright: ignore
    with shared_prefix.shared_prefix(model, layers):
        yield _start(model, prompts, shared, DynamicCache(config=model.config))


def _start(model: Any, prompts: Sequence[Sequence[int]], shared: int, cache: Cache) -> State:
    own = [list(p[shared:]) for p in prompts]
    width = max(len(o) for o in own)
    tokens = torch.tensor([[0] * (width - len(o)) + o for o in own], device=model.device)
    mask = torch.tensor([[0] * (width - len(o)) + [1] * len(o) for o in own], device=model.device)
    positions = (shared + mask.cumsum(1) - 1).clamp(min=0)
    logits = _run(model, tokens, cache, mask, positions)
    return State(model, cache, mask, positions[:, -1], logits)


def _run(
    model: Any, tokens: torch.Tensor, cache: Cache, mask: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Logits (L, V) after the last of `tokens` (L, T)."""
    if model.config._attn_implementation == shared_prefix.NAME:
        mask = _added(mask, tokens.shape[1], model.dtype)
    out = model(
        input_ids=tokens,
        past_key_values=cache,
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        logits_to_keep=_last(tokens),
    )
    return out.logits[:, -1]


def _last(tokens: torch.Tensor) -> torch.Tensor:
    """The last place as an index: picked by it, the states are contiguous. As a slice (which a
    plain 1 is) they are not, and over frozen weights the product then copies the head once a row.
    """
    return torch.tensor([tokens.shape[1] - 1], device=tokens.device)


def _added(mask: torch.Tensor, length: int, dtype: torch.dtype) -> torch.Tensor:
    """(L, S) mask of real tokens → (L, 1, T, S) to add to scores: causal, padding left out."""
    total = mask.shape[1]
    causal = torch.ones(length, total, dtype=torch.bool, device=mask.device).tril(total - length)
    open_ = mask[:, None, None].bool() & causal
    return added(open_, dtype)


def added(open_: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Which places are seen → what is added to the scores: 0, or a floor where they are not.

    The floor is finite: a padding row, which sees nothing at all, would have a softmax of NaN.
    """
    return torch.zeros(open_.shape, dtype=dtype, device=open_.device).masked_fill(
        ~open_, torch.finfo(dtype).min
    )


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Number of leading tokens that all prompts share, leaving each at least one of its own."""
    # What the least and the greatest in order share, all share.
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    limit = min(len(p) for p in prompts) - 1
    for i in range(limit):
        if first[i] != last[i]:
            return i
    return max(limit, 0)
