"""`metaconf compare A B …`: runs on the same questions side by side, the others minus the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from metaconf.decisions.replies import read
from metaconf.errors import UserError
from metaconf.evaluation.external_replies import SHOWN, as_evaluated
from metaconf.evaluation.readings import (
    COMPARED,
    reading_differences,
    reading_figures,
    with_readings,
)
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.files import write_json, write_text
from metaconf.metrics import (
    Figure,
    ScoredReplies,
    auroc_within_difference,
    auroc_within_figure,
    brier,
    paired_differences,
    summarise,
)
from metaconf.metrics.figures import figures_to_json

OF_ALL = ("parse_rate", "graded_rate", "accuracy")
"""Figures of every shared question."""
OF_STATED = ("mean_confidence", "ece", "brier", "aurc", "auroc")
"""Those of the questions on which each run states a confidence and is graded: on others silence
where it is unsure would be a gain."""
WITHIN = "auroc_within"
"""Beside `auroc`, of the same questions; a kind is that of the first run's row."""
NAMES = (*OF_ALL, *OF_STATED, WITHIN)
"""Behind them come `readings.COMPARED`, where every run has reflections that could be read."""


class One(NamedTuple):
    """A run that is compared: what it is called, and its replies by question."""

    name: str
    rows: dict[str, EvaluatedReply]


def load(names: Sequence[str], method: str | None) -> list[One]:
    """The runs: folders of `metaconf evaluate`, files of replies, or either with `:METHOD` behind
    it; `method` is that of those that name none.

    Raises UserError for fewer than two, for one given twice, and for a file that cannot be used.
    """
    if len(names) < 2:
        raise UserError("one run alone: give at least two to compare")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{twice[0]}: is given twice; PATH:METHOD chooses one of a run's methods")
    return [_one(name, method) for name in names]


def compare(runs: Sequence[One], seed: int) -> dict[str, Any]:
    """Figures of each run and its paired differences to the first, as JSON.

    Questions that not all runs answered are left out and counted; `complete` are those that the
    confidence's figures are of. `wins` counts the families (or tasks) in which a run's Brier score
    is lower than the first's. Raises UserError where there is nothing to compare.
    """
    shared = _shared(runs)
    complete = [i for i in shared if all(run.rows[i].complete for run in runs)]
    parts = ((OF_ALL, shared), (OF_STATED, complete))
    first = runs[0].rows
    kinds = [first[i].kind for i in complete]
    read = all(any(run.rows[i].reading is not None for i in shared) for run in runs)
    found = list[dict[str, Any]]()
    for run in runs:
        some = [run.rows[i] for i in shared]
        one: dict[str, Any] = {"run": run.name, "figures": {}}
        for names, ids in parts:
            one["figures"] |= figures_to_json(summarise(*_scored(run.rows, ids), names, seed=seed))
        stated = _scored(run.rows, complete)
        one["figures"][WITHIN] = auroc_within_figure(stated, kinds, seed=seed).to_json()
        if read:
            figures = reading_figures(some, seed)
            one["figures"] |= figures_to_json({name: figures[name] for name in COMPARED})
        if run is not runs[0]:
            one |= {"differences": {}, "wins": _wins(run.rows, first, complete)}
            for names, ids in parts:
                pair = _scored(run.rows, ids), _scored(first, ids)
                apart = paired_differences(*pair, names, seed=seed)
                one["differences"] |= figures_to_json(apart)
            within = auroc_within_difference(stated, _scored(first, complete), kinds, seed=seed)
            one["differences"][WITHIN] = within.to_json()
            if read:
                others = [first[i] for i in shared]
                one["differences"] |= figures_to_json(reading_differences(some, others, seed))
        found.append(one)
    left_out = [len(run.rows) - len(shared) for run in runs]
    counts = {"questions": len(shared), "complete": len(complete), "left_out": left_out}
    return {**counts, "runs": found}


