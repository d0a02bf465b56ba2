"""Reads the files of a run into typed values, so that drawing and writing meet no surprises.

`metrics.json`, `replies.jsonl` and `curves.json` may each lack parts, or be missing: an absent
number becomes None and keeps its reason. A broken file is refused with its place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from metaconf.errors import UserError
from metaconf.records import read_jsonl
from metaconf.safe_text import loads_bounded

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its 95 % interval. `value` None: not known, `reason` says why."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: float | None = None
    reason: str = ""
    null: tuple[float, float] | None = None
    """95 % band of the figure for perfectly calibrated replies of this number, where known."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Replies whose confidence lies between `low` and `high`; all numbers in [0, 1] but n."""

    low: float
    high: float
    n: float
    confidence: float | None
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None


@dataclass(frozen=True, slots=True)
class System:
    """One thing that was evaluated: a model at a stage, or a way of asking it."""

    key: str
    name: str
    description: str = ""
    figures: dict[str, Figure] = field(default_factory=dict)
    reliability: tuple[Bin, ...] = ()
    risk_coverage: tuple[tuple[float, float], ...] = ()
    groups: dict[str, dict[str, Figure]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """A compared run's figures minus the first run's; `won`: "3 of 4" families, or empty."""

    name: str
    figures: dict[str, Figure]
    won: str


@dataclass(frozen=True, slots=True)
class Run:
    """All that a report is made of. `missing` names the files that were not there."""

    title: str
    systems: tuple[System, ...]
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
    return Run(
        title=str(metrics.get("title") or run.resolve().name),
        systems=_systems(metrics, run / "metrics.json"),
        replies=rows,
        curves={str(name): _curve(steps, run / "curves.json") for name, steps in curves.items()},
        missing=missing,
        **_comparison(metrics.get("comparison"), run / "metrics.json"),
    )


def number(value: object) -> float | None:
    """A finite number, or None for anything else (absent, NaN, infinite, not a number)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _read_object(path: Path) -> Row:
    try:
        value = loads_bounded(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable JSON ({error}); write it again") from error
    return _object(value, path, "the file")


def _object(value: object, path: Path, what: str) -> Row:
    if not isinstance(value, dict):
        raise UserError(f"{path}: {what} is {_kind(value)}; a JSON object is expected")
    return cast(Row, value)


def _list(value: object, path: Path, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise UserError(f"{path}: {what} is {_kind(value)}; a JSON list is expected")
    return cast(list[Any], value)


def _kind(value: object) -> str:
    return f"{str(value)[:40]!r} ({type(value).__name__})"


def _systems(metrics: Row, path: Path) -> tuple[System, ...]:
    rows = _list(metrics.get("systems"), path, "systems")
    systems = tuple(_system(_object(row, path, "a system"), path) for row in rows)
    keys = [system.key for system in systems]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"{path}: key {key!r} stands for two systems; give each its own")
    return systems


def _comparison(value: object, path: Path) -> dict[str, Any]:
    if value is None:
        return {}
    row = _object(value, path, "comparison")
    runs = [_object(r, path, "a compared run") for r in _list(row.get("runs"), path, "its runs")]
    differences = tuple(
        Difference(
            str(run.get("run") or ""),
            _figures(run["differences"], path, f"differences of {run.get('run')}"),
            " of ".join(str(part) for part in _list(run.get("wins"), path, "wins")),
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


def _system(row: Row, path: Path) -> System:
    key = str(row.get("key") or row.get("name") or "")
    if not key:
        raise UserError(f"{path}: a system has neither key nor name; give it both")
    groups = _object(row.get("groups") or {}, path, f"groups of {key}")
    return System(
        key=key,
        name=str(row.get("name") or key),
        description=str(row.get("description") or ""),
        figures=_figures(row.get("figures"), path, f"figures of {key}"),
        reliability=_reliability(row.get("reliability"), path, key),
        risk_coverage=_pairs(row.get("risk_coverage"), path, key),
        groups={name: _figures(part, path, f"{name} of {key}") for name, part in groups.items()},
    )


def _figures(value: object, path: Path, what: str) -> dict[str, Figure]:
    row = _object(value or {}, path, what)
    return {name: _figure(part, path, f"{name}, {what},") for name, part in row.items()}


def _figure(value: object, path: Path, what: str) -> Figure:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return Figure(value=number(value))
    row = _object(value, path, what)
    null = [number(part) for part in _list(row.get("null"), path, f"null of {what}")]
    known = [part for part in null if part is not None]
    return Figure(
        *(number(row.get(name)) for name in ("value", "low", "high", "n")),
        reason=str(row.get("reason") or ""),
        null=(known[0], known[1]) if len(known) == 2 else None,
    )


def _reliability(value: object, path: Path, key: str) -> tuple[Bin, ...]:
    rows = [_object(b, path, "a bin") for b in _list(value, path, f"reliability of {key}")]
    return tuple(
        Bin(
            number(row.get("low")) or 0.0,
            1.0 if (high := number(row.get("high"))) is None else high,
            number(row.get("n")) or 0.0,
            *(
                number(row.get(name))
                for name in ("confidence", "accuracy", "accuracy_low", "accuracy_high")
            ),
        )
        for row in rows
    )


def _pairs(value: object, path: Path, key: str) -> tuple[tuple[float, float], ...]:
    what = f"risk_coverage of {key}"
    points = [_list(point, path, what) for point in _list(value, path, what)]
    pairs = [tuple(number(part) for part in point) for point in points]
    return tuple(
        (p[0], p[1]) for p in pairs if len(p) == 2 and p[0] is not None and p[1] is not None
    )


def _curve(value: object, path: Path) -> list[dict[str, float]]:
    """Per step, the numbers that were logged; whatever is no number is left out."""
    rows = [_object(row, path, "a step") for row in _list(value, path, "a curve")]
    numbers = [{name: number(part) for name, part in row.items()} for row in rows]
    return [{k: v for k, v in row.items() if v is not None} for row in numbers]
