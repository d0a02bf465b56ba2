"""Replies on disk, a batch at a time, so that a killed run asks only what it has not got yet.

One JSON object a line, keyed by (question id, sample). A line counts once its line break is
written; what a kill left behind the last one is dropped when the file is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
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
    if not path.exists():
        return {}
    _drop_torn_line(path)
    replies = (_reply(path, number, row) for number, row in read_jsonl(path))
    return {(reply.question_id, reply.sample): reply for reply in replies}


def append_replies(path: Path, replies: Iterable[Reply]) -> None:
    """Add replies at the end of `path`; they are on the disk when this returns."""
    lines = "".join(json.dumps(r.to_json(), allow_nan=False) + "\n" for r in replies)
    with path.open("ab") as out:
        out.write(lines.encode("ascii"))
        out.flush()
        os.fsync(out.fileno())


def collect(
    path: Path, questions: Sequence[Question], samples: Iterable[int], ask: Ask, label: str = ""
) -> dict[Key, Reply]:
    """The replies to `questions` with these sample numbers: read from `path`, the rest asked for.

    What is missing is asked for and stored batch by batch, with a progress bar on stderr.
    """
    wanted = tuple(samples)
    # What failed is asked again.
    stored = {key: r for key, r in read_replies(path).items() if r.status != "failed"}
    path.parent.mkdir(parents=True, exist_ok=True)
    missing = _missing(questions, wanted, stored)
    total = len(questions) * len(wanted)
    todo = sum(len(absent) * len(group) for absent, group in missing.items())
    with tqdm(total=total, initial=total - todo, desc=label, unit="reply") as bar:

        def keep(batch: list[Reply]) -> None:
            # As it is read back: a run that goes on from the file sees the same text.
            batch = [replace(reply, text=clean_text(reply.text)) for reply in batch]
            append_replies(path, batch)
            stored.update({(reply.question_id, reply.sample): reply for reply in batch})
            bar.update(len(batch))

        for absent, group in missing.items():
            ask(group, absent, keep)
    return {(q.id, sample): stored[q.id, sample] for q in questions for sample in wanted}


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
