"""Replies on disk, a batch at a time, so that a killed run asks only what it has not got yet.

One JSON object a line, keyed by (question id, sample). A line counts once its line break is
written; what a kill left behind the last one is dropped when the file is opened again. Each says in
`of` what it replies to, by content: an id may be a line of a file that has changed, and a model's
folder may hold another model.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from metaconf.errors import UserError
from metaconf.records import Question, Reply, read_jsonl
from metaconf.safe_text import clean_text

Key = tuple[str, int]
"""(question id, sample)."""
Ask = Callable[[Sequence[Question], tuple[int, ...], Callable[[list[Reply]], None]], None]
"""ask(questions, samples, on_batch): gives every reply to `on_batch`, in batches of any size."""


def read_replies(path: Path) -> dict[Key, Reply]:
    """The replies in `path` (none if it is not there). Cuts a torn last line off the file.

    Of two replies with one key the later counts; half a surrogate pair is U+FFFD. Raises UserError
    for a broken line before the last, or one that is no reply.
    """
    return {key: reply for key, (reply, _) in _stored(path).items()}


def _stored(path: Path) -> dict[Key, tuple[Reply, str]]:
    """The replies in `path`, each with what it says it replies to."""
    if not path.exists():
        return {}
    _drop_torn_line(path)
    rows = ((_reply(path, number, row), row) for number, row in read_jsonl(path))
    return {(reply.question_id, reply.sample): (reply, str(row.get("of"))) for reply, row in rows}


def append_replies(
    path: Path, replies: Iterable[Reply], of: Mapping[str, str] | None = None
) -> None:
    """Add replies at the end of `path`; they are on the disk when this returns. `of` gives by
    question id what they reply to."""
    rows = [{**r.to_json(), **({"of": of[r.question_id]} if of else {})} for r in replies]
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    with path.open("ab") as out:
        out.write(lines.encode("ascii"))
        out.flush()
        os.fsync(out.fileno())


def collect(
    path: Path,
    questions: Sequence[Question],
    samples: Iterable[int],
    ask: Ask,
    label: str = "",
    model: str = "",
) -> dict[Key, Reply]:
    """The replies to `questions` with these sample numbers: read from `path`, the rest asked for.

    What is missing is asked for and stored batch by batch, with a progress bar on stderr; so is
    what another `model` replied, or what was replied to other words under the same id.
    """
    wanted = tuple(samples)
    of = {q.id: content_of(q, model) for q in questions}
    stored = _of_these(path, of)
    path.parent.mkdir(parents=True, exist_ok=True)
    missing = _missing(questions, wanted, stored)
    total = len(questions) * len(wanted)
    todo = sum(len(absent) * len(group) for absent, group in missing.items())
    with tqdm(total=total, initial=total - todo, desc=label, unit="reply") as bar:

        def keep(batch: list[Reply]) -> None:
            # As it is read back: a run that goes on from the file sees the same text.
            batch = [replace(reply, text=clean_text(reply.text)) for reply in batch]
            append_replies(path, batch, of)
            stored.update({(reply.question_id, reply.sample): reply for reply in batch})
            bar.update(len(batch))

        for absent, group in missing.items():
            ask(group, absent, keep)
    return {(q.id, sample): stored[q.id, sample] for q in questions for sample in wanted}


def content_of(question: Question, model: str) -> str:
    """What a reply belongs to: the words that are asked and the model, in 16 digits."""
    return hashlib.sha256(f"{model}\n{question.prompt}".encode()).hexdigest()[:16]


def _of_these(path: Path, of: Mapping[str, str]) -> dict[Key, Reply]:
    """The stored replies to `of`; others under the same ids are counted on stderr. What failed is
    asked again."""
    asked = {key: found for key, found in _stored(path).items() if key[0] in of}
    stored = {key: reply for key, (reply, it) in asked.items() if it == of[key[0]]}
    if others := len(asked) - len(stored):
        print(
            f"metaconf: {path}: {others} replies are to other questions, or by another model: they"
            " are asked again",
            file=sys.stderr,
        )
    return {key: reply for key, reply in stored.items() if reply.status != "failed"}


def _missing(
    questions: Sequence[Question], wanted: tuple[int, ...], stored: dict[Key, Reply]
) -> dict[tuple[int, ...], list[Question]]:
    """Questions by the samples that they lack; those that lack none are left out."""
    groups: dict[tuple[int, ...], list[Question]] = {}
    for question in questions:
        absent = tuple(sample for sample in wanted if (question.id, sample) not in stored)
        if absent:
            groups.setdefault(absent, []).append(question)
    return groups


def _drop_torn_line(path: Path) -> None:
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        os.truncate(path, end)


def _reply(path: Path, number: int, row: dict[str, object]) -> Reply:
    try:
        return Reply.from_json(row)
    except TypeError as error:
        raise UserError(
            f"{path}:{number}: no reply ({error}); give another file, or remove this one"
        ) from error
