"""Draw k replies per question from a local model, for preparation, stage 2 and evaluation alike.

`generate(num_return_sequences=k)` recomputes the prompt k times, and the instruction in front of
every prompt once a question. Here what all prompts share is computed once, each prompt once for
its k replies, and rows that have ended leave the batch. Every reply has random numbers of its own,
keyed by (seed, question id, sample), so that it does not depend on its neighbours or on how often
a run was interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from metaconf.generation.prefill import prefilled

if TYPE_CHECKING:
    from transformers import PreTrainedModel


DELAY = 10
"""Seconds after which a batch shows a bar of its own, of the replies that have ended."""
GREEDY = -1
"""The sample number of a greedy reply; samples 0, 1, … are drawn at the temperature."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One reply to be drawn: `prompt` tokens, and the key of its random numbers."""

    prompt: tuple[int, ...]
    key: str
    samples: tuple[int, ...]


@dataclass(slots=True)
class Drawn:
    """A drawn reply: its tokens (the end token included), their log-probabilities at temperature 1,
    whether it ended by itself, and their log-probabilities at the temperature that it was drawn at
    (of a greedy reply at 1; empty where the engine gives none)."""

    key: str
    sample: int
    tokens: list[int]
    logprobs: list[float]
    ended: bool
    sampling_logprobs: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw: `stop` ends a reply at any of these tokens."""

    max_new_tokens: int
    stop: frozenset[int] = frozenset()
    temperature: float = 1.0
    seed: int = 0
    rows: int = 256
    """Replies in flight at once."""


def uniforms(seed: int, key: str, sample: int, n: int) -> np.ndarray:
    """(n,) numbers in [0, 1) that depend on the arguments alone."""
    digest = hashlib.sha256(f"{seed}\x1f{key}\x1f{sample}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big"))).random(n)


def draw(
    model: PreTrainedModel,
    draws: Sequence[Draw],
    how: Sampling,
    on_batch: Callable[[list[Drawn]], None] | None = None,
    on_step: Callable[[list[Drawn]], Collection[str]] | None = None,
) -> list[Drawn]:
    """Draw every reply of `draws`; results come in the order of `draws`, samples within.

    `on_batch` gets each finished batch (to store it: the way to resume is not to ask again).
    `on_step` gets the rows of a batch after each token, and gives the keys of those to end there.
    """
    by_length = sorted(range(len(draws)), key=lambda i: len(draws[i].prompt))
    finished: dict[int, list[Drawn]] = {}
    for batch in _batches(by_length, draws, how.rows):
        rows = _draw_batch(model, [draws[i] for i in batch], how, on_step)
        for i in batch:
            finished[i], rows = rows[: len(draws[i].samples)], rows[len(draws[i].samples) :]
        if on_batch:
            on_batch([row for i in batch for row in finished[i]])
    return [row for i in range(len(draws)) for row in finished[i]]


def _batches(order: list[int], draws: Sequence[Draw], rows: int) -> Iterator[list[int]]:
    batch: list[int] = []
    used = 0
    for i in order:
        if batch and used + len(draws[i].samples) > rows:
            yield batch
            batch, used = [], 0
        batch.append(i)
        used += len(draws[i].samples)
    if batch:
        yield batch


@torch.inference_mode()
def _draw_batch(
    model: PreTrainedModel,
    draws: list[Draw],
    how: Sampling,
    on_step: Callable[[list[Drawn]], Collection[str]] | None,
) -> list[Drawn]:
    rows = [Drawn(d.key, s, [], [], False) for d in draws for s in d.samples]
    numbers = torch.from_numpy(
        np.stack([uniforms(how.seed, r.key, r.sample, how.max_new_tokens) for r in rows])
    ).to(model.device)
    heat = torch.tensor([0.0 if r.sample == GREEDY else how.temperature for r in rows])
    bar = tqdm(total=len(rows), desc="batch", unit="reply", leave=False, delay=DELAY)
    with bar, prefilled(model, [d.prompt for d in draws]) as state:
        # Replies to one prompt that have said the same so far share one line of the batch.
        lines = [i for i, d in enumerate(draws) for _ in d.samples]
        alive = list(range(len(rows)))
        for step in range(how.max_new_tokens):
            chosen = _choose(state.logits, lines, numbers[alive, step], heat[alive])
            going = _append(rows, alive, *chosen, how.stop)
            if on_step and (ended := on_step(rows)):
                going = [place for place in going if rows[alive[place]].key not in ended]
            bar.update(len(alive) - len(going))
            if not going or step + 1 == how.max_new_tokens:
                break
            ways: dict[tuple[int, int], int] = {}
            lines = [
                ways.setdefault((lines[i], rows[alive[i]].tokens[-1]), len(ways)) for i in going
            ]
            alive = [alive[i] for i in going]
            state.advance([line for line, _ in ways], [token for _, token in ways])
    return rows


def _append(
    rows: list[Drawn],
    alive: list[int],
    tokens: list[int],
    logprobs: list[float],
    sampling_logprobs: list[float],
    stop: frozenset[int],
) -> list[int]:
    """Add one token to each living reply; return the places in `alive` that go on."""
    going: list[int] = []
    chosen = zip(alive, tokens, logprobs, sampling_logprobs, strict=True)
    for place, (row, token, logprob, sampling_logprob) in enumerate(chosen):
        rows[row].tokens.append(token)
        rows[row].logprobs.append(logprob)
        rows[row].sampling_logprobs.append(sampling_logprob)
        if token in stop:
            rows[row].ended = True
        else:
            going.append(place)
    return going


def _choose(
    logits: torch.Tensor, lines: list[int], numbers: torch.Tensor, heat: torch.Tensor
) -> tuple[list[int], list[float], list[float]]:
    """Next token of each reply, from the logits (L, V) of its line, and its log-probabilities at
    temperature 1 and at its own. `numbers` (B,) uniform; `heat` (B,) temperatures, 0 for greedy."""
    logprobs = torch.log_softmax(logits.float(), -1)
    owner = torch.tensor(lines, device=logits.device)
    tokens = logprobs.argmax(-1)[owner]
    sampling = logprobs[owner, tokens]
    for temperature in sorted({t for t in heat.tolist() if t > 0}):
        who = (heat == temperature).nonzero()[:, 0].to(logits.device)
        shares = torch.softmax(logprobs / temperature, -1)
        edges = shares.cumsum(-1)
        # Replies that share a line share its edges: look up line by line, padded to one table.
        top = edges[owner[who], -1]
        # Rounding may lift a number to 1: kept below the top edge, it still finds a likely token.
        targets = torch.minimum(
            numbers[who].to(edges.dtype) * top, torch.nextafter(top, torch.zeros_like(top))
        )
        tokens[who] = _lookup(edges, owner[who], targets)
        sampling[who] = shares[owner[who], tokens[who]].log()
    return tokens.tolist(), logprobs[owner, tokens].tolist(), sampling.tolist()


def _lookup(edges: torch.Tensor, owner: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """First place in row `owner[i]` of `edges` (L, V, ascending) that lies above `targets[i]`."""
    order = owner.argsort(stable=True)
    counts = torch.bincount(owner, minlength=edges.shape[0])
    column = (
        torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner[order]]
    )
    table = edges.new_zeros(edges.shape[0], int(counts.max()))
    table[owner[order], column] = targets[order]
    found = torch.searchsorted(edges, table, right=True)[owner[order], column]
    places = torch.empty_like(found)
    places[order] = found
    return places.clamp(max=edges.shape[1] - 1)
