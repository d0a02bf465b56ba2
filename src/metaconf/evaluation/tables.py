"""From rows to the figures of metrics.json, each with its 95 % interval by question.

The headline is over in-domain questions alone; those of a family that was kept out of training
come as the group domain=ood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from metaconf.evaluation.methods import METHODS, Method
from metaconf.evaluation.rows import EvaluatedReply, complete, in_domain
from metaconf.grading.abstained import abstains
from metaconf.metrics import (
    METRICS,
    Bin,
    Figure,
    MethodResult,
    ScoredReplies,
    auroc_within_figure,
    reliability_bins,
    risk_coverage,
    summarise,
    wilson,
)

POINTS = 200
"""At most so many points of a risk-coverage curve are stored."""
GROUP_FIGURES = (
    *("accuracy", "parse_rate", "graded_rate"),
    *("mean_confidence", "ece", "brier", "auroc"),
)
"""Metrics of each group; the headline has all of them."""


def tables(
    rows_by_method: Mapping[str, Sequence[EvaluatedReply]],
    seed: int = 0,
    methods: Mapping[str, Method] = METHODS,
    extra: Mapping[str, Mapping[str, Figure]] | None = None,
    replicates: int = 1000,
) -> list[MethodResult]:
    """What was measured of each method, in the given order.

    `methods` gives the name and the description of a key; a key that it lacks is its own name.
    `extra` adds figures to a method's own (those of `reflections.reflection_figures`). Same rows
    and seed, same figures.
    """
    more = extra or {}
    return [
        _result(key, methods.get(key, Method(key, "", "")), rows, seed, replicates, more.get(key))
        for key, rows in rows_by_method.items()
    ]


def share(
    values: Sequence[float | None], ids: Sequence[str], seed: int = 0, replicates: int = 1000
) -> Figure:
    """Mean of values in [0, 1] over the rows that have one, resampled by question."""
    known = {i for i, v in zip(ids, values, strict=True) if v is not None}
    alike = {v for v in values if v is not None}
    if len(alike) == 1:  # no need of resamples: n questions bound it
        low, high = wilson(value := alike.pop(), len(known))
        return Figure(value, low, high, sum(v is not None for v in values))
    nothing = [None] * len(values)
    found = summarise(nothing, values, ids, ["accuracy"], seed=seed, replicates=replicates)
    figure = found["accuracy"]
    return figure if figure.value is not None else replace(figure, reason="no reply counts here")


def mean_tokens(rows: Sequence[EvaluatedReply]) -> Figure:
    """Mean number of tokens written for a question, samples included; in domain, a row each."""
    counts = np.array([row.tokens for row in in_domain(rows) if row.tokens is not None], float)
    if not counts.size:
        return Figure(n=0, reason="no reply")
    mean, far = float(counts.mean()), 1.96 * float(counts.std()) / counts.size**0.5
    return Figure(mean, mean - far, mean + far, counts.size)


def within_figure(rows: Sequence[EvaluatedReply], seed: int = 0, replicates: int = 1000) -> Figure:
    """`auroc_within` of one method's rows, by their kinds (`EvaluatedReply.kind`)."""
    kinds = [row.kind for row in rows]
    return auroc_within_figure(scored(rows), kinds, seed=seed, replicates=replicates)


def _result(
    key: str,
    method: Method,
    rows: Sequence[EvaluatedReply],
    seed: int,
    replicates: int,
    extra: Mapping[str, Figure] | None,
) -> MethodResult:
    headline = in_domain(rows)
    curves = complete(headline)
    return MethodResult(
        key=key,
        name=method.name,
        description=method.description,
        figures={
            **_figures(headline, METRICS, seed, replicates),
            "auroc_within": within_figure(headline, seed, replicates),
            **(extra or {}),
        },
        groups={
            name: _figures(group, GROUP_FIGURES, seed, replicates) for name, group in _groups(rows)
        },
        reliability=_reliability(curves),
        risk_coverage=_risk_coverage(curves),
    )


def _groups(rows: Sequence[EvaluatedReply]) -> list[tuple[str, list[EvaluatedReply]]]:
    """(name, rows) of each family, of each cause in domain, and of the two domains."""
    groups: dict[str, list[EvaluatedReply]] = {}
    for row in rows:
        if row.family:
            groups.setdefault(f"family={row.family}", []).append(row)
    for row in in_domain(rows):
        if row.cause:
            groups.setdefault(f"cause={row.cause}", []).append(row)
    domains = {"in": in_domain(rows), "ood": [row for row in rows if row.split == "ood"]}
    kinds = ("family", "cause")
    ordered = sorted(groups.items(), key=lambda item: kinds.index(item[0].partition("=")[0]))
    return [*ordered, *((f"domain={name}", group) for name, group in domains.items() if group)]


def _figures(
    rows: Sequence[EvaluatedReply], names: Iterable[str], seed: int, replicates: int
) -> dict[str, Figure]:
    ids = [row.question_id for row in rows]
    figures = summarise(*scored(rows), names, seed=seed, replicates=replicates)
    band = figures["ece_null_band"]
    if band.low is not None and band.high is not None:
        figures["ece"] = replace(figures["ece"], null=(band.low, band.high))
    declined = [None if row.answer is None else float(abstains(row.answer)) for row in rows]
    figures["abstained_rate"] = share(declined, ids, seed, replicates)
    if rows and all(row.formatted for row in rows):
        well_formed = [float(not row.problems) for row in rows]
        figures["format_rate"] = share(well_formed, ids, seed, replicates)
    return figures


def scored(rows: Sequence[EvaluatedReply]) -> ScoredReplies:
    """What the metrics take of rows, None where it is not known."""
    names = ("confidence", "correctness", "question_id")
    return ScoredReplies(*([getattr(row, name) for row in rows] for name in names))


def pair(rows: Sequence[EvaluatedReply]) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and correctness, each (n,), of complete rows."""
    confidence, correctness, _ = scored(rows)
    return np.array(confidence, float), np.array(correctness, float)


def _reliability(rows: Sequence[EvaluatedReply]) -> tuple[Bin, ...]:
    return tuple(reliability_bins(*pair(rows), [row.question_id for row in rows])) if rows else ()


def _risk_coverage(rows: Sequence[EvaluatedReply]) -> tuple[tuple[float, float], ...]:
    """(coverage, risk) from the surest reply to all of them, thinned to POINTS."""
    if not rows:
        return ()
    curve = risk_coverage(*pair(rows))
    count = len(curve.coverage)
    kept = np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))
    return tuple((float(curve.coverage[i]), float(curve.risk[i])) for i in kept)
