"""`metaconf evaluate --replies FILE`: replies from elsewhere, measured as our own are.

Each line names its question (`question_id`, or the text `question`), and has `confidence` in [0, 1]
or `reply`, a text in our format; `correctness` in [0, 1] or null. `system`, `family` (or `task`),
`cause`, `answer` and `truth` are shown where they are there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaconf.decide.replies import Row, check_numbers
from metaconf.errors import UserError
from metaconf.records import read_jsonl
from metaconf.reply import parse_reply

SHOWN = 100_000
"""With more replies than this, the report holds figures alone: a browser could not."""
_SHARED: Row = {"prompt": None, "cause": None, "split": None, "truth": None, "why": None}


def measure(path: Path, output_dir: Path, seed: int) -> Path:
    """Figures and report of the replies in `path`; returns the report's path.

    Raises UserError, before anything is written, for a line that cannot be used, naming it.
    """
    from metaconf.config import check_output_dir
    from metaconf.evaluation.run import write_results
    from metaconf.preflight import mark_run

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
        row = _row(f"{path}:{line}", raw)
        found.setdefault(row["system"], []).append(row)
    if not found:
        raise UserError(f"{path}: holds no reply; one JSON object a line")
    return found


def _row(where: str, raw: Row) -> Row:
    question = raw.get("question_id", raw.get("question"))
    if question is None:
        raise UserError(f"{where}: names no question; give question_id or question")
    check_numbers(where, raw)
    return {
        **_SHARED,
        **{name: raw[name] for name in _SHARED if name in raw},
        "prompt": raw.get("prompt", raw.get("question")),
        "question_id": str(question),
        "system": str(raw.get("system", "replies")),
        "kind": "given",
        "family": raw.get("family", raw.get("task")),
        "correctness": raw.get("correctness"),
        **_said(where, raw),
    }


def _said(where: str, raw: Mapping[str, Any]) -> Row:
    """Answer, reflection and confidence: as given, or parsed from the reply."""
    text = raw.get("reply", raw.get("text"))
    if "confidence" in raw:
        answer, reflection = raw.get("answer"), raw.get("reflection")
        given = {"answer": answer, "reflection": reflection, "confidence": raw["confidence"]}
        return {**given, "text": text or "", "problems": raw.get("problems") or []}
    if not isinstance(text, str):
        raise UserError(f"{where}: has neither a confidence nor a reply; give one of them")
    parsed = parse_reply(text)
    given = {"answer": parsed.answer, "reflection": parsed.reflection}
    problems = list(parsed.problems)
    return {**given, "confidence": parsed.confidence, "text": text, "problems": problems}
