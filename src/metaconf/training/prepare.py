"""Preparation of stage 1: sample short answers, grade them, write the reflections, set targets.

Writes into the run directory: `answers.jsonl` (every sampled answer), `sft.jsonl` (sharegpt rows
with the exact target beside them, for TRL's engine), `curriculum.jsonl` (the same in the order in
which stage 1 teaches, for LLaMA-Factory, which reads both as they are), `dataset_info.json`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from metaconf.clients import endpoint_of
from metaconf.config.blocks import EMBEDDED, Confidence, Config, Teacher
from metaconf.config.llama_factory import CURRICULUM_SET, ROWS_SET
from metaconf.data import load_questions, pick
from metaconf.errors import UserError
from metaconf.generation import load_engine, store
from metaconf.generation.local import LocalModel, load_local, sample_answers
from metaconf.generation.sampler import GREEDY, Sampling
from metaconf.generation.store import Key
from metaconf.judging import Judge, judge_of
from metaconf.prompts.chat import INSTRUCTION
from metaconf.records import FACTS, Grade, Parsed, Question, Reply, write_jsonl
from metaconf.reply import format_reply
from metaconf.training.checks import check_tokenizer
from metaconf.training.curriculum import curriculum
from metaconf.training.evidence import (
    Answered,
    answered,
    answered_later,
    reflection_for,
    speakable,
    stretched,
    targets,
)
from metaconf.training.levels import LEVELS, soften
from metaconf.training.probe import answer_states, probe_layer
from metaconf.training.rundir import begin, shown, who
from metaconf.training.set_card import Made, write_set_card
from metaconf.training.teacher import Lessons, write_reflections
from metaconf.training.varied import vary

ANSWER_TOKENS = 12
STATES = ("probe", "hidden")
"""Targets that need the model's hidden states."""
BLIND = ("probe", "hidden", "share")
"""Targets that hold nothing of the answer's own grade; the wording of a reflection follows them."""
ROWS = 640
SAMPLES = 8
ROWS_ALONE = 256
"""Answers drawn at once: with samples, of which many are the same, and without."""
DEFAULT = Confidence()
OFFLINE = Teacher()
"""Who writes the reflections where nobody is asked."""


def sample(
    local: LocalModel,
    questions: Sequence[Question],
    path: Path,
    k: int,
    seed: int,
    trained: bool = False,
) -> dict[Key, Reply]:
    """Greedy answer and k sampled ones for each question, kept in `path`; asks only for missing.
    A `trained` model is asked as for a reply, without worked examples."""
    how = Sampling(ANSWER_TOKENS, seed=seed, rows=ROWS if k else ROWS_ALONE)
    prompt = local.policy_prompt if trained else None

    def ask(asked: Any, wanted: tuple[int, ...], keep: Any) -> None:
        sample_answers(local, asked, wanted, how, keep, prompt)

    label = "sample answers" if k else "likeliest answers"
    return store.collect(path, questions, (GREEDY, *range(k)), ask, label)


def own_answers(
    how: Confidence, questions: Sequence[Question], folder: Path, seed: int
) -> dict[Key, Reply] | None:
    """The likeliest answers of the model `how.answers_of`, kept in `folder`; None without one."""
    if not how.answers_of:
        return None
    local = load_local(how.answers_of)
    return sample(local, questions, folder / "own.jsonl", 0, seed, trained=True)


def collect(
    questions: Sequence[Question],
    replies: dict[Key, Reply],
    k: int,
    how: Confidence = DEFAULT,
    judge: Judge | None = None,
    own: Mapping[Key, Reply] | None = None,
) -> list[Answered]:
    """Grade and group what was sampled; questions without a usable answer are left out.

    Which of the answers are taken says `how.answers`, or they are given as `own` ones of a model
    that has been taught since (`evidence.answered_later`). Answers of sentences are graded by the
    `judge`, where there is one: the first `how.labels`, or all.
    """
    drawn = [(replies[q.id, GREEDY], [replies[q.id, i] for i in range(k)]) for q in questions]
    if own is not None:
        each = zip(questions, drawn, strict=True)
        rows = [answered_later(q, own[q.id, GREEDY], [greedy, *some]) for q, (greedy, some) in each]
    elif how.answers == "varied":
        rows = vary(questions, drawn)
    else:
        rows = [answered(q, *one) for q, one in zip(questions, drawn, strict=True)]
    usable = [row for row in rows if row.answer and speakable(row.answer)]
    if judge is None:
        return usable
    asked = len(usable) if how.labels == 0 else how.labels
    return [*_judged(judge, usable[:asked]), *usable[asked:]]


def _judged(judge: Judge, rows: Sequence[Answered]) -> list[Answered]:
    replies = [
        (r.question, Parsed(r.answer, None, None), Grade(r.question.id, 0, r.right)) for r in rows
    ]
    grades = judge.answers(replies)
    if judge.failing:
        raise UserError(judge.failing)
    return [replace(r, right=g.correctness) for r, g in zip(rows, grades, strict=True)]


