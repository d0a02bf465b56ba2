"""One row of a user's as a question, checked value by value.

Nothing that takes time is imported: a bad row is refused at once.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Mapping
from typing import Any

from metaconf.config.values import nearest
from metaconf.data.choices import choices_of, right
from metaconf.data.extract import LETTERS, last_line
from metaconf.data.literal import listed, shown
from metaconf.errors import UserError
from metaconf.records import Question, Target
from metaconf.safe_text import as_seen

TASKS = ("short", "math", "choice", "long")
"""How an answer is graded; "long" by a judge only."""
USER_KEYS = (
    "question", "answer", "id", "task", "choices", "aliases", "family", "cause", "familiarity",
    "entity", "labels",
)  # fmt: skip
_HALF = re.compile("[\ud800-\udfff]")
_BAR = re.compile(r"\s*\|+\s*")


def question_from_row(row: Mapping[str, Any], where: str, default_id: str) -> Question:
    """One row, in either form that `load_questions` takes; `where` opens the message of an error.

    Raises UserError.
    """
    if "targets" in row:
        return _own(row, where)
    for key in ("question", "answer"):
        if key not in row:
            raise UserError(
                f"{where}: no {key!r}{_nearest(key, row)}; a row needs it, or --columns"
                f" '{{{key}: COLUMN, …}}'"
            )
    prompt = _text(row["question"], f"{where}: question")
    task = _task(row, where)
    if row.get("choices") is not None:
        prompt, texts, default_task = _choice(prompt, row, where)
    else:
        texts, default_task = _answers(row["answer"], task, where)
    aliases = _alternatives(row.get("aliases") or [], task, f"{where}: aliases", many=True)
    texts += _texts(aliases, f"{where}: aliases")
    return Question(
        id=_optional(row, "id", where) or default_id,
        prompt=prompt,
        targets=(Target(tuple(dict.fromkeys(texts))),),
        task=task or default_task,
        family=_label(row, "family", where),
        cause=_optional(row, "cause", where),
        familiarity=_familiarity(row.get("familiarity"), where),
        entity=_optional(row, "entity", where),
    )


def _task(row: Mapping[str, Any], where: str) -> str | None:
    task = _optional(row, "task", where)
    if task is None or task in TASKS:
        return task and sys.intern(task)
    raise UserError(f"{where}: no grader for task {task!r}; {remedy(task, TASKS)}")


def remedy(name: str, known: Collection[str]) -> str:
    """What to write instead of an unknown name."""
    close = nearest(name, known)
    return f"did you mean {close}?" if close else f"use one of {', '.join(known)}"


def _nearest(key: str, row: Mapping[str, Any]) -> str:
    others = [name for name in row if name not in USER_KEYS]
    close = nearest(key, others) or (key[0] if key[0] in others else None)
    found = ", ".join(map(repr, row)) or "nothing"
    return f" (is {close!r} meant?)" if close else f" among {found}"


def _answers(answer: Any, task: str | None, where: str) -> tuple[list[str], str]:
    """The acceptable texts, and the task that their form tells of."""
    where = f"{where}: answer"
    if isinstance(answer, str) and (last := last_line(answer)) is not None:
        return [_text(last, f"{where} after ####")], "math"
    texts = _texts(_alternatives(answer, task, where), where)
    if not texts:
        raise UserError(f"{where} is an empty list; give at least one, or remove the line")
    return texts, "short"


def _alternatives(answer: Any, task: str | None, where: str, many: bool = False) -> Any:
    """The answers of a list in a text. Bare numbers in brackets are left alone where they may be
    an interval or a point, and refused where they may be several answers, unless `many` are
    expected."""
    found = listed(answer, where)
    if not isinstance(answer, str) or found is answer:
        if task in (None, "short"):
            _refuse_bars(answer, where)
        return answer
    if isinstance(found, dict):
        held = {"text", "texts", "value", "aliases", "answer"} & found.keys()
        if held or not answer.lstrip().startswith('{"'):
            raise UserError(f"{where} {shown(answer)} is an object in a text; name what it holds")
        return answer  # an answer in JSON
    if not found or any(isinstance(one, str) for one in found) or "array(" in answer:
        return found
    if task == "math" or not answer.lstrip().startswith("["):
        return answer
    if many:
        return found
    raise UserError(
        f"{where} {shown(answer)}: several answers, or one with brackets? Write"
        ' ["1", "2"] for several; for an interval or a list give task: math'
    )


def _refuse_bars(answer: Any, where: str) -> None:
    """Refuse "A|B", which programs write for two answers: as one text no reply would ever match it.
    A formula's bars stand within brackets, or around a part of it."""
    parts = _BAR.split(answer) if isinstance(answer, str) and "|" in answer else []
    pairs = ("()", "[]", "{}")
    if len(parts) > 1 and all(
        re.search(r"\w", part) and all(part.count(a) == part.count(b) for a, b in pairs)
        for part in parts
    ):
        several = ", ".join(f'"{part}"' for part in parts[:3])
        raise UserError(
            f"{where} {shown(answer)}: several answers, or one with a bar? Write [{several}] for"
            " several, or put the others into aliases; for a text with a bar write a list of it"
            " alone, for a formula give task: math"
        )


