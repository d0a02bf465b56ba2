"""A warning where the words of replies contradict the number that they state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from metaconf.grading.reading import reading
from metaconf.metrics.agreement import contradicts
from metaconf.prompts.slots import clean

CONTRADICTIONS = 0.05
"""A larger share of replies whose words and number contradict each other is worth a warning."""
SHOWN = 160
"""Characters of a reflection that a warning shows."""


class Stated(Protocol):
    """A reply: what it reflects, and the confidence in [0, 1] that it states."""

    @property
    def reflection(self) -> str | None: ...
    @property
    def confidence(self) -> float | None: ...


def contradiction_warning(
    replies: Sequence[Stated], readings: Sequence[float | None] | None = None
) -> str | None:
    """A sentence with an example where words and number contradict each other in more than
    CONTRADICTIONS of the replies in which they could (`metrics.contradicts`); None elsewhere.

    `readings` (n,) are those of another reader than this one. The example is safe to print.
    """
    read = [reading(one.reflection) for one in replies] if readings is None else readings
    found = contradicts([one.confidence for one in replies], read)
    count, among = int(np.nansum(found)), int((~np.isnan(found)).sum())
    if not among or count / among <= CONTRADICTIONS:
        return None
    place = int(np.nanargmax(found))
    text = clean(" ".join((replies[place].reflection or "").split()))[:SHOWN]
    return (
        f"words and number contradict each other in {count} of {among} replies that state 0.6 or"
        f" more, or 0.2 or less: one states {replies[place].confidence:.2g}, and its reflection"
        f" sounds like {read[place]:.2g}: {text!r}"
    )