def build_rows(
    local: LocalModel,
    rows: Sequence[Answered],
    how: Confidence,
    seed: int,
    reflections: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Sharegpt rows with `target` (0–1); ungraded answers stay out, and so do those that have none
    of the given `reflections` (by question id; None: the offline teacher writes them)."""
    states = None
    if how.target in STATES:
        prompts = [local.answer_prompt(row.question.prompt) for row in rows]
        depth = probe_layer(local.model.config.num_hidden_layers)
        states = answer_states(local, prompts, [row.answer for row in rows], depth)
    goals = stretched(targets(rows, how.target, states, how.labels, how.families), how.stretch)
    told = goals if how.target in BLIND else targets(rows, "share")
    known = [(r, g, t) for r, g, t in zip(rows, goals, told, strict=True) if not np.isnan(g)]
    if reflections is None:
        return [_row(r, g, reflection_for(r, t, seed, how.blur), seed) for r, g, t in known]
    written = [(r, g, reflections.get(r.question.id)) for r, g, _ in known]
    return [_row(r, g, text, seed) for r, g, text in written if text is not None]


def _row(row: Answered, goal: float, reflection: str, seed: int) -> dict[str, Any]:
    """One row; `goal` in [0, 1] is taught as the confidence."""
    weights = soften(np.array([goal]))[0]
    # The level that is written is drawn, so that hard-label training sees the same mean.
    rng = random.Random(f"level:{seed}:{row.question.id}")
    level = rng.choices(range(LEVELS), weights)[0]
    reply = format_reply(row.answer, reflection, level / (LEVELS - 1))
    return {
        "conversations": [
            {"from": "human", "value": row.question.prompt},
            {"from": "gpt", "value": reply},
        ],
        "system": INSTRUCTION,
        "id": row.question.id,
        "target": round(float(goal), 6),
    }


SHAREGPT = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "system": "system"},
    "tags": {
        "role_tag": "from",
        "content_tag": "value",
        "user_tag": "human",
        "assistant_tag": "gpt",
    },
}
DATASET_INFO = {
    name: {"file_name": file, **SHAREGPT}
    for name, file in ((ROWS_SET, "sft.jsonl"), (CURRICULUM_SET, "curriculum.jsonl"))
}


def prepare(
    local: LocalModel,
    questions: Sequence[Question],
    folder: Path,
    how: Confidence,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Do it all and write the files; returns the rows. Asks again only for what is missing."""
    own = own_answers(how, questions, folder, seed)
    replies = sample(local, questions, folder / "answers.jsonl", samples, seed)
    rows = build_rows(local, collect(questions, replies, samples, how, own=own), how, seed)
    write_set(folder, rows, how=how, seed=seed)
    return rows


def write_set(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    teacher: Teacher = OFFLINE,
    lessons: Lessons | None = None,
    how: Confidence = DEFAULT,
    seed: int = 0,
) -> None:
    """Write the rows, what LLaMA-Factory must know of them, and who wrote their reflections."""
    write_jsonl(folder / "sft.jsonl", rows)
    write_jsonl(folder / "curriculum.jsonl", curriculum(rows, how, seed))
    facts = {"teacher": who(teacher), "lessons": lessons.counts() if lessons else None}
    (folder / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps(DATASET_INFO, indent=2) + "\n")


def run(config: Config, resume: bool = False) -> Path:
    """`metaconf prepare`: from questions to `sft.jsonl` in the run directory."""
    del resume  # what is stored is never asked for again
    check_tokenizer(config.model_name_or_path)
    out, start = begin(config), time.monotonic()
    source = config.questions.path
    chosen = load_questions("embedded:stage1" if source == EMBEDDED else source, config.questions)
    questions = pick(chosen, config.questions.limit, config.seed)
    how, engine = config.confidence, config.engine
    # First, for they are few: a model that is not there is found out before much is sampled.
    own = own_answers(how, questions, out, config.seed)
    local = load_engine(config.model_name_or_path, engine.kind, engine.options)
    replies = sample(local, questions, out / "answers.jsonl", SAMPLES, config.seed)
    if engine.kind != "transformers" and how.target in STATES:
        del local  # its memory is needed: the probe reads hidden states, which transformers gives
        local = load_engine(config.model_name_or_path)
    judge = judge_of(config.judge, os.environ, out / "judge.sqlite")
    answers = collect(questions, replies, SAMPLES, how, judge, own)
    taught = [row for row in answers if how.labels or row.right is not None]
    lessons = _lessons(config, taught, out)
    written = lessons.written if lessons else None
    rows = build_rows(local, answers, how, config.seed, written)
    write_set(out, rows, config.teacher, lessons, how, config.seed)
    known = f"{how.target}, fitted on {how.labels} graded answers" if how.labels else how.target
    known += f", log-odds times {how.stretch:g}" if how.stretch != 1 else ""
    model, taught_by = config.model_name_or_path, config.teacher
    answered_by = f"the likeliest ones of {shown(how.answers_of)}" if own else how.answers
    teacher = "written by the offline teacher" if lessons is None else f"by {taught_by.model}"
    made = Made(
        shown(model), shown(source), len(questions), SAMPLES, known, answered_by, teacher,
        time.monotonic() - start, len(answers), len(answers) - len(taught), lessons,
    )  # fmt: skip
    write_set_card(out / "README.md", made, [row["target"] for row in rows])
    print(f"{len(rows)} rows of {len(questions)} questions: {out / 'sft.jsonl'}")
    return out


def _lessons(config: Config, rows: Sequence[Answered], out: Path) -> Lessons | None:
    if config.teacher.kind == "offline":
        return None
    endpoint = endpoint_of(config.teacher, os.environ)
    most = config.teacher.max_dropped
    return write_reflections(rows, endpoint, out / "teacher.sqlite", most)
