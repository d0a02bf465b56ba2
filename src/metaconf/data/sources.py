"""Rows from files and from the hub, one at a time: a set of a million rows is never held twice."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from metaconf.config.blocks import Questions
from metaconf.data.opened import BATCH, Row, Source, numbered
from metaconf.data.packed import open_text, plain, readable
from metaconf.errors import UserError
from metaconf.safe_text import loads_bounded

CELL = 1 << 26
"""Characters that a cell of CSV may hold. Python's own limit, 131,072, is less than a document."""
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def open_source(source: str, how: Questions) -> Source:
    """A file by its suffix, or a hub id or folder with its split. Raises UserError."""
    if not source.strip():
        raise UserError(f"{source!r} names no questions; give a file, a hub id or `embedded`")
    source = os.path.expanduser(source)
    path = Path(source)
    if not os.path.isfile(source):  # False also for what no file can be called
        name, _, split = source.partition(":")
        if os.path.isdir(name) or (re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) and not path.suffix):
            from metaconf.data.hub import open_data_set

            return open_data_set(name, how.name, split or how.split)
        if os.path.exists(path):
            raise UserError(f"{path}: a pipe, which is read only once; write it to a file first")
    inner = plain(path)
    kind, stem = inner.suffix.lower(), inner.stem
    if kind == ".json":
        return _json(path, stem)
    if kind in (".csv", ".tsv"):
        delimiter = "," if kind == ".csv" else "\t"
        return Source(stem, "line", lambda _: _read(path, _csv(path, delimiter)))
    if kind == ".parquet":
        return Source(stem, "row", lambda tops: _parquet(path, tops))
    return Source(stem, "line", lambda _: _read(path, _jsonl(path)))


def _jsonl(path: Path) -> Iterator[Row]:
    with open_text(path) as source:
        for number, line in enumerate(source, 1):
            yield Row(f"{path}:{number}", number, _object(f"{path}:{number}", line))


def _object(where: str, line: str) -> dict[str, Any]:
    if not line.strip():
        raise UserError(f"{where}: the line is empty; remove it")
    try:
        row = _value(line)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); one JSON object a line") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: {type(row).__name__} instead of a JSON object")
    return row


def _value(text: str) -> Any:
    """The JSON value. Half a surrogate pair is kept as it is: a reference that holds one is
    refused with its line (`rows`), not mended."""
    value = loads_bounded(text)
    return json.loads(text) if _ESCAPED_HALF.search(text) else value


def _csv(path: Path, delimiter: str) -> Iterator[Row]:
    """Cells are text as it is written, so "1912" stays that; an empty cell is null."""
    with open_text(path, newline="") as source:
        reader = csv.reader(source, delimiter=delimiter, strict=True)
        try:
            names = _header(path, _next(reader) or [])
            number = reader.line_num + 1
            while (cells := _next(reader)) is not None:
                if cells:
                    yield _cells(f"{path}:{number}", number, names, cells)
                number = reader.line_num + 1
        except csv.Error as error:
            kind = plain(path).suffix[1:].upper()
            raise UserError(
                f"{path}:{reader.line_num}: not {kind} ({error}); check the quotes there"
            ) from error


def _next(reader: Any) -> list[str] | None:
    """The next row, with room for long cells; the limit is the whole process's, and others' code
    may rely on it."""
    before = csv.field_size_limit(CELL)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _header(path: Path, names: list[str]) -> list[str]:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"{path}:1: column {twice[0]!r} stands twice; rename one of them")
    return names


def _cells(where: str, number: int, names: list[str], cells: list[str]) -> Row:
    if len(cells) != len(names):
        raise UserError(
            f"{where}: {len(cells)} cells, but {len(names)} columns ({', '.join(names)}); put text"
            " with commas, quotes or line breaks in quotes"
        )
    return Row(where, number, {k: v or None for k, v in zip(names, cells, strict=True)})


def _json(path: Path, stem: str) -> Source:
    """A list of objects, an object that holds one such list, or JSONL by another name."""
    with readable(path), open_text(path) as source:
        text = source.read()
    try:
        value = _value(text)
    except ValueError as error:
        if getattr(error, "msg", "") == "Extra data" and text.lstrip().startswith("{"):
            return Source(stem, "line", lambda _: _read(path, _jsonl(path)))
        line = getattr(error, "lineno", 1)
        raise UserError(f"{path}:{line}: not JSON ({error}); correct it there") from error
    rows = _list_in(path, value)
    return Source(stem, "row", lambda _: numbered(path, rows))


def _list_in(path: Path, value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        if len(lists) != 1 or {"question", "prompt"} & value.keys():
            return [value]
        value = lists[0]
    if not isinstance(value, list):
        raise UserError(f"{path}: {type(value).__name__} instead of a list; write [{{…}}, {{…}}]")
    for number, row in enumerate(value, 1):
        if not isinstance(row, dict):
            raise UserError(f"{path}, row {number}: {type(row).__name__} instead of an object")
    return value


def _parquet(path: Path, tops: Collection[str] | None) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    def values() -> Iterator[dict[str, Any]]:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = names if tops is None else [name for name in names if name in tops]
            for batch in file.iter_batches(BATCH, columns=wanted):
                yield from batch.to_pylist()

    try:
        yield from numbered(path, values())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}); check the file") from error
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: not Parquet ({error}); check the file") from error


def _read(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    with readable(path):
        yield from rows
