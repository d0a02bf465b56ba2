"""`metaconf evaluate`: one model, asked; its figures, replies and report in a run directory.

`run` reads from top to bottom: load the questions and the model, generate replies, parse and grade
them into rows, and write tables and report. A baseline is one more method on the same questions.
Everything that can be refused is refused before torch is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaconf.cli.preflight import check_run, check_served
from metaconf.config.blocks import AS_IS, Judge, Questions
from metaconf.config.load import EMBEDDED, check_model
from metaconf.data import check_reading, load_questions, overlap, pick
from metaconf.errors import UserError
from metaconf.evaluation import preview
from metaconf.evaluation.methods import METHODS, REPLY_TOKENS, Method, Settings, in_order
from metaconf.evaluation.rows import CUT, EvaluatedReply, in_domain
from metaconf.files import write_json
from metaconf.grading import grade_answer
from metaconf.records import Question, write_jsonl
from metaconf.runs import check_output_dir, held, mark_run, model_inputs

if TYPE_CHECKING:
    from metaconf import judging as judges
    from metaconf.clients import Endpoint
    from metaconf.metrics import Figure

CALIBRATION = 500
"""At most so many embedded calibration questions are asked beside the others."""
NO_CALIBRATION = (
    "no calibration questions: nothing is recalibrated, and no probe is fitted; give some with"
    " --calibration FILE"
)
MAX_CUT = 0.05
"""A larger share of cut replies is said."""
Rows = dict[str, list[EvaluatedReply]]
"""By method, a row a question."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `metaconf evaluate` is told."""

    model: str
    """Hub id, folder or "embedded"; with an `endpoint`, what its server calls the model."""
    questions: str
    """A source as for `load_questions`, but plain "embedded" means the held-out and the
    out-of-domain questions."""
    limit: int | None = None
    """Ask only so many of them, chosen by `seed`."""
    seed: int = 0
    baselines: Sequence[str] = ()
    """Of `methods.BASELINES`; measured on the same model."""
    calibration: str | None = None
    """Source of the questions that baselines are recalibrated by (with embedded questions, those of
    their calibration split)."""
    endpoint: Endpoint | None = None
    how: Questions = AS_IS
    """How the questions' files are read."""
    judge: Judge | None = None
    """Grades long answers and reads the reflections."""
    engine: str = "transformers"
    """What draws the replies; or "vllm"."""
    max_new_tokens: int = REPLY_TOKENS
    """A full reply is cut there; where many are, it is said on stderr."""


def run(told: Evaluation, output_dir: Path, resume: bool = False, show: bool = False) -> Path:
    """Ask the model and write the run; returns the report's path.

    `resume` goes on with a run that was told the same; `show` prints first what is going to be
    asked (see `preview`). Raises UserError for whatever cannot be used, before torch is imported
    and anything is written; where a server answered no call at all; and, the report written, where
    a judge gave no verdict.
    """
    if told.judge is not None:
        check_served(told.judge)
    questions, fitted_on = _sets(told)
    if told.endpoint is None:
        check_run(told.model, output_dir, resume)
    else:
        check_output_dir(output_dir, resume)
    methods = _methods(told.baselines, fitted_on)
    with held(output_dir):
        mark_run(output_dir, _marked(told, questions, fitted_on), resume)
        if show:
            print(_preview(told, questions, fitted_on), file=sys.stderr)
        return _measure(told, questions, fitted_on, methods, output_dir)


def _marked(
    told: Evaluation, questions: Sequence[Question], fitted_on: Sequence[Question]
) -> dict[str, Any]:
    """What a resumed run must have been told alike."""
    judge, endpoint = told.judge, told.endpoint
    marked: dict[str, Any] = {
        "command": "evaluate",
        "model": told.model,
        "model_files": {} if endpoint else model_inputs(told.model),
        "questions": _digest(questions),
        "seed": told.seed,
        "baselines": list(told.baselines),
        "calibration": _digest(fitted_on),
        "server": endpoint.url if endpoint else None,
        "engine": told.engine,
        "judge": [judge.client.model, judge.steps] if judge else None,
    }
    if told.max_new_tokens != REPLY_TOKENS:
        marked["max_new_tokens"] = told.max_new_tokens
    if endpoint and endpoint.limits.extra_body:
        marked["extra"] = endpoint.limits.extra_body
    return marked


