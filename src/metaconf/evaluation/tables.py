"""From rows to the figures of metrics.json, each with its 95 % interval by question.

The headline is over in-domain questions alone; those of a family that was kept out of training
come as the group domain=ood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaconf.evaluation.names import WAYS
from metaconf.grading.abstained import abstains
from metaconf.metrics import METRICS, Figure, reliability_bins, risk_coverage, summarise, wilson

if TYPE_CHECKING:  # its module imports torch, and figures need none
    from metaconf.evaluation.systems import Row

POINTS = 200
"""At most so many points of a risk-coverage curve are stored."""
GROUP_FIGURES = (
    *("accuracy", "parse_rate", "graded_rate"),
    *("mean_confidence", "ece", "brier", "auroc"),
)
"""Metrics of each group; the headline has all of them."""
_FULL = ("asked", "cot", "refine", "reply")
"""Ways whose replies are whole ones, in the format."""


def tables(
    rows_by_system: Mapping[str, Sequence[Row]],
    seed: int = 0,
    names: Mapping[str, str] | None = None,
    extra: Mapping[str, Mapping[str, Figure]] | None = None,
    replicates: int = 1000,
) -> dict[str, Any]:
    """The content of metrics.json: {"systems": [...]}, in the given order.

    `names` gives what readers see in place of a system's key; `extra` adds figures to a system's
    own (those of `reflections.reflection_figures`). Same rows and seed, same figures.
    """
    shown, more = names or {}, extra or {}
    return {
        "systems": [
            {
                "key": key,
                "name": shown.get(key, key),
                "description": _description(rows),
                **_system(rows, seed, replicates, more.get(key, {})),
            }
            for key, rows in rows_by_system.items()
        ]
    }


def _description(rows: Sequence[Row]) -> str:
    way = WAYS.get(rows[0].get("kind", "")) if rows else None
    return way.description if way else ""


def share(
    values: Sequence[float | None], ids: Sequence[str], seed: int = 0, replicates: int = 1000
) -> Figure:
    """Mean of values in [0, 1] over the rows that have one, resampled by question."""
    known = {i for i, v in zip(ids, values, strict=True) if v is not None}
    alike = {v for v in values if v is not None}
    if len(alike) == 1:  # no need of resamples: n questions bound it
        low, high = wilson(value := alike.pop(), len(known))
        count = sum(v is not None for v in values)
        return Figure(value=value, low=low, high=high, n=count, reason=None)
    nothing = [None] * len(values)
    found = summarise(nothing, values, ids, ["accuracy"], seed=seed, replicates=replicates)
    if found["accuracy"]["value"] is None:
        found["accuracy"]["reason"] = "no reply counts here"
    return found["accuracy"]


def mean_tokens(rows: Sequence[Row]) -> Figure:
    """Mean number of tokens written for a question, samples included; in domain, a row each."""
    told = np.array([row["tokens"] for row in in_domain(rows)], float)
    if not told.size:
        return Figure(value=None, low=None, high=None, n=0, reason="no reply")
    mean, far = float(told.mean()), 1.96 * float(told.std()) / told.size**0.5
    return Figure(value=mean, low=mean - far, high=mean + far, n=told.size, reason=None)


def in_domain(rows: Sequence[Row]) -> list[Row]:
    """Rows of families that were trained on (all, where every one is of families kept out)."""
    return [row for row in rows if row["split"] != "ood"] or list(rows)


def _system(
    rows: Sequence[Row], seed: int, replicates: int, extra: Mapping[str, Figure]
) -> dict[str, Any]:
    headline = in_domain(rows)
    curves = complete(headline)
    return {
        "figures": {**_figures(headline, METRICS, seed, replicates), **extra},
        "groups": {
            name: _figures(group, GROUP_FIGURES, seed, replicates) for name, group in _groups(rows)
        },
        "reliability": _reliability(curves),
        "risk_coverage": _risk_coverage(curves),
    }


def _groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """(name, rows) of each family, of each cause in domain, and of the two domains."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["family"]:
            groups.setdefault(f"family={row['family']}", []).append(row)
    for row in in_domain(rows):
        if row["cause"]:
            groups.setdefault(f"cause={row['cause']}", []).append(row)
    domains = {"in": in_domain(rows), "ood": [row for row in rows if row["split"] == "ood"]}
    kinds = ("family", "cause")
    ordered = sorted(groups.items(), key=lambda item: kinds.index(item[0].partition("=")[0]))
    return [*ordered, *((f"domain={name}", group) for name, group in domains.items() if group)]


def _figures(
    rows: Sequence[Row], names: Iterable[str], seed: int, replicates: int
) -> dict[str, Any]:
    ids = [row["question_id"] for row in rows]
    confidence = [row["confidence"] for row in rows]
    correctness = [row["correctness"] for row in rows]
    figures: dict[str, Any] = dict(
        summarise(confidence, correctness, ids, names, seed=seed, replicates=replicates)
    )
    band = figures["ece_null_band"]
    if band["low"] is not None:
        figures["ece"] = {**figures["ece"], "null": [band["low"], band["high"]]}
    declined = [None if r["answer"] is None else float(abstains(r["answer"])) for r in rows]
    figures["abstained_rate"] = share(declined, ids, seed, replicates)
    if rows and rows[0].get("kind") in _FULL:
        well_formed = [float(not row["problems"]) for row in rows]
        figures["format_rate"] = share(well_formed, ids, seed, replicates)
    return figures


def complete(rows: Sequence[Row]) -> list[Row]:
    """Rows that have both a confidence and a grade."""
    return [r for r in rows if r["confidence"] is not None and r["correctness"] is not None]


def _pair(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    columns = ([row[name] for row in rows] for name in ("confidence", "correctness"))
    confidence, correctness = (np.array(column, float) for column in columns)
    return confidence, correctness


def _reliability(rows: Sequence[Row]) -> list[dict[str, float]]:
    if not rows:
        return []
    names = ("low", "high", "n", "confidence", "accuracy", "accuracy_low", "accuracy_high")
    bins = reliability_bins(*_pair(rows), [row["question_id"] for row in rows])
    return [dict(zip(names, one, strict=True)) for one in bins]


def _risk_coverage(rows: Sequence[Row]) -> list[list[float]]:
    """(coverage, risk) from the surest reply to all of them, thinned to POINTS."""
    if not rows:
        return []
    curve = risk_coverage(*_pair(rows))
    count = len(curve.coverage)
    kept = np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))
    return [[float(curve.coverage[i]), float(curve.risk[i])] for i in kept]
