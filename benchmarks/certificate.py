"""Certified abstention: the product's rule beside its earlier one, MAPIE and an oracle.

    OMP_NUM_THREADS=1 python benchmarks/certificate.py [--repeats 10000] [--replies FILE]

Writes its figures into benchmarks/results/cases.json, beside those that other programs wrote
there; takes about ten minutes. A cell is a curve of the error over the confidence, a spread of
confidences, a number of labelled replies, α and δ. Its true errors are known, so a violation is
seen for certain. The rules that are only compared run on a fifth of the repeats. The coverage is
the share of all replies that the certified level answers; the oracle's is the largest with a true
error of at most α. Where MAPIE (1.6) is installed, it runs on some of the samples itself and must
agree with `mapie_rules`. `--replies` is the published file of damanimehul/RLCR, one line a reply.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import certificate_rules as rules
import numpy as np
import record
from scipy.stats import beta, binomtest

from metaconf.decisions.abstain import LEVELS, certify, walk

SIZES = (100, 300, 1000, 3000, 10_000)
ALPHAS = (0.01, 0.05, 0.1, 0.3)
DELTAS = (0.1, 0.05)
BIN = np.array([1.0, *LEVELS])
FEW = 0.01
"""Cells where the other rule covers less than this have no ratio: it would be noise over noise."""


def spreads() -> dict[str, np.ndarray]:
    """Shares of the confidences 1, .95, … 0."""
    some = {
        "even": np.ones(21),
        "sure": beta.pdf(np.clip(BIN, 0.02, 0.98), 4, 1.3),
        # RLCR's on CommonsenseQA: few are sure, most lie between.
        "middle": np.zeros(21),
    }
    some["middle"][[4, 5, 6, 8, 10, 12, 13, 14, 15]] = [45, 21, 177, 225, 84, 8, 13, 14, 13]
    return {name: shares / shares.sum() for name, shares in some.items()}


def curves(shares: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Error at each of LEVELS; most are scaled so that the sure half errs at .75 α."""
    doubt = 1 - np.array([0.97, *LEVELS[1:]])
    answered = shares.cumsum()
    inner, top = int(np.abs(answered - 0.5).argmin()), int((shares > 0).argmax())
    third = int(np.abs(answered - 0.3).argmin())

    def scaled(shape: np.ndarray, goal: float = 0.75) -> np.ndarray:
        error = (shares * shape).cumsum()[inner] / answered[inner]
        return np.clip(shape * goal * alpha / error, 0, 1)

    def with_bad(level: int) -> np.ndarray:
        error = scaled(doubt**2, 0.5)
        error[level] = min(1.0, 3 * alpha)
        return error

    much = min(1.0, 3 * alpha)
    found = {
        "linear": scaled(doubt),
        "convex": scaled(doubt**2),
        "very convex": scaled(doubt**3),
        "concave": scaled(np.sqrt(doubt)),
        "flat at .6 α": np.full(20, 0.6 * alpha),
        "flat at .8 α": np.full(20, 0.8 * alpha),
        "flat, then steep": np.where(answered <= 0.55, 0.7 * alpha, much),
        "bad middle level": with_bad(third),
        "bad top level": with_bad(top),
        "faultless, then steep": np.where(answered <= max(0.25, answered[top]), 0, much),
        "at α": np.full(20, alpha * (1 + 1e-6)),
    }
    return found | {"faultless, then to α": _to_alpha(shares, alpha)}


def _to_alpha(shares: np.ndarray, alpha: float) -> np.ndarray:
    """Faultless on top, then a level that brings the whole to just above α, then α: the worst case
    of a walk that gets past the top."""
    answered = shares.cumsum()
    error = np.full(20, alpha * (1 + 1e-6))
    error[: int((answered >= 0.05).argmax()) + 1] = 0
    lost = 0.0
    for level in np.flatnonzero((error > 0) & (shares > 0)):
        need = (alpha * (1 + 1e-6) * answered[level] - lost) / shares[level]
        error[level] = min(1.0, need)
        lost += error[level] * shares[level]
        if need <= 1:
            break
    return error


@dataclass
class Cell:
    spread: str
    curve: str
    n: int
    alpha: float
    delta: float
    oracle: float
    covered: dict[str, float] = field(default_factory=dict)
    broken: dict[str, float] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)
    """Standard error of `covered` less that of today's rule, pairs of repeats."""


