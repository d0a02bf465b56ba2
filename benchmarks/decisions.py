"""Decisions: is the certified error kept, what coverage does it leave, and does weighing votes pay?

    python benchmarks/decisions.py --model runs/demo/stage2 [--questions 300]

Writes benchmarks/results/decisions.json. The simulation draws replies that are right as often as
they say, with 11 levels; its true error is known. The coverage of MAPIE's controller on the same
samples is added where MAPIE is installed. The same on replies of the model, to the embedded
calibration questions and to as many held-out ones: certified on one half, which is drawn anew
REPEATS times, and counted on the other. Votes: 9 replies a held-out question at temperature 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import record
from certificate_rules import mapie_itself, mapie_threshold

from metaconf.decisions.abstain import LEVELS, certify
from metaconf.decisions.vote import vote, vote_until_settled

ALPHA, DELTA, LABELLED, REPEATS = 0.15, 0.1, 500, 1000
VOTES = (3, 5, 9)
Pairs = tuple[np.ndarray, np.ndarray]


def drawn(rng: np.random.Generator, n: int) -> Pairs:
    confidence = np.round(rng.beta(1.2, 0.8, n), 1)
    return confidence, (rng.random(n) < confidence).astype(float)


def certified() -> dict[str, record.Figure]:
    """How often the true error exceeds alpha, and the mean coverage, over REPEATS samples."""
    rng = np.random.default_rng(0)
    c, y = drawn(rng, 2_000_000)
    error = {level: float(1 - y[c >= level].mean()) for level in LEVELS}
    share = {level: float((c >= level).mean()) for level in LEVELS}
    samples = [drawn(rng, LABELLED) for _ in range(REPEATS)]
    ours = [certify(*sample, ALPHA, DELTA).threshold for sample in samples]
    found = {
        "delta": record.figure(DELTA),
        "violation_rate": record.figure(
            _mean(ours, lambda t: float(error[t] > ALPHA)), None, "", f"<= {DELTA}"
        ),
        "coverage": record.figure(_mean(ours, lambda t: share[t])),
        "coverage_possible": record.figure(max(share[t] for t in LEVELS if error[t] <= ALPHA)),
    }
    if theirs := [_mean(of, lambda t: share[t]) for of in _mapie(samples)]:
        found["coverage_mapie"] = record.figure(max(theirs))
        found["coverage"]["target"] = f">= {0.9 * max(theirs):.4f}"
    return found


def _mean(thresholds: Sequence[float | None], of: Callable[[float], float]) -> float:
    return round(float(np.mean([0.0 if t is None else of(t) for t in thresholds])), 4)


def _mapie(samples: Sequence[Pairs]) -> list[list[float | None]]:
    """Thresholds of MAPIE by each of its METHODS; nothing where it is not installed."""
    if (mapie := mapie_itself()) is None:
        return []
    return [
        [mapie_threshold(mapie[0], method, *sample, ALPHA, DELTA) for sample in samples]
        for method in METHODS
    ]


METHODS = ("bonferroni_holm", "bonferroni", "fixed_sequence")


def on_real_replies(model: str, folder: Path) -> dict[str, record.Figure]:
    """Certified on half of the model's own replies, realised on the other half."""
    from metaconf.data import embedded_questions, pick
    from metaconf.evaluation.generate import evaluate
    from metaconf.evaluation.rows import complete
    from metaconf.evaluation.tables import pair
    from metaconf.generation.local import load_local

    halves = [pick(embedded_questions(split), 500, 0) for split in ("calibration", "heldout")]
    asked = [question for half in halves for question in half]
    rows = evaluate(load_local(model), asked, "reply", folder / "replies.jsonl")
    c, y = pair(complete(rows))
    found: dict[str, record.Figure] = {}
    for alpha in REAL_ALPHAS:
        broken, covered = halved(c, y, alpha)
        name = f"_default_alpha{round(100 * alpha)}"
        found[f"violation_rate{name}"] = record.figure(broken, None, "", f"<= {DELTA}")
        found[f"coverage{name}"] = record.figure(covered)
    return found


REAL_ALPHAS = (0.15, 0.3)


