"""Rules that certify a threshold, over many repeats at once: ours, earlier ones and MAPIE's.

Each takes a `Sample` and returns the place in LEVELS of the lowest level that is certified in each
repeat, −1 for none. `ours` is the product's rule written again over arrays; certificate.py checks
that both agree, and that `mapie_rules` agree with MAPIE itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr, xlogy

from metaconf.decisions.abstain import EARLY, LEVELS, SHARE, size

Ints = np.ndarray


@dataclass(frozen=True)
class Sample:
    """Replies and wrong ones at or above each level (repeats, levels), and the p-values."""

    counts: Ints
    wrong: Ints
    alpha: float
    delta: float
    p: np.ndarray


def sample(counts: Ints, wrong: Ints, alpha: float, delta: float) -> Sample:
    return Sample(counts, wrong, alpha, delta, _tail(wrong, counts, alpha))


def _tail(wrong: Ints, counts: Ints, alpha: float) -> np.ndarray:
    return np.where(counts > 0, bdtr(wrong, np.maximum(counts, 1), alpha), 1.0)


def named(s: Sample, last: Ints) -> Ints:
    """The highest level with the count of `last`: nothing was seen between."""
    counts = np.take_along_axis(s.counts, np.maximum(last, 0)[:, None], 1)
    return np.where(last < 0, -1, (s.counts == counts).argmax(1))


def _first(holds: np.ndarray) -> Ints:
    return np.where(holds.any(1), holds.argmax(1), holds.shape[1])


def _ends(s: Sample, start: Ints, level: np.ndarray | float) -> Ints:
    """The first level from `start` on that is not rejected at `level` (repeats,)."""
    later = np.arange(s.p.shape[1]) >= start[:, None]
    return _first(later & (s.p > np.broadcast_to(level, start.shape)[:, None]))


def _faultless(s: Sample, level: float) -> np.ndarray:
    return (1 - s.alpha) ** s.counts <= level


def today(s: Sample) -> Ints:
    """One walk at δ from the first level where a faultless record would pass."""
    start = _first(_faultless(s, s.delta))
    end = _ends(s, start, s.delta)
    return np.where(end > start, end - 1, -1)


def half(s: Sample) -> Ints:
    """One walk at δ from the first level where half of the allowed errors would pass."""
    start = _first(_tail(np.ceil(s.alpha * s.counts / 2), s.counts, s.alpha) <= s.delta)
    end = _ends(s, start, s.delta)
    return np.where(end > start, end - 1, -1)


def _two(s: Sample, share: float, spent: Callable[[np.ndarray], Ints | float]) -> Ints:
    n = s.counts[:, -1:]
    early = share * s.delta
    second = _first(_faultless(s, s.delta) & (s.counts >= SHARE * n))
    first = np.minimum(_first(_faultless(s, early)), second)
    places = np.arange(s.p.shape[1])
    between = (places >= first[:, None]) & (places < second[:, None])
    reached = np.minimum(_ends(s, first, early), second)
    level = np.where(reached == second, s.delta, s.delta - spent(between))
    end = _ends(s, second, level)
    return np.where(end > second, end - 1, np.where(reached > first, reached - 1, -1))


def split(s: Sample) -> Ints:
    """Two walks that get half of δ each (the second all of it if the first comes so far)."""
    return _two(s, 0.5, lambda between: 0.5 * s.delta)


def ours(s: Sample) -> Ints:
    """Two walks; the second gets what the first cannot have spent."""
    sizes = size(np.arange(int(s.counts.max()) + 1), EARLY * s.delta, s.alpha)
    return _two(s, EARLY, lambda between: np.where(between, sizes[s.counts], 0).max(1))


def spending(s: Sample) -> Ints:
    """A budget that grows with the share answered, all of it at a fifth; a failed test costs its
    own (a fallback procedure, Wiens 2003)."""
    share = np.minimum(1, s.counts / (SHARE * s.counts[:, -1:]))
    usable = (1 - s.alpha) ** s.counts <= s.delta * share
    grown = s.delta * np.maximum.accumulate(np.where(usable, share, 0), 1)
    budget, last = np.zeros(len(s.p)), np.full(len(s.p), -1)
    for level in range(s.p.shape[1]):
        budget = budget + grown[:, level] - (grown[:, level - 1] if level else 0)
        passes = s.p[:, level] <= budget
        last = np.where(passes, level, last)
        budget = np.where(passes, budget, 0)
    return last


RULES = {"today": today, "half": half, "split": split, "spending": spending, "ours": ours}


def mapie_rules(s: Sample) -> dict[str, Ints]:
    """MAPIE 1.6's BinaryClassificationController on "precision" by each way it offers to correct
    for many levels, over the levels whose counts differ (its kindest grid: it would stop at one
    without replies, and Bonferroni counts levels)."""
    distinct = np.diff(s.counts, axis=1, prepend=0) > 0
    number, p = distinct.sum(1), mapie_p(s)
    delta = 1 - (1 - s.delta)
    low = np.where(distinct, p, np.inf)
    found = {"bonferroni": _last(low <= delta / number[:, None])}
    order = np.argsort(low, 1, kind="stable")
    left = np.maximum(number[:, None] - np.arange(p.shape[1]), 1)
    in_order = np.logical_and.accumulate(np.take_along_axis(low, order, 1) <= delta / left, 1)
    rejected = np.zeros_like(in_order)
    np.put_along_axis(rejected, order, in_order, 1)
    found["bonferroni_holm"] = _last(rejected)
    up = _risk_rises(s, distinct)
    for starts in STARTS:
        down = _sequence(p, distinct, number, delta, starts)
        turned = _sequence(p[:, ::-1], distinct[:, ::-1], number, delta, starts)[:, ::-1]
        found[f"fixed_sequence_{starts}"] = _last(np.where(up[:, None], turned, down))
    return found


STARTS = (1, 2, 4)


def mapie_p(s: Sample) -> np.ndarray:
    """Its p-values, down to the rounding of n · risk before it is rounded up."""
    n = np.maximum(s.counts, 1)
    risk = 1 - (s.counts - s.wrong) / n
    low = np.minimum(risk, s.alpha)
    divergence = xlogy(low, low / s.alpha) + (1 - low) * np.log((1 - low) / (1 - s.alpha))
    tails = bdtr(np.minimum(np.ceil(n * risk), n), n, s.alpha)
    return np.where(s.counts > 0, np.minimum(tails, np.exp(-n * divergence)), 1.0)


def _last(rejected: np.ndarray) -> Ints:
    width = rejected.shape[1]
    return np.where(rejected.any(1), width - 1 - rejected[:, ::-1].argmax(1), -1)


def _risk_rises(s: Sample, distinct: np.ndarray) -> np.ndarray:
    """Whether MAPIE takes the risk to rise with the threshold, and so starts at the lowest."""
    risk = 1 - (s.counts - s.wrong) / np.maximum(s.counts, 1)
    first = distinct.argmax(1)
    risk = np.where(s.counts > 0, risk, np.take_along_axis(risk, first[:, None], 1))
    steps = -np.diff(risk, axis=1)  # levels fall here, thresholds rise there
    rises, falls = (steps >= -1e-6).all(1), (steps <= 1e-6).all(1)
    return rises | (~falls & (risk[:, 0] > risk[:, -1]))


def _sequence(
    p: np.ndarray, distinct: np.ndarray, number: Ints, delta: float, starts: int
) -> np.ndarray:
    """What walks from equally spaced starts reject (repeats, levels), each at its share of δ."""
    rank = np.cumsum(distinct, 1) - 1
    used = np.minimum(starts, number)
    fails = distinct & (p > (delta / used)[:, None])
    rejected = np.zeros_like(distinct)
    for k in range(starts):
        begin = k * (number // used)
        later = distinct & (rank >= begin[:, None]) & (k < used)[:, None]
        rejected |= later & ~np.logical_or.accumulate(fails & later, 1)
    return rejected


def mapie_itself() -> tuple[Any, Any] | None:
    """MAPIE's controller and its walk with several starts; None where it is not installed."""
    try:
        from mapie.risk_control import (  # pyright: ignore[reportMissingImports]
            BinaryClassificationController,
        )
        from mapie.risk_control.fwer_control import (  # pyright: ignore[reportMissingImports]
            FWERFixedSequenceTesting,
        )
    except ImportError:
        return None
    return BinaryClassificationController, FWERFixedSequenceTesting


def mapie_threshold(
    controller: Any,
    method: Any,
    c: np.ndarray,
    y: np.ndarray,
    alpha: float,
    delta: float,
    grid: Sequence[float] = LEVELS,
) -> float | None:
    """The level of `grid` from which on MAPIE's own controller certifies the answers, by one of its
    methods; None for no level. `c` and `y` are confidences and correctness (n,)."""
    one = controller(
        lambda x: np.stack([1 - x[:, 0], x[:, 0]], 1),
        "precision",
        target_level=1 - alpha,
        confidence_level=1 - delta,
        list_predict_params=np.array(sorted(grid)),
        fwer_method=method,
    )
    one.calibrate(c[:, None], y.astype(int))
    best = one.best_predict_param
    return None if best is None else min(LEVELS, key=lambda level: abs(level - best))
