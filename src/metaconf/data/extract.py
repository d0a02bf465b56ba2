"""What published sets do to their answers, undone: small pure functions by name.

A column map names one behind a bar: `answer: solution | boxed`. Each takes the value of a column,
never null, and returns what `rows` takes as an answer, as aliases or as choices; a value that it
cannot read raises ValueError with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from metaconf.data.literal import read

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])")


class Letter(str):
    """The letter of a choice that was found by its place: no text of a choice is meant by it."""


_FINAL = re.compile(r"(?:^|\n)####[ \t]*([^\n]*?)\s*\Z")


def final_number(value: Any) -> str:
    """What stands behind "####" in the last line, without thousands commas (GSM8K)."""
    found = last_line(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("has no last line like '#### 72'")
    return found


def last_line(text: str) -> str | None:
    """The rest of a last line that starts with "####", or None where it does not."""
    match = _FINAL.search(text)
    return match[1].replace(",", "") if match else None


def boxed(value: Any) -> str:
    r"""The content of the last \boxed{…} or \fbox{…}, or what follows "\boxed " (MATH)."""
    found = last_box(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(r"has no \boxed{…}")
    return found


def last_box(text: str) -> str | None:
    r"""The content of the last \boxed{…}, or None where there is none or it is not closed."""
    found = list(_BOX.finditer(text))
    if not found:
        return None
    rest = text[found[-1].end() :].lstrip()
    if not rest.startswith("{"):
        bare = re.match(r"[^$\s.,;]+", rest)  # "\boxed 5"
        return bare[0] if bare else None
    depth = 0
    for i, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:i]
    return None


def index_letter(value: Any) -> Any:
    """The letter of a choice that is numbered from 0 (MMLU); other text stays as it is."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal()):
            return value
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(LETTERS):
        raise ValueError("is no index of a choice, counted from 0")
    return Letter(LETTERS[value])


def json_list(value: Any) -> list[Any]:
    """A list that is written in a text, as JSON (PopQA) or as Python prints it; a list stays as it
    is."""
    try:
        found = read(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError("is no list in JSON") from error
    if not isinstance(found, list):
        raise ValueError("is no list in JSON")
    return found


def semicolons(value: Any) -> list[str]:
    """A list that is written with semicolons between (TruthfulQA's CSV file)."""
    if not isinstance(value, str):
        raise ValueError("is no text with semicolons")
    return [part.strip() for part in value.split(";") if part.strip()]


EXTRACTORS: dict[str, Callable[[Any], Any]] = {
    "final_number": final_number,
    "boxed": boxed,
    "index_letter": index_letter,
    "json_list": json_list,
    "semicolons": semicolons,
}
