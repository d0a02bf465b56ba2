"""The confidence as a distribution over the levels 0 to 10, computed from the model's tokens.

Most tokenizers write a level as one digit token, and 10 as "1" followed by "0"; some have a token
for "10" or for " 7". All of it is read from the tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

LEVELS = 11


@dataclass(frozen=True, slots=True)
class LevelTokens:
    """`first[k]` is the first token that tells level k from others; `ten_next` is the token that
    makes "10" of a shared first token "1" (None where 10 has a first token of its own)."""

    first: tuple[int, ...]
    ten_next: int | None


def level_tokens(tokenizer: Any) -> LevelTokens:
    """Find the tokens of the levels in "Confidence: k".

    Raises ValueError where two levels (but 1 and 10) share their first token.
    """
    coded = [tokenizer.encode(f"Confidence: {k}", add_special_tokens=False) for k in range(LEVELS)]
    places = range(min(len(c) for c in coded))
    start = next((i for i in places if len({c[i] for c in coded[:10]}) > 1), 0)
    first = [c[start] for c in coded]
    if len(set(first[:10])) != 10:
        raise ValueError(
            f"the tokenizer does not tell the levels 0 to 9 apart by one token: {first}"
        )
    shared = first[10] == first[1]
    return LevelTokens(tuple(first), coded[10][start + 1] if shared else None)


def lead_in(tokenizer: Any) -> list[int]:
    """Tokens of a new line with the confidence's label, up to where the level's token stands."""
    # After a letter: at the start of a text sentencepiece puts a space of its own.
    start, one, other = (
        tokenizer.encode(f"x{line}", add_special_tokens=False)
        for line in ("", "\nConfidence: 3", "\nConfidence: 7")
    )
    one, other = one[len(start) :], other[len(start) :]
    return one[: next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)]


def soft_labels(target: np.ndarray) -> np.ndarray:
    """Targets (n,) in [0, 1] → weights (n, 11) on the two levels next to 10·target, whose mean is
    10·target exactly."""
    scaled = np.clip(np.asarray(target, float), 0, 1) * (LEVELS - 1)
    low = np.minimum(np.floor(scaled).astype(int), LEVELS - 2)
    weights = np.zeros((len(scaled), LEVELS))
    rows = np.arange(len(scaled))
    weights[rows, low + 1] = scaled - low
    weights[rows, low] = 1 - weights[rows, low + 1]
    return weights


def expectation(levels: torch.Tensor) -> torch.Tensor:
    """The mean confidence (n,) in [0, 1] of probabilities or weights on the levels (n, 11)."""
    return levels @ torch.linspace(0, 1, LEVELS, device=levels.device, dtype=levels.dtype)


def level_logprobs(
    hidden: torch.Tensor,
    after_one: torch.Tensor,
    head: Callable[..., torch.Tensor],
    tokens: LevelTokens,
    end: int,
) -> torch.Tensor:
    """Log-probabilities (n, 11) of the levels over the whole vocabulary.

    `hidden` (n, D) predicts the level's first token. `after_one` (n, D) follows a "1" there: with
    a "0" next it is level 10, with the token `end` next level 1; "1/2" is neither. It is not used
    where 10 has a token of its own. `head` is the model's (`head.Head`).
    """
    first = logprobs(hidden, head, tokens.first)
    if tokens.ten_next is None:
        return first
    ten, ended = logprobs(after_one, head, (tokens.ten_next, end)).unbind(1)
    one = first[:, 1]
    return torch.stack([first[:, 0], one + ended, *first[:, 2:10].unbind(1), one + ten], 1)


def logprobs(
    hidden: torch.Tensor, head: Callable[..., torch.Tensor], tokens: Sequence[int]
) -> torch.Tensor:
    """(n, len(tokens)) log-probabilities over the vocabulary of `tokens`, which `hidden` (n, D)
    predicts. Their own logits are in float32: in bfloat16 a level's odds are off by several
    percent."""
    chosen = head(hidden, tokens)
    whole = head(hidden).index_copy(1, torch.tensor(tokens, device=hidden.device), chosen)
    return chosen - torch.logsumexp(whole, -1, keepdim=True)


def level_probabilities(
    hidden: torch.Tensor,
    head: Callable[..., torch.Tensor],
    tokens: LevelTokens,
    ten: torch.Tensor,
) -> torch.Tensor:
    """Probabilities (n, 11) of the levels among themselves.

    `hidden` (n, D) predicts the level's first token, `head` is the model's, of which only the
    levels' rows are multiplied. `ten` (n,) is the probability that a "1" continues to "10"; it is
    not used where 10 has a token of its own.
    """
    logits = head(hidden, tokens.first)
    if tokens.ten_next is None:
        return torch.softmax(logits, -1)
    first = torch.softmax(logits[:, :10], -1)
    whole = torch.cat([first, (first[:, 1] * ten)[:, None]], 1)
    return whole - torch.nn.functional.pad((first[:, 1] * ten)[:, None], (1, LEVELS - 2))
