"""The cascade's certificate on simulated models, and what it saves with published replies.

    OMP_NUM_THREADS=1 python benchmarks/cascade.py [--worlds 4000] [--replies FILE]

Adds to benchmarks/results/serve.json. A world is two or three models whose confidences and errors
depend on how hard a question is; its true errors are known, so a violation is seen for certain. In
a quarter of the cases a model errs a little more than α whatever it states. `--replies` is the
published file of damanimehul/RLCR, a line a reply: its base model asked first, its RLCR model
after it at ten times the cost, fitted on a random half of the questions and measured on the other.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import record
from scipy.stats import binomtest

from metaconf.decisions import cascade
from metaconf.decisions.abstain import LEVELS, certify

ALPHAS, DELTA, SIZES = (0.1, 0.2), 0.1, (300, 1000)
COSTS = (1.0, 10.0, 50.0)
HARDNESS = 40
CHOICES, FEW = (0.2, 0.3, 0.4, 0.5), 600
"""Shares of the labelled questions that choose the path, compared on so many worlds each."""
PAIR, PAIR_COSTS, PAIR_ALPHAS, HALVES = ("Base", "RLCR"), (1.0, 10.0), (0.05, 0.1), 400
VALUES = np.array([*LEVELS, np.nan])
SILENT = len(LEVELS)


class World:
    """Models (M,): `shares` of each place in VALUES (M, HARDNESS, 21) and `wrong`, the chance of an
    error there; `hardness` has the chance of each kind of question."""

    def __init__(self, rng: np.random.Generator, models: int, alpha: float):
        self.hardness = rng.dirichlet(np.full(HARDNESS, 2.0))
        skills = np.sort(rng.uniform(0.02, 0.6, models))[::-1]
        drawn = [self._model(rng, skill, alpha) for skill in skills]
        self.shares, self.wrong = (np.stack(part) for part in zip(*drawn, strict=True))

    def _model(
        self, rng: np.random.Generator, skill: float, alpha: float
    ) -> tuple[np.ndarray, np.ndarray]:
        hard = np.linspace(0, 1, HARDNESS)[:, None]
        error = np.clip(2 * skill * hard ** rng.uniform(0.5, 4), 0, 1)
        mean = np.clip(1 - error + rng.normal(0, 0.15), 0.02, 0.98)
        apart = (np.array(LEVELS) + 0.02 - mean) / rng.uniform(0.03, 0.3)
        stated = np.exp(-(apart**2) / 2) + 1e-9
        silent = rng.choice([0, 0.02, 0.1])
        stated *= (1 - silent) / stated.sum(1, keepdims=True)
        shares = np.hstack([stated, np.full((HARDNESS, 1), silent)])
        told = 2 * rng.uniform(0, 1) * (0.5 - np.nan_to_num(VALUES))
        wrong = np.clip(error * (1 + told), 0, 1)
        if rng.random() < 0.25:
            wrong[:] = alpha * (1 + rng.choice([1e-4, 0.02, 0.1]))
        return shares, wrong

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        kind = rng.choice(HARDNESS, n, p=self.hardness)
        c, y = [], []
        for shares, wrong in zip(self.shares, self.wrong, strict=True):
            edges = shares.cumsum(1)[kind]
            place = (rng.random((n, 1)) * edges[:, -1:] >= edges).sum(1).clip(max=SILENT)
            c.append(VALUES[place])
            y.append(np.where(place == SILENT, np.nan, rng.random(n) >= wrong[kind, place]))
        return np.stack(c, 1), np.stack(y, 1)

    def truth(self, thresholds: Sequence[float | None]) -> tuple[float, float, float]:
        """(share answered, error of the answers, cost a question) of a rule."""
        left, answered, lost, cost = self.hardness, 0.0, 0.0, 0.0
        for model, least in enumerate(thresholds):
            if least is None:
                continue
            cost += COSTS[model] * left.sum()
            sure = least <= VALUES
            taken = left[:, None] * self.shares[model] * sure
            answered, lost = answered + taken.sum(), lost + (taken * self.wrong[model]).sum()
            left = left * self.shares[model][:, ~sure].sum(1)
        return answered, lost / answered if answered else 0.0, cost


def simulate(worlds: int) -> list[dict[str, float]]:
    """A row a world: its α, and of the rule fitted there the true share, error, cost and loss."""
    rows: list[dict[str, float]] = []
    for number in range(worlds):
        rng = np.random.default_rng(number)
        alpha, n = ALPHAS[number % 2], SIZES[number // 2 % 2]
        models = 2 + number // 4 % 2
        world, costs = World(rng, models, alpha), COSTS[:models]
        rule = cascade.fit(*world.draw(rng, n), costs, alpha, DELTA)
        answered, error, cost = world.truth(rule.thresholds)
        loss = cost + cascade.DEAREST * costs[-1] * (1 - answered)
        rows.append(
            {"alpha": alpha, "answered": answered, "error": error, "loss": loss / costs[-1]}
        )
    return rows


def certificate(worlds: int) -> dict[str, record.Figure]:
    rows = simulate(worlds)
    found = {"cascade_delta": record.figure(DELTA)}
    for alpha in ALPHAS:
        of = [row for row in rows if row["alpha"] == alpha]
        broken = sum(row["error"] > alpha for row in of)
        ends = binomtest(broken, len(of)).proportion_ci(0.95)
        figure = record.figure(round(broken / len(of), 4), (ends.low, ends.high), "", f"<= {DELTA}")
        found[f"cascade_violation_alpha{round(100 * alpha)}"] = figure
        covered = float(np.mean([row["answered"] for row in of]))
        found[f"cascade_coverage_alpha{round(100 * alpha)}"] = record.figure(round(covered, 4))
    worst = max(ALPHAS, key=lambda a: found[f"cascade_violation_alpha{round(100 * a)}"]["value"])
    found["cascade_violation"] = found[f"cascade_violation_alpha{round(100 * worst)}"]
    return found


def choices() -> dict[str, record.Figure]:
    """Mean loss, in calls of the dearest model a question, by the share that chooses the path."""
    found: dict[str, record.Figure] = {}
    kept = cascade.CHOOSE
    for share in CHOICES:
        cascade.CHOOSE = share
        losses = np.array([row["loss"] for row in simulate(FEW)])
        half = 1.96 * losses.std() / len(losses) ** 0.5
        name = f"cascade_loss_choose{round(100 * share)}"
        mean = float(losses.mean())
        found[name] = record.figure(round(mean, 3), (mean - half, mean + half), "calls")
    cascade.CHOOSE = kept
    return found


def published(path: Path) -> dict[str, record.Figure]:
    """Cost saved by the cascade beside the dear model alone, both at the same certified error."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if row["set"] == "commonsenseqa"]
    found: dict[str, record.Figure] = {}
    c, y = (_pair(rows, name) for name in ("confidence", "correctness"))
    for alpha in PAIR_ALPHAS:
        halves = np.array([_half(c, y, alpha, seed) for seed in range(HALVES)])
        names = ("cost_saved", "coverage", "coverage_alone", "error", "error_alone")
        for name, values in zip(names, halves.T, strict=True):
            known = values[~np.isnan(values)]
            ends = np.percentile(known, [2.5, 97.5]).tolist()
            target = ">= 0.31" if name == "cost_saved" and alpha == 0.1 else None
            figure = record.figure(round(float(known.mean()), 4), ends, "", target)
            found[f"cascade_{name}_rlcr_alpha{round(100 * alpha)}"] = figure
    routed = np.array([_routed(c, y, seed) for seed in range(HALVES)])
    for name, values in zip(("cost_saved", "error_difference"), routed.T, strict=True):
        ends = np.percentile(values, [2.5, 97.5]).tolist()
        figure = record.figure(round(float(values.mean()), 4), ends)
        found[f"cascade_{name}_rlcr_unabstained"] = figure
    return found | {"cascade_cost_saved": found["cascade_cost_saved_rlcr_alpha10"]}


