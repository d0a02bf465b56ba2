"""Advantages by segment → advantages by token.

The reply's tokens are divided without gap or overlap: a segment begins where its value begins and
reaches to where the next one's value does. So it holds its value and what ends it (the next label,
the end token): when to stop is a choice of the segment that stops. Thinking and the label "Answer:"
belong to the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from metaconf.records import Span
from metaconf.rewards.recipes.base import WHOLE, Segment, Where
from metaconf.training.encode import Encoded


def ranges(reply: Encoded) -> dict[Segment, Span]:
    """Token range of each segment that the reply has; together they are all of its tokens."""
    there: list[Segment] = [name for name in WHOLE if name in reply.spans]
    starts = [reply.spans[name][0] for name in there]
    ends = [*starts[1:], len(reply.tokens)][: len(there)]
    return {
        name: (0 if i == 0 else start, end)
        for i, (name, start, end) in enumerate(zip(there, starts, ends, strict=True))
    }


def spread(
    advantages: Mapping[Where, torch.Tensor], replies: Sequence[Encoded], width: int, even: bool
) -> torch.Tensor:
    """Advantages (B,) by segments → (B, `width`) by token, added up where segments overlap.

    `even`: each of the K credited segments weighs like a K-th of the whole reply of T tokens,
    whatever its length: × T / (K · length). The loss is a mean over tokens, where a confidence of
    two would count a twentieth of the text before it. What a missing segment is credited with falls
    on the whole reply: any of it may be to blame.
    """
    rows = max(len(replies), 1)
    device = next(iter(advantages.values())).device if advantages else None
    found = torch.zeros(rows, width, device=device)
    for where, values in advantages.items():
        for row, reply in enumerate(replies):
            start, end = _place(reply, where)
            scale = len(reply.tokens) / (len(advantages) * max(end - start, 1)) if even else 1.0
            found[row, start:end] += values[row].float() * scale
    return found


def _place(reply: Encoded, where: Where) -> Span:
    """Tokens of neighbouring segments, those of the whole reply where one of them is missing."""
    at, whole = ranges(reply), (0, len(reply.tokens))
    if where == WHOLE or any(name not in at for name in where):
        return whole
    return min(at[name][0] for name in where), max(at[name][1] for name in where)
