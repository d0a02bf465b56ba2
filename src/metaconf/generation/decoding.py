"""The text of tokens that a model wrote, with the special tokens that tell a draft from a reply.

Many models mark their thinking by special tokens. Left out, as decoders do by default, they would
leave a draft without its tags, which might be taken for the reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metaconf.thinking_marks import marks


def reply_text(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of a reply, without the tokens that only begin, end or fill it."""
    return tokenizer.decode(
        [token for token, kept in zip(tokens, in_text(tokenizer, tokens), strict=True) if kept]
    )


def in_text(tokenizer: Any, tokens: Sequence[int]) -> list[bool]:
    """Which tokens of a reply belong to its text.

    Not the tokenizer's own to begin, end, fill and stand for the unknown; nor special tokens at the
    end, where those stand that end a turn (the tokenizer does not name them all), unless they mark
    thinking.
    """
    names = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id")
    out = {getattr(tokenizer, name, None) for name in names}
    kept = [token not in out for token in tokens]
    for place in reversed(range(len(tokens))):
        if kept[place] and not _ends_turn(tokenizer, tokens[place]):
            break
        kept[place] = False
    return kept


def _ends_turn(tokenizer: Any, token: int) -> bool:
    text = tokenizer.decode([token])
    special = bool(text) and not tokenizer.decode([token], skip_special_tokens=True)
    return special and all(mark.kind == "end" for mark in marks(text))
