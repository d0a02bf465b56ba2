"""`metaconf evaluate --replies FILE`: replies from elsewhere, measured as our own are.

Lines are as `decisions.replies` reads them; `method`, `family` (or `task`), `cause`, `answer` and
`truth` are shown where they are there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from metaconf.decisions.replies import Row, read_reply
from metaconf.errors import UserError
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.records import read_jsonl

SHOWN = 100_000
"""With more replies than this, the report holds figures alone: a browser could not."""


def measure(path: Path, output_dir: Path, seed: int) -> Path:
    """Figures and report of the replies in `path`; returns the report's path.

    Raises UserError, before anything is written, for a line that cannot be used, naming it.
    """
    from metaconf.evaluation.run import write_results
    from metaconf.runs import check_output_dir, mark_run

    check_output_dir(output_dir, False)
    rows = read_external(path)
    mark_run(output_dir, {"command": "evaluate", "replies": str(path), "seed": seed}, False)
    count = sum(map(len, rows.values()))
    if count > SHOWN:
        print(
            f"metaconf: {count} replies: more than {SHOWN} are not copied into the run, and its"
            f" report holds figures alone; compare, calibrate and decide take {path} itself",
            file=sys.stderr,
        )
    return write_results(output_dir, f"Replies of {path.name}", rows, seed, keep=count <= SHOWN)


def read_external(path: Path) -> dict[str, list[EvaluatedReply]]:
    """Method → rows in the file's order; a file that names no method holds one, "replies"."""
    found: dict[str, list[EvaluatedReply]] = {}
    for line, raw in read_jsonl(path):
        row = as_evaluated(read_reply(f"{path}:{line}", raw))
        found.setdefault(row.method, []).append(row)
    if not found:
        raise UserError(f"{path}: holds no reply; one JSON object a line")
    return found


def as_evaluated(row: Row) -> EvaluatedReply:
    """A line that `read_reply` has read as a row. What is only shown may have any type there, and
    is text here."""
    return EvaluatedReply(
        question_id=row["question_id"],
        method=str(row.get("method") or "replies"),
        prompt=_text(row.get("prompt", row.get("question"))),
        family=_text(row.get("family", row.get("task"))),
        cause=_text(row.get("cause")) or None,
        answer=_known(row.get("answer")),
        reflection=_known(row.get("reflection")),
        confidence=row["confidence"],
        correctness=row.get("correctness"),
        reading=row.get("reading"),
        text=_text(row.get("text") or row.get("reply")),
        truth=_text(row.get("truth")),
        split=_text(row.get("split")),
        why=_text(row.get("why")),
        problems=_problems(row.get("problems")),
        task=_known(row.get("task")),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _known(value: Any) -> str | None:
    return None if value is None else str(value)


def _problems(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),) if value else ()