def _choice(prompt: str, row: Mapping[str, Any], where: str) -> tuple[str, list[str], str]:
    """The prompt with lettered choices, letter and text of the right one, the task.

    Published sets hold rows with the same choice twice; both letters are then right.
    """
    choices, labels = choices_of(row, where, _text)
    key = listed(row["answer"], f"{where}: answer")
    if isinstance(key, list) and len(key) == 1:
        (key,) = key
    right_one = choices[right(key, choices, labels, where, _text)]
    letters = LETTERS[: len(choices)]
    lines = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, choices, strict=True))
    same = [letter for letter, text in zip(letters, choices, strict=True) if text == right_one]
    return f"{prompt}\n{lines}", [*same, right_one], "choice"


# Values


def _texts(value: Any, where: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [_text(one, where) for one in values]


def _text(value: Any, where: str) -> str:
    """A non-empty text; numbers as they are written: 1912 and 1912.0 are "1912"."""
    if value is None:
        raise UserError(f"{where} is null; give its value, or remove the line")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kind = type(value).__name__
        raise UserError(f"{where} {value!r} is a {kind}; write it as text or a number")
    if isinstance(value, float):
        value = _number(value, where)
    text = str(value).strip()
    if not as_seen(text)[0].strip():  # what is invisible says nothing
        raise UserError(f"{where} is empty; give its value, or remove the line")
    if not text.isascii() and _HALF.search(text):
        raise UserError(f"{where} {text!r} holds half a surrogate pair; write the character itself")
    return text


def _number(value: float, where: str) -> int | float:
    if not math.isfinite(value):
        raise UserError(f"{where} {value!r} is no finite number; write it as text if it is meant")
    return int(value) if value.is_integer() else value


def _optional(row: Mapping[str, Any], key: str, where: str) -> str | None:
    return None if row.get(key) is None else _text(row[key], f"{where}: {key}")


# Our own form


def _own(row: Mapping[str, Any], where: str) -> Question:
    targets = row["targets"]
    if not isinstance(targets, list) or not targets:
        raise UserError(f"{where}: targets {targets!r} must be a list with at least one target")
    return Question(
        id=_text(row.get("id"), f"{where}: id"),
        prompt=_text(row.get("prompt"), f"{where}: prompt"),
        targets=tuple(_target(target, f"{where}: targets") for target in targets),
        task=_task(row, where) or "short",
        **{key: _label(row, key, where) for key in ("family", "split")},
        cause=_optional(row, "cause", where),
        familiarity=_familiarity(row.get("familiarity"), where),
        entity=_optional(row, "entity", where),
    )


def _label(row: Mapping[str, Any], key: str, where: str) -> str:
    label = row.get(key)
    # Interned: a set has few labels, and a million rows would each hold their own copy.
    return "" if label in (None, "") else sys.intern(_text(label, f"{where}: {key}"))


def _target(target: Any, where: str) -> Target:
    if not isinstance(target, dict) or not isinstance(texts := target.get("texts"), list | tuple):
        raise UserError(f'{where}: {target!r} is no target; write {{"texts": ["…"], "credit": 1}}')
    if not texts:
        raise UserError(f"{where}: a target has no texts; give at least one")
    credit = target.get("credit", 1.0)
    if isinstance(credit, bool) or not isinstance(credit, int | float) or not 0 <= credit <= 1:
        raise UserError(f"{where}: credit {credit!r} must be a number from 0 to 1")
    return Target(tuple(_texts(list(texts), where)), float(credit))


def _familiarity(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{where}: familiarity {value!r} must be a finite number or null")
    return float(value)
