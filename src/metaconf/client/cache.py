"""Completions that were paid for, in one sqlite file: a killed run pays for nothing twice.

JSON values under a hash of all that decides the answer; neither the key nor a time limit is among
it. Blank or cut replies are not kept.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metaconf.client.endpoint import Endpoint
from metaconf.client.types import Completion, Request
from metaconf.errors import UserError

TABLE = "CREATE TABLE IF NOT EXISTS completions (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
_AT_ONCE = 500


def key_of(request: Request, endpoint: Endpoint) -> str:
    """SHA-256 of the request as it is sent, of where it goes, and of its prompt's version."""
    asked = asdict(request) | {"messages": [dict(message) for message in request.messages]}
    whole = {"url": endpoint.url, "model": endpoint.model, "extra": endpoint.extra, **asked}
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Cache:
    """The completions in `path`; None keeps them for this run only."""

    def __init__(self, path: Path | None):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.file = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=30)
            self.file.execute("PRAGMA journal_mode=WAL")
            self.file.execute("PRAGMA synchronous=NORMAL")
            self.file.execute(TABLE)
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{path}: cannot be used as a cache ({error}); remove it, or name another"
            ) from error

    def get(self, keys: Iterable[str]) -> dict[str, Completion]:
        """What is kept under these keys; it costs nothing any more."""
        found: dict[str, Completion] = {}
        for part in _parts(list(keys)):
            marks = ",".join("?" * len(part))
            rows = self.file.execute(
                f"SELECT key, value FROM completions WHERE key IN ({marks})", part
            )
            for key, value in rows:
                found[key] = Completion(**{**json.loads(value), "cached": True, "cost": 0.0})
        return found

    def put(self, key: str, completion: Completion) -> None:
        """Keep it; when this returns, a kill of the process does not lose it."""
        if not completion.text.strip() or completion.finish_reason == "length":
            return
        value: dict[str, Any] = asdict(completion)
        self.file.execute(
            "INSERT OR REPLACE INTO completions VALUES (?, ?)", (key, json.dumps(value))
        )

    def close(self) -> None:
        self.file.close()


def _parts(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
