"""The confidence that a model says after a text that it is made to continue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from metaconf.generation.local import LocalModel
from metaconf.training.forward import decoder_of, levels_after, run_replies
from metaconf.training.levels import LEVELS, LevelTokens, level_tokens


@torch.inference_mode()
def confidence_given(
    local: LocalModel, prompts: Sequence[Sequence[int]], reply_starts: Sequence[str], rows: int = 64
) -> np.ndarray:
    """(n, 2): the level spoken and the expected level after each prompt and start, in [0, 1].

    A start is the text of a reply up to and with "Confidence:". The level spoken is what greedy
    decoding says when it may write levels only: the likeliest first token, then "10" instead of
    "1" where that is the likelier of the two. `rows` are run at once. Raises ValueError for a
    tokenizer that does not tell the levels apart, there or in general.
    """
    tokens = level_tokens(local.tokenizer)
    starts = [_before_level(local, text, tokens) for text in reply_starts]
    order = sorted(range(len(starts)), key=lambda i: len(prompts[i]) + len(starts[i]))
    found = np.zeros((len(starts), 2))
    with tqdm(total=len(starts), desc="forced confidence", unit="reply") as bar:
        for begin in range(0, len(order), rows):
            batch = order[begin : begin + rows]
            pairs = [(prompts[i], starts[i]) for i in batch]
            found[batch] = _spoken_and_expected(_levels(local, pairs, tokens))
            bar.update(len(batch))
    return found


def _before_level(local: LocalModel, text: str, tokens: LevelTokens) -> list[int]:
    """Tokens of `text` up to where a level's first token follows (some write the blank apart)."""
    coded: list[int] = local.tokenizer.encode(f"{text} 0", add_special_tokens=False)
    if coded[-1] != tokens.first[0]:
        raise ValueError(f"the tokenizer writes the level after {text[-40:]!r} in another way")
    return coded[:-1]


def _levels(
    local: LocalModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], tokens: LevelTokens
) -> np.ndarray:
    """Probabilities (b, 11) of the levels after each (prompt, start of the reply)."""
    decoder, head = decoder_of(local.model)
    width = max(len(prompt) for prompt, _ in pairs)
    # One place more than the longest start: the level itself, which is predicted, not run.
    length = max(len(start) for _, start in pairs) + 1
    ids, mask = [], []
    for prompt, start in pairs:
        left, right = width - len(prompt), length - len(start)
        ids.append([0] * left + [*prompt, *start] + [0] * right)
        mask.append([0] * left + [1] * (len(prompt) + len(start)) + [0] * right)
    device = local.model.device
    done = run_replies(
        decoder, torch.tensor(ids, device=device), torch.tensor(mask, device=device), length
    )
    at = torch.tensor([len(start) for _, start in pairs], device=device)
    lines = torch.arange(len(pairs), device=device)
    return levels_after(done, decoder, head, lines, at, tokens).double().cpu().numpy()


def _spoken_and_expected(levels: np.ndarray) -> np.ndarray:
    """(b, 11) → (b, 2)."""
    first = levels[:, :10].copy()
    first[:, 1] += levels[:, 10]
    spoken = first.argmax(1)
    spoken[(spoken == 1) & (levels[:, 10] > levels[:, 1])] = 10
    expected = levels @ np.arange(LEVELS)
    return np.stack([spoken, expected], 1) / (LEVELS - 1)
