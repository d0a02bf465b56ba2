"""Published rivals' replies: their figures again, their labels anew, and what our tools add.

    python benchmarks/published.py [--replies rlcr_replies.jsonl] [--math500 FILE.arrow]

Graded confidences of five 7B systems of RLCR (damanimehul/RLCR, MIT), trained on HotpotQA, on
CommonsenseQA and MATH-500. Nothing is measured where `--replies` is missing. `--math500` is that
repository's eval_outputs/Hotpot-models/math-500, which holds references and replies: with it the
answers are graded anew by `metaconf.grading`, and measured once more ("math-500-regraded").
Writes benchmarks/results/published.json.

Recalibration: a map fitted on so many labels (`metaconf calibrate`), scored on the other replies.
Abstention: certified on labels drawn from the replies, counted over all of them (`certified`). An
interval spans 95 % of the draws; those of AUROC within kinds are by question.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import certificate_rules
import numpy as np
import record

from metaconf import metrics
from metaconf.decisions import cascade
from metaconf.decisions.abstain import LEVELS
from metaconf.decisions.recalibrate import choose
from metaconf.grading import grade_answer
from metaconf.records import Question, Target, read_jsonl

REPLIES = Path(__file__).parents[2] / "shared" / "data" / "rlcr_replies.jsonl"
DRAWS, REPEATS, LABELS = 200, 1000, (50, 100, 200)
ALPHAS, DELTA = (0.05, 0.1, 0.2), 0.1
PAIR = ("RLCR", "Answer-Prob")
"""The cascade: the first is asked first; a call of each costs the same."""
MATH, REGRADED = "math-500", "math-500-regraded"
SCORES = ("accuracy", "brier", "ece10", "auroc")
PUBLISHED = {
    "commonsenseqa": {
        "Base": (0.88615886, 0.09869779, 0.00368550, 0.62049030),
        "RLVR": (0.90827191, 0.09172809, 0.09172809, 0.5),
        "RLVR-Classifier": (0.90827191, 0.11841990, 0.18274196, 0.65325905),
        "Answer-Prob": (0.90827191, 0.08256175, 0.03106463, 0.60343939),
        "RLCR": (0.91318591, 0.16731073, 0.30239148, 0.72797191),
    },
    MATH: {
        "Base": (0.468, 0.484505, 0.4921, 0.59095656),
        "RLVR": (0.386, 0.61036, 0.6112, 0.50231220),
        "RLVR-Classifier": (0.386, 0.26006056, 0.22356152, 0.70374340),
        "Answer-Prob": (0.386, 0.50951893, 0.54674142, 0.78559012),
        "RLCR": (0.454, 0.251445, 0.1879, 0.71566539),
    },
}
"""SCORES by set and system, from results/Hotpot-models of the repository."""
NOTES = (
    f"Brier and ECE (15 bins) after N labels: mean over {DRAWS} draws of them, on the others."
    f" coverage and violated (share of {REPEATS} draws in which the rule errs more than alpha):"
    f" certified on as many labels as half of the replies, delta {DELTA}, counted over all replies;"
    " of a cascade, certified on one half and counted on the other. auroc_within: within the"
    " subjects of MATH-500. regraded_to_right, _to_wrong: labels of theirs that our grader turns."
)


class Replies(NamedTuple):
    """Of one system: confidences and correctness (n,) in [0, 1], NaN where it is not graded, and
    the kinds of the questions, none where they are not known."""

    c: np.ndarray
    y: np.ndarray
    kinds: tuple[str, ...] = ()


Sets = dict[str, dict[str, Replies]]
"""By set and system, in one order of questions."""


def read(path: Path) -> Sets:
    """The published confidences with their publisher's labels."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for _, row in read_jsonl(path):
        of_set = found.setdefault(row["set"], {})
        of_set.setdefault(row["system"], []).append((row["confidence"], row["correctness"]))
    return {
        name: {system: Replies(*np.array(rows).T) for system, rows in systems.items()}
        for name, systems in found.items()
    }