def halved(c: np.ndarray, y: np.ndarray, alpha: float) -> tuple[float, float]:
    """(share of REPEATS in which the other half's error exceeds alpha, its mean coverage).

    The other half is a sample too: its error strays above alpha where the true one does not.
    """
    rng = np.random.default_rng(0)
    broken, covered = 0, 0.0
    for _ in range(REPEATS):
        order = rng.permutation(len(c))
        one, other = order[: len(c) // 2], order[len(c) // 2 :]
        threshold = certify(c[one], y[one], alpha, DELTA).threshold
        answered = other[c[other] >= threshold] if threshold is not None else other[:0]
        broken += bool(len(answered)) and float(1 - y[answered].mean()) > alpha
        covered += len(answered) / len(other)
    return round(broken / REPEATS, 4), round(covered / REPEATS, 4)


def votes(model: str, count: int, folder: Path) -> dict[str, record.Figure]:
    """Accuracy of the majority and of the weighted vote, and the samples that stopping saves."""
    from metaconf.data import embedded_heldout
    from metaconf.generation.local import load_local, sample_replies
    from metaconf.generation.sampler import Sampling
    from metaconf.generation.store import collect
    from metaconf.grading import grade_answer
    from metaconf.grading.short import answer_key
    from metaconf.reply import parse_reply

    local, asked = load_local(model), embedded_heldout(count, 1)[:count]
    how = Sampling(96, seed=0, rows=256)

    def ask(some: Any, wanted: tuple[int, ...], keep: Any) -> None:
        sample_replies(local, some, wanted, how, keep)

    replies = collect(folder / "votes.jsonl", asked, range(max(VOTES)), ask, "replies to vote")
    right: dict[str, list[float]] = {f"{kind}{k}": [] for kind in ("m", "w") for k in VOTES}
    used: list[int] = []
    for question in asked:
        parsed = [parse_reply(replies[question.id, i].text) for i in range(max(VOTES))]
        answers = [p.answer for p in parsed]
        keys = [f"none {i}" if a is None else answer_key(a) for i, a in enumerate(answers)]
        # A reply without an answer has no say in either vote, one without a confidence none in the
        # weighted one.
        said = [float(answer is not None) for answer in answers]
        sure = [one * (p.confidence or 0.0) for one, p in zip(said, parsed, strict=True)]
        drawn = list(zip(keys, sure, strict=True))
        used.append(vote_until_settled(drawn.__getitem__, 5)[2])
        for k in VOTES:
            for kind, weights in (("m", said[:k]), ("w", sure[:k])):
                winner = keys.index(str(vote(keys[:k], weights)[0]))
                grade = grade_answer(question, answers[winner])[0]
                right[f"{kind}{k}"].append(np.nan if grade is None else grade)
    return _vote_figures(right) | {
        "samples_saved": record.figure(round(1 - float(np.mean(used)) / 5, 4), None, "of 5")
    }


def _vote_figures(right: dict[str, list[float]]) -> dict[str, record.Figure]:
    rng = np.random.default_rng(0)
    n = len(next(iter(right.values())))
    rows = rng.integers(0, n, (1000, n))
    found: dict[str, record.Figure] = {}
    for k in VOTES:
        majority, weighted = (np.array(right[f"{kind}{k}"]) for kind in ("m", "w"))
        for name, values in (
            (f"majority_accuracy_k{k}", majority),
            (f"vote_accuracy_k{k}", weighted),
            (f"vote_gain_k{k}", weighted - majority),
        ):
            ends = np.percentile(np.nanmean(values[rows], 1), [2.5, 97.5]).tolist()
            target = ">= 0" if name.startswith("vote_gain") else None
            found[name] = record.figure(round(float(np.nanmean(values)), 4), ends, "", target)
    return found


def kept(found: dict[str, record.Figure], notes: str) -> tuple[dict[str, record.Figure], str]:
    """Figures that need a model stay as they were measured, which the notes say."""
    path = record.RESULTS / "decisions.json"
    before = json.loads(path.read_text())["figures"] if path.exists() else {}
    old = [name for name in before if name not in found]
    said = f" Measured earlier, with the rule of one start: {', '.join(old)}." if old else ""
    return before | found, notes + said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a trained model whose replies vote")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/bench-decisions"))
    arguments = parser.parse_args()
    found = certified()
    if arguments.model:
        arguments.output_dir.mkdir(parents=True, exist_ok=True)
        found |= on_real_replies(arguments.model, arguments.output_dir)
        found |= votes(arguments.model, arguments.questions, arguments.output_dir)
    command = "python benchmarks/decisions.py --model runs/demo/stage2"
    notes = "samples_saved: by stopping when no further reply of 5 can change the weighted vote."
    if not arguments.model:
        found, notes = kept(found, notes)
    record.write("decisions", command, found, [0], notes, ("numpy", "scipy"))


if __name__ == "__main__":
    main()
