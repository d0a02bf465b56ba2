"""Proper scores and what they are made of, and calibration error without bins.

Confidence c and correctness y lie in [0, 1]; y may be graded. Each function takes tables with
leading axes (...,) and returns (...,), NaN where a table is empty.
"""

from __future__ import annotations

import numpy as np

from metaconf.metrics.arrays import Array
from metaconf.metrics.isotonic import isotonic_means
from metaconf.metrics.table import Table, ratio, segment_sums, starts_of

NLL_CLIP = 1e-6
_GRID = 1000  # of smooth ECE: stated confidences with up to three decimals fall on it exactly
_HALVINGS = 14


def brier_of(table: Table) -> Array:
    """Mean (c − y)², in [0, 1], 0 is best (Brier 1950)."""
    c = table.levels
    total = (c * c * table.count - 2.0 * c * table.right + table.square).sum(axis=-1)
    return ratio(total, table.complete)


def nll_of(table: Table) -> Array:
    """Mean −y ln c − (1 − y) ln(1 − c), in nats, c clipped to [1e-6, 1 − 1e-6]; range [0, 13.82].

    The clip keeps one certain error from being infinite; graded y acts as a soft label.
    """
    c = np.clip(table.levels, NLL_CLIP, 1.0 - NLL_CLIP)
    gain = table.right @ np.log(c) + (table.count - table.right) @ np.log1p(-c)
    return ratio(-gain, table.complete)


def uncertainty_of(table: Table) -> Array:
    """Variance of the correctness, ȳ(1 − ȳ) for 0/1."""
    mean = ratio(table.right.sum(axis=-1), table.complete)
    return ratio(table.square.sum(axis=-1), table.complete) - mean**2


def murphy_of(table: Table) -> tuple[Array, Array]:
    """Reliability and resolution by distinct confidence (Murphy 1973), exact for graded y as well.

    For nearly untied confidences every level is its own group and reliability approaches Brier
    itself: read `corp_of` there.
    """
    mean = np.divide(
        table.right, table.count, out=np.zeros_like(table.right), where=table.count > 0
    )
    base = ratio(table.right.sum(axis=-1), table.complete)[..., None]
    off = (table.count * (table.levels - mean) ** 2).sum(axis=-1)
    apart = (table.count * (mean - base) ** 2).sum(axis=-1)
    return ratio(off, table.complete), ratio(apart, table.complete)


def corp_of(table: Table) -> tuple[Array, Array]:
    """Reliability and resolution with the isotonic fit as the recalibrated forecast (Dimitriadis et
    al. 2021): Brier(c) − Brier(isotonic c), their miscalibration, and Brier(ȳ) − Brier(isotonic c),
    their discrimination."""
    gains = np.zeros(table.complete.shape)
    for at in np.ndindex(gains.shape):
        gains[at] = _corp_gain(table.levels, table.count[at], table.right[at])
    off = ratio(gains, table.complete)
    return off, off + uncertainty_of(table) - brier_of(table)


def _corp_gain(levels: Array, count: Array, right: Array) -> float:
    """Σ (c − y)² − Σ (isotonic c − y)² of one table; levels that it lacks take no part."""
    held = count > 0
    c, n = levels[held], count[held]
    mean = right[held] / n
    fitted = isotonic_means(mean, n)
    # Σ n (c − ȳ)² − Σ n (fitted − ȳ)²: the spread of y within a level cancels.
    return float((n * (c - fitted) * (c + fitted - 2.0 * mean)).sum())


def smooth_ece_of(table: Table) -> Array:
    """Calibration error by a reflected Gaussian kernel, in [0, 1], 0 is best.

    ∫ |E[(c − y) K_σ(c, t)]| dt over [0, 1], at the one σ that equals the result (Błasiok & Nakkiran
    2023): no bins and no bandwidth to choose. Found to 1e-4 on a grid of 1001 points; confidences
    between grid points are shared linearly by their neighbours.
    """
    waves = np.fft.rfft(_mirrored(table), axis=-1).real
    # On [0, 1] the reflected Gaussian is the heat kernel: it damps wave k by exp(−(kπσ)²/2).
    damping = -0.5 * (np.pi * np.arange(_GRID + 1)) ** 2
    low = np.zeros(waves.shape[:-1])
    high = np.minimum(_roughness(waves), 1.0)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        above = _roughness(waves * np.exp(damping * middle[..., None] ** 2)) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(table.complete > 0, 0.5 * (low + high), np.nan)


def _mirrored(table: Table) -> Array:
    """Mean residual on a ring of 2·1000 points, the interval and its mirror image, (..., 2000)."""
    residual = (table.levels * table.count - table.right) / np.maximum(table.complete, 1)[..., None]
    at = table.levels * _GRID
    # 0.29·1000 may come out as 289.99…: a thousandth part of rounding must not split a level.
    at = np.where(np.abs(at - np.rint(at)) < 1e-9, np.rint(at), at)
    cell = np.floor(at)
    starts = starts_of(cell)
    points, share = cell[starts].astype(np.intp), at - cell
    grid = np.zeros((*residual.shape[:-1], _GRID + 2))
    grid[..., points] += segment_sums(residual * (1.0 - share), starts)
    grid[..., points + 1] += segment_sums(residual * share, starts)
    grid[..., 1:_GRID] *= 0.5
    return np.concatenate([grid[..., : _GRID + 1], grid[..., _GRID - 1 : 0 : -1]], axis=-1)


def _roughness(waves: Array) -> Array:
    return np.abs(np.fft.irfft(waves, n=2 * _GRID, axis=-1)).sum(axis=-1)
