"""Do reflections and numbers agree? Both stages of the default, on the held-out questions.

    python benchmarks/reflection.py --seeds 42 0 1 [--before FOLDER]

Reads the runs of `benchmarks/default.py` (runs/bench-default), asks what is missing, and writes
benchmarks/results/reflection.json. With a run of an earlier method in `--before` (a stage-1 model
of the first seed) its figures stand beside them, and the differences are paired by question.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import record
import scoring
from default import PACKAGES, asked_in_domain
from default_figures import STAGES
from scoring import SCORES, apart_over_seeds, graded, mean_right, pairs, scores, well_formed

from metaconf.evaluation.generate import evaluate, short_answers
from metaconf.evaluation.readings import reading_figures, samples_figure, with_readings
from metaconf.evaluation.reflections import reflection_figures
from metaconf.evaluation.rows import EvaluatedReply, in_domain
from metaconf.evaluation.tables import within_figure
from metaconf.generation.local import load_local
from metaconf.grading import same_answer
from metaconf.metrics import Figure
from metaconf.records import Question

SAMPLES = 8
WORDS = 4
"""Words of an opening."""
NAMES = {
    "contradiction_rate": "contradictions",
    "reading_rank_correlation": "agreement",
    "cmfg_star": "cmfg_words_number",
    "reading_auroc": "auroc_reading",
    "reading_auroc_within": "auroc_reading_within",
}
"""Figures of the product under the names of the record."""
TARGETS = {
    "contradictions": "<= 0.02",
    "agreement": ">= 0.85",
    "cmfg_words_number": ">= 0.90",
    "cmfg_words_samples": ">= 0.80",
    "cmfg_number_samples": ">= 0.81",
    "alternatives_precision": ">= 0.60",
    "alternatives_recall": ">= 0.40",
    "commonest_opening": "<= 0.10",
}
SUFFIX = {"before": "_before", "stage1": "_stage1", "stage2": ""}
Rows = list[EvaluatedReply]


def measured(folder: Path) -> tuple[Rows, dict[str, Figure]]:
    """Rows of the model in `folder` and the figures of its reflections."""
    model, questions = load_local(str(folder)), asked_in_domain()
    rows = in_domain(evaluate(model, questions, "reply", folder / "heldout.jsonl", folder.name))
    rows = with_readings(rows)
    path = folder / "samples.jsonl"
    drawn = short_answers(model, questions, range(SAMPLES), path, "own samples", trained=True)
    samples = {q.id: [drawn[q.id, i].text for i in range(SAMPLES)] for q in questions}
    shares = agreeing(rows, questions, samples)
    number = [replace(row, reading=row.confidence) for row in rows]
    return rows, {
        **{NAMES.get(name, name): figure for name, figure in reading_figures(rows).items()},
        **reflection_figures(rows, questions, samples, shares),
        "auroc_stated_within": within_figure(rows),
        "cmfg_words_samples": samples_figure(rows, shares),
        "cmfg_number_samples": samples_figure(number, shares),
        "commonest_opening": Figure(commonest_opening(rows), n=len(rows)),
    }


def agreeing(
    rows: Rows, questions: Sequence[Question], samples: Mapping[str, Sequence[str]]
) -> dict[str, float | None]:
    """Of each row the share of the model's own samples that give the reply's answer."""
    tasks = {question.id: question.task for question in questions}
    return {
        row.question_id: float(
            np.mean(
                [
                    same_answer(row.answer or "", text, tasks[row.question_id])
                    for text in samples[row.question_id]
                ]
            )
        )
        for row in rows
    }


def commonest_opening(rows: Rows) -> float:
    """Share of the reflections that begin with the commonest first WORDS words."""
    openings = Counter(" ".join((row.reflection or "").split()[:WORDS]) for row in rows)
    return openings.most_common(1)[0][1] / len(rows)


def over_seeds(runs: Sequence[Mapping[str, Figure]], stage: str) -> dict[str, record.Figure]:
    """Means over seeds of values and of the ends of intervals."""
    found: dict[str, record.Figure] = {}
    for name in runs[0]:
        each = [run[name] for run in runs]
        values = [figure.value for figure in each if figure.value is not None]
        bounds = [(f.low, f.high) for f in each if f.low is not None and f.high is not None]
        if len(values) == len(each):
            ends = np.mean(bounds, axis=0).tolist() if len(bounds) == len(each) else None
            target = TARGETS.get(name) if stage != "before" else None
            value = round(float(np.mean(values)), 4)
            found[f"{name}{SUFFIX[stage]}"] = record.figure(value, ends, target=target)
    return found


def numbers(rows: Sequence[Rows], stage: str) -> dict[str, record.Figure]:
    """Scores of the stated confidence, share of right answers and of replies in the format."""
    end = SUFFIX[stage]
    found = scores(f"stated{end}", [pairs(r) for r in rows])
    found[f"accuracy{end}"] = scoring.over_seeds([graded(r) for r in rows], mean_right)
    found[f"format_rate{end}"] = scoring.over_seeds([well_formed(r) for r in rows], mean_right)
    return found


def compared(rows: Sequence[Rows], before: Rows, stage: str) -> dict[str, record.Figure]:
    """Scores less those of the earlier method on the same questions."""
    others = [before] * len(rows)
    differences: dict[str, record.Figure] = {
        f"{name}_difference{SUFFIX[stage]}": apart_over_seeds(
            [pairs(r) for r in rows], [pairs(r) for r in others], score
        )
        for name, score in SCORES.items()
    }
    means: dict[str, Callable[[Rows], dict[str, tuple[float, float]]]] = {
        "accuracy": graded,
        "format": well_formed,
    }
    return differences | {
        f"{name}_difference{SUFFIX[stage]}": apart_over_seeds(
            [of(r) for r in rows], [of(r) for r in others], mean_right
        )
        for name, of in means.items()
    }


LEVELS = {"sure": (0.7, 1.0), "in between": (0.3, 0.6), "unsure": (0.0, 0.2)}
SHOWN = 3


RULE = "The first replies of each level of confidence, in the order of the held-out questions."


def examples(rows: Rows) -> list[dict[str, Any]]:
    """The first SHOWN replies of each of the LEVELS of confidence, in the questions' order."""
    found: list[dict[str, Any]] = []
    for level, (low, high) in LEVELS.items():
        stated = [r for r in rows if r.confidence is not None and low <= r.confidence <= high]
        names = ("prompt", "answer", "reflection", "confidence", "correctness")
        kept = [{name: r.to_json()[name] for name in names} for r in stated[:SHOWN]]
        found += [{"level": level, **one} for one in kept]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/bench-default"))
    parser.add_argument("--before", type=Path, help="a stage-1 model of an earlier method")
    arguments = parser.parse_args()
    found: dict[str, record.Figure] = {}
    shown: list[dict[str, Any]] = []
    before = measured(arguments.before) if arguments.before else None
    if before:
        found |= over_seeds([before[1]], "before") | numbers([before[0]], "before")
    for stage in STAGES:
        runs = [measured(arguments.runs / f"seed{seed}" / stage) for seed in arguments.seeds]
        found |= over_seeds([figures for _, figures in runs], stage)
        found |= numbers([rows for rows, _ in runs], stage)
        if before:
            found |= compared([rows for rows, _ in runs], before[0], stage)
        shown = examples(runs[0][0])  # of stage 2, of the first seed
    command = f"python benchmarks/reflection.py --seeds {' '.join(map(str, arguments.seeds))}"
    notes = "Held-out questions of the trained families. Intervals of a mean over seeds are means."
    counted = {"replies_shown": record.figure(len(shown))}
    record.write(
        "examples", command, counted, arguments.seeds[:1], RULE, PACKAGES, {"replies": shown}
    )
    record.write("reflection", command, found, arguments.seeds, notes, PACKAGES)


if __name__ == "__main__":
    main()
