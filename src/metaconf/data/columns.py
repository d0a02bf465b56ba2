"""Which column of a set holds what: a user's map, or one of the ready maps in maps.yaml.

A map is checked as a whole. One without question or answer is refused rather than filled in by
guesses, and so is one that names a column which never comes: a set must not be read as another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from metaconf.config.blocks import Questions
from metaconf.config.values import nearest, packaged
from metaconf.data.extract import EXTRACTORS
from metaconf.data.literal import shown
from metaconf.data.opened import Row, Source
from metaconf.data.rows import TASKS, USER_KEYS, remedy
from metaconf.errors import UserError

NEEDED = ("question", "answer")
MISSING = object()


@dataclass(frozen=True, slots=True)
class Column:
    """A column ("a.b" is b within a) and the name of what to do to its values, "" for nothing."""

    path: str
    take: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """A map that fits a set. `chosen` tells that nobody asked for it."""

    name: str
    fields: dict[str, Column]
    task: str | None = None
    chosen: bool = False

    @property
    def tops(self) -> frozenset[str]:
        """The top-level columns that are read, as far as their names tell."""
        paths = [column.path for column in self.fields.values()]
        paths += [self._labels] if self._labels else []
        return frozenset(paths) | {path.split(".")[0] for path in paths}

    @property
    def optional(self) -> set[str]:
        """Fields that a row may lack, but not all rows."""
        return set(self.fields) - set(NEEDED)

    @property
    def _labels(self) -> str:
        """The column of the choices' own labels beside "x.text", as many sets have it; or ""."""
        choices = self.fields.get("choices")
        if choices is None or "labels" in self.fields or not choices.path.endswith(".text"):
            return ""
        return choices.path.removesuffix("text") + "label"

    def apply(self, row: Row) -> dict[str, Any]:
        """The row with our own keys, as `rows.question_from_row` takes it. Raises UserError."""
        values: dict[str, Any] = {} if self.task is None else {"task": self.task}
        for field, column in self.fields.items():
            value = look_up(row.values, column.path)
            if value is MISSING and field in NEEDED:
                raise UserError(f"{row.where}: {_no_column(field, column.path, row.values)}")
            if value is not MISSING:
                values[field] = _taken(value, column, f"{row.where}: {field}")
        if self._labels and (labels := look_up(row.values, self._labels)) is not MISSING:
            values["labels"] = labels
        return values

    def refuse_unseen(self, unseen: Collection[str], source: Source) -> None:
        """Refuse a map with fields whose columns stood in no row at all."""
        for field in sorted(unseen):
            first = next(source.rows(None))
            told = _no_column(field, self.fields[field].path, first.values)
            raise UserError(f"{first.where}: {told}; no row has it")


def choose(how: Questions, hub_id: str | None, first: Row) -> Columns | None:
    """The map that a set is read by, judged by its first row; None for our own keys.

    Raises UserError for a map that is unknown, partial or does not fit.
    """
    if how.columns is not None:
        if how.map is not None:
            raise UserError(
                f"questions.map {how.map}: columns are given too; leave one of them out"
            )
        return _user_map(how.columns, first)
    if how.map is not None:
        return _fitting(how.map, first)
    if "targets" in first.values:
        return None
    for name, entry in ready_maps().items():
        if hub_id is not None and hub_id in entry["hub"]:
            return _fitting(name, first, chosen=True)
    found = {
        name: layout
        for name, entry in ready_maps().items()
        for layout in reversed(entry["layouts"])
        if _marked(layout, first)
    }
    if len(found) != 1:
        return None
    ((name, layout),) = found.items()
    return _compiled(name, layout["columns"], first, chosen=True)


@cache
def ready_maps() -> dict[str, Any]:
    """The content of maps.yaml: name → hub ids and layouts."""
    return packaged("metaconf.data", "maps.yaml")


def look_up(values: Mapping[str, Any], path: str) -> Any:
    """The value at a path; of a list of objects, the list of their values. MISSING if not there."""
    if path in values:
        return values[path]
    top, dot, rest = path.partition(".")
    if not dot or top not in values:
        return MISSING
    inner = values[top]
    if isinstance(inner, list):
        found = [look_up(one, rest) if isinstance(one, dict) else MISSING for one in inner]
        return MISSING if any(one is MISSING for one in found) else found
    if inner is None:
        return None
    return look_up(inner, rest) if isinstance(inner, dict) else MISSING


