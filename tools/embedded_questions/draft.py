"""A question before it has a split, and the folding of names that the split rests on."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from metaconf.records import Target

KNOWLEDGE, QUERY, REASONING = "knowledge boundary", "query complexity", "reasoning"


@dataclass(frozen=True, slots=True)
class Draft:
    """A question to be. Drafts that share one of `keys`, at any remove, share a split."""

    family: str
    slug: str
    subject: str
    """The name that is asked about as it stands in the prompt; empty for numbers."""
    prompt: str
    targets: tuple[Target, ...]
    keys: tuple[str, ...]
    cause: str
    familiarity: float | None = None
    task: str = "short"
    kept_out: bool = False
    """Out-of-domain: stands in no training split, nor does any other question with its keys."""
    undoes: str | None = None
    """The key of the sum that a difference undoes."""


@lru_cache(maxsize=100_000)
def fold(text: str) -> str:
    """`text` as words without case, accents and punctuation: "São-Tomé" → "sao tome"."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", re.sub(r"['’‘ʼ`.]", "", bare)))


def key_of(name: str) -> str:
    """The split key of a place name: "Orange County", "Orange" and "Orange City" are one."""
    folded = re.sub(r"\b(st|ste)\b", "saint", fold(name))
    return re.sub(r"(?<=\w) (city|county)$", "", folded)


def says(text: str, words: str) -> bool:
    """Whether `words` stand in `text` as whole words, both folded first."""
    return f" {fold(words)} " in f" {fold(text)} "


def fraction(*parts: object) -> float:
    """A number in [0, 1) that depends on nothing but `parts`: the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def by_hash(names: Iterable[str], salt: str) -> list[str]:
    """The names in an order that is as good as random and the same each time."""
    return sorted(names, key=lambda name: (fraction(salt, name), name))
