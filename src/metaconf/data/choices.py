"""The choices of a question, and which of them is right.

A row may letter its choices itself, with whatever labels: then its key is one of those labels, or
else the text of a choice. Where it has no labels, the key is a letter from A on, or the text of a
choice; a key that can be read as two different choices is refused, for a guess would pay for a
wrong answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metaconf.data.extract import LETTERS, Letter
from metaconf.data.literal import listed, shown
from metaconf.errors import UserError

LABELS, TEXTS = ("label", "labels", "key", "letter"), ("text", "texts", "content", "value")
"""Names that published sets use within their choices."""
_AROUND = "()[]{}<>.:、。 \t"
Text = Callable[[Any, str], str]


def choices_of(row: Mapping[str, Any], where: str, text: Text) -> tuple[list[str], list[str]]:
    """Texts of the choices, and the row's own labels of them ([] for none). `text` checks one
    value. Raises UserError."""
    given = listed(row["choices"], f"{where}: choices")
    values, labels = _apart(given)
    if not isinstance(values, list):
        raise UserError(f'{where}: choices {shown(given)} is no list; write ["…", "…"]')
    if row.get("labels") is not None:
        labels = listed(row["labels"], f"{where}: labels")
    choices = [text(one, f"{where}: choices") for one in values]
    if not 2 <= len(choices) <= len(LETTERS):
        raise UserError(
            f"{where}: {len(choices)} choices; from 2 to {len(LETTERS)} can be lettered, so leave"
            " some out, or ask without choices"
        )
    return choices, _labels(labels, len(choices), where, text)


def right(key: Any, choices: Sequence[str], labels: Sequence[str], where: str, text: Text) -> int:
    """The place of the right choice. Raises UserError where the key names none, or two."""
    if isinstance(key, Letter):  # counted by the map of the set: a place, whatever the texts are
        place = LETTERS.index(key)
        if place < len(choices):
            return place
    written = text(key, f"{where}: answer")
    names = [_form(label) for label in labels or LETTERS[: len(choices)]]
    by_label = names.index(_form(written)) if _form(written) in names else None
    by_text = choices.index(written) if written in choices else None
    if by_label is None and by_text is None:
        by_label = _both(written, names, choices)
    found = by_label if by_label is not None else by_text
    if found is None:
        told = f"{where}: answer {shown(written)} is none of the choices"
        raise UserError(f"{told}; {_remedy(labels, choices)}")
    if not labels:
        _refuse_double(key, written, by_label, by_text, choices, where)
    return found


def _apart(given: Any) -> tuple[Any, Any]:
    """(texts, labels or None) of the forms that published sets have."""
    if isinstance(given, dict):
        texts = next((given[name] for name in TEXTS if isinstance(given.get(name), list)), None)
        if texts is not None:
            return texts, next((given[name] for name in LABELS if name in given), None)
        if given and not any(isinstance(one, list | dict) for one in given.values()):
            return list(given.values()), list(given)  # {"A": "red", "B": "blue"}
    if isinstance(given, list) and given and all(isinstance(one, dict) for one in given):
        texts = [_first(one, TEXTS) for one in given]
        labels = [_first(one, LABELS) for one in given]
        return texts, labels if any(label is not None for label in labels) else None
    return given, None


def _first(one: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((one[name] for name in names if name in one), None)


def _labels(labels: Any, count: int, where: str, text: Text) -> list[str]:
    if labels is None:
        return []
    if not isinstance(labels, list) or len(labels) != count:
        raise UserError(f"{where}: labels {labels!r} for {count} choices; give one for each")
    found = [text(one, f"{where}: labels") for one in labels]
    if len({_form(one) for one in found}) < count:
        raise UserError(
            f"{where}: labels {', '.join(found)} are not all different; give each choice its own,"
            " or leave the column of labels out (--columns)"
        )
    return found


def _form(label: str) -> str:
    """What "(b)", "B." and "Ｂ" share."""
    return unicodedata.normalize("NFKC", label).strip(_AROUND).casefold()


def _both(written: str, names: Sequence[str], choices: Sequence[str]) -> int | None:
    """The place of a choice that is written with its label: "B. blue"."""
    parts = re.fullmatch(r"\W*(\w+)\s*[.):：、-]\s*(.+)", written, re.DOTALL)
    if parts is None or _form(parts[1]) not in names:
        return None
    place = names.index(_form(parts[1]))
    return place if choices[place] == parts[2].strip() else None


def _refuse_double(
    key: Any,
    written: str,
    by_label: int | None,
    by_text: int | None,
    choices: Sequence[str],
    where: str,
) -> None:
    """Refuse a letter that is the text of another choice, and a number that may count choices."""
    if by_label is not None and by_text is not None and choices[by_label] != written:
        raise UserError(
            f"{where}: answer {written!r} is both the letter of {choices[by_label]!r} and the text"
            " of another choice; give the choices labels of their own: labels: [1, 2, …]"
        )
    if by_label is None and isinstance(key, int) and 0 <= key <= len(choices):
        raise UserError(
            f"{where}: answer {key!r}, a number, is the text of a choice and may be its place;"
            f' write it as text ("{key}"), give labels, or, counted from 0, the map'
            " {answer: answer | index_letter}"
        )


def _remedy(labels: Sequence[str], choices: Sequence[str]) -> str:
    if labels:
        return f"give one of the labels {', '.join(labels)}, or the text of a choice"
    return (
        f"give a letter from A to {LETTERS[len(choices) - 1]} or the text of a choice; an index"
        " from 0 is read by --columns '{answer: answer | index_letter, …}'"
    )
