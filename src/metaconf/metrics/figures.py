"""What metrics.json holds, one definition for those who write it and those who read it.

Reading is for files that anybody may have written: an absent number is None, a wrong type is a
ValueError that names its place, and no value is evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, cast


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95 % interval.

    `value` None: not known. `n` is how many replies it is over (questions, for a difference).
    `reason` says why the value or the interval is None, and is None where both are there. `null` is
    the 95 % band that perfectly calibrated replies of this number would show, where it is known.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: float | None = None
    reason: str | None = None
    null: tuple[float, float] | None = None

    @classmethod
    def with_ends(cls, value: float, ends: tuple[float, float] | str, n: float) -> Self:
        """A known value with its interval, or the reason why it has none."""
        if isinstance(ends, str):
            return cls(value, n=n, reason=f"no interval: {ends}")
        return cls(value, *ends, n)

    def to_json(self) -> dict[str, Any]:
        names = ("value", "low", "high", "n", "reason")
        plain = {name: getattr(self, name) for name in names}
        return plain if self.null is None else {**plain, "null": list(self.null)}

    @classmethod
    def from_json(cls, value: object, what: str = "a figure") -> Self:
        """Also reads a bare number or null. ValueError for anything else."""
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return cls(value=number(value))
        row = as_object(value, what)
        null = [number(part) for part in as_list(row.get("null"), f"null of {what}")]
        known = [part for part in null if part is not None]
        return cls(
            *(number(row.get(name)) for name in ("value", "low", "high", "n")),
            reason=str(row["reason"]) if row.get("reason") else None,
            null=(known[0], known[1]) if len(known) == 2 else None,
        )


class Bin(NamedTuple):
    """One bin of a reliability diagram; all but `n` in [0, 1].

    `low` and `high` are its edges, in equal-mass bins the least and greatest confidence within.
    `accuracy_low` and `accuracy_high` bound its accuracy (95 %, Wilson). The bins of
    `reliability_bins` hold at least one reply and know every number.
    """

    low: float
    high: float
    n: float
    confidence: float | None
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, value: object) -> Self:
        row = as_object(value, "a bin")
        high = number(row.get("high"))
        return cls(
            number(row.get("low")) or 0.0,
            1.0 if high is None else high,
            number(row.get("n")) or 0.0,
            *(number(row.get(name)) for name in cls._fields[3:]),
        )


@dataclass(frozen=True, slots=True)
class MethodResult:
    """What was measured of one method: a model at a stage, or a way of asking it.

    `figures` by metric; `groups` the same for "family=…", "cause=…" and "domain=…";
    `risk_coverage` holds (coverage, risk) from the surest reply to all of them.
    """

    key: str
    name: str
    description: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    reliability: tuple[Bin, ...] = ()
    risk_coverage: tuple[tuple[float, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "name": self.name,
            "description": self.description,
            "figures": figures_to_json(self.figures),
            "groups": {name: figures_to_json(part) for name, part in self.groups.items()},
            "reliability": [one.to_json() for one in self.reliability],
            "risk_coverage": [list(point) for point in self.risk_coverage],
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        row = as_object(value, "a method")
        key = str(row.get("key") or row.get("name") or "")
        if not key:
            raise ValueError("a method has neither key nor name; give it both")
        groups = as_object(row.get("groups") or {}, f"groups of {key}")
        bins = as_list(row.get("reliability"), f"reliability of {key}")
        return cls(
            key=key,
            name=str(row.get("name") or key),
            description=str(row.get("description") or ""),
            figures=figures_from_json(row.get("figures"), f"figures of {key}"),
            groups={n: figures_from_json(part, f"{n} of {key}") for n, part in groups.items()},
            reliability=tuple(Bin.from_json(one) for one in bins),
            risk_coverage=_points(row.get("risk_coverage"), f"risk_coverage of {key}"),
        )


def figures_to_json(figures: Mapping[str, Figure]) -> dict[str, Any]:
    """The figures by name as a JSON object."""
    return {name: figure.to_json() for name, figure in figures.items()}


def figures_from_json(value: object, what: str) -> dict[str, Figure]:
    """The figures by name; null is none. ValueError that names `what` for another type."""
    row = as_object(value or {}, what)
    return {name: Figure.from_json(part, f"{name}, {what},") for name, part in row.items()}


def number(value: object) -> float | None:
    """A finite number, or None for anything else (absent, NaN, infinite, not a number)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond the largest float
        return None


def as_object(value: object, what: str) -> dict[str, Any]:
    """`value` where it is a JSON object; ValueError that names `what` otherwise."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {_shown(value)}; a JSON object is expected")
    return cast(dict[str, Any], value)


def as_list(value: object, what: str) -> list[Any]:
    """`value` where it is a JSON list, an empty one for null; ValueError otherwise."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{what} is {_shown(value)}; a JSON list is expected")
    return cast(list[Any], value)


def _points(value: object, what: str) -> tuple[tuple[float, float], ...]:
    """The pairs of numbers; points that are none are left out."""
    points = [as_list(point, what) for point in as_list(value, what)]
    pairs = [tuple(number(part) for part in point) for point in points]
    return tuple(
        (p[0], p[1]) for p in pairs if len(p) == 2 and p[0] is not None and p[1] is not None
    )


def _shown(value: object) -> str:
    return f"{str(value)[:40]!r} ({type(value).__name__})"
