"""What people said of replies: right or wrong, in SQLite, on the disk before it is acknowledged.

A row names the reply, its stated confidence and decision, and its question by a hash. No text is
kept. Replies are remembered in memory only, the last `REMEMBERED` of them: a label for any other
is refused.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metaconf.errors import UserError

REMEMBERED = 10_000
TABLE = (
    "CREATE TABLE IF NOT EXISTS labels (reply_id TEXT PRIMARY KEY, question_id TEXT NOT NULL,"
    " model TEXT NOT NULL, confidence REAL, action TEXT NOT NULL, calibration TEXT,"
    " correctness REAL NOT NULL, at TEXT NOT NULL)"
)
COLUMNS = (
    *("reply_id", "question_id", "model", "confidence", "action", "calibration", "correctness"),
    "at",
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a label needs to know of a reply."""

    question_id: str
    model: str
    confidence: float | None
    action: str
    calibration: str | None


def question_id(question: str) -> str:
    """The same for the same question; the text cannot be read from it."""
    return hashlib.sha256(" ".join(question.split()).encode("utf-8", "replace")).hexdigest()[:16]


class Feedback:
    """The labels in `path`, and the replies that can be labelled. Threads may share it."""

    def __init__(self, path: Path):
        self.path = path
        self._replies: OrderedDict[str, Remembered] = OrderedDict()
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(
                path, isolation_level=None, timeout=30, check_same_thread=False
            )
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=FULL")  # each label survives a loss of power
            self._file.execute(TABLE)
        except (sqlite3.Error, OSError) as error:
            raise UserError(
                f"{path}: cannot keep feedback ({error}); name another file: --feedback FILE"
            ) from error

    def remember(self, reply_id: str, reply: Remembered) -> None:
        self._replies[reply_id] = reply
        if len(self._replies) > REMEMBERED:
            self._replies.popitem(last=False)

    def known(self, reply_id: str) -> Remembered | None:
        return self._replies.get(reply_id)

    def label(self, reply_id: str, reply: Remembered, correctness: float) -> None:
        """Keep one label, in the place of an earlier one; on the disk when this returns. Raises
        sqlite3.Error where it cannot be."""
        row = (reply_id, reply.question_id, reply.model, reply.confidence, reply.action)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            self._file.execute(
                "INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, reply.calibration, correctness, now),
            )

    def rows(self) -> list[dict[str, Any]]:
        """All labels, oldest first; of several for one question only the last, as `metaconf
        calibrate` counts each question once."""
        with self._lock:
            found = self._file.execute(
                f"SELECT {', '.join(COLUMNS)} FROM labels ORDER BY at, rowid"
            ).fetchall()
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in found]
        return list({row["question_id"]: row for row in rows}.values())

    def answered(self, calibration: str) -> tuple[int, float]:
        """(labels, sum of their errors) of what was answered under a calibration, the last of each
        question."""
        with self._lock:
            count, wrong = self._file.execute(
                "SELECT COUNT(*), SUM(1 - correctness) FROM (SELECT correctness, MAX(rowid) FROM"
                " labels WHERE calibration = ? AND action = 'answer' GROUP BY question_id)",
                (calibration,),
            ).fetchone()
        return count, wrong or 0.0

    def close(self) -> None:
        with self._lock:
            self._file.close()
