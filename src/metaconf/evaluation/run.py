"""`metaconf evaluate`: one model, asked; its figures, replies and report in a run directory.

Everything that can be refused is refused before torch is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaconf.config import EMBEDDED, check_model, check_output_dir
from metaconf.graders import grade_answer
from metaconf.preflight import mark_run
from metaconf.questions import load_questions, pick
from metaconf.records import Question, write_jsonl

if TYPE_CHECKING:
    from metaconf.evaluation.systems import Kind, Row
    from metaconf.metrics import Figure

BASELINES: tuple[Kind, ...] = ("asked", "samples8", "probability")
"""In this order, so that the greedy answer and its 8 samples share one pass over the prompt."""
NAMES = {
    "asked": "asked in words",
    "samples8": "agreement of 8 samples",
    "probability": "probability of the answer",
    "reply": "reply",
}


def run(
    model: str,
    questions_source: str,
    output_dir: Path,
    limit: int | None = None,
    seed: int = 0,
    resume: bool = False,
    baselines: bool = False,
) -> Path:
    """Ask `model` (hub id, folder or "embedded") and write the run; returns the report's path.

    `questions_source` is as for `load_questions`, but plain "embedded" means the held-out and the
    out-of-domain questions. `limit` asks only so many, chosen by `seed`. With `baselines` the same
    model is also asked in words, and by its answers' probability and agreement. `resume` goes on
    with a run of the same arguments. Raises UserError for whatever cannot be used, before torch is
    imported and anything is written.
    """
    check_model(model)
    questions = _questions(questions_source, limit, seed)
    check_output_dir(output_dir, resume)
    asked = {
        "command": "evaluate",
        "model": model,
        "questions": _digest(questions),
        "seed": seed,
        "baselines": baselines,
    }
    mark_run(output_dir, asked, resume)
    rows = _ask(model, questions, output_dir, seed, BASELINES if baselines else ())
    extra = _reflections(rows, questions, output_dir, seed) if baselines else None
    return write_results(output_dir, f"Evaluation of {model}", rows, seed, NAMES, extra)


def write_results(
    output_dir: Path,
    title: str,
    rows_by_system: Mapping[str, Sequence[Row]],
    seed: int = 0,
    names: Mapping[str, str] | None = None,
    extra: Mapping[str, Mapping[str, Figure]] | None = None,
    keep: bool = True,
) -> Path:
    """Write replies.jsonl (if `keep`), metrics.json, report.html; returns the report's path."""
    from metaconf.evaluation.tables import tables
    from metaconf.report import write_report

    if keep:
        every = (row for rows in rows_by_system.values() for row in rows)
        write_jsonl(output_dir / "replies.jsonl", every)
    metrics = {"title": title, **tables(rows_by_system, seed, names, extra)}
    write_json(output_dir / "metrics.json", metrics)
    return write_report(output_dir)


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON in one step: readers see the old file or the whole new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def _questions(source: str, limit: int | None, seed: int) -> list[Question]:
    questions = load_questions(source)
    if source == EMBEDDED:
        questions = [q for q in questions if q.split in ("heldout", "ood")]
    questions = pick(questions, limit, seed)
    for question in questions:
        grade_answer(question, None)  # refuses a task that has no grader, before any work
    return questions


def _digest(questions: Sequence[Question]) -> str:
    lines = "\n".join(json.dumps(question.to_json(), sort_keys=True) for question in questions)
    return hashlib.sha256(lines.encode()).hexdigest()


def _ask(
    model: str, questions: list[Question], output_dir: Path, seed: int, baselines: tuple[Kind, ...]
) -> dict[str, list[Row]]:
    from metaconf.engines.local import load_local
    from metaconf.evaluation.systems import Settings, evaluate

    local = load_local(model)
    settings = Settings(seed=seed)
    stored = _stored(output_dir)
    kinds: tuple[Kind, ...] = (*baselines, "reply")
    return {
        kind: evaluate(local, questions, kind, stored[kind], settings=settings) for kind in kinds
    }


def _stored(output_dir: Path) -> dict[str, Path]:
    """The file of raw replies of each system; both kinds of short answers share one."""
    files = {"asked": "asked", "samples8": "answers", "probability": "answers", "reply": "reply"}
    return {kind: output_dir / "raw" / f"{name}.jsonl" for kind, name in files.items()}


def _reflections(
    rows: Mapping[str, Sequence[Row]], questions: Sequence[Question], output_dir: Path, seed: int
) -> dict[str, dict[str, Figure]]:
    """Figures of the model's reflections against its own 8 samples."""
    from metaconf.engines.store import read_replies
    from metaconf.evaluation.reflections import reflection_figures

    samples: dict[str, list[str]] = {}
    for reply in read_replies(_stored(output_dir)["samples8"]).values():
        if reply.sample >= 0:  # the greedy answer is no sample
            samples.setdefault(reply.question_id, []).append(reply.text)
    agreement = {row["question_id"]: row["agreement"] for row in rows["samples8"]}
    return {
        kind: reflection_figures(rows[kind], questions, samples, agreement, seed)
        for kind in ("asked", "reply")
    }
