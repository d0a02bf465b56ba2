"""Whole sets of questions: loaded, checked as a set, and picked from."""

from __future__ import annotations

import gzip
import hashlib
import heapq
import json
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from metaconf.config.blocks import AS_IS, EMBEDDED, Questions
from metaconf.data.columns import Columns, choose
from metaconf.data.opened import Source
from metaconf.data.rows import question_from_row
from metaconf.data.sources import open_source
from metaconf.errors import UserError
from metaconf.records import Question

SPLITS = ("stage1", "stage2", "calibration", "heldout", "ood", "unknowable")


def embedded_questions(split: str | None = None) -> list[Question]:
    """The questions that ship with the package, of one split or of all.

    Built by tools/embedded_questions; about 13,000. Raises UserError for a split that does not
    exist.
    """
    if split is not None and split not in SPLITS:
        names = ", ".join(SPLITS)
        raise UserError(f"{split!r}: the embedded questions have no such split; use {names}")
    packed = files("metaconf.embedded").joinpath("questions.jsonl.gz").read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").splitlines()
    questions = (Question.from_json(json.loads(line)) for line in lines)
    return [one for one in questions if split in (None, one.split)]


def embedded_heldout(in_domain: int, out_of_domain: int) -> list[Question]:
    """Embedded questions to measure with, of the families that are trained on and of others: the
    same ones for every seed of training."""
    chosen = pick(embedded_questions("heldout"), in_domain, 0)
    return [*chosen, *pick(embedded_questions("ood"), out_of_domain, 0)]


def load_questions(source: str, how: Questions = AS_IS) -> list[Question]:
    """Questions from "embedded", "embedded:SPLIT", a file, or a hub data set.

    A file is JSONL, JSON, CSV, TSV or Parquet by its suffix (JSONL where that says nothing; UTF-8,
    a BOM is tolerated), or one of these packed by gzip, bzip2, xz or zstd (".jsonl.gz"); "~" is the
    home folder. A data set is a hub id or a local folder, as `datasets.load_dataset` takes
    it, with ":SPLIT" or `how.split`, and `how.name` for its configuration. `how.columns` or
    `how.map` say which column holds what; without them a ready map is taken where the hub id or
    the columns fit exactly one, which is told on stderr. `how.path` and `how.limit` are not used.

    Otherwise a row is either a Question as `Question.to_json` writes it (it has "targets") or an
    object with "question" and "answer" and, if wanted, "id", "task", "choices", "aliases",
    "family", "cause", "familiarity", "entity" and "labels"; other keys are ignored. An answer is a
    text, a number or a non-empty list of these (all right); aliases are added to it. A list may be
    written in a text, as JSON, Python or numpy print it; bare numbers in brackets are text where
    the task is "math", and refused otherwise. With choices the answer is one of the row's own
    labels (in "labels", or within the choices as published sets have them); without labels, a
    letter; or else the text of a choice. The choices are written below the question and the task
    is "choice". An answer that ends in "#### 18", as in GSM8K, is 18, and the task is "math".
    Without an id, a row is named "FILE:LINE".

    Raises UserError naming file, line, value and remedy for whatever cannot be used, and for an
    empty file or an id that occurs twice.
    """
    name, _, split = source.partition(":")
    if name == EMBEDDED:
        return embedded_questions(split or None)
    opened, columns = _opened(source, how)
    if columns is not None and columns.chosen:
        _tell(f"{source}: read by the ready map {columns.name}; --map or --columns say otherwise")
    return _collect(opened, columns)


def check_reading(source: str, how: Questions) -> None:
    """Refuse what says how a set is read where nothing would come of it. Raises UserError."""
    if source.partition(":")[0] == EMBEDDED:
        kind, unused = "the embedded questions are", ("name", "split", "map", "columns")
    elif os.path.isfile(os.path.expanduser(source)):
        kind, unused = "a file is", ("name", "split")
    else:
        return
    for key in unused:
        if (value := getattr(how, key)) is not None:
            raise UserError(f"{key}: {value!r} has no effect: {kind} read without it; leave it out")


def map_name(source: str, how: Questions = AS_IS) -> str:
    """By which map `load_questions` reads a source, "" where by none. Raises UserError."""
    if source.partition(":")[0] == EMBEDDED:
        return ""
    _, columns = _opened(source, how)
    return columns.name if columns else ""


def pick(questions: Iterable[Question], n: int | None = None, seed: int = 0) -> list[Question]:
    """`n` questions (None: all) in an order given by seed and id alone.

    The order does not depend on that of the file, and a smaller n gives a prefix of a larger one.
    Fewer than n questions are returned where there are no more. Raises UserError for n < 1.
    """
    if n is not None and n < 1:
        raise UserError(f"{n} questions asked for: at least 1 is needed; leave it out for all")

    def place(question: Question) -> bytes:
        return hashlib.sha256(f"{seed}\x1f{question.id}".encode()).digest()

    if n is None:
        return sorted(questions, key=place)
    return heapq.nsmallest(n, questions, key=place)  # keeps n of them, not all


@cache
def _tell(line: str) -> None:
    """Say a line on stderr, once a process: sets are read when checked and again when used."""
    print(line, file=sys.stderr)


def _opened(source: str, how: Questions) -> tuple[Source, Columns | None]:
    opened = open_source(source, how)
    first = next(opened.rows(None), None)
    if first is None:
        raise UserError(f"{source}: holds no question; at least one row is needed")
    return opened, choose(how, opened.hub_id, first)


def _collect(opened: Source, columns: Columns | None) -> list[Question]:
    """All questions of a source; only the top-level columns that a map names are read."""
    questions: list[Question] = []
    numbers: dict[str, int] = {}
    unseen = columns.optional if columns else set[str]()
    for row in opened.rows(columns.tops if columns else None):
        values = columns.apply(row) if columns else row.values
        unseen -= values.keys()
        question = question_from_row(values, row.where, f"{opened.stem}:{row.number}")
        if question.id in numbers:
            raise UserError(
                f"{row.where}: id {question.id!r} was used in {opened.unit}"
                f" {numbers[question.id]}; give every question its own id, or none"
            )
        numbers[question.id] = row.number
        questions.append(question)
    if columns:
        columns.refuse_unseen(unseen, opened)
    return questions
