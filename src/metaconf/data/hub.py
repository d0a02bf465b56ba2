"""Data sets of the hub, and local folders that have the same form, through `datasets`.

Its import takes a second, so it stands alone. No code of a data set is run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetsError

from metaconf.data.opened import BATCH, Row, Source, numbered
from metaconf.errors import UserError


def open_data_set(name: str, config: str | None, split: str | None) -> Source:
    """The split of a data set (where there is one only, it can be left out). Raises UserError."""
    found = _loaded(name, config, split)
    if isinstance(found, dict):
        if len(found) != 1:
            raise UserError(
                f"{name}: has the splits {', '.join(map(str, found))}; write {name}:SPLIT, or set"
                " questions.split"
            )
        ((split, found),) = found.items()
    where = f"{name}:{split}"

    def rows(tops: Collection[str] | None) -> Iterator[Row]:
        names = [one for one in found.column_names if tops is None or one in tops]
        return numbered(where, _values(found.select_columns(names)))

    folder = Path(name).is_dir()
    stem = f"{Path(name).name}-{split}"
    return Source(stem, "row", rows, None if folder else name)


def _loaded(name: str, config: str | None, split: str | None) -> Any:
    try:
        return datasets.load_dataset(name, config, split=split)
    except (DatasetsError, OSError, RuntimeError, ValueError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{name}: cannot be loaded ({told[0]}); check the path or hub id, the split"
            f" ({split or 'none given'}) and questions.name ({config or 'none given'})"
        ) from error


def _values(data: Any) -> Iterator[dict[str, Any]]:
    for batch in data.iter(BATCH):
        names = list(batch)
        for cells in zip(*batch.values(), strict=True):
            yield dict(zip(names, cells, strict=True))
