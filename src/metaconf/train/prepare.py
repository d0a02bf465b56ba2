"""Preparation of stage 1: sample short answers, grade them, write the reflections, set targets.

Writes into the run directory: `answers.jsonl` (every sampled answer), `sft.jsonl` (sharegpt rows,
which LLaMA-Factory reads as they are, with the exact target beside them), `dataset_info.json`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metaconf.config_blocks import EMBEDDED, Config
from metaconf.engines import store
from metaconf.engines.local import LocalModel, load_local, sample_answers
from metaconf.engines.sampler import GREEDY, Sampling
from metaconf.engines.store import Key
from metaconf.prompts.chat import INSTRUCTION
from metaconf.questions import load_questions, pick
from metaconf.records import Question, Reply, write_jsonl
from metaconf.reply import format_reply
from metaconf.train.evidence import Answered, answered, reflection_for, speakable, targets
from metaconf.train.levels import LEVELS, soften
from metaconf.train.probe import answer_states
from metaconf.train.rundir import begin

ANSWER_TOKENS = 12
BLIND = ("probe", "hidden", "share")
"""Targets that hold nothing of the answer's own grade; the wording of a reflection follows them."""
ROWS = 640


def sample(
    local: LocalModel, questions: Sequence[Question], path: Path, k: int, seed: int
) -> dict[Key, Reply]:
    """Greedy answer and k sampled ones for each question, kept in `path`; asks only for missing."""
    how = Sampling(ANSWER_TOKENS, seed=seed, rows=ROWS)

    def ask(asked: Any, wanted: tuple[int, ...], keep: Any) -> None:
        sample_answers(local, asked, wanted, how, keep)

    return store.collect(path, questions, (GREEDY, *range(k)), ask, "sample answers")


def collect(questions: Sequence[Question], replies: dict[Key, Reply], k: int) -> list[Answered]:
    """Grade and group what was sampled; questions without a usable greedy answer are left out."""
    rows = [
        answered(q, replies[q.id, GREEDY], [replies[q.id, i] for i in range(k)]) for q in questions
    ]
    return [row for row in rows if row.answer and speakable(row.answer)]


def build_rows(
    local: LocalModel, rows: Sequence[Answered], kind: str, layer: int | None, seed: int
) -> list[dict[str, Any]]:
    """Sharegpt rows with `target` (0–1); ungraded answers stay out."""
    states = None
    if kind in ("probe", "hidden"):
        prompts = [local.answer_prompt(row.question.prompt) for row in rows]
        depth = layer or probe_layer(local.model.config.num_hidden_layers)
        states = answer_states(local, prompts, [row.answer for row in rows], depth)
    goals = targets(rows, kind, states)
    told = goals if kind in BLIND else targets(rows, "share")
    known = [(r, g, t) for r, g, t in zip(rows, goals, told, strict=True) if not np.isnan(g)]
    return [_row(r, g, t, seed) for r, g, t in known]


def probe_layer(layers: int) -> int:
    """Just below the middle: certainty is settled there (layer 14 of 30 in the embedded model)."""
    return max(1, round(layers * 0.47))


def _row(row: Answered, goal: float, told: float, seed: int) -> dict[str, Any]:
    """One row: `goal` is taught as the confidence, `told` is what the wording may follow."""
    weights = soften(np.array([goal]))[0]
    # The level that is written is drawn, so that hard-label training sees the same mean.
    rng = random.Random(f"level:{seed}:{row.question.id}")
    level = rng.choices(range(LEVELS), weights)[0]
    reply = format_reply(row.answer, reflection_for(row, told, seed), level / (LEVELS - 1))
    return {
        "conversations": [
            {"from": "human", "value": row.question.prompt},
            {"from": "gpt", "value": reply},
        ],
        "system": INSTRUCTION,
        "id": row.question.id,
        "target": round(float(goal), 6),
    }


DATASET_INFO = {
    "metaconf_sft": {
        "file_name": "sft.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
        },
    }
}


def prepare(
    local: LocalModel,
    questions: Sequence[Question],
    folder: Path,
    *,
    samples: int = 8,
    target: str = "probe",
    layer: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Do it all and write the files; returns the rows. Asks again only for what is missing."""
    replies = sample(local, questions, folder / "answers.jsonl", samples, seed)
    rows = build_rows(local, collect(questions, replies, samples), target, layer, seed)
    write_jsonl(folder / "sft.jsonl", rows)
    (folder / "dataset_info.json").write_text(json.dumps(DATASET_INFO, indent=2) + "\n")
    return rows


def run(config: Config, resume: bool = False) -> Path:
    """`metaconf prepare`: from questions to `sft.jsonl` in the run directory."""
    del resume  # what is stored is never asked for again
    out = begin(config)
    source = config.questions.path
    chosen = load_questions("embedded:stage1" if source == EMBEDDED else source, config.questions)
    questions = pick(chosen, config.questions.limit, config.seed)
    local = load_local(config.model_name_or_path)
    target, seed = config.confidence.target, config.seed
    rows = prepare(local, questions, out, target=target, seed=seed)
    print(f"{len(rows)} rows of {len(questions)} questions: {out / 'sft.jsonl'}")
    return out
