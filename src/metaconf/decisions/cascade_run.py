"""`metaconf calibrate` with several files of replies: a cascade of their models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from metaconf.decisions.cascade import MOST, CascadeRule, answering, fit, fit_each
from metaconf.decisions.recalibrate import Map, choose
from metaconf.decisions.replies import Row, by_question, check_new, read
from metaconf.errors import UserError
from metaconf.files import write_text
from metaconf.metrics.arrays import Array, Index, check_pair
from metaconf.safe_text import loads_bounded

VERSION = 1


@dataclass(frozen=True, slots=True)
class Cascade:
    """What `calibrate` wrote: the rule, a map of each model's confidence on the questions that
    reach it, the labelled replies (n, M), NaN where no confidence is stated, and the costs."""

    rule: CascadeRule
    maps: tuple[Map, ...]
    confidence: Array
    correctness: Array
    fitted_at: str
    costs: tuple[float, ...]
    abstention_cost: float | None

    def final(self) -> tuple[Array, Array]:
        """Confidence and correctness (k,) of the reply that is served, of each labelled question
        where it states a confidence: the answering model's, or the last asked one's."""
        by = answering(self.confidence, self.rule.thresholds)
        rows, model = np.arange(len(by)), np.where(by < 0, self.rule.asked[-1], by)
        c, y = self.confidence[rows, model], self.correctness[rows, model]
        return c[~np.isnan(c)], y[~np.isnan(c)]

    def rules(self, alphas: Sequence[float]) -> list[CascadeRule]:
        """What would be asked at other tolerated errors."""
        given = (self.confidence, self.correctness, self.costs, alphas)
        return fit_each(*given, self.rule.delta, self.abstention_cost)


def calibrate(
    replies: Sequence[Path],
    costs: Sequence[float],
    output: Path,
    alpha: float,
    delta: float,
    method: str | None = None,
    abstention_cost: float | None = None,
) -> str:
    """Write `output` (JSON) from the labelled `replies` of each model to the same questions, in the
    order in which the models are asked; `costs` of one call of each. Returns what was found.

    Questions that a file lacks, or that state a confidence without a grade, are left out and
    counted. Raises UserError as `decisions.run.calibrate`.
    """
    check_new(output)
    if len(costs) != len(replies) or not 2 <= len(replies) <= MOST:
        raise UserError(
            f"--costs: {len(costs)} for {len(replies)} files of replies; give the cost of a call of"
            f" each model, of 2 to {MOST} models"
        )
    models = [by_question(path, read(path, method)) for path in replies]
    every = {question for rows in models for question in rows}
    ids = sorted(q for q in every if all(q in rows and _is_known(rows[q]) for rows in models))
    if len(ids) < 2:
        raise UserError(
            f"{replies[0]}: {len(ids)} questions have a graded reply in every file; give replies to"
            " the same questions, with the same question_id"
        )
    c, y = (_column(models, ids, name) for name in ("confidence", "correctness"))
    if np.isnan(c).all():
        raise UserError(f"{replies[0]}: no reply has both a confidence and a correctness")
    y = np.where(np.isnan(c), np.nan, y)
    rule = fit(c, y, costs, alpha, delta, abstention_cost)
    found = {
        "version": VERSION,
        "cascade": asdict(rule),
        "costs": list(costs),
        "abstention_cost": abstention_cost,
        "maps": [asdict(one) for one in _maps(c, y, rule, ids)],
        "confidences": _listed(c),
        "correctness": _listed(y),
        "fitted_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "left_out": len(every) - len(ids),
    }
    write_text(output, json.dumps(found, allow_nan=False) + "\n")
    return "\n".join(_words(rule, replies, costs, len(every) - len(ids)))


def read_cascade(path: Path) -> Cascade:
    """The content of a file that `calibrate` wrote; UserError for any other."""
    try:
        kept = loads_bounded(path.read_text(encoding="utf-8"))
        if kept["version"] != VERSION or "cascade" not in kept:
            raise UserError(f"{path}: is no cascade, or of another version; calibrate again")
        rule = CascadeRule(**kept["cascade"] | {"thresholds": tuple(kept["cascade"]["thresholds"])})
        maps = tuple(Map(one["kind"], tuple(map(tuple, one["numbers"]))) for one in kept["maps"])
        c, y = (np.array(kept[name], float) for name in ("confidences", "correctness"))
        known = ~np.isnan(c)
        check_pair(c[known], y[known])
        levels = [one for one in rule.thresholds if one is not None]
        costs, abstention_cost = tuple(kept["costs"]), kept["abstention_cost"]
        if c.shape[1:] != (len(maps),) or not len(rule.thresholds) == len(costs) == len(maps):
            raise ValueError(c.shape)
        if not all(0 <= one <= 1 for one in (*levels, rule.alpha, rule.delta)):
            raise ValueError(levels)
        prices = (*costs, 0.0 if abstention_cost is None else abstention_cost)
        if not all(0 <= one < np.inf for one in prices) or not all(costs):
            raise ValueError(prices)
        return Cascade(rule, maps, c, y, str(kept["fitted_at"]), costs, abstention_cost)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: is no cascade that `metaconf calibrate` wrote") from error


def in_words(rule: CascadeRule) -> str:
    """What is certified, for a reader."""
    goal = f"error ≤ {rule.alpha:g} with probability {1 - rule.delta:g}"
    if not rule.certified:
        return (
            f"{goal}: cannot be certified with {rule.labelled} labelled questions; every one is"
            " abstained from. Label more, or allow a larger alpha."
        )
    return (
        f"{goal} of what the cascade answers: {rule.answered} of {rule.tested} labelled questions"
        f" ({rule.answered / rule.tested:.1%}) that did not choose it, with an observed error of"
        f" {rule.error:.3f}."
    )


def _is_known(row: Row) -> bool:
    return row["confidence"] is None or row.get("correctness") is not None


def _column(models: Sequence[dict[str, Row]], ids: Sequence[str], name: str) -> Array:
    """(n, M) numbers, NaN for None."""
    return np.array([[rows[q].get(name) for rows in models] for q in ids], float)


def _listed(values: Array) -> list[list[float | None]]:
    return [[None if np.isnan(one) else one for one in row] for row in values.tolist()]


def _maps(c: Array, y: Array, rule: CascadeRule, ids: Sequence[str]) -> list[Map]:
    """For each model the map of its confidence on the questions that earlier ones leave to it."""
    found: list[Map] = []
    for model in range(c.shape[1]):
        earlier = (*rule.thresholds[:model], *[None] * (c.shape[1] - model))
        left: Index = np.flatnonzero(answering(c, earlier) < 0)
        rows = left[~np.isnan(c[left, model])]
        some = [ids[row] for row in rows]
        found.append(choose(c[rows, model], y[rows, model], some)[0] if len(rows) else Map("none"))
    return found


def _words(
    rule: CascadeRule, replies: Sequence[Path], costs: Sequence[float], left_out: int
) -> list[str]:
    lines = [f"{left_out} questions that not all files answer were left out."] if left_out else []
    lines.append(in_words(rule))
    if not rule.certified:
        return lines
    for path, threshold, by in zip(replies, rule.thresholds, rule.answered_by, strict=True):
        does = "is not asked"
        if threshold is not None:
            does = f"answers where its confidence is at least {threshold:g}: {by} questions"
        lines.append(f"- {path}: {does}")
    lines.append(f"- abstained from: {rule.labelled - sum(rule.answered_by)} of {rule.labelled}")
    lines.append(f"Cost: {rule.cost:.4g} a question; the last model alone costs {costs[-1]:g}.")
    return lines
