"""The records that flow through MetaConf, one type a step, stored as JSONL.

Question → Reply → Parsed → Grade → Reward. Records are frozen, keyed by (question id, sample),
and every step can be rerun from the file that the step before it wrote.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from metaconf.errors import UserError
from metaconf.files import replacing
from metaconf.safe_text import clean_text, loads_bounded

FACTS = "metaconf.json"
"""The file in the folder of a model or of a prepared set that says what it was made from."""
Span = tuple[int, int]
"""A half-open range [start, end) of characters or tokens."""


class _Json:
    """Conversion of a flat dataclass to and from a JSON object."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}  # pyright: ignore[reportArgumentType]
        return cls(**{key: value for key, value in row.items() if key in known})


@dataclass(frozen=True, slots=True)
class Target:
    """One acceptable answer: its spellings (the main one first) and what it earns, in [0, 1]."""

    texts: tuple[str, ...]
    credit: float = 1.0


@dataclass(frozen=True, slots=True)
class Question(_Json):
    """A question with its references.

    `targets` holds one entry for an ordinary question and several with graded credit where the
    question is ambiguous. `cause` is the true source of uncertainty where it is known:
    "knowledge boundary", "query complexity" or "reasoning". `familiarity` is any number that grows
    with how well known the entity is (population, for the embedded questions). `entity` keys the
    split: questions that share it always stand in the same split.
    """

    id: str
    prompt: str
    targets: tuple[Target, ...]
    task: str = "short"
    family: str = ""
    split: str = ""
    cause: str | None = None
    familiarity: float | None = None
    entity: str | None = None

    @property
    def kind(self) -> str:
        """What kind of question it is: its family, else its cause, else its task."""
        return self.family or self.cause or self.task

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        targets = tuple(
            Target(tuple(t["texts"]), float(t.get("credit", 1.0))) for t in row["targets"]
        )
        known = {f.name for f in fields(cls)} - {"targets"}
        return cls(targets=targets, **{k: v for k, v in row.items() if k in known})


@dataclass(frozen=True, slots=True)
class Reply(_Json):
    """What a model wrote. `status` is "ok", "cut" (the token limit came first) or "failed"."""

    question_id: str
    sample: int
    text: str
    status: str = "ok"
    tokens: int = 0
    probability: float | None = None
    """Probability of the answer's tokens, product over tokens, where the engine gives it."""
    answer_tokens: int | None = None
    """How many tokens that are; None: all but the one that ended the reply."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A reply taken apart. Never raised for: whatever is missing is named in `problems`.

    `confidence` is in [0, 1]; None means that none was stated (never 0). `spans` maps "thinking",
    "answer", "reflection" and "confidence" to the characters of the *value* (not the label).
    """

    answer: str | None
    reflection: str | None
    confidence: float | None
    thinking: str | None = None
    problems: tuple[str, ...] = ()
    spans: dict[str, Span] = field(default_factory=dict)

    @property
    def well_formed(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class Grade(_Json):
    """What graders found. None means "not graded"; `why` says for what reason."""

    question_id: str
    sample: int
    correctness: float | None
    quality: float | None = None
    why: str = ""
    parts: dict[str, float] = field(default_factory=dict)
    judged: str = ""
    """What a judge said of the reflection."""


@dataclass(frozen=True, slots=True)
class Reward(_Json):
    """What a reply is paid. `total` None: the reply takes no part in the update, and is counted."""

    question_id: str
    sample: int
    total: float | None
    parts: dict[str, float | None] = field(default_factory=dict)


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows to `path` in one step: readers see the old file or the whole new one.

    Half a surrogate pair is written as U+FFFD. What fails leaves no file behind.
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(clean_text(json.dumps(row, ensure_ascii=False, allow_nan=False)) + "\n")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object), texts cleaned as by `safe_text.clean_text`.

    Empty and broken lines raise UserError with the line.
    """
    try:
        source = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    with source:
        lines = (line for raw in source for line in raw.rstrip(b"\r\n").split(b"\r"))
        for number, line in enumerate(lines, 1):
            yield number, _object(path, number, line)


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    line = line.removeprefix(BOM_UTF8) if number == 1 else line
    if not line.strip():
        raise UserError(f"{path}:{number}: the line is empty; remove it")
    try:
        # Some writers encode half a surrogate pair by itself; it becomes U+FFFD.
        row = loads_bounded(line.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{number}: not UTF-8 ({error}); save it as UTF-8") from error
    except ValueError as error:
        raise UserError(f"{path}:{number}: not JSON ({error}); one JSON object a line") from error
    if not isinstance(row, dict):
        raise UserError(f"{path}:{number}: {type(row).__name__} instead of a JSON object")
    return row