def _fitting(name: str, first: Row, chosen: bool = False) -> Columns:
    """The first layout of a ready map that a row has all needed columns of."""
    layouts = ready_maps()[name]["layouts"]
    for layout in layouts:
        wanted = [*layout.get("marks", ()), *_needed(layout["columns"])]
        if not _lacking(wanted, first):
            return _compiled(name, layout["columns"], first, chosen)
    forms = " or ".join(", ".join(_needed(layout["columns"])) for layout in layouts)
    raise UserError(
        f"{first.where}: the ready map {name} needs the columns {forms}; there are"
        f" {_names(first.values)}; give another map, or columns: {{question: …, answer: …}}"
    )


def _needed(columns: Mapping[str, str]) -> list[str]:
    return [_column(columns[field]).path for field in (*NEEDED, "choices") if field in columns]


def _marked(layout: Mapping[str, Any], first: Row) -> bool:
    """Whether a row can be of no other set than that of a layout; see maps.yaml."""
    marks = layout.get("marks", ())
    return (
        bool(marks)
        and not _lacking(marks, first)
        and (not layout.get("alone") or len(first.values) == len(marks))
        and all(type(first.values[name]) is int for name in layout.get("whole", ()))
    )


def _lacking(paths: Collection[str], first: Row) -> list[str]:
    return [path for path in paths if look_up(first.values, path) is MISSING]


def _compiled(name: str, columns: Mapping[str, str], first: Row, chosen: bool = False) -> Columns:
    """A ready layout on a set: fields of ours that this copy of the set lacks are left out."""
    fields = {field: _column(text) for field, text in columns.items() if field != "task"}
    there = {
        field: column
        for field, column in fields.items()
        if field in NEEDED or look_up(first.values, column.path) is not MISSING
    }
    return Columns(name, there, columns.get("task"), chosen)


def _user_map(columns: Mapping[str, Any], first: Row) -> Columns:
    for field, text in columns.items():
        if field not in USER_KEYS:
            hint = remedy(str(field), USER_KEYS)
            raise UserError(f"questions.columns: unknown key {field}; {hint}")
        if not isinstance(text, str) or not text:
            raise UserError(f"questions.columns.{field}: {text!r} is no column's name; write one")
    for field in NEEDED:
        if field not in columns:
            raise UserError(
                f"questions.columns: no column for {field}; a map names both question and answer"
            )
    fields = {field: _column(text, f"questions.columns.{field}") for field, text in columns.items()}
    task = columns.get("task")
    if task in TASKS and look_up(first.values, task) is MISSING:
        del fields["task"]  # not a column, but the task of every row
        return Columns("questions.columns", fields, task)
    return Columns("questions.columns", fields)


def _column(text: str, where: str = "") -> Column:
    path, _, take = (part.strip() for part in text.partition("|"))
    if take and take not in EXTRACTORS:
        hint = remedy(take, EXTRACTORS)
        raise UserError(f"{where}: {take!r} behind the bar is unknown; {hint}")
    return Column(path, take)


def _taken(value: Any, column: Column, where: str) -> Any:
    if not column.take or value is None:
        return value
    try:
        return EXTRACTORS[column.take](value)
    except ValueError as error:
        raise UserError(
            f"{where} {shown(value)} {error}; correct it, or give another map"
        ) from error


def _no_column(field: str, path: str, values: Mapping[str, Any]) -> str:
    close = nearest(path, _paths(values))
    hint = f"; did you mean {close!r}?" if close else ""
    return f"no column {path!r} for {field}; there are {_names(values)}{hint}"


def _paths(values: Mapping[str, Any]) -> list[str]:
    inner = [
        f"{k}.{sub}" for k, value in values.items() if isinstance(value, dict) for sub in value
    ]
    return [*map(str, values), *inner]


def _names(values: Mapping[str, Any]) -> str:
    return ", ".join(_paths(values)) or "none"