def _pair(rows: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """(n, 2) of the questions in the order of their ids."""
    of = [{r["question_id"]: r[name] for r in rows if r["system"] == one} for one in PAIR]
    return np.array([[one[question] for one in of] for question in sorted(of[0])], float)


def _half(c: np.ndarray, y: np.ndarray, alpha: float, seed: int) -> list[float]:
    """Fitted on a half, of the other: cost saved, share answered and error, of the cascade and of
    the dear model alone."""
    order = np.random.default_rng(seed).permutation(len(c))
    one, other = order[: len(c) // 2], order[len(c) // 2 :]
    rule = cascade.fit(c[one], y[one], PAIR_COSTS, alpha, DELTA)
    by = cascade.answering(c[other], rule.thresholds)
    asked = np.array([threshold is not None for threshold in rule.thresholds])
    calls = np.where(by[:, None] < 0, asked, asked & (np.arange(2) <= by[:, None]))
    cost = float((calls * PAIR_COSTS).sum(1).mean())
    right = y[other, np.maximum(by, 0)]
    least = certify(c[one, 1], y[one, 1], alpha, DELTA).threshold
    alone = c[other, 1] >= (np.inf if least is None else least)
    errors = [1 - w.mean() if len(w) else np.nan for w in (right[by >= 0], y[other, 1][alone])]
    saved = 1 - cost / PAIR_COSTS[1] if rule.certified else np.nan
    return [saved, float((by >= 0).mean()), float(alone.mean()), *errors]


def _routed(c: np.ndarray, y: np.ndarray, seed: int) -> list[float]:
    """Every question is answered, nothing certified: the lowest threshold of the cheap model that
    errs no more than the dear one alone on a half. Cost saved and error less the dear model's, of
    the other half."""
    order = np.random.default_rng(seed).permutation(len(c))
    one, other = order[: len(c) // 2], order[len(c) // 2 :]

    def right(rows: np.ndarray, least: float) -> float:
        return float(np.where(c[rows, 0] >= least, y[rows, 0], y[rows, 1]).mean())

    goal = y[one, 1].mean()
    least = min((level for level in LEVELS if right(one, level) >= goal), default=np.inf)
    if least == np.inf:
        return [0.0, 0.0]
    cost = PAIR_COSTS[0] + PAIR_COSTS[1] * float((c[other, 0] < least).mean())
    return [1 - cost / PAIR_COSTS[1], float(y[other, 1].mean()) - right(other, least)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=4000)
    parser.add_argument("--replies", type=Path, help="the published replies of RLCR")
    parser.add_argument("--dry", action="store_true", help="print, write nothing")
    options = parser.parse_args()
    measured = certificate(options.worlds) | choices()
    notes = [
        f"cascade: {options.worlds} worlds, half at each α, n {SIZES[0]} and {SIZES[1]}; the loss"
        f" by the share that chooses the path on {FEW} worlds"
    ]
    if options.replies:
        measured |= published(options.replies)
        notes[0] += (
            f"; RLCR's CommonsenseQA, base then RLCR at {PAIR_COSTS[1]:g} times the cost, {HALVES}"
            " random halves; alone: RLCR alone under the same certificate, its cost 10; errors and"
            " cost are means over the halves where anything is certified; unabstained: all are"
            " answered, at the dear model's error on the fitting half, without a certificate"
        )
    print(json.dumps(measured, indent=1), notes[0], sep="\n")
    if not options.dry:
        record.add("serve", "python benchmarks/cascade.py", measured, notes, ("numpy", "scipy"))


if __name__ == "__main__":
    main()
