"""`metaconf evaluate`: one model, asked; its figures, replies and report in a run directory.

Everything that can be refused is refused before torch is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metaconf.cli.preflight import check_served, mark_run
from metaconf.config.blocks import AS_IS, Judge, Questions
from metaconf.config.load import EMBEDDED, check_model, check_output_dir
from metaconf.data import load_questions, overlap, pick
from metaconf.errors import UserError
from metaconf.evaluation import preview
from metaconf.evaluation.names import NAMES, WAYS, in_order
from metaconf.grading import grade_answer
from metaconf.records import Question, write_jsonl

if TYPE_CHECKING:
    from metaconf.clients import Endpoint
    from metaconf.evaluation.systems import Row
    from metaconf.metrics import Figure

CALIBRATION = 500
"""At most so many embedded calibration questions are asked beside the others."""


def run(
    model: str,
    questions_source: str,
    output_dir: Path,
    limit: int | None = None,
    seed: int = 0,
    resume: bool = False,
    baselines: Sequence[str] = (),
    calibration: str | None = None,
    show: bool = False,
    endpoint: Endpoint | None = None,
    how: Questions = AS_IS,
    judge: Judge | None = None,
    engine: str = "transformers",
) -> Path:
    """Ask `model` (hub id, folder or "embedded") and write the run; returns the report's path.

    `questions_source` is as for `load_questions`, but plain "embedded" means the held-out and the
    out-of-domain questions. `limit` asks only so many, chosen by `seed`. `baselines` (see
    `names.BASELINES`) are measured on the same model, and recalibrated by the `calibration`
    questions (a source as well; with embedded questions, those of their calibration split).
    With an `endpoint`, `model` is what its server calls the model. `how` says how the questions'
    files are read, and `resume` goes on with a run of the same arguments; `show` prints first what
    is going to be asked (see `preview`). A `judge` grades long answers and reads the reflections;
    `engine` "vllm" draws with vLLM.
    Raises UserError for whatever cannot be used, before torch is imported and anything is written;
    where a server answered no call at all; and, the report written, where a judge gave no verdict.
    """
    if endpoint is None:
        check_model(model)
    if judge is not None:
        check_served(judge)
    questions, fitted_on = _sets(questions_source, limit, seed, baselines, calibration, how)
    check_output_dir(output_dir, resume)
    asked = {
        "command": "evaluate",
        "model": model,
        "questions": _digest(questions),
        "seed": seed,
        "baselines": list(baselines),
        "calibration": _digest(fitted_on),
        "server": endpoint.url if endpoint else None,
        "engine": engine,
        "judge": [judge.model, judge.pays, judge.steps] if judge else None,
        **({"extra": endpoint.limits.extra} if endpoint and endpoint.limits.extra else {}),
    }
    mark_run(output_dir, asked, resume)
    ways = _ways(baselines, fitted_on)
    if show:
        print(preview.preview(model, questions, fitted_on, ways, endpoint), file=sys.stderr)
    asks = endpoint or _Local(model, engine)
    rows, extra, amiss = _ask(asks, questions, fitted_on, output_dir, seed, ways, judge)
    report = write_results(output_dir, f"Evaluation of {model}", rows, seed, NAMES, extra)
    if amiss:
        raise UserError(f"{amiss}; {report} does without it; --resume asks it once more")
    return report


def dry_run(
    model: str,
    questions_source: str,
    limit: int | None = None,
    seed: int = 0,
    baselines: Sequence[str] = (),
    calibration: str | None = None,
    endpoint: Endpoint | None = None,
    how: Questions = AS_IS,
) -> str:
    """What `run` with these arguments would ask, in words; nothing is asked or written."""
    if endpoint is None:
        check_model(model)
    questions, fitted_on = _sets(questions_source, limit, seed, baselines, calibration, how)
    return preview.preview(model, questions, fitted_on, _ways(baselines, fitted_on), endpoint)


def write_results(
    output_dir: Path,
    title: str,
    rows_by_system: Mapping[str, Sequence[Row]],
    seed: int = 0,
    names: Mapping[str, str] | None = None,
    extra: Mapping[str, Mapping[str, Figure]] | None = None,
    keep: bool = True,
    compared: Mapping[str, Any] | None = None,
) -> Path:
    """Write replies.jsonl (if `keep`), metrics.json, report.html; returns the report's path.

    `compared` is kept in metrics.json as the `comparison` of the systems (see `compare`).
    """
    from metaconf.evaluation.tables import tables
    from metaconf.report import write_report

    if keep:
        every = (row for rows in rows_by_system.values() for row in rows)
        write_jsonl(output_dir / "replies.jsonl", every)
    metrics = {"title": title, **tables(rows_by_system, seed, names, extra)}
    if compared is not None:
        metrics["comparison"] = compared
    write_json(output_dir / "metrics.json", metrics)
    return write_report(output_dir)


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON in one step: readers see the old file or the whole new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def _sets(
    source: str,
    limit: int | None,
    seed: int,
    baselines: Sequence[str],
    calibration: str | None,
    how: Questions,
) -> tuple[list[Question], list[Question]]:
    """What is asked, and what baselines are calibrated on."""
    questions = _questions(source, limit, seed, how)
    more = (calibration, seed, how)
    return questions, _calibration(source, questions, *more) if baselines else []


def _questions(source: str, limit: int | None, seed: int, how: Questions = AS_IS) -> list[Question]:
    questions = load_questions(source, how)
    if source == EMBEDDED:
        questions = [q for q in questions if q.split in ("heldout", "ood")]
    questions = pick(questions, limit, seed)
    for question in questions:
        grade_answer(question, None)  # refuses a task that has no grader, before any work
    return questions


def _digest(questions: Sequence[Question]) -> str:
    digest = hashlib.sha256()
    for place, question in enumerate(questions):
        line = json.dumps(question.to_json(), sort_keys=True)
        digest.update(f"{chr(10) if place else ''}{line}".encode())
    return digest.hexdigest()


def _calibration(
    source: str,
    questions: Sequence[Question],
    calibration: str | None,
    seed: int,
    how: Questions,
) -> list[Question]:
    """Questions that recalibration and the probe are fitted on; none where none are at hand."""
    if calibration is not None:
        found = _questions(calibration, None, seed, how)
    elif source == EMBEDDED:
        some = min(CALIBRATION, len(questions))
        return pick(load_questions("embedded:calibration"), some, seed)
    else:
        print(NO_CALIBRATION, file=sys.stderr)
        return []
    if shared := overlap(found, questions):
        raise UserError(
            f"{calibration}: {len(shared)} of its questions are asked too (first: "
            f"{shared[0][0].prompt[:60]!r}); calibrate on others"
        )
    return [replace(q, id=f"calibration/{q.id}", split="calibration") for q in found]


NO_CALIBRATION = (
    "no calibration questions: nothing is recalibrated, and no probe is fitted; give some with"
    " --calibration FILE"
)


def _ways(baselines: Sequence[str], calibration: Sequence[Question]) -> tuple[str, ...]:
    """What is measured: without calibration questions no probe can be fitted."""
    return in_order([*(b for b in baselines if b != "probe" or calibration), "reply"])


class _Local(NamedTuple):
    """A model that is loaded here, and what draws its replies."""

    model: str
    engine: str


def _ask(
    asked: _Local | Endpoint,
    questions: list[Question],
    calibration: list[Question],
    output_dir: Path,
    seed: int,
    ways: Sequence[str],
    judge: Judge | None,
) -> tuple[dict[str, list[Row]], dict[str, dict[str, Figure]], str]:
    """Rows of each way, its figures beside those of the table, and why nothing was judged, if so.

    Raises UserError where a server answered nothing.
    """
    from metaconf.evaluation import baselines, judging
    from metaconf.evaluation.reader import reader_figures
    from metaconf.evaluation.systems import Settings
    from metaconf.evaluation.tables import mean_tokens
    from metaconf.generation import load_engine
    from metaconf.generation.remote import Remote
    from metaconf.judging import judge_of

    folder = output_dir / "raw"
    if isinstance(asked, _Local):
        local = load_engine(*asked)
    else:
        logprobs = any(not WAYS[way].text for way in ways)
        local = Remote(asked, folder / "calls.sqlite", logprobs)
    alone = calibration if len(ways) > 1 else []
    rows, fitted = baselines.measure(local, questions, alone, ways, folder, Settings(seed=seed))
    if not isinstance(asked, _Local):
        _refuse_nothing(asked, folder)
    asks = judge_of(judge, os.environ, folder / "judge.sqlite") if judge else None
    if asks:
        rows = judging.judged(rows, questions, asks)
        if "entropy" in ways:
            by_id = {q.id: q for q in [*questions, *calibration]}
            drawn = _samples(folder)
            for found in (rows, fitted):
                found["entropy"] = judging.by_meaning(found["entropy"], by_id, drawn, asks)
    extra = {way: {"tokens": mean_tokens(rows[way])} for way in ways}
    if judge:
        extra = {way: extra[way] | judging.quality_figures(rows[way], seed) for way in ways}
    if alone:
        for way in ways:
            extra[way] |= baselines.recalibrated(rows[way], fitted[way], seed)
    for way in ("asked", "reply"):
        if way in ways:
            extra[way] |= reader_figures(rows[way], seed)
            if "samples8" in ways:
                extra[way] |= _reflections(rows, questions, way, folder, seed)
    return rows, extra, (asks.trouble or asks.silent) if asks else ""


def _refuse_nothing(endpoint: Endpoint, folder: Path) -> None:
    """Refuse to measure where every call failed: there is nothing to report."""
    from metaconf.generation.store import read_replies

    drawn = [reply for path in folder.glob("*.jsonl") for reply in read_replies(path).values()]
    if drawn and all(reply.status == "failed" for reply in drawn):
        raise UserError(
            f"{endpoint.url}: not one of {len(drawn)} calls was answered (why stands above); put"
            " that right, then run the same command with --resume"
        )


def _reflections(
    rows: Mapping[str, Sequence[Row]],
    questions: Sequence[Question],
    way: str,
    folder: Path,
    seed: int,
) -> dict[str, Figure]:
    """Figures of the model's reflections against its own 8 samples."""
    from metaconf.evaluation.reflections import reflection_figures

    samples = _samples(folder)
    agreement = {row["question_id"]: row["agreement"] for row in rows["samples8"]}
    return reflection_figures(rows[way], questions, samples, agreement, seed)


def _samples(folder: Path) -> dict[str, list[str]]:
    """The sampled short answers by question id; calls that failed gave none."""
    from metaconf.generation.store import read_replies

    samples: dict[str, list[str]] = {}
    for reply in read_replies(folder / f"{WAYS['samples8'].file}.jsonl").values():
        # The greedy answer is no sample.
        if reply.sample >= 0 and reply.status != "failed":
            samples.setdefault(reply.question_id, []).append(reply.text)
    return samples
