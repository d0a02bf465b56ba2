"""The model's own expected confidence in each training row, once it is learnt.

Stage 1 teaches it with each reflection, and the wording that is nearest to it. It is read once,
before the first reflection is taught: read anew in each step it moves with each step's noise, and
so does what the words mean. And it is recalibrated on the rows: after so short a training it lies
too near the middle, on the rows as on other questions (docs/lab-notebook.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import broadcast_object_list
from tqdm import tqdm

from metaconf.decisions.recalibrate import fit, too_little
from metaconf.files import write_json
from metaconf.runs import is_main_process

OWN_CONFIDENCES = "own_confidences.json"
"""In the run directory, so that a resumed run teaches the same wordings."""

Key = tuple[int, ...]
TokenRow = dict[str, Any]
"""Columns of `rows.Row`."""


def key(row: TokenRow) -> Key:
    """The tokens of prompt and reply. In a row with wordings, which an opening and a whole reply
    share, the reply is the answer."""
    return *row["prompt"], *row["reply"]


def own_confidences(
    folder: Path,
    rows: Sequence[TokenRow],
    size: int,
    read: Callable[[Sequence[TokenRow]], list[float]],
) -> dict[Key, float]:
    """By row the confidence in [0, 1] that `read` gives for `size` rows at once, recalibrated, or
    that is kept in `folder`. Every process must call it; the main process keeps what it reads."""
    unique = {key(row): row for row in rows}
    path = folder / OWN_CONFIDENCES
    kept = [json.loads(path.read_text()) if is_main_process() and path.exists() else None]
    found: list[float] | None = broadcast_object_list(kept)[0]
    if found is None:
        found = recalibrated(_read_all(list(unique.values()), size, read), list(unique.values()))
        if is_main_process():
            write_json(path, found)
    return dict(zip(unique, found, strict=True))


def recalibrated(confidences: list[float], rows: Sequence[TokenRow]) -> list[float]:
    """The confidences with the slope and offset on their log-odds that suit the answers of known
    correctness (Platt 1999); as they are where these answers are too few."""
    c = np.array(confidences, float)
    y = np.array([row["correctness"] for row in rows], float)  # None -> NaN
    known = ~np.isnan(y)
    if not known.any() or too_little(c[known], y[known]):
        return confidences
    return fit("logistic", c[known], y[known])(c).tolist()


def _read_all(
    rows: Sequence[TokenRow], size: int, read: Callable[[Sequence[TokenRow]], list[float]]
) -> list[float]:
    found: list[float] = []
    with tqdm(total=len(rows), desc="own confidences", unit="row") as bar:
        for start in range(0, len(rows), size):
            found += read(rows[start : start + size])
            bar.update(len(found) - bar.n)
    return found
