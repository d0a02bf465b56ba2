"""Preparation of stage 1: from questions to a training set.

Sample short answers, grade them, set the confidence targets, write the reflections. `prepare` does
all of it for one configuration; `run` is the command. `answers.jsonl` in the run directory keeps
every sampled answer; `dataset` describes the other files.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from metaconf.clients import endpoint_of
from metaconf.config.blocks import EMBEDDED, Confidence, Config
from metaconf.data import load_questions, pick
from metaconf.errors import UserError
from metaconf.generation import load_engine, store
from metaconf.generation.local import LocalModel, sample_answers
from metaconf.generation.sampler import GREEDY, Sampling
from metaconf.generation.store import Key
from metaconf.judging import Judge, judge_of
from metaconf.records import Grade, Parsed, Question, Reply
from metaconf.runs import begin, shown
from metaconf.training.checks import check_tokenizer
from metaconf.training.dataset import DEFAULT, build_rows, write_set
from metaconf.training.evidence import Answered, answered, speakable
from metaconf.training.learnable import learnable
from metaconf.training.set_card import DatasetStats, write_set_card
from metaconf.training.teacher import TeacherOutput, write_reflections

log = logging.getLogger("metaconf")
ANSWER_TOKENS = 12
SAMPLES = 8
ROWS = 640
"""Answers drawn in one batch; many of them are equal."""


def run(config: Config, resume: bool = False) -> Path:
    """`metaconf prepare`: from the configuration's questions to `sft.jsonl`; returns the run
    directory."""
    check_tokenizer(config.model_name_or_path)
    source = config.questions.path
    chosen = load_questions("embedded:stage1" if source == EMBEDDED else source, config.questions)
    questions = pick(chosen, config.questions.limit, config.seed)
    with begin(config, resume, prepares=True) as out:
        rows = prepare(config, questions)
    print(f"{len(rows)} rows of {len(questions)} questions: {out / 'sft.jsonl'}")
    return out


def prepare(
    config: Config,
    questions: Sequence[Question],
    local: LocalModel | None = None,
    samples: int = SAMPLES,
) -> list[dict[str, Any]]:
    """Write the training set of `questions` into `config.output_dir` and return its rows.

    `local` is the model to sample from, if it is loaded already; None loads the configuration's.
    `samples` answers are drawn for each question beside the greedy one. Stored answers are reused.
    At the end it says what can be learnt (`learnable`).
    Raises UserError as `write_reflections`, and where the judge fails too often.
    """
    start, out = time.monotonic(), Path(config.output_dir)
    how, engine = config.confidence, config.engine
    given = local is not None
    local = local or load_engine(config.model_name_or_path, engine.kind, engine.options)
    replies = sample(local, questions, out / "answers.jsonl", samples, config.seed)
    if not given and engine.kind != "transformers" and how.target == "probe":
        del local  # frees its memory; only transformers gives the hidden states for the probe
        local = load_engine(config.model_name_or_path)
    judge = judge_of(config.judge, os.environ, out / "judge.sqlite")
    answers = collect(questions, replies, samples, how, judge)
    usable = [row for row in answers if how.num_labeled or row.right is not None]
    output = _ask_teacher(config, usable, out)
    rows = build_rows(local, answers, how, config.seed, output)
    can = learnable(usable, rows, config.seed)
    write_set(out, rows, config.teacher, output, how, config.seed, {"learnable": can.to_json()})
    stats = DatasetStats(
        model=shown(config.model_name_or_path),
        questions=shown(config.questions.path),
        asked=len(questions),
        samples=samples,
        target=_target(how),
        teacher=f"by {config.teacher.client.model}" if output else "written by the offline teacher",
        seconds=time.monotonic() - start,
        usable=len(answers),
        ungraded=len(answers) - len(usable),
        learnable=can.in_words(),
        teacher_output=output,
    )
    write_set_card(out / "README.md", stats, [row["target"] for row in rows])
    print(stats.learnable)
    for sentence in can.warnings():
        log.warning("%s: %s", out, sentence)
    return rows


def _target(how: Confidence) -> str:
    """The confidence target in words."""
    fitted = f", fitted on {how.num_labeled} graded answers" if how.num_labeled else ""
    return f"{how.target}{fitted}"


def sample(
    local: LocalModel,
    questions: Sequence[Question],
    path: Path,
    k: int,
    seed: int,
) -> dict[Key, Reply]:
    """The greedy answer and k sampled ones of each question, stored in `path`; only missing ones
    are generated."""
    how = Sampling(ANSWER_TOKENS, seed=seed, rows=ROWS)

    def ask(asked: Any, wanted: tuple[int, ...], keep: Any) -> None:
        sample_answers(local, asked, wanted, how, keep)

    return store.collect(
        path, questions, (GREEDY, *range(k)), ask, "sample answers", local.identity
    )


def collect(
    questions: Sequence[Question],
    replies: Mapping[Key, Reply],
    k: int,
    how: Confidence = DEFAULT,
    judge: Judge | None = None,
) -> list[Answered]:
    """Grade the greedy answers and compare the k samples with them; questions without a usable
    answer are left out.

    A `judge` grades answers in sentences: those of the first `how.num_labeled` questions, or all.
    Raises UserError where it fails too often.
    """
    rows: list[Answered] = []
    for question in questions:
        greedy, *sampled = (replies[question.id, i] for i in (GREEDY, *range(k)))
        rows.append(answered(question, greedy, sampled))
    usable = [row for row in rows if row.answer and speakable(row.answer)]
    if judge is None:
        return usable
    asked = len(usable) if how.num_labeled == 0 else how.num_labeled
    return [*_judged(judge, usable[:asked]), *usable[asked:]]


def _judged(judge: Judge, rows: Sequence[Answered]) -> list[Answered]:
    replies = [
        (r.question, Parsed(r.answer, None, None), Grade(r.question.id, 0, r.right)) for r in rows
    ]
    grades = judge.answers(replies)
    if judge.failing:
        raise UserError(judge.failing)
    return [replace(r, right=g.correctness) for r, g in zip(rows, grades, strict=True)]


def _ask_teacher(config: Config, rows: Sequence[Answered], out: Path) -> TeacherOutput | None:
    """The reflections of an LLM teacher; None for the offline one."""
    if config.teacher.kind == "offline":
        return None
    endpoint = endpoint_of(config.teacher.client, os.environ)
    most = config.teacher.max_dropped
    return write_reflections(rows, endpoint, out / "teacher.sqlite", most)
