"""The monotone fit of correctness on confidence, as two plain lists that JSON can hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metaconf.metrics.arrays import Array, check_pair
from metaconf.metrics.table import tabulate


class Isotonic(NamedTuple):
    """Knots (K,) of a piecewise linear, non-decreasing map of [0, 1] to [0, 1]."""

    confidence: list[float]
    correctness: list[float]


def fit_isotonic(confidence: ArrayLike, correctness: ArrayLike) -> Isotonic:
    """Least-squares non-decreasing fit (pool adjacent violators); ValueError on bad rows."""
    table = tabulate(confidence, correctness)
    fitted = isotonic_means(table.right / table.count, table.count)
    # The inside of a flat stretch adds nothing to the map.
    step = np.append(True, fitted[1:] != fitted[:-1])
    keep = step | np.append(step[1:], True)
    return Isotonic(table.levels[keep].tolist(), fitted[keep].tolist())


def isotonic_means(means: Array, weights: Array) -> Array:
    """The non-decreasing values (K,) nearest to `means` (K,) in [0, 1] under `weights` > 0."""
    from sklearn.isotonic import isotonic_regression  # a second to import, and only needed here

    if not means.size:
        return means
    fitted = isotonic_regression(means, sample_weight=weights, y_min=0.0, y_max=1.0)
    return np.asarray(fitted, dtype=np.float64)


def apply_isotonic(fit: Isotonic, confidence: ArrayLike) -> Array:
    """Mapped confidences (n,); outside the fitted range the end values hold, never NaN."""
    c, _ = check_pair(confidence, np.zeros(np.size(confidence)))
    return np.interp(c, fit.confidence, fit.correctness)
