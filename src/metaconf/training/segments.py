"""Advantages of segments → advantages of tokens.

The tokens of a reply are divided without gap or overlap: a segment begins where its value begins
and ends where the next value begins. So it holds its value and what ends it (the next label, the
end token): when to stop is a choice of the segment that stops. Thinking and the label "Answer:"
belong to the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from metaconf.records import Span
from metaconf.rewards.recipe import WHOLE, Segment, Where
from metaconf.training.encode import Encoded


def segment_token_ranges(reply: Encoded) -> dict[Segment, Span]:
    """Half-open token range of each segment that the reply has; together all of its tokens."""
    there: list[Segment] = [name for name in WHOLE if name in reply.spans]
    starts = [reply.spans[name][0] for name in there]
    ends = [*starts[1:], len(reply.tokens)][: len(there)]
    return {
        name: (0 if i == 0 else start, end)
        for i, (name, start, end) in enumerate(zip(there, starts, ends, strict=True))
    }


def to_token_advantages(
    advantages: Mapping[Where, torch.Tensor], replies: Sequence[Encoded], width: int
) -> torch.Tensor:
    """Advantages (B,) of segments → (B, `width`) of tokens, added where segments overlap.

    Each of the K credited segments weighs like a K-th of the whole reply of T tokens, whatever its
    length: × T / (K · length). The loss is a mean over tokens, where a confidence of two tokens
    would count a twentieth of the text before it. The advantage of a missing segment falls on the
    whole reply, because any of it may be to blame.
    """
    device = next(iter(advantages.values())).device if advantages else None
    found_BT = torch.zeros(max(len(replies), 1), width, device=device)
    for where, values_B in advantages.items():
        for row, reply in enumerate(replies):
            start, end = _place(reply, where)
            scale = len(reply.tokens) / (len(advantages) * max(end - start, 1))
            found_BT[row, start:end] += values_B[row].float() * scale
    return found_BT


def without_confidence(
    advantages: torch.Tensor, replies: Sequence[Encoded], width: int
) -> torch.Tensor:
    """Advantages (B,) or (B, `width`) → (B, `width`), 0 on the tokens of a stated confidence."""
    by_token = advantages.dim() == 2
    found_BT = advantages.clone() if by_token else advantages[:, None].repeat(1, width)
    for row, reply in enumerate(replies):
        if reply.level_at is not None:
            start, end = reply.spans["confidence"]
            found_BT[row, start:end] = 0
    return found_BT


def _place(reply: Encoded, where: Where) -> Span:
    """Tokens of neighbouring segments, those of the whole reply where one of them is missing."""
    at, whole = segment_token_ranges(reply), (0, len(reply.tokens))
    if where == WHOLE or any(name not in at for name in where):
        return whole
    return min(at[name][0] for name in where), max(at[name][1] for name in where)
