"""Checks of what comes in: a wrong confidence must stop the run, never become a plausible number.

Other libraries answer quietly on NaN, 1.2 or graded correctness; here every refusal is a
ValueError that names the rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from numbers import Real
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Partial = ArrayLike | Sequence[float | None]
"""Numbers in which None or NaN stands for "missing"."""

_SHOWN = 5


def check_pair(confidence: ArrayLike, correctness: ArrayLike) -> tuple[Array, Array]:
    """Both as float64 (n,), n ≥ 1, every value in [0, 1].

    Raises ValueError naming the rows that are missing, not numbers or out of range.
    """
    c, y = check_partial(confidence, correctness)
    for name, values in (("confidence", c), ("correctness", y)):
        _refuse(name, values, np.isnan(values), "is missing; leave the row out or use summarise")
    if not c.size:
        raise ValueError("confidence has no rows; at least one reply is needed")
    return c, y


def check_partial(confidence: Partial, correctness: Partial) -> tuple[Array, Array]:
    """As `check_pair`, but None or NaN may stand for "missing", and n may be 0."""
    c, y = _floats("confidence", confidence), _floats("correctness", correctness)
    if c.shape != y.shape:
        raise ValueError(
            f"confidence has {c.size} rows, correctness {y.size}; give one of each a reply"
        )
    return c, y


def check_bins(bins: int) -> int:
    """`bins` where it is a whole number of at least 1; ValueError otherwise."""
    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
        raise ValueError(f"bins is {bins!r}; give a whole number of at least 1")
    return int(bins)


def number_questions(question_ids: Sequence[Hashable] | NDArray[Any]) -> tuple[list[Any], Index]:
    """Distinct ids in an order that does not depend on the rows', and each row's place in it."""
    if isinstance(question_ids, np.ndarray) and question_ids.dtype.kind in "iuUS":
        ids, place = np.unique(question_ids, return_inverse=True)
        return ids.tolist(), place
    # A dict numbers strings many times faster than a sort of all rows would.
    rows = list(question_ids)
    distinct = _ordered(set(rows))
    number = {question: i for i, question in enumerate(distinct)}
    return distinct, np.fromiter(map(number.__getitem__, rows), dtype=np.intp, count=len(rows))


def _ordered(questions: set[Any]) -> list[Any]:
    try:
        return sorted(questions)
    except TypeError:  # ids of several types
        return sorted(questions, key=str)


def _floats(name: str, values: Partial) -> Array:
    raw = np.asarray(values)
    if raw.ndim != 1:
        raise ValueError(f"{name} has shape {raw.shape}; give one value a reply")
    if raw.dtype.kind == "O":
        # Few types among many rows: each is looked at once.
        wrong = {t for t in set(map(type, raw)) if not issubclass(t, Real | np.bool_ | NoneType)}
        if wrong:
            bad = np.fromiter((type(v) in wrong for v in raw), dtype=bool, count=raw.size)
            _refuse(name, raw, bad, "is no number")
    elif raw.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {raw.dtype} values, the first {raw[0]!r}; give numbers")
    floats = raw.astype(np.float64)
    _refuse(name, floats, (floats < 0.0) | (floats > 1.0), "is outside [0, 1]")
    return floats


def _refuse(name: str, values: NDArray[Any], bad: NDArray[np.bool_], cause: str) -> None:
    rows = np.flatnonzero(bad)
    if not rows.size:
        return
    shown = ", ".join(f"row {i} ({values[i]!s})" for i in rows[:_SHOWN])
    more = f" and {rows.size - _SHOWN} more" if rows.size > _SHOWN else ""
    raise ValueError(f"{name} {cause}: {shown}{more}")
