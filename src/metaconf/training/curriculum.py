"""What stage 1 teaches, in which order: answers with their confidence alone, then whole replies.

Beside the text of a whole reply the confidence is learnt several times more slowly
(docs/lab-notebook.md), and whole replies are chosen evenly by the cause of uncertainty that they
name. TRL's engine builds its rows from the prepared ones in this order; `curriculum` writes it out
for LLaMA-Factory, which trains on text alone.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from typing import Any

from metaconf.config.blocks import Confidence
from metaconf.prompts.causes import named_causes
from metaconf.prompts.chat import DIRECT
from metaconf.reply import parse_reply

Rows = list[dict[str, Any]]
"""Sharegpt rows of `prepare`."""


def ordered(rows: Sequence[dict[str, Any]], alone: float, whole: float) -> tuple[Rows, Rows]:
    """Of shuffled rows those whose answer and confidence are taught alone, the first ones, as many
    as the share `alone`; and those whose whole reply is, as many as the share `whole`, of the last
    ones, but evenly by the cause that they name."""
    last = evenly([_causes(row) for row in rows], round(whole * len(rows)))
    return list(rows[: round(alone * len(rows))]), [rows[place] for place in last]


def shuffled(rows: Sequence[dict[str, Any]], seed: int) -> Rows:
    """The rows in the order in which this seed teaches them."""
    return random.Random(seed).sample(rows, len(rows))


def curriculum(rows: Sequence[dict[str, Any]], how: Confidence, seed: int) -> Rows:
    """The two parts as one list of rows for a trainer that learns text. The first are replies
    without a reflection, to an instruction of their own: the other format is the whole replies'."""
    alone, whole = ordered(shuffled(rows, seed), how.alone, how.whole)
    return [*map(_direct, alone), *whole]


def _direct(row: dict[str, Any]) -> dict[str, Any]:
    question, reply = row["conversations"]
    parsed = parse_reply(reply["value"])
    confidence = reply["value"].rstrip().rpartition("\n")[2]
    short = f"Answer: {parsed.answer}\n{confidence}"
    return {**row, "conversations": [question, {**reply, "value": short}], "system": DIRECT}


def evenly(kinds: Sequence[Hashable], count: int) -> list[int]:
    """`count` places, ascending, as evenly by kind as there are: all of a rare kind, and of each
    other the last ones. Where one cause of uncertainty makes up nine tenths of the rows, a model
    that names it always is all but right, and stays there."""
    places: dict[Hashable, list[int]] = {}
    for place, kind in enumerate(kinds):
        places.setdefault(kind, []).append(place)
    left, chosen = count, list[int]()
    for number, own in enumerate(sorted(places.values(), key=len)):
        some = min(len(own), left // (len(places) - number))
        chosen += own[len(own) - some :]
        left -= some
    return sorted(chosen)


def _causes(row: dict[str, Any]) -> frozenset[str]:
    return named_causes(parse_reply(row["conversations"][1]["value"]).reflection or "")
