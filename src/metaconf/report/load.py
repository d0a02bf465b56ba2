"""Reads the files of a run into typed values, so that drawing and writing meet no surprises.

`metrics.json`, `replies.jsonl` and `curves.json` may each lack parts, or be missing: an absent
number becomes None and keeps its reason. A broken file is refused with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaconf.errors import UserError
from metaconf.metrics.figures import (
    Figure,
    MethodResult,
    as_list,
    as_object,
    figures_from_json,
    number,
)
from metaconf.records import read_jsonl
from metaconf.safe_text import loads_bounded

Row = dict[str, Any]
"""A line of replies.jsonl, which anybody may have written."""
EARLIER = (
    "an earlier version wrote `systems` where `methods` stand now; make the run again with the"
    " command that made it (`metaconf evaluate`, `metaconf compare` or `metaconf demo`)"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A compared run's figures minus the first run's; `won`: "3 of 4" families, or empty."""

    name: str
    figures: Mapping[str, Figure]
    won: str


@dataclass(frozen=True, slots=True)
class Run:
    """All that a report is made of. `missing` names the files that were not there."""

    title: str
    methods: tuple[MethodResult, ...]
    replies: list[Row]
    curves: dict[str, list[dict[str, float]]]
    missing: tuple[str, ...]
    differences: tuple[Difference, ...] = ()
    """Of a run of `metaconf compare`: each but the first of what it compared."""
    compared: str = ""
    """How many questions the differences are over."""


def load_run(run: Path) -> Run:
    """Read a run directory. Raises UserError for a broken file, or where there is nothing."""
    names = ("metrics.json", "replies.jsonl", "curves.json")
    missing = tuple(name for name in names if not (run / name).is_file())
    if {"metrics.json", "replies.jsonl"} <= set(missing):
        raise UserError(
            f"{run}: holds neither metrics.json nor replies.jsonl; "
            "run `metaconf evaluate` into it first, or name another run directory"
        )
    metrics = _read_object(run / "metrics.json") if "metrics.json" not in missing else {}
    curves = _read_object(run / "curves.json") if "curves.json" not in missing else {}
    rows = [] if "replies.jsonl" in missing else [row for _, row in read_jsonl(run / names[1])]
    try:
        methods, comparison = _methods(metrics), _comparison(metrics.get("comparison"))
    except ValueError as error:
        raise UserError(f"{run / 'metrics.json'}: {error}") from error
    try:
        drawn = {str(name): _curve(steps) for name, steps in curves.items()}
    except ValueError as error:
        raise UserError(f"{run / 'curves.json'}: {error}") from error
    title = str(metrics.get("title") or run.resolve().name)
    return Run(title, methods, rows, drawn, missing, **comparison)


def _read_object(path: Path) -> Row:
    try:
        value = loads_bounded(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable JSON ({error}); write it again") from error
    try:
        return as_object(value, "the file")
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _methods(metrics: Row) -> tuple[MethodResult, ...]:
    if "systems" in metrics and "methods" not in metrics:
        raise ValueError(EARLIER)
    rows = as_list(metrics.get("methods"), "methods")
    methods = tuple(MethodResult.from_json(row) for row in rows)
    keys = [method.key for method in methods]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"key {key!r} stands for two methods; give each its own")
    return methods


def _comparison(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    row = as_object(value, "comparison")
    runs = [as_object(run, "a compared run") for run in as_list(row.get("runs"), "its runs")]
    differences = tuple(
        Difference(
            str(run.get("run") or ""),
            figures_from_json(run["differences"], f"differences of {run.get('run')}"),
            " of ".join(str(part) for part in as_list(run.get("wins"), "wins")),
        )
        for run in runs
        if run.get("differences")
    )
    counts = (number(row.get(name)) for name in ("questions", "complete"))
    shared, complete = ("–" if n is None else f"{n:,.0f}" for n in counts)
    return {
        "differences": differences,
        "compared": f"Over {shared} questions that every run answered; from the mean confidence on,"
        f" over the {complete} of them on which every run states a confidence and is graded.",
    }


def _curve(value: object) -> list[dict[str, float]]:
    """Per step, the numbers that were logged; whatever is no number is left out."""
    rows = [as_object(row, "a step") for row in as_list(value, "a curve")]
    numbers = [{name: number(part) for name, part in row.items()} for row in rows]
    return [{k: v for k, v in row.items() if v is not None} for row in numbers]
