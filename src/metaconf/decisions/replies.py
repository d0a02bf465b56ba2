"""Files of replies that others may have written.

JSONL, a reply a line. It names its question (`question_id`, or the text `question`) and has
`confidence` in [0, 1] (null: none was stated) or `reply`, a text in our format; where it is needed,
`correctness` in [0, 1] (null: not graded). So writes `metaconf evaluate`, and anybody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metaconf.errors import UserError
from metaconf.records import read_jsonl
from metaconf.reply import parse_reply
from metaconf.safe_text import finite

Row = dict[str, Any]


def read(path: Path, method: str | None, choose: str = "--method") -> list[Row]:
    """Rows of a file of replies, each read by `read_reply`; of one `method` where it is given.

    Raises UserError naming file and line.
    """
    rows = [read_reply(f"{path}:{line}", row) for line, row in read_jsonl(path)]
    methods = sorted({str(row["method"]) for row in rows if row.get("method") is not None})
    if method is not None:
        rows = [row for row in rows if row.get("method") == method]
        if not rows:
            raise UserError(f"{path}: no reply of method {method!r}; it has {', '.join(methods)}")
    elif len(methods) > 1:
        raise UserError(
            f"{path}: holds several methods; choose one by {choose}: {', '.join(methods)}"
        )
    if not rows:
        raise UserError(f"{path}: holds no reply")
    return rows


def read_reply(where: str, raw: Row) -> Row:
    """The line as it is, with `question_id` (a text) and `confidence` filled in; where only a
    reply's text is given, with what its parser finds in it. `where` is named in the UserError."""
    question = raw.get("question_id", raw.get("question"))
    if question is None:
        raise UserError(f"{where}: names no question; give question_id or question")
    if "system" in raw and "method" not in raw:
        raise UserError(f"{where}: has `system`, which is called `method` now; rename the key")
    check_numbers(where, raw)
    # NaN elsewhere, which pandas writes for nothing, could not be written again.
    row = {name: finite(value) for name, value in raw.items()} | {"question_id": str(question)}
    if "confidence" in raw:
        return row
    text = raw.get("reply", raw.get("text"))
    if not isinstance(text, str):
        raise UserError(f"{where}: has neither a confidence nor a reply; give one of them")
    parsed = parse_reply(text)
    said = {"answer": parsed.answer, "reflection": parsed.reflection, "text": text}
    return {**row, **said, "confidence": parsed.confidence, "problems": list(parsed.problems)}


def by_question(path: Path, rows: Iterable[Row]) -> dict[str, Row]:
    """The rows by question id. Raises UserError for two replies to one question."""
    found: dict[str, Row] = {}
    for row in rows:
        if found.setdefault(row["question_id"], row) is not row:
            raise UserError(
                f"{path}: question {row['question_id']!r} has more than one reply; the guarantee"
                " counts each question once: keep one"
            )
    return found


def check_new(output: Path) -> None:
    """Refuse a file that is there. Raises UserError."""
    if output.exists():
        raise UserError(f"{output}: exists already; name another file, or remove it")


def check_numbers(where: str, row: Row) -> None:
    """Confidence, correctness and reading are in [0, 1], null or absent; UserError otherwise."""
    for name in ("confidence", "correctness", "reading"):
        value = row.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and 0 <= value <= 1):
            shown = repr(value)[:40]
            raise UserError(f"{where}: {name} is {shown}; give a number from 0 to 1, or null")
