"""The training set of stage 1: sharegpt rows from graded answers, and the files that hold them.

`sft.jsonl` holds the rows for TRL's engine, with the exact `target` and, from the offline teacher,
`reflections`: pairs of a confidence and the wording for it. `curriculum.jsonl` holds the same rows
in the order in which stage 1 trains on them, for LLaMA-Factory, which reads both files as they are
(`dataset_info.json`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metaconf.config.blocks import Confidence, Teacher
from metaconf.config.llama_factory import CURRICULUM_SET, ROWS_SET
from metaconf.generation.local import LocalModel
from metaconf.grading.reading import reading
from metaconf.metrics.agreement import contradicts
from metaconf.prompts.chat import INSTRUCTION
from metaconf.prompts.frames import STANCES
from metaconf.prompts.teacher import likely_cause, stance
from metaconf.records import FACTS, write_jsonl
from metaconf.reply import format_reply
from metaconf.runs import who
from metaconf.training.curriculum import curriculum
from metaconf.training.evidence import Answered, offline_reflections, targets
from metaconf.training.levels import LEVELS, soft_labels
from metaconf.training.probe import answer_states, probe_layer
from metaconf.training.teacher import TeacherOutput

DEFAULT = Confidence()
OFFLINE = Teacher()


def build_rows(
    local: LocalModel,
    answers: Sequence[Answered],
    how: Confidence,
    seed: int,
    output: TeacherOutput | None = None,
) -> list[dict[str, Any]]:
    """Sharegpt rows with `target` in [0, 1]. Answers without a target are left out, and so are
    those for which a teacher's `output` has no reflection, or has one that says the opposite of the
    target, which it counts. None: the offline teacher writes them."""
    states = _states(local, answers) if how.target == "probe" else None
    goals = targets(answers, how.target, states, how.num_labeled)
    known = [(a, goal) for a, goal in zip(answers, goals, strict=True) if not np.isnan(goal)]
    if output is None:
        return [_offline_row(a, goal, seed) for a, goal in known]
    texts = [(a, goal, output.reflections.get(a.question.id)) for a, goal in known]
    written = [(a, goal, text) for a, goal, text in texts if text is not None]
    agreeing = [(a, goal, text) for a, goal, text in written if not _opposite(text, goal)]
    output.contradicting = len(written) - len(agreeing)
    return [_row(a, goal, text, seed) for a, goal, text in agreeing]


def _opposite(reflection: str, goal: float) -> bool:
    """Whether a reflection sounds sure of what the target doubts, or the reverse."""
    return contradicts([goal], [reading(reflection)]).item() == 1


def _states(local: LocalModel, answers: Sequence[Answered]) -> np.ndarray:
    """Hidden states (n, D) at the last tokens of the answers, given without a reflection."""
    prompts = [local.answer_prompt(a.question.prompt) for a in answers]
    layer = probe_layer(local.model.config.num_hidden_layers)
    return answer_states(local, prompts, [a.answer for a in answers], layer)


def _offline_row(row: Answered, goal: float, seed: int) -> dict[str, Any]:
    """One row with the offline teacher's reflections for all confidences; its reply has the one for
    the target."""
    written = offline_reflections(row, seed)
    made = _row(row, goal, written[stance(goal)], seed)
    return made | {"reflections": list(zip(STANCES, written, strict=True))}


def _row(row: Answered, goal: float, reflection: str, seed: int) -> dict[str, Any]:
    """One row, whose confidence target is `goal` in [0, 1]."""
    weights = soft_labels(np.array([goal]))[0]
    # The level in the text is sampled, so that training on text alone sees the same mean.
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
        "kind": row.question.kind,
        "cause": likely_cause(row.question.task, row.question.cause),
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


def write_set(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    teacher: Teacher = OFFLINE,
    output: TeacherOutput | None = None,
    how: Confidence = DEFAULT,
    seed: int = 0,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write the rows, LLaMA-Factory's description of them, who wrote their reflections, and `more`
    facts."""
    write_jsonl(folder / "sft.jsonl", rows)
    write_jsonl(folder / "curriculum.jsonl", curriculum(rows, how, seed))
    facts = {"teacher": who(teacher), "teacher_output": output.counts() if output else None}
    facts |= more or {}
    (folder / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps(DATASET_INFO, indent=2) + "\n")
