"""Questions from a file or from the package, as records that the rest can trust.

Everything about a user's rows is checked here, once, so that no later step meets an answer that is
null, a year that became "1912.0" or two questions of one id. Nothing but the standard library is
imported: a bad file is refused at once.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from metaconf.errors import UserError
from metaconf.records import Question, Target, read_jsonl

SPLITS = ("stage1", "stage2", "calibration", "heldout", "ood")
FAMILIES = (
    "city_country", "city_ambiguous", "us_city_state", "county_state", "county_ambiguous",
    "country_continent", "country_capital", "country_currency", "sum", "difference", "product",
)  # fmt: skip

_GSM8K = re.compile(r"(?:^|\n)####[ \t]*([^\n]*?)\s*\Z")
_USER_KEYS = ("question", "answer", "id", "task", "choices", "aliases", "family")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def embedded_questions(
    split: str | None = None, families: Collection[str] | None = None
) -> list[Question]:
    """The questions that ship with the package, of one split and some families or of all.

    Built by `metaconf.embedded.build_questions`; about 13,000. Raises UserError for a split or a
    family that does not exist.
    """
    if split is not None:
        _known("split", split, SPLITS)
    for family in families or ():
        _known("family", family, FAMILIES)
    packed = files("metaconf.embedded").joinpath("questions.jsonl.gz").read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").splitlines()
    return [
        question
        for question in (Question.from_json(json.loads(line)) for line in lines)
        if (split is None or question.split == split)
        and (families is None or question.family in families)
    ]


def load_questions(source: str) -> list[Question]:
    """Questions from "embedded", "embedded:SPLIT" or a JSONL file (UTF-8, a BOM is tolerated).

    A row is either a Question as `Question.to_json` writes it (it has "targets") or an object with
    "question" and "answer" and, if wanted, "id", "task", "choices", "aliases" and "family"; other
    keys are ignored. An answer is a text, a number or a non-empty list of these (all right);
    aliases are added to it. With choices the answer is a letter or else one of the choices, which
    are written below the question and the task is "choice". An answer that ends in "#### 18", as
    in GSM8K, is 18, and the task is "math". Without an id, a row is named "FILE:LINE".

    Raises UserError naming file, line, value and remedy for whatever cannot be used, and for an
    empty file or an id that occurs twice.
    """
    name, _, split = source.partition(":")
    if name == "embedded":
        return embedded_questions(split or None)
    return _from_file(Path(source))


def pick(questions: Iterable[Question], n: int | None = None, seed: int = 0) -> list[Question]:
    """`n` questions (None: all) in an order given by seed and id alone.

    The order does not depend on that of the file, and a smaller n gives a prefix of a larger one.
    Fewer than n questions are returned where there are no more. Raises UserError for n < 1.
    """
    if n is not None and n < 1:
        raise UserError(f"{n} questions asked for: at least 1 is needed; leave it out for all")

    def place(question: Question) -> tuple[bytes, str]:
        return hashlib.sha256(f"{seed}\x1f{question.id}".encode()).digest(), question.id

    return sorted(questions, key=place)[:n]


def _known(kind: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        names = ", ".join(known)
        raise UserError(f"{value!r}: the embedded questions have no such {kind}; use {names}")


# Files


def _from_file(path: Path) -> list[Question]:
    questions: list[Question] = []
    lines: dict[str, int] = {}
    try:
        for number, row in read_jsonl(path):
            question = question_from_row(row, f"{path}:{number}", f"{path.stem}:{number}")
            if question.id in lines:
                raise UserError(
                    f"{path}:{number}: id {question.id!r} was used in line {lines[question.id]};"
                    " give every question its own id, or none"
                )
            lines[question.id] = number
            questions.append(question)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}{_bad_line(path)}: not UTF-8; save the file as UTF-8") from error
    if not questions:
        raise UserError(f"{path}: holds no question; one JSON object a line is needed")
    return questions


def _bad_line(path: Path) -> str:
    """ ":LINE" of the first line that is not UTF-8."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return f":{number}"
    return ""


def question_from_row(row: Mapping[str, Any], where: str, default_id: str) -> Question:
    """One row, in either form that `load_questions` takes; `where` opens the message of an error.

    Raises UserError.
    """
    if "targets" in row:
        return _own(row, where)
    for key in ("question", "answer"):
        if key not in row:
            raise UserError(f"{where}: no {key!r}{_nearest(key, row)}; a row needs it")
    prompt = _text(row["question"], f"{where}: question")
    task = _optional(row, "task", where)
    if row.get("choices") is not None:
        prompt, texts, default_task = _choice(prompt, row, where)
    else:
        texts, default_task = _answers(row["answer"], where)
    texts += _texts(row.get("aliases") or [], f"{where}: aliases")
    return Question(
        id=_optional(row, "id", where) or default_id,
        prompt=prompt,
        targets=(Target(tuple(dict.fromkeys(texts))),),
        task=task or default_task,
        family=_optional(row, "family", where) or "",
    )


def _nearest(key: str, row: Mapping[str, Any]) -> str:
    others = [name for name in row if name not in _USER_KEYS]
    close = get_close_matches(key, others, n=1) or get_close_matches(key[0], others, 1, 0.99)
    found = ", ".join(map(repr, row)) or "nothing"
    return f" (is {close[0]!r} meant?)" if close else f" among {found}"


def _answers(answer: Any, where: str) -> tuple[list[str], str]:
    """The acceptable texts, and the task that their form tells of."""
    where = f"{where}: answer"
    if isinstance(answer, str) and (last := _GSM8K.search(answer)):
        return [_text(last[1].replace(",", ""), f"{where} after ####")], "math"
    texts = _texts(answer, where)
    if not texts:
        raise UserError(f"{where} is an empty list; give at least one, or remove the line")
    return texts, "short"


def _choice(prompt: str, row: Mapping[str, Any], where: str) -> tuple[str, list[str], str]:
    """The prompt with lettered choices, letter and text of the right one, the task.

    Published sets hold rows with the same choice twice; both letters are then right.
    """
    if not isinstance(row["choices"], list):
        raise UserError(f'{where}: choices {row["choices"]!r} is no list; write ["…", "…"]')
    choices = _texts(row["choices"], f"{where}: choices")
    if not 2 <= len(choices) <= len(_LETTERS):
        raise UserError(
            f"{where}: {len(choices)} choices; from 2 to {len(_LETTERS)} can be lettered"
        )
    answer = _text(row["answer"], f"{where}: answer")
    letters = _LETTERS[: len(choices)]
    if len(answer) == 1 and answer in letters:
        right = choices[letters.index(answer)]
    elif answer in choices:
        right = answer
    else:
        raise UserError(
            f"{where}: answer {answer!r} is none of the choices;"
            f" give a letter from A to {letters[-1]} or the text of a choice"
        )
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, choices, strict=True))
    same = [letter for letter, text in zip(letters, choices, strict=True) if text == right]
    return f"{prompt}\n{listed}", [*same, right], "choice"


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
    if not text:
        raise UserError(f"{where} is empty; give its value, or remove the line")
    if re.search("[\ud800-\udfff]", text):
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
        task=_optional(row, "task", where) or "short",
        **{key: _label(row, key, where) for key in ("family", "split")},
        cause=_optional(row, "cause", where),
        familiarity=_familiarity(row.get("familiarity"), where),
        entity=_optional(row, "entity", where),
    )


def _label(row: Mapping[str, Any], key: str, where: str) -> str:
    return "" if row.get(key) in (None, "") else _text(row[key], f"{where}: {key}")


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
