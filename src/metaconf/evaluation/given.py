"""`metaconf evaluate --replies FILE`: replies from elsewhere, measured as our own are.

Lines are as `decide.replies` reads them; `system`, `family` (or `task`), `cause`, `answer` and
`truth` are shown where they are there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from metaconf.decisions.replies import Row, read_reply
from metaconf.errors import UserError
from metaconf.records import read_jsonl

SHOWN = 100_000
"""With more replies than this, the report holds figures alone: a browser could not."""
_SHARED: Row = {"prompt": None, "cause": None, "split": None, "truth": None, "why": None}


def measure(path: Path, output_dir: Path, seed: int) -> Path:
    """Figures and report of the replies in `path`; returns the report's path.

    Raises UserError, before anything is written, for a line that cannot be used, naming it.
    """
    from metaconf.cli.preflight import mark_run
    from metaconf.config.load import check_output_dir
    from metaconf.evaluation.run import write_results

    check_output_dir(output_dir, False)
    rows = read_given(path)
    mark_run(output_dir, {"command": "evaluate", "replies": str(path), "seed": seed}, False)
    count = sum(map(len, rows.values()))
    if count > SHOWN:
        print(
            f"metaconf: {count} replies: more than {SHOWN} are not copied into the run, and its"
            f" report holds figures alone; compare, calibrate and decide take {path} itself",
            file=sys.stderr,
        )
    return write_results(output_dir, f"Replies of {path.name}", rows, seed, keep=count <= SHOWN)


def read_given(path: Path) -> dict[str, list[Row]]:
    """System → rows in the file's order; a file that names no system holds one, "replies"."""
    found: dict[str, list[Row]] = {}
    for line, raw in read_jsonl(path):
        row = as_evaluated(read_reply(f"{path}:{line}", raw))
        found.setdefault(row["system"], []).append(row)
    if not found:
        raise UserError(f"{path}: holds no reply; one JSON object a line")
    return found


def as_evaluated(row: Row) -> Row:
    """A line that `read_reply` has read, with all that tables and report look at."""
    return {
        **_SHARED,
        **{name: row[name] for name in _SHARED if name in row},
        "prompt": row.get("prompt", row.get("question")),
        "question_id": row["question_id"],
        "system": str(row.get("system", "replies")),
        "kind": "given",
        "family": row.get("family", row.get("task")),
        "correctness": row.get("correctness"),
        "confidence": row["confidence"],
        "answer": None if (answer := row.get("answer")) is None else str(answer),
        "reflection": row.get("reflection"),
        "text": row.get("text") or row.get("reply") or "",
        "problems": row.get("problems") or [],
    }