Truth = tuple[np.ndarray, np.ndarray]


def truth(shares: np.ndarray, error: np.ndarray) -> Truth:
    """(share answered, error of what is answered) at each level."""
    answered = shares.cumsum()
    wrong = (shares * error).cumsum()
    return answered, np.divide(wrong, answered, out=np.zeros(20), where=answered > 0)


def drawn(
    rng: np.random.Generator, shares: np.ndarray, error: np.ndarray, n: int, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    counts = rng.multinomial(n, shares, repeats)
    return counts.cumsum(1), rng.binomial(counts, error).cumsum(1)


def places() -> Iterator[tuple[str, str, float, np.ndarray, np.ndarray]]:
    for spread, bins in spreads().items():
        shares = np.concatenate([[bins[0] + bins[1]], bins[2:]])
        for alpha in ALPHAS:
            for curve, error in curves(shares, alpha).items():
                yield spread, curve, alpha, shares, error


def simulate(repeats: int, controller: Any) -> list[Cell]:
    rng, found = np.random.default_rng(0), []
    for spread, curve, alpha, shares, error in places():
        answered, risk = truth(shares, error)
        oracle = float(np.max(answered * (risk <= alpha)))
        for n in SIZES:
            counts, wrong = drawn(rng, shares, error, n, repeats)
            for delta in DELTAS:
                s = rules.sample(counts, wrong, alpha, delta)
                some = rules.sample(counts[::5], wrong[::5], alpha, delta)
                lasts = {name: rules.RULES[name](s) for name in ("today", "ours")}
                mapie = rules.mapie_rules(some)
                agree(s, lasts["ours"], mapie, controller)
                cell = Cell(spread, curve, n, alpha, delta, oracle)
                fill(cell, s, lasts, (answered, risk))
                lasts = {name: rules.RULES[name](some) for name in ("half", "split", "spending")}
                fill(cell, some, {"today": rules.today(some)} | lasts | mapie, (answered, risk))
                found.append(cell)
        print(spread, curve, alpha, f"{time.monotonic():.0f}", flush=True)
    return found


def fill(cell: Cell, s: rules.Sample, lasts: dict[str, np.ndarray], known: Truth) -> None:
    answered, risk = known
    share: dict[str, np.ndarray] = {}
    for name, last in lasts.items():
        last = rules.named(s, last)
        share[name] = np.where(last < 0, 0.0, answered[last])
        cell.covered.setdefault(name, float(share[name].mean()))
        cell.broken.setdefault(name, float(((last >= 0) & (risk[last] > s.alpha)).mean()))
    for name in lasts:
        spread = float((share[name] - share["today"]).std())
        cell.noise[name] = spread / len(s.counts) ** 0.5


def agree(s: rules.Sample, ours: np.ndarray, mapie: dict[str, np.ndarray], controller: Any) -> None:
    """The rules over arrays against the product's and MAPIE's own, on the first repeats."""
    for i in range(3):
        last = walk(s.counts[i], s.wrong[i].astype(float), s.alpha, s.delta)
        assert (-1 if last is None else last) == ours[i]
    if controller is not None and s.delta == DELTAS[0] and s.counts[0, -1] <= 300:
        for name, lasts in mapie.items():
            assert theirs(controller, name, s) == lasts[0], (name, s.counts[0], s.wrong[0])


def theirs(controller: Any, name: str, s: rules.Sample) -> int:
    """The place that MAPIE itself certifies on the first repeat, −1 for none."""
    made, sequence = controller
    counts, wrong = (np.diff(values[0], prepend=0) for values in (s.counts, s.wrong))
    grid = [level for level, n in zip(LEVELS, counts, strict=True) if n]
    c = np.repeat(LEVELS, counts)
    y = np.concatenate([np.arange(n) >= k for n, k in zip(counts, wrong, strict=True)])
    starts = name.removeprefix("fixed_sequence_")
    method = name if starts == name else sequence(n_starts=int(starts))
    level = rules.mapie_threshold(made, method, c, y, s.alpha, s.delta, grid)
    return -1 if level is None else LEVELS.index(level)


def again(cell: Cell, repeats: int = 200_000) -> tuple[int, int]:
    """(violations, repeats) of the product's rule in a cell, on new draws: the greatest of many
    cells is too high by being the greatest."""
    wanted = (cell.spread, cell.curve, cell.alpha)
    alpha, shares, error = next(p[2:] for p in places() if p[:3] == wanted)
    rng, broken = np.random.default_rng(1), 0
    for _ in range(repeats // 20_000):
        counts, wrong = drawn(rng, shares, error, cell.n, 20_000)
        s = rules.sample(counts, wrong, alpha, cell.delta)
        last = rules.named(s, rules.ours(s))
        broken += int(((last >= 0) & (truth(shares, error)[1][last] > alpha)).sum())
    return broken, repeats


MAPIE = ("bonferroni", "bonferroni_holm", *(f"fixed_sequence_{k}" for k in rules.STARTS))


def figures(cells: list[Cell], repeats: int) -> dict[str, record.Figure]:
    def mean(values: list[float]) -> float:
        return round(float(np.mean(values)), 4)

    able = [cell for cell in cells if cell.oracle]
    best = [max(cell.covered[name] for name in MAPIE) for cell in able]
    ours = [cell.covered["ours"] for cell in able]
    found = against_today(able) | violations(cells, repeats)
    ratios = [o / b for o, b in zip(ours, best, strict=True) if b >= FEW]
    found["certified_coverage_ratio_mapie"] = record.figure(mean(ratios), None, "", ">= 1")
    ratio = float(np.mean(ours) / np.mean(best))
    found["certified_coverage_ratio_mapie_of_means"] = record.figure(round(ratio, 4))
    for name in MAPIE:
        covered = mean([cell.covered[name] for cell in able])
        found[f"certified_coverage_mapie_{name}"] = record.figure(covered)
    flat = [c for c in able if c.curve.startswith("flat at")]
    for name, rows in (("flat", flat), ("not_flat", [c for c in able if c not in flat])):
        theirs = np.mean([max(c.covered[one] for one in MAPIE) for c in rows])
        ratio = float(np.mean([c.covered["ours"] for c in rows]) / theirs)
        found[f"certified_coverage_ratio_mapie_of_means_{name}"] = record.figure(round(ratio, 4))
    found["certified_coverage_mapie"] = record.figure(mean(best))
    found["certified_coverage_oracle"] = record.figure(mean([cell.oracle for cell in able]))
    for name in rules.RULES:
        suffix = "" if name == "ours" else f"_{name}"
        covered = mean([cell.covered[name] for cell in able])
        found[f"certified_coverage{suffix}"] = record.figure(covered)
    return found


def against_today(able: list[Cell]) -> dict[str, record.Figure]:
    """Least ratio over the cells, and in how many each rule is beyond noise (3 standard errors of
    the difference) below or above; `_least_difference` is in coverage, over all cells."""
    known = [cell for cell in able if cell.covered["today"] >= FEW]

    def ratio(cell: Cell, name: str = "ours") -> float:
        return cell.covered[name] / cell.covered["today"]

    least = min(known, key=ratio)
    wide = 1.96 * least.noise["ours"] / least.covered["today"]
    ends = (ratio(least) - wide, ratio(least) + wide)
    rise = {name: [c.covered[name] - c.covered["today"] for c in able] for name in rules.RULES}
    noise = {name: [3 * c.noise[name] for c in able] for name in rules.RULES}
    found = {
        "certified_coverage_ratio_today": record.figure(round(ratio(least), 4), ends, "", ">= 1"),
        "certified_coverage_ratio_today_mean": record.figure(
            round(sum(c.covered["ours"] for c in able) / sum(c.covered["today"] for c in able), 4)
        ),
        "certified_cells": record.figure(len(able), None, "cells"),
    }
    for name in ("half", "split", "spending", "ours"):
        suffix = "" if name == "ours" else f"_{name}"
        pairs = list(zip(rise[name], noise[name], strict=True))
        below, above = sum(r < -e for r, e in pairs), sum(r > e for r, e in pairs)
        found[f"certified_cells_below_today{suffix}"] = record.figure(below, None, "cells")
        found[f"certified_cells_above_today{suffix}"] = record.figure(above, None, "cells")
        found[f"certified_least_difference_today{suffix}"] = record.figure(
            round(min(rise[name]), 4)
        )
        if name != "ours":
            value = round(min(ratio(cell, name) for cell in known), 4)
            found[f"certified_coverage_ratio_today_{name}"] = record.figure(value)
    return found


def violations(cells: list[Cell], repeats: int) -> dict[str, record.Figure]:
    worst = sorted(cells, key=lambda cell: -cell.broken["ours"] / cell.delta)[:5]
    found: dict[str, record.Figure] = {}
    top = worst[0]
    count = round(top.broken["ours"] * repeats)
    found["certified_violation_ratio"] = _violation(count, repeats, top.delta)
    new = [(*again(cell), cell.delta) for cell in worst]
    highest = max(new, key=lambda row: row[0] / row[1] / row[2])
    found["certified_violation_ratio_again"] = _violation(*highest)
    for name in ("today", *MAPIE):
        ratio = max(cell.broken[name] / cell.delta for cell in cells)
        found[f"certified_violation_ratio_{name}"] = record.figure(round(ratio, 4))
    return found


def _violation(count: int, repeats: int, delta: float) -> record.Figure:
    ends = binomtest(count, repeats).proportion_ci(0.95)
    value = round(count / repeats / delta, 4)
    return record.figure(value, (ends.low / delta, ends.high / delta), "", "<= 1")


def published(path: Path) -> dict[str, record.Figure]:
    """RLCR's first 600 replies to CommonsenseQA, and as many drawn from all 1,221, 400 times."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [r for r in rows if (r["set"], r["system"]) == ("commonsenseqa", "RLCR")]
    c, y = (np.array([r[name] for r in rows]) for name in ("confidence", "correctness"))
    first = certify(c[:600], y[:600], 0.05, 0.1)
    found = {
        "published_certified": record.figure(int(first.threshold is not None), None, "", ">= 1"),
        "published_coverage": record.figure(round(first.coverage, 4)),
    }
    rng = np.random.default_rng(0)
    some = [rng.permutation(len(c))[:600] for _ in range(400)]
    at = [c[:, None] >= np.array(LEVELS)]
    counts = np.array([at[0][rows].sum(0) for rows in some])
    wrong = np.array([(at[0][rows] * (1 - y[rows, None])).sum(0) for rows in some])
    for alpha in (0.05, 0.1):
        s = rules.sample(counts, wrong, alpha, 0.1)
        for name in ("today", "ours"):
            last = rules.RULES[name](s)
            share = np.where(last < 0, 0, s.counts[np.arange(400), last] / 600).mean()
            suffix = "" if name == "ours" else "_today"
            key = f"published_coverage_drawn_alpha{round(100 * alpha)}{suffix}"
            found[key] = record.figure(round(float(share), 4))
    return found


def described(cells: list[Cell], repeats: int, controller: Any) -> str:
    known = [cell for cell in cells if cell.oracle and cell.covered["today"] >= FEW]
    least = min(known, key=lambda cell: cell.covered["ours"] / cell.covered["today"])
    low = [c for c in known if c.covered["ours"] / c.covered["today"] < 0.9]
    where = f"{least.curve}, {least.spread}, n {least.n}, α {least.alpha}, δ {least.delta}"
    checked = "MAPIE ran on a sample of them and agreed" if controller else "MAPIE was not here"
    return (
        f"Certificate: {len(cells)} cells of {repeats} repeats (the rules that are only compared: "
        f"a fifth); {checked}. The ratio to the earlier rule is over the {len(known)} cells where "
        f"that covers {FEW} or more; it is least in: {where}; below .9 in {len(low)}. The ratio to "
        "MAPIE is the mean over the cells, its best setting chosen in each; _of_means is of mean "
        "coverages, also for its settings one by one. Its fixed sequence takes its direction from "
        "the labels, and breaks 1 − δ (its violation ratio). certified_violation_ratio is the "
        "greatest of all cells; _again counts the five highest of them on 200,000 new draws each."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10_000)
    parser.add_argument("--replies", type=Path, help="the published replies of RLCR")
    parser.add_argument("--dry", action="store_true", help="print, write nothing")
    options = parser.parse_args()
    controller = rules.mapie_itself()
    cells = simulate(options.repeats, controller)
    measured = figures(cells, options.repeats)
    if options.replies:
        measured |= published(options.replies)
    note = described(cells, options.repeats, controller)
    print(json.dumps(measured, indent=1), note, sep="\n")
    if not options.dry:
        command, packages = "python benchmarks/certificate.py", ["numpy", "scipy"]
        record.add("cases", command, measured, [note], packages)


if __name__ == "__main__":
    main()
