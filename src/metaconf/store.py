"""Replies on disk, a batch at a time, so that a killed run asks only for what is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from metaconf.records import Reply

Key = tuple[str, int]


class ReplyStore:
    """An append-only JSONL file of replies, keyed by (question id, sample)."""

    def __init__(self, path: Path):
        """Open or create `path`; a last line that a crash cut short is dropped."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.replies: dict[Key, Reply] = {}
        if path.exists():
            self._load()

    def _load(self) -> None:
        good = 0
        with self.path.open("rb") as source:
            for line in source:
                if not line.endswith(b"\n"):
                    break
                reply = Reply.from_json(json.loads(line))
                self.replies[reply.question_id, reply.sample] = reply
                good += len(line)
        os.truncate(self.path, good)

    def add(self, replies: Sequence[Reply]) -> None:
        """Append and flush a batch."""
        with self.path.open("a", encoding="utf-8") as out:
            for reply in replies:
                out.write(json.dumps(reply.to_json(), ensure_ascii=False) + "\n")
                self.replies[reply.question_id, reply.sample] = reply
            out.flush()
            os.fsync(out.fileno())

    def has(self, question_id: str, samples: Sequence[int]) -> bool:
        """Whether every sample of the question is there."""
        return all((question_id, sample) in self.replies for sample in samples)
