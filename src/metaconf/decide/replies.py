"""Files of replies that others may have written.

JSONL with `question_id`, `confidence` in [0, 1] (null: none was stated) and, where it is needed,
`correctness` in [0, 1] (null: not graded): what `metaconf evaluate` writes, or anybody else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metaconf.errors import UserError
from metaconf.records import read_jsonl

Row = dict[str, Any]


def read(path: Path, system: str | None) -> list[Row]:
    """Rows of a file of replies, checked. Raises UserError naming file and line."""
    rows = [_checked(path, line, row) for line, row in read_jsonl(path)]
    systems = sorted({str(row["system"]) for row in rows if row.get("system") is not None})
    if system is not None:
        rows = [row for row in rows if row.get("system") == system]
        if not rows:
            raise UserError(f"{path}: no reply of system {system!r}; it has {', '.join(systems)}")
    elif len(systems) > 1:
        raise UserError(
            f"{path}: holds several systems; choose one by --system: {', '.join(systems)}"
        )
    if not rows:
        raise UserError(f"{path}: holds no reply")
    return rows


def _checked(path: Path, line: int, row: Row) -> Row:
    if row.get("question_id") is None or "confidence" not in row:
        raise UserError(f"{path}:{line}: question_id and confidence are needed")
    check_numbers(f"{path}:{line}", row)
    return row


def check_numbers(where: str, row: Row) -> None:
    """Confidence and correctness are in [0, 1], null or absent; UserError otherwise."""
    for name in ("confidence", "correctness"):
        value = row.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and 0 <= value <= 1):
            raise UserError(f"{where}: {name} is {value!r}; give a number from 0 to 1, or null")
