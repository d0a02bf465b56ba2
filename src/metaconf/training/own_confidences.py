"""The model's own expected confidence in each training row, once it is learnt.

Stage 1 teaches it with each reflection, and the wording that is nearest to it. It is read once,
before the first reflection is taught: read anew in each step it moves with each step's noise, and
so does what the words mean (docs/lab-notebook.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from tqdm import tqdm

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
    """By row the confidence in [0, 1] that `read` gives for `size` rows at once, or that is kept in
    `folder`. Every process must call it; the main process keeps what it reads."""
    unique = {key(row): row for row in rows}
    path = folder / OWN_CONFIDENCES
    kept = [json.loads(path.read_text()) if is_main_process() and path.exists() else None]
    found: list[float] | None = broadcast_object_list(kept)[0]
    if found is None:
        found = _read_all(list(unique.values()), size, read)
        if is_main_process():
            write_json(path, found)
    return dict(zip(unique, found, strict=True))


def _read_all(
    rows: Sequence[TokenRow], size: int, read: Callable[[Sequence[TokenRow]], list[float]]
) -> list[float]:
    found: list[float] = []
    with tqdm(total=len(rows), desc="own confidences", unit="row") as bar:
        for start in range(0, len(rows), size):
            found += read(rows[start : start + size])
            bar.update(len(found) - bar.n)
    return found
