"""Sums, differences and products for the embedded questions: uncertainty that is reasoning."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations_with_replacement

from metaconf.records import Target
from tools.embedded_questions.draft import REASONING, Draft

Pair = tuple[int, int]


def arithmetic(large: int = 300) -> list[Draft]:
    """All sums up to 20 + 20, `large` sums and as many differences up to 99, products to 12 × 12.

    The split goes by the unordered pair of operands, so 3 + 5, 5 + 3, 5 - 3 and 3 × 5 stand
    together. 8 - 3 undoes 3 + 5, which is another pair; linking the two would join all pairs into
    one, so the program leaves out a difference that falls into another split than its sum: about
    two thirds of the small ones.
    """
    rng = random.Random(7)
    pairs = [p for p in combinations_with_replacement(range(1, 100), 2) if p[1] > 20]
    sums = rng.sample(pairs, large)
    minus = rng.sample([p for p in pairs if p[0] != p[1]], large)
    turned = [(b, a) if rng.random() < 0.5 else (a, b) for a, b in sums]
    drafts = [_draft("sum", "+", *p, sum(p)) for p in turned]
    drafts += [_draft("sum", "+", a, b, a + b) for a, b in _square(20)]
    drafts += [_draft("difference", "-", b, a, b - a) for a, b in minus]
    drafts += [_draft("difference", "-", a, b, a - b) for a, b in _square(20) if a > b]
    drafts += [_draft("product", "×", a, b, a * b) for a, b in _square(12)]
    return drafts


def pair_key(a: int, b: int) -> str:
    """The split key of two operands in either order."""
    return f"numbers {min(a, b)} {max(a, b)}"


def _square(limit: int) -> Iterator[Pair]:
    return ((a, b) for a in range(1, limit + 1) for b in range(1, limit + 1))


def _draft(family: str, sign: str, a: int, b: int, result: int) -> Draft:
    return Draft(
        family,
        f"{a}-{b}",
        "",
        f"What is {a} {sign} {b}?",
        (Target((str(result),)),),
        (pair_key(a, b),),
        REASONING,
        task="math",
        undoes=pair_key(b, result) if family == "difference" else None,
    )
