"""The reward as other trainers call it: `reward_function` for TRL, `compute_score` for verl.

Both give the reward of stage 2 (`rewards.parts`), by the same graders. They only turn what a
trainer hands over into a Question and the text of a reply.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from metaconf.config.blocks import Reward as RewardWeights
from metaconf.data import question_from_row
from metaconf.errors import UserError
from metaconf.records import Grade, Parsed, Question, Reward
from metaconf.reply import parse_reply
from metaconf.rewards.group import grade, grade_group, reward_group

Scored = tuple[Parsed, Grade, Reward]
TARGETS = ("answer", "target")
"""Names of the column that holds a user's right answer, the first one found."""


def reward_function(
    prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
) -> list[float | None]:
    """The reward of each completion, as TRL's GRPOTrainer calls it; None leaves it out.

    `prompts` and `completions` are texts or conversations. Of the data set's columns, `question`
    holds a Question record as JSON, or else `answer` (or `target`) holds the right answer or a
    list of them, with `task` if wanted. Completions of one question in one call are one group:
    reflections are judged against the answers of all of them. The weights are the defaults of
    `config.blocks.Reward`. Raises UserError where neither column is there or a row is broken.
    """
    questions = [_asked(prompt, columns, row) for row, prompt in enumerate(prompts)]
    texts = [_text(completion) for completion in completions]
    scored = score(questions, texts, asdict(RewardWeights()))
    return [None if one is None else one[2].total for one in scored]


def score(
    questions: Sequence[Question | None], texts: Sequence[str], weights: Mapping[str, float]
) -> list[Scored | None]:
    """Parse, grade and reward replies in any order; those to one question id are one group.

    A reply to no question (None: its right answer is not known) is None.
    """
    groups: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        if question is not None:
            groups.setdefault(question.id, []).append(place)
    scored: list[Scored | None] = [None] * len(questions)
    for places in groups.values():
        question = questions[places[0]]
        assert question is not None
        group = grade_group(question, [texts[place] for place in places], weights)
        for place, one in zip(places, group, strict=True):
            scored[place] = one
    return scored


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    **kw: Any,
) -> dict[str, float]:
    """The reward of one reply, as verl calls it: always these keys, all of them finite numbers.

    `score` is the weighted sum, `calibration`, `reflection`, `accuracy` and `format` its parts in
    [0, 1]. verl takes no missing value: what could not be graded is 0 with `graded` 0 (else 1). A
    reflection that could not be scored is shown as 0 and left out of `score` (see `rewards.parts`).
    `ground_truth` is the right answer, a list of them, or a Question record as JSON; `extra_info`
    may hold `question` (its text), `task` and `samples`, other answers of the same model. Checks
    of the reflection that need what is not there are left out. Weights come from `kw` by the names
    of `config.blocks.Reward`, else from its defaults. Raises UserError for a broken ground truth.
    """
    extra = extra_info or {}
    question = _graded_by(ground_truth, extra, f"compute_score, data_source {data_source!r}")
    defaults = asdict(RewardWeights())
    weights = {name: float(kw.get(name, default)) for name, default in defaults.items()}
    parsed = parse_reply(solution_str)
    total, parts = None, dict[str, float | None]()
    if question is not None:
        found = _grade_alone(question, parsed, _plain(extra.get("samples")) or [])
        (reward,) = reward_group([(parsed, found)], weights)
        total, parts = reward.total, reward.parts
    scores = {name: parts.get(name) or 0.0 for name in defaults}
    return {"score": total or 0.0, **scores, "graded": float(total is not None)}


def _grade_alone(question: Question, parsed: Parsed, samples: Sequence[str]) -> Grade:
    """Grade one reply without its group; a check that lacks what it needs does not count."""
    answers = [*samples, *([parsed.answer] if parsed.answer is not None else [])]
    found = grade(question, parsed, 0, answers)
    unknown = set[str]() if samples else {"answers"}
    if not question.prompt:
        unknown |= {"answers", "specific"}
    checks = {name: value for name, value in found.parts.items() if name not in unknown}
    quality = sum(checks.values()) / len(checks) if checks else None
    return replace(found, quality=quality, parts=checks)


def _asked(prompt: Any, columns: Mapping[str, Any], row: int) -> Question | None:
    """The question of one row of a TRL batch; None where its answer is empty."""
    where = f"reward_function, row {row}"
    stated = columns["question"][row] if "question" in columns else None
    if record := _record(stated):
        return question_from_row(record, where, "")
    name = next((name for name in TARGETS if name in columns), None)
    if name is None:
        raise UserError(
            f"{where}: no right answer among the columns {', '.join(columns) or '(none)'}; give the"
            " data set a column `answer`, or `question` with Question records as JSON"
        )
    task = columns["task"][row] if "task" in columns else None
    text = stated or _text(prompt, role="user")
    return _from_answer(columns[name][row], text, task, where)


def _graded_by(ground_truth: Any, extra: Mapping[str, Any], where: str) -> Question | None:
    if record := _record(ground_truth):
        return question_from_row(record, where, "")
    text = str(extra.get("question") or "")
    return _from_answer(ground_truth, text, extra.get("task"), where)


def _from_answer(answer: Any, text: str, task: Any, where: str) -> Question | None:
    answer = _plain(answer)
    if answer in (None, "", []):
        return None
    # A row needs some text as its question; the record may do without.
    row = {"question": text or "?", "answer": answer, "task": task}
    # The id makes the groups: one prompt with two right answers is two questions.
    return replace(question_from_row(row, where, json.dumps([text, answer])), prompt=text)


def _record(value: Any) -> dict[str, Any] | None:
    """The Question record that a JSON text holds, or None where it is any other text."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    try:
        row = json.loads(value)
    except ValueError:
        return None
    return row if "targets" in row else None


def _text(message: Any, role: str = "assistant") -> str:
    """The text itself, or that of a conversation's last message by `role`."""
    if isinstance(message, str):
        return message
    texts = [turn.get("content") for turn in message if turn.get("role", role) == role]
    return (texts[-1] if texts else "") or ""


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy, which parquet files give, as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value