def regraded(path: Path, published: dict[str, Replies]) -> dict[str, Replies]:
    """The same confidences with grades of ours; the file's rows are in the order of theirs."""
    from datasets import Dataset

    rows: list[dict[str, Any]] = list(Dataset.from_file(str(path)))  # pyright: ignore
    kinds = tuple(row["subject"] for row in rows)
    return {
        system: Replies(of.c, np.array([_grade(row, system) for row in rows], float), kinds)
        for system, of in published.items()
    }


def _grade(row: dict[str, Any], system: str) -> float | None:
    """Correctness of what stands between the last answer tags; wrong where nothing does."""
    answers = re.findall(r"<answer>(.*?)</answer>", row[f"{system}-output_0"], re.S)
    question = Question(row["unique_id"], row["problem"], (Target((row["answer"],)),), "math")
    return grade_answer(question, answers[-1].strip())[0] if answers else 0.0


def scores(c: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """SCORES; the ECE in the ten bins of the publishers."""
    ranked = metrics.auroc(c, y)
    return float(y.mean()), metrics.brier(c, y), metrics.ece(c, y, bins=10), ranked


def recalibrated(c: np.ndarray, y: np.ndarray) -> dict[str, record.Figure]:
    """Brier and ECE on the rest after a map fitted on so many labels, over DRAWS draws of them."""
    rng, found = np.random.default_rng(0), dict[str, record.Figure]()
    for labels in LABELS:
        drawn = np.array([_after(c, y, rng.permutation(len(c)), labels) for _ in range(DRAWS)])
        for name, values in zip(("brier", "ece"), drawn.T, strict=True):
            found[f"{name}_after{labels}"] = _over_draws(values)
    return found


def _after(c: np.ndarray, y: np.ndarray, order: np.ndarray, labels: int) -> tuple[float, float]:
    some, rest = order[:labels], order[labels:]
    mapped = choose(c[some], y[some], some.tolist())[0](c[rest])
    return metrics.brier(mapped, y[rest]), metrics.ece(mapped, y[rest])


def _over_draws(values: Sequence[float] | np.ndarray) -> record.Figure:
    ends = np.percentile(values, [2.5, 97.5]).tolist()
    return record.figure(round(float(np.mean(values)), 4), ends)


def certified(c: np.ndarray, y: np.ndarray) -> dict[str, record.Figure]:
    """Certified abstention on as many labels as half of the replies, drawn with replacement: the
    coverage, and how often the rule errs more than alpha over all replies, which is the true error
    here. (Of two halves neither is: where one errs less by chance, the other errs more.)"""
    rng, n = np.random.default_rng(0), len(c) // 2
    places = (c[:, None] < np.array(LEVELS)).sum(1)  # of the highest level that is reached
    shares = np.array([np.bincount(places, w, len(LEVELS)) for w in (y, 1 - y)]) / len(c)
    drawn = rng.multinomial(n, shares.ravel(), REPEATS).reshape(REPEATS, 2, -1).cumsum(2)
    answered, wrong = shares.sum(0).cumsum(), shares[1].cumsum()
    found: dict[str, record.Figure] = {}
    for alpha in ALPHAS:
        sample = certificate_rules.sample(drawn.sum(1), drawn[:, 1], alpha, DELTA)
        last = certificate_rules.ours(sample)
        covered = np.where(last < 0, 0.0, answered[last])
        broken = (last >= 0) & (wrong[last] > alpha * answered[last] + 1e-12)
        name = f"alpha{round(100 * alpha)}"
        found[f"coverage_{name}"] = record.figure(round(float(covered.mean()), 4))
        violated = round(float(broken.mean()), 4)
        found[f"violated_{name}"] = record.figure(violated, None, "", f"<= {DELTA}")
    return found


def cascaded(first: Replies, second: Replies) -> dict[str, record.Figure]:
    """The same of both models in turn, and the calls a question of those on the other half."""
    c, y = (np.column_stack(pair) for pair in ((first.c, second.c), (first.y, second.y)))
    known = ~np.isnan(y).any(axis=1)
    c, y = c[known], y[known]
    rng, found = np.random.default_rng(0), dict[str, record.Figure]()
    for alpha in ALPHAS:
        halves = [np.array_split(rng.permutation(len(c)), 2) for _ in range(DRAWS)]
        drawn = np.array([_cascade(c, y, one, rest, alpha) for one, rest in halves])
        covered, broken, calls = drawn.mean(0)
        name = f"cascade_alpha{round(100 * alpha)}"
        found[f"coverage_{name}"] = record.figure(round(float(covered), 4))
        found[f"violated_{name}"] = record.figure(round(float(broken), 4), None, "", f"<= {DELTA}")
        found[f"calls_{name}"] = record.figure(round(float(calls), 3), None, "calls")
    return found


def _cascade(
    c: np.ndarray, y: np.ndarray, one: np.ndarray, rest: np.ndarray, alpha: float
) -> tuple[float, float, float]:
    """(coverage, whether the error exceeds alpha, calls) on `rest`, of a rule fitted on `one`."""
    rule = cascade.fit(c[one], y[one], (1.0, 1.0), alpha, DELTA)
    by = cascade.answering(c[rest], rule.thresholds)
    wrong = 1 - y[rest[by >= 0], by[by >= 0]]
    asked = [threshold is not None for threshold in rule.thresholds]
    calls = asked[0] + asked[1] * (float((by != 0).mean()) if asked[0] else 1.0)
    return float((by >= 0).mean()), float(len(wrong) > 0 and wrong.mean() > alpha), calls


def measured(name: str, system: str, of: Replies) -> dict[str, record.Figure]:
    """All figures of one system on one set."""
    known = ~np.isnan(of.y)
    c, y = of.c[known], of.y[known]
    found = {score: record.figure(value) for score, value in zip(SCORES, scores(c, y), strict=True)}
    found["ece"] = record.figure(metrics.ece(c, y))
    if of.kinds:
        run = metrics.ScoredReplies(of.c, of.y, range(len(of.c)))
        within = metrics.auroc_within_figure(run, of.kinds)
        if within.value is not None and within.low is not None and within.high is not None:
            found["auroc_within"] = record.figure(within.value, (within.low, within.high))
    found |= recalibrated(c, y) | certified(c, y)
    return {f"{score}_{name}_{system.lower()}": figure for score, figure in found.items()}


def figures(sets: Sets) -> dict[str, record.Figure]:
    """Every figure of every set and system."""
    found = {"max_difference": record.figure(difference(sets), None, "", "<= 1e-6")}
    for name, systems in sets.items():
        for system, of in systems.items():
            found |= measured(name, system, of)
        both = cascaded(*(systems[system] for system in PAIR))
        found |= {f"{score}_{name}": figure for score, figure in both.items()}
    for system, of in sets.get(REGRADED, {}).items():
        theirs = sets[MATH][system].y
        for word, before, after in (("right", 0, 1), ("wrong", 1, 0)):
            turned = int(((theirs == before) & (of.y == after)).sum())
            found[f"regraded_to_{word}_{system.lower()}"] = record.figure(turned, None, "labels")
        ungraded = int(np.isnan(of.y).sum())
        found[f"ungraded_{system.lower()}"] = record.figure(ungraded, None, "replies")
    return found


def difference(sets: Sets) -> float:
    """How far our figures lie from the published ones at most."""
    return max(
        float(np.abs(np.subtract(scores(*sets[name][system][:2]), published)).max())
        for name, systems in PUBLISHED.items()
        for system, published in systems.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replies", type=Path, default=REPLIES)
    parser.add_argument("--math500", type=Path, help="the repository's arrow file, to grade anew")
    args = parser.parse_args()
    if not args.replies.is_file():
        print(f"{args.replies.name}: no such file, so nothing is measured; name it by --replies")
        return
    sets = read(args.replies)
    command = "python benchmarks/published.py"
    if args.math500 is not None:
        sets[REGRADED] = regraded(args.math500, sets[MATH])
        command += f" --math500 {args.math500.name}"
    packages = ("numpy", "scikit-learn", "math-verify")
    record.write("published", command, figures(sets), [0], NOTES, packages)


if __name__ == "__main__":
    main()
