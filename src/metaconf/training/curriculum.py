"""The order of stage 1: rows of answer and confidence alone, then rows that end with the opening of
the reflection, then whole replies.

Together with the text of a whole reply the confidence is learnt several times more slowly, and how
sure the reflection sounds is decided in its opening (docs/lab-notebook.md). Openings and whole
replies are balanced by the cause of uncertainty. TRL's engine builds its token rows in this order;
`curriculum` writes it out for LLaMA-Factory, which has only token cross-entropy, with whole replies
in the place of openings.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from math import ceil
from typing import Any

from metaconf.config.blocks import Confidence
from metaconf.prompts.chat import DIRECT
from metaconf.reply import parse_reply

Rows = list[dict[str, Any]]
"""Sharegpt rows of `prepare`."""


def ordered(
    rows: Sequence[dict[str, Any]], alone: float, opening: float, whole: float
) -> tuple[Rows, Rows, Rows]:
    """Of shuffled rows: `alone` times all of them for answer and confidence alone, in another order
    each time; and shares `opening` and `whole` for openings and whole replies, balanced by cause
    and from the end."""
    causes = [row.get("cause") for row in rows]

    def last(share: float) -> Rows:
        return [rows[i] for i in evenly(causes, round(share * len(rows)))]

    again = [row for i in range(1, ceil(alone)) for row in shuffled(rows, i)]
    return [*rows, *again][: round(alone * len(rows))], last(opening), last(whole)


def shuffled(rows: Sequence[dict[str, Any]], seed: int) -> Rows:
    """The rows in this seed's order."""
    return random.Random(seed).sample(rows, len(rows))


def curriculum(rows: Sequence[dict[str, Any]], how: Confidence, seed: int) -> Rows:
    """Both parts as one list of rows for a trainer on text. The first are replies without a
    reflection and have an instruction of their own, because the format is another."""
    told = min(how.opening_fraction + how.full_reply_fraction, 1.0)
    alone, _, whole = ordered(shuffled(rows, seed), how.confidence_only_epochs, 0.0, told)
    return [*map(_direct, alone), *whole]


def _direct(row: dict[str, Any]) -> dict[str, Any]:
    question, reply = row["conversations"]
    parsed = parse_reply(reply["value"])
    confidence = reply["value"].rstrip().rpartition("\n")[2]
    short = f"Answer: {parsed.answer}\n{confidence}"
    return {**row, "conversations": [question, {**reply, "value": short}], "system": DIRECT}


def evenly(kinds: Sequence[Hashable], count: int) -> list[int]:
    """`count` indices in a random order, balanced over the kinds: all of a rare kind, and the last
    ones of each other kind. Where one cause of uncertainty makes up nine tenths of the rows, the
    model learns to name it always; where the rare ones come first, it unlearns what the last steps,
    of a low rate, do not teach again."""
    places: dict[Hashable, list[int]] = {}
    for place, kind in enumerate(kinds):
        places.setdefault(kind, []).append(place)
    left, chosen = count, list[int]()
    for number, own in enumerate(sorted(places.values(), key=len)):
        some = min(len(own), left // (len(places) - number))
        chosen += own[len(own) - some :]
        left -= some
    return random.Random(0).sample(chosen, len(chosen))
