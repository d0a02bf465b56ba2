"""The metrics by name: what summaries and comparisons go through."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metaconf.metrics import bins, ranking, scores, selective
from metaconf.metrics.arrays import Array
from metaconf.metrics.table import Table, ratio, tabulate

Rows = Literal["replies", "parsed", "graded", "complete"]
"""All replies; those with a confidence; those with a correctness; those with both."""


class Metric(NamedTuple):
    """A function of tables to (...,), NaN where undefined; its range, rows and requirement."""

    of: Callable[[Table], Array]
    low: float = 0.0
    high: float = 1.0
    rows: Rows = "complete"
    needs: str = ""
    share: bool = False
    """A mean of values in [0, 1], one a reply: even where all are alike, n questions bound it."""


METRICS: dict[str, Metric] = {
    "parse_rate": Metric(lambda t: ratio(t.parsed, t.replies), rows="replies", share=True),
    "graded_rate": Metric(lambda t: ratio(t.graded, t.replies), rows="replies", share=True),
    "accuracy": Metric(lambda t: ratio(t.graded_right, t.graded), rows="graded", share=True),
    "mean_confidence": Metric(lambda t: ratio(t.parsed_confidence, t.parsed), rows="parsed"),
    "ece": Metric(bins.ece_of),
    "ece_equal_mass": Metric(bins.ece_equal_mass_of),
    "ace": Metric(bins.ace_of),
    "mce": Metric(bins.mce_of, needs=f"no bin holds {bins.MCE_LEAST} replies"),
    "smooth_ece": Metric(scores.smooth_ece_of),
    "brier": Metric(scores.brier_of),
    "nll": Metric(scores.nll_of, high=float(-np.log(scores.NLL_CLIP))),
    "uncertainty": Metric(scores.uncertainty_of, high=0.25),
    "murphy_reliability": Metric(lambda t: scores.murphy_of(t)[0]),
    "murphy_resolution": Metric(lambda t: scores.murphy_of(t)[1], high=0.25),
    "corp_reliability": Metric(lambda t: scores.corp_of(t)[0]),
    "corp_resolution": Metric(lambda t: scores.corp_of(t)[1], high=0.25),
    "auroc": Metric(ranking.auroc_of, needs=ranking.BOTH),
    "auprc_right": Metric(ranking.auprc_right_of, needs=ranking.BOTH),
    "auprc_wrong": Metric(ranking.auprc_wrong_of, needs=ranking.BOTH),
    "aurc": Metric(selective.aurc_of),
    "eaurc": Metric(selective.eaurc_of),
    "augrc": Metric(selective.augrc_of, high=0.5),
    "prr": Metric(selective.prr_of, low=-np.inf, needs=selective.ALIKE),
    "coverage_at_risk_10": Metric(partial(selective.coverage_at_risk_of, risk=0.1)),
    "risk_at_coverage_80": Metric(partial(selective.risk_at_coverage_of, coverage=0.8)),
    "effective_levels": Metric(ranking.effective_levels_of, low=1.0, high=np.inf),
}
"""`ece`, `ace` and `mce` have 15 bins of equal width; the rest is as in their own functions.
Brier = reliability − resolution + uncertainty, by `murphy_` and by `corp_`."""

_EMPTY: dict[Rows, str] = {
    "replies": "no replies",
    "parsed": "no reply states a confidence",
    "graded": "no reply is graded",
    "complete": "no reply has both a confidence and a grade",
}


def rows_of(name: str, table: Table) -> int:
    """Over how many replies of one table the metric is taken."""
    return int(getattr(table, METRICS[name].rows))


def value_of(name: str, table: Table) -> float | str:
    """The metric of one table, or the reason why it has none."""
    if not rows_of(name, table):
        return _EMPTY[METRICS[name].rows]
    value = float(METRICS[name].of(table))
    return METRICS[name].needs if np.isnan(value) else value


def known(names: Iterable[str]) -> list[str]:
    """The names, all of METRICS; ValueError for another one."""
    names = list(names)
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise ValueError(f"there is no metric {unknown[0]!r}; choose from {', '.join(METRICS)}")
    return names


def compute(name: str, confidence: ArrayLike, correctness: ArrayLike) -> float:
    """One of METRICS, over replies that have both values, (n,) each, in [0, 1].

    Raises ValueError on bad rows, for an unknown name, and with the reason where it is undefined.
    """
    (name,) = known([name])
    value = value_of(name, tabulate(confidence, correctness))
    if isinstance(value, str):
        raise ValueError(value)
    return value


def brier(confidence: ArrayLike, correctness: ArrayLike) -> float:
    """Mean (c − y)², in [0, 1], 0 is best; see `compute`."""
    return compute("brier", confidence, correctness)


def auroc(confidence: ArrayLike, correctness: ArrayLike) -> float:
    """P(c of a right reply > c of a wrong one), ties ½, in [0, 1]; see `compute`."""
    return compute("auroc", confidence, correctness)


def effective_levels(confidence: ArrayLike) -> float:
    """Effective number of distinct confidences, in [1, n]; see `compute`."""
    return compute("effective_levels", confidence, np.zeros(np.size(confidence)))
