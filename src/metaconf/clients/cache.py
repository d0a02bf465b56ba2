"""Completions that were paid for, in one sqlite file: a killed run pays for nothing twice.

JSON values under a hash of all that decides the answer; neither the key nor a time limit is among
it. Blank or cut replies are not kept; what was refused for its content is, as it would be again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metaconf.clients.endpoint import Endpoint
from metaconf.clients.types import Completion, Failure, Kind, Outcome, Request
from metaconf.errors import UserError
from metaconf.safe_text import loads_bounded

TABLE = "CREATE TABLE IF NOT EXISTS completions (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
_AT_ONCE = 500
REFUSALS: tuple[Kind, ...] = ("refusal", "moderated")


def key_of(request: Request, endpoint: Endpoint) -> str:
    """SHA-256 of the request as it is sent, of where it goes, and of its prompt's version."""
    asked = asdict(request) | {"messages": [dict(message) for message in request.messages]}
    whole = {"url": endpoint.url, "model": endpoint.model, "extra": endpoint.extra, **asked}
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Cache:
    """The completions in `path`; None keeps them for this run only."""

    def __init__(self, path: Path | None):
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._working():
            self.file = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=30)
            self.file.execute("PRAGMA journal_mode=WAL")
            self.file.execute("PRAGMA synchronous=NORMAL")
            self.file.execute(TABLE)

    @contextmanager
    def _working(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path}: cannot be used as a cache ({error}); remove it, or name another"
            ) from error

    def get(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """What is kept under these keys; it costs nothing any more."""
        found: dict[str, Outcome] = {}
        for part in _parts(list(keys)):
            marks = ",".join("?" * len(part))
            with self._working():
                rows = self.file.execute(
                    f"SELECT key, value FROM completions WHERE key IN ({marks})", part
                ).fetchall()
            found |= {key: one for key, value in rows if (one := _kept(value)) is not None}
        return found

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep it; when this returns, a kill of the process does not lose it."""
        if isinstance(outcome, Failure):
            if outcome.kind not in REFUSALS:
                return
            value: dict[str, Any] = {outcome.kind: outcome.detail}
        elif not outcome.text.strip() or outcome.finish_reason == "length":
            return
        else:
            value = asdict(outcome)
        with self._working():
            self.file.execute(
                "INSERT OR REPLACE INTO completions VALUES (?, ?)", (key, json.dumps(value))
            )

    def answered(self, endpoint: Endpoint) -> bool:
        """Whether this server has ever answered for this model."""
        with self._working():
            found = self.file.execute(
                "SELECT 1 FROM completions WHERE key = ?", (_mark_of(endpoint),)
            ).fetchone()
        return found is not None

    def mark_answered(self, endpoint: Endpoint) -> None:
        with self._working():
            self.file.execute(
                "INSERT OR IGNORE INTO completions VALUES (?, ?)", (_mark_of(endpoint), "{}")
            )

    def close(self) -> None:
        self.file.close()


def _mark_of(endpoint: Endpoint) -> str:
    """A key that no request has; an address may hold what must not be written down."""
    where = f"{endpoint.url}\n{endpoint.model}".encode()
    return f"answered {hashlib.sha256(where).hexdigest()}"


def _kept(value: str) -> Outcome | None:
    """A row as it was kept, with U+FFFD for what older versions kept that cannot be written; None
    for what no version writes, which is asked for again."""
    try:
        row = loads_bounded(value)
        for kind in REFUSALS:
            if kind in row:
                return Failure(kind, str(row[kind]))
        free = {"cached": True, "cost": 0.0, "wasted_tokens": 0, "wasted_cost": 0.0}
        return Completion(**{**row, **free}) if isinstance(row["text"], str) else None
    except (ValueError, TypeError, KeyError):
        return None


def _parts(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
