"""Training rows of stage 1 as small trees, and a batch of them as tensors.

A row is a prompt and its reply. Beside the reply stand branches: other words from some place of it
on, each ending where a confidence is said. All run in one forward pass, each token seeing only what
stands before it on its own way; a pass of their own would cost a branch of five tokens as much as
the whole row, because every pass writes a gradient as large as the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from metaconf.generation.prefill import common_prefix
from metaconf.training.forward import right_padded


@dataclass(frozen=True, slots=True)
class Branch:
    """`tokens` instead of the reply's from place `at` on, up to where a confidence is said;
    `target` in [0, 1] is what is to be said there. `direct`: without a reflection before it."""

    at: int
    tokens: list[int]
    target: float
    direct: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One training row: prompt and reply tokens, the place in the reply of the level's first token
    (which is no text to learn; None in a reply that ends before it), and the branches."""

    prompt: list[int]
    reply: list[int]
    level_at: int | None
    branches: tuple[Branch, ...]

    def columns(self) -> dict[str, Any]:
        """The row as plain columns, as a dataset keeps it."""
        return {
            "prompt": self.prompt,
            "reply": self.reply,
            "level_at": self.level_at,
            "branch_at": [b.at for b in self.branches],
            "branch_tokens": [b.tokens for b in self.branches],
            "branch_target": [b.target for b in self.branches],
            "branch_direct": [b.direct for b in self.branches],
        }


def collate(rows: Sequence[dict[str, Any]], pad: int, one: int) -> dict[str, torch.Tensor]:
    """Columns of rows → tensors: the shared start of all prompts (1, P), and the rest, right-padded
    to T: what is left of the prompt, the reply, the branches, each with the token `one` behind it
    (which a "0" makes a 10, and the reply's end a 1).

    `sees` (B, T, T) says which tokens of the rest each of them sees; `position_ids` (B, T) count
    along each token's own way, the prefix included; `labels` (B, T) are -100 outside the reply and
    on the level. For the M branches: `spots` (M, 3) are row, the place that predicts the level, and
    that of the token `one`; `targets` (M,), and `direct` (M,), whether without a reflection.
    """
    shared = common_prefix([r["prompt"] for r in rows])
    begins = [len(r["prompt"]) - shared for r in rows]
    rest = [[*r["prompt"][shared:], *r["reply"], *_words(r, one)] for r in rows]
    ids, _ = right_padded(rest, pad=pad)
    labels = torch.full_like(ids, -100)
    sees = torch.eye(ids.shape[1], dtype=torch.bool).repeat(len(rows), 1, 1)
    positions = torch.zeros_like(ids)
    spots: list[tuple[int, int, int]] = []
    for i, (row, begin) in enumerate(zip(rows, begins, strict=True)):
        main = begin + len(row["reply"])
        labels[i, begin:main] = ids[i, begin:main]
        if row["level_at"] is not None:
            labels[i, begin + row["level_at"]] = -100
        spots += [(i, *places) for places in _lay_out(sees[i], positions[i], begin, main, row)]
    return {
        "prefix": torch.tensor([rows[0]["prompt"][:shared]], dtype=torch.long),
        "input_ids": ids,
        "position_ids": positions + shared,
        "sees": sees,
        "labels": labels,
        "spots": torch.tensor(spots),
        "targets": torch.tensor([target for r in rows for target in r["branch_target"]]),
        "direct": torch.tensor([direct for r in rows for direct in r["branch_direct"]]),
    }


def _words(row: dict[str, Any], one: int) -> list[int]:
    return [token for tokens in row["branch_tokens"] for token in (*tokens, one)]


def _lay_out(
    sees: torch.Tensor, positions: torch.Tensor, begin: int, main: int, row: dict[str, Any]
) -> list[tuple[int, int]]:
    """Fill one row of `sees` (T, T) and `positions` (T,); returns the places of each branch's
    prediction and of its last token."""
    causal = torch.ones(sees.shape, dtype=torch.bool).tril()
    sees[:main, :main] = causal[:main, :main]
    positions[:main] = torch.arange(main)
    start, places = main, list[tuple[int, int]]()
    for at, tokens in zip(row["branch_at"], row["branch_tokens"], strict=True):
        end, fork = start + len(tokens) + 1, begin + at
        sees[start:end, :fork] = True
        sees[start:end, start:end] = causal[start:end, start:end]
        positions[start:end] = torch.arange(fork, fork + end - start)
        # A branch of no words of its own is predicted by the reply's token before it.
        places.append((end - 2 if tokens else fork - 1, end - 1))
        start = end
    return places