def _measure(
    told: Evaluation,
    questions: Sequence[Question],
    fitted_on: Sequence[Question],
    methods: Sequence[str],
    output_dir: Path,
) -> Path:
    """Generate, parse, grade and write; returns the report's path."""
    from metaconf.evaluation import baselines as others
    from metaconf.evaluation.generate import evaluate
    from metaconf.generation import load_engine
    from metaconf.generation.remote import Remote

    raw, settings = output_dir / "raw", Settings(told.max_new_tokens, seed=told.seed)
    if told.endpoint is None:
        local = load_engine(told.model, told.engine)
    else:
        logprobs = any(METHODS[method].needs != "text" for method in methods)
        local = Remote(told.endpoint, raw / "calls.sqlite", logprobs)
    # Generate, parse, grade: the model's own replies, then the baselines'.
    every = [*questions, *fitted_on]
    rows: Rows = {"reply": evaluate(local, every, "reply", raw / "reply.jsonl", settings=settings)}
    more = [method for method in methods if method != "reply"]
    rows |= others.measure(local, questions, fitted_on, more, raw, settings)
    if said := many_cut(rows["reply"], settings.reply_tokens):
        print(f"metaconf: {said}", file=sys.stderr)
    if told.endpoint is not None:
        _refuse_unanswered(told.endpoint, raw)
    fitted = {method: rows[method][len(questions) :] for method in methods}
    rows = {method: rows[method][: len(questions)] for method in methods}
    trouble = ""
    if told.judge is not None:
        rows, fitted, trouble = _judged(told.judge, rows, fitted, every, raw)
    extra = _extra_figures(rows, fitted, questions, raw, told.seed, told.judge is not None)
    title = f"Evaluation of {told.model}"
    report = write_results(output_dir, title, rows, told.seed, METHODS, extra)
    if trouble:
        raise UserError(f"{trouble}; {report} does without it; --resume asks it once more")
    return report


def many_cut(rows: Sequence[EvaluatedReply], limit: int) -> str | None:
    """A sentence where more than MAX_CUT of the replies were cut at `limit` tokens, else None."""
    cut = sum(CUT in row.problems for row in rows)
    if cut <= MAX_CUT * len(rows):
        return None
    return (
        f"{cut} of {len(rows)} replies were cut at {limit} tokens, before their end: give more room"
        " with --max_new_tokens (a model that thinks needs some thousands)"
    )


def dry_run(told: Evaluation) -> str:
    """What `run` would ask, in words; nothing is asked or written."""
    if told.endpoint is None:
        check_model(told.model)
    return _preview(told, *_sets(told))


def _preview(told: Evaluation, questions: Sequence[Question], fitted_on: Sequence[Question]) -> str:
    methods = _methods(told.baselines, fitted_on)
    return preview.preview(told.model, questions, fitted_on, methods, told.endpoint)


def write_results(
    output_dir: Path,
    title: str,
    rows_by_method: Mapping[str, Sequence[EvaluatedReply]],
    seed: int = 0,
    methods: Mapping[str, Method] | None = None,
    extra: Mapping[str, Mapping[str, Figure]] | None = None,
    keep: bool = True,
    compared: Mapping[str, Any] | None = None,
) -> Path:
    """Write replies.jsonl (if `keep`), metrics.json, report.html; returns the report's path.

    Reflections are read first (`readings.with_readings`). On stderr it is said of the last method
    where its confidence was not learnt, or only the kind of question (`metrics.ranking_warning`),
    and where words and number contradict each other.
    `methods` names and describes the keys of `rows_by_method` (see `tables.tables`). `compared` is
    kept in metrics.json as the `comparison` of the methods (see `compare`).
    """
    from metaconf.evaluation.readings import reading_figures, warning, with_readings
    from metaconf.evaluation.tables import tables
    from metaconf.metrics import ranking_warning
    from metaconf.report import write_report

    rows_by_method = {key: with_readings(rows) for key, rows in rows_by_method.items()}
    if keep:
        every = (row.to_json() for rows in rows_by_method.values() for row in rows)
        write_jsonl(output_dir / "replies.jsonl", every)
    more = {
        key: {**(extra or {}).get(key, {}), **reading_figures(in_domain(rows), seed)}
        for key, rows in rows_by_method.items()
    }
    results = tables(rows_by_method, seed, methods or {}, more)
    metrics: dict[str, Any] = {"title": title, "methods": [one.to_json() for one in results]}
    if compared is not None:
        metrics["comparison"] = compared
    write_json(output_dir / "metrics.json", metrics)
    said = [ranking_warning(results[-1].figures), warning(list(rows_by_method.values())[-1])]
    for sentence in filter(None, [] if compared is not None else said):
        print(f"metaconf: {sentence}", file=sys.stderr)
    return write_report(output_dir)


# Questions


def _sets(told: Evaluation) -> tuple[list[Question], list[Question]]:
    """What is asked, and what baselines are calibrated on."""
    check_reading(told.questions, told.how)
    questions = _questions(told.questions, told.limit, told)
    return questions, _calibration(told, questions) if told.baselines else []


