"""Forced decoding: the confidence that a model writes after a given start of its reply."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from metaconf.generation.local import LocalModel
from metaconf.training.forward import read_replies
from metaconf.training.levels import LEVELS, LevelTokens, level_tokens


@torch.inference_mode()
def confidence_given(
    local: LocalModel, prompts: Sequence[Sequence[int]], reply_starts: Sequence[str], rows: int = 64
) -> np.ndarray:
    """The written and the expected confidence (n, 2), in [0, 1], after each prompt and reply start.

    A start is the text of a reply up to and with "Confidence:". The written level is that of greedy
    decoding restricted to levels: the likeliest first token, then "10" instead of "1" where it is
    the likelier of the two. `rows` sequences run in a batch. Raises ValueError for a tokenizer
    whose levels cannot be told apart by one token.
    """
    tokens = level_tokens(local.tokenizer)
    starts = [_before_level(local, text, tokens) for text in reply_starts]
    order = sorted(range(len(starts)), key=lambda i: len(prompts[i]) + len(starts[i]))
    found = np.zeros((len(starts), 2))
    with tqdm(total=len(starts), desc="forced confidence", unit="reply") as bar:
        for begin in range(0, len(order), rows):
            batch = order[begin : begin + rows]
            pairs = [(prompts[i], starts[i]) for i in batch]
            found[batch] = _spoken_and_expected(level_distributions(local, pairs, tokens))
            bar.update(len(batch))
    return found


def _before_level(local: LocalModel, text: str, tokens: LevelTokens) -> list[int]:
    """Tokens of `text` up to the level's first token; the space may be a token of its own."""
    coded: list[int] = local.tokenizer.encode(f"{text} 0", add_special_tokens=False)
    if coded[-1] != tokens.first[0]:
        raise ValueError(f"the tokenizer writes the level after {text[-40:]!r} in another way")
    return coded[:-1]


@torch.inference_mode()
def level_distributions(
    local: LocalModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], tokens: LevelTokens
) -> np.ndarray:
    """Probabilities (b, 11) of the levels after each (prompt, start of the reply)."""
    width = max(len(prompt) for prompt, _ in pairs)
    # One more than the longest start: the level, which is predicted and not run.
    length = max(len(start) for _, start in pairs) + 1
    ids, mask = [], []
    for prompt, start in pairs:
        left, right = width - len(prompt), length - len(start)
        ids.append([0] * left + [*prompt, *start] + [0] * right)
        mask.append([0] * left + [1] * (len(prompt) + len(start)) + [0] * right)
    device = local.model.device
    at = torch.tensor([len(start) for _, start in pairs], device=device)
    packed = torch.tensor(ids, device=device), torch.tensor(mask, device=device)
    levels = read_replies(local.model, *packed, length, at=at, tokens=tokens).levels
    assert levels is not None
    return levels.double().cpu().numpy()


def _spoken_and_expected(levels: np.ndarray) -> np.ndarray:
    """Level probabilities (b, 11) → written and expected confidence (b, 2)."""
    first = levels[:, :10].copy()
    first[:, 1] += levels[:, 10]
    spoken = first.argmax(1)
    spoken[(spoken == 1) & (levels[:, 10] > levels[:, 1])] = 10
    expected = levels @ np.arange(LEVELS)
    return np.stack([spoken, expected], 1) / (LEVELS - 1)