def report(runs: Sequence[One], compared: dict[str, Any], folder: Path, seed: int) -> Path:
    """Write the comparison as JSON, Markdown and report into `folder`; returns the report's path.

    The report's methods are the runs, over the questions that all of them answered; beside their
    figures stand the differences.
    """
    from metaconf.evaluation.run import write_results
    from metaconf.runs import mark_run

    asked = {"command": "compare", "runs": [run.name for run in runs], "seed": seed}
    mark_run(folder, asked, False)
    shared = _shared(runs)
    rows = {run.name: [replace(run.rows[i], method=run.name) for i in shared] for run in runs}
    write_json(folder / "comparison.json", compared)
    write_text(folder / "comparison.md", markdown(compared) + "\n")
    keep = len(shared) * len(runs) <= SHOWN
    title = f"{len(runs)} runs on {len(shared)} questions"
    return write_results(folder, title, rows, seed, keep=keep, compared=compared)


def markdown(compared: dict[str, Any]) -> str:
    """The comparison as a Markdown table: each figure, below it the difference to the first."""
    lines = [questions_in_words(compared), ""]
    names = [name for name in (*NAMES, *COMPARED) if name in compared["runs"][0]["figures"]]
    lines += [f"| run | {' | '.join(names)} | families won |", "|---" * (len(names) + 2) + "|"]
    for run in compared["runs"]:
        cells = [_cell(run["figures"][name]) for name in names]
        lines.append(f"| {run['run']} | {' | '.join(cells)} | |")
        if "differences" in run:
            cells = [_cell(run["differences"][name], signed=True) for name in names]
            won, families = run["wins"]
            lines.append(f"| − first | {' | '.join(cells)} | {won} of {families} |")
    return "\n".join(lines)


def questions_in_words(compared: dict[str, Any]) -> str:
    """Which questions the figures are of."""
    return (
        f"{compared['questions']} questions; left out of each run: {compared['left_out']}. From"
        f" {OF_STATED[0]} on: the {compared['complete']} on which every run states a confidence and"
        " is graded."
    )


def _one(name: str, method: str | None) -> One:
    path, (before, _, after) = Path(name), name.rpartition(":")
    if not path.exists() and before and Path(before).exists():
        path, method = Path(before), after
    file = path / "replies.jsonl" if path.is_dir() else path
    rows = read(file, method, f"{name}:METHOD")
    found = {row.question_id: row for row in with_readings(list(map(as_evaluated, rows)))}
    if len(found) < len(rows):
        raise UserError(f"{file}: has several replies to one question; keep one of each")
    return One(name, found)


def _shared(runs: Sequence[One]) -> list[str]:
    shared = sorted(set.intersection(*(set(run.rows) for run in runs)))
    if not shared:
        raise UserError(f"{runs[0].name} and the others have no question in common")
    return shared


def _scored(rows: dict[str, EvaluatedReply], ids: Sequence[str]) -> ScoredReplies:
    some = [rows[i] for i in ids]
    return ScoredReplies([row.confidence for row in some], [row.correctness for row in some], ids)


def _wins(
    run: dict[str, EvaluatedReply], first: dict[str, EvaluatedReply], ids: Sequence[str]
) -> tuple[int, int]:
    """Families (or tasks) in which `run` has the lower Brier score, and how many there are."""
    families: dict[str, list[str]] = {}
    for i in ids:
        families.setdefault(first[i].family, []).append(i)
    scores = [
        [brier(*_scored(rows, members)[:2]) for rows in (run, first)]  # pyright: ignore
        for members in families.values()
    ]
    return sum(mine < theirs for mine, theirs in scores), len(scores)


def _cell(value: object, signed: bool = False) -> str:
    figure = Figure.from_json(value)
    if figure.value is None:
        return f"– ({figure.reason})"
    form = "+.3f" if signed else ".3f"
    if figure.low is None:
        return format(figure.value, form)
    return f"{figure.value:{form}} [{figure.low:{form}}, {figure.high:{form}}]"