def _questions(source: str, limit: int | None, told: Evaluation) -> list[Question]:
    questions = load_questions(source, told.how)
    if source == EMBEDDED:
        questions = [q for q in questions if q.split in ("heldout", "ood")]
    questions = pick(questions, limit, told.seed)
    for question in questions:
        grade_answer(question, None)  # refuses a task that has no grader, before any work
    return questions


def _calibration(told: Evaluation, questions: Sequence[Question]) -> list[Question]:
    """Questions that recalibration and the probe are fitted on; none where none are at hand."""
    if told.calibration is not None:
        found = _questions(told.calibration, None, told)
    elif told.questions == EMBEDDED:
        some = min(CALIBRATION, len(questions))
        return pick(load_questions("embedded:calibration"), some, told.seed)
    else:
        print(NO_CALIBRATION, file=sys.stderr)
        return []
    if shared := overlap(found, questions):
        raise UserError(
            f"{told.calibration}: {len(shared)} of its questions are asked too (first: "
            f"{shared[0][0].prompt[:60]!r}); calibrate on others"
        )
    return [replace(q, id=f"calibration/{q.id}", split="calibration") for q in found]


def _digest(questions: Sequence[Question]) -> str:
    digest = hashlib.sha256()
    for place, question in enumerate(questions):
        line = json.dumps(question.to_json(), sort_keys=True)
        digest.update(f"{chr(10) if place else ''}{line}".encode())
    return digest.hexdigest()


def _methods(baselines: Sequence[str], calibration: Sequence[Question]) -> tuple[str, ...]:
    """What is measured: without calibration questions no probe can be fitted."""
    return in_order([*(b for b in baselines if b != "probe" or calibration), "reply"])


# What is found in the replies


def _refuse_unanswered(endpoint: Endpoint, raw: Path) -> None:
    """Refuse to measure where every call failed: there is nothing to report."""
    from metaconf.generation.store import read_replies

    drawn = [reply for path in raw.glob("*.jsonl") for reply in read_replies(path).values()]
    if drawn and all(reply.status == "failed" for reply in drawn):
        raise UserError(
            f"{endpoint.url}: not one of {len(drawn)} calls was answered (why stands above); put"
            " that right, then run the same command with --resume"
        )


def _judged(
    settings: Judge, rows: Rows, fitted: Rows, every: Sequence[Question], raw: Path
) -> tuple[Rows, Rows, str]:
    """The rows with the judge's verdicts, and why there are none, if so."""
    from metaconf.evaluation import judging
    from metaconf.judging import judge_of

    judge: judges.Judge | None = judge_of(settings, os.environ, raw / "judge.sqlite")
    if judge is None:
        return rows, fitted, ""
    by_id = {question.id: question for question in every}
    rows = judging.judged(rows, every, judge)
    if "entropy" in rows:
        samples = _samples(raw)
        for found in (rows, fitted):
            found["entropy"] = judging.by_meaning(found["entropy"], by_id, samples, judge)
    return rows, fitted, judge.trouble or judge.silent


def _extra_figures(
    rows: Rows,
    fitted: Rows,
    questions: Sequence[Question],
    raw: Path,
    seed: int,
    is_judged: bool,
) -> dict[str, dict[str, Figure]]:
    """Figures of each method beside those of the table: tokens, recalibration, reflections."""
    from metaconf.evaluation.baselines import recalibrated
    from metaconf.evaluation.judging import quality_figures
    from metaconf.evaluation.reader import reader_figures
    from metaconf.evaluation.readings import samples_figure, with_readings
    from metaconf.evaluation.reflections import reflection_figures
    from metaconf.evaluation.tables import mean_tokens

    extra: dict[str, dict[str, Figure]] = {}
    for method, own in rows.items():
        extra[method] = {"tokens": mean_tokens(own)}
        if is_judged:
            extra[method] |= quality_figures(own, seed)
        if any(fitted.values()):
            extra[method] |= recalibrated(own, fitted[method], seed)
        if method not in ("asked", "reply"):
            continue
        extra[method] |= reader_figures(own, seed)
        if "samples8" in rows:
            agreement = {row.question_id: row.agreement for row in rows["samples8"]}
            extra[method] |= reflection_figures(own, questions, _samples(raw), agreement, seed)
            extra[method]["cmfg_star_samples"] = samples_figure(with_readings(own), agreement, seed)
    return extra


def _samples(raw: Path) -> dict[str, list[str]]:
    """The sampled short answers by question id; calls that failed gave none."""
    from metaconf.generation.store import read_replies

    samples: dict[str, list[str]] = {}
    for reply in read_replies(raw / f"{METHODS['samples8'].file}.jsonl").values():
        # The greedy answer is no sample.
        if reply.sample >= 0 and reply.status != "failed":
            samples.setdefault(reply.question_id, []).append(reply.text)
    return samples
