"""What every opened set of questions is: rows that know where they stand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

BATCH = 200
"""Rows of Parquet or of the hub that are held at once: a row may carry whole documents."""


class Row(NamedTuple):
    """One row: `where` opens an error about it, `number` counts from 1, in lines if it has any."""

    where: str
    number: int
    values: dict[str, Any]


class Source(NamedTuple):
    """An opened set. `rows(tops)` reads it from the start; None reads all columns."""

    stem: str
    unit: str
    rows: Callable[[Collection[str] | None], Iterator[Row]]
    hub_id: str | None = None


def numbered(path: Any, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> Iterator[Row]:
    """Rows of what has no lines."""
    for number, values in enumerate(rows, 1):
        yield Row(f"{path}, row {number}", number, values)
