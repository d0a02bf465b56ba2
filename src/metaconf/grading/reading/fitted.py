"""How sure a text sounds by the weights of its words and phrases.

The weights are a ridge regression on labelled reflections (tests/grading/reflections_*.jsonl, none
of them the teacher's). `python -m tools.reading_weights` fits them and writes weights.json.gz.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from math import sqrt
from typing import NamedTuple

from metaconf.grading.reading.lexicon import lexicon

SCOPE = 4
"""Words that a negation reaches."""
LEAST = 4
"""Words by which the weights of a shorter text are divided: one word alone tells less."""
_MARKS = frozenset(".!?;:,()-")
_CUT = frozenset((*".!?;:", "but", "yet", "however", "though", "although", "so"))
_SUFFIXES = (
    *("ations", "ation", "ingly", "edly", "ing", "ions", "ion", "ies", "ied"),
    *("ed", "ly", "es", "s", "e"),
)


class Weights(NamedTuple):
    """Weights of phrases in units of `unit`; `intercept` is the value of a text without any."""

    intercept: float
    unit: float
    of: dict[str, int]


@cache
def weights() -> Weights:
    packed = files("metaconf.grading.reading").joinpath("weights.json.gz").read_bytes()
    return Weights(**json.loads(gzip.decompress(packed)))


def fitted(words: Sequence[str]) -> float:
    """The fitted sureness of a text in words of `lexicon.words_of`; may lie outside of [0, 1]."""
    table = weights()
    total = sum(table.of.get(phrase, 0) for phrase in phrases(words))
    return table.intercept + table.unit * total * scale(words)


def scale(words: Sequence[str]) -> float:
    """What a sum of weights is multiplied by, so that long texts are not read as extreme."""
    return 1 / sqrt(max(len(words), LEAST))


def phrases(words: Sequence[str]) -> set[str]:
    """Stems, their runs of two and three, pairs with a gap ("_"), stems that are negated ("~") and
    those of the last clause ("$"), where the verdict stands."""
    stems = ["#" if word[0].isdigit() else _stem(word) for word in words]
    runs = {" ".join(stems[i : i + n]) for n in (1, 2, 3) for i in range(len(stems) - n + 1)}
    gaps = (f"{one} _ {other}" for one, other in zip(stems, stems[2:], strict=False))
    return runs.union(gaps, _negated(stems), ("$" + stem for stem in _last(stems)))


def _stem(word: str) -> str:
    suffix = next((s for s in _SUFFIXES if word.endswith(s) and len(word) - len(s) >= 4), "")
    return word.removesuffix(suffix)


def _negated(stems: Sequence[str]) -> list[str]:
    found, left, negations = list[str](), 0, lexicon().roles["not"]
    for stem in stems:
        left = 0 if stem in _MARKS else left
        if left:
            found.append("~" + stem)
            left -= 1
        left = SCOPE if stem in negations else left
    return found


def _last(stems: Sequence[str]) -> Sequence[str]:
    """The last clause."""
    end = len(stems)
    while end and stems[end - 1] in _CUT:
        end -= 1
    start = end
    while start and stems[start - 1] not in _CUT:
        start -= 1
    return stems[start:end]
