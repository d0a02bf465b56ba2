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
from metaconf.evaluation.tables import scored
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


class _Asked(NamedTuple):
    """The questions that all runs answered; those of them that OF_STATED is of, with their kinds;
    and whether every run has reflections that could be read."""

    shared: list[str]
    complete: list[str]
    kinds: list[str]
    read: bool


def compare(runs: Sequence[One], seed: int) -> dict[str, Any]:
    """Figures of each run and its paired differences to the first, as JSON.

    Questions that not all runs answered are left out and counted; `complete` are those that the
    confidence's figures are of. `wins` counts the families (or tasks) in which a run's Brier score
    is lower than the first's. Raises UserError where there is nothing to compare.
    """
    first, shared = runs[0], _shared(runs)
    complete = [i for i in shared if all(run.rows[i].complete for run in runs)]
    kinds = [first.rows[i].kind for i in complete]
    read = all(any(run.rows[i].reading is not None for i in shared) for run in runs)
    asked = _Asked(shared, complete, kinds, read)
    found = list[dict[str, Any]]()
    for run in runs:
        found.append({"run": run.name, "figures": figures_to_json(_figures(run, asked, seed))})
        if run is not first:
            found[-1]["differences"] = figures_to_json(_differences(run, first, asked, seed))
            found[-1]["wins"] = _wins(run.rows, first.rows, complete)
    left_out = [len(run.rows) - len(shared) for run in runs]
    counts = {"questions": len(shared), "complete": len(complete), "left_out": left_out}
    return {**counts, "runs": found}


def _figures(run: One, asked: _Asked, seed: int) -> dict[str, Figure]:
    stated = _scored(run.rows, asked.complete)
    read = reading_figures([run.rows[i] for i in asked.shared], seed) if asked.read else {}
    return {
        **summarise(*_scored(run.rows, asked.shared), OF_ALL, seed=seed),
        **summarise(*stated, OF_STATED, seed=seed),
        WITHIN: auroc_within_figure(stated, asked.kinds, seed=seed),
        **{name: figure for name, figure in read.items() if name in COMPARED},
    }


def _differences(run: One, first: One, asked: _Asked, seed: int) -> dict[str, Figure]:
    """The figures of `run` less those of `first`."""
    every = _scored(run.rows, asked.shared), _scored(first.rows, asked.shared)
    stated = _scored(run.rows, asked.complete), _scored(first.rows, asked.complete)
    rows = [run.rows[i] for i in asked.shared], [first.rows[i] for i in asked.shared]
    return {
        **paired_differences(*every, OF_ALL, seed=seed),
        **paired_differences(*stated, OF_STATED, seed=seed),
        WITHIN: auroc_within_difference(*stated, asked.kinds, seed=seed),
        **(reading_differences(*rows, seed) if asked.read else {}),
    }


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
    return scored([rows[i] for i in ids])


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
