"""`metaconf compare A B …`: runs on the same questions side by side, the others minus the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metaconf.decide.replies import Row, read
from metaconf.errors import UserError
from metaconf.metrics import Figure, Run, brier, paired_differences, summarise

OF_ALL = ("parse_rate", "graded_rate", "accuracy")
"""Figures of every shared question."""
OF_STATED = ("mean_confidence", "ece", "brier", "auroc", "aurc")
"""Those of the questions on which each run states a confidence and is graded: on others silence
where it is unsure would be a gain."""
NAMES = (*OF_ALL, *OF_STATED)


def compare(paths: Sequence[Path], system: str | None, seed: int) -> dict[str, Any]:
    """Figures of each run and its paired differences to the first, as JSON.

    `paths` are folders of `metaconf evaluate` or files of replies. Questions that not all runs
    answered are left out and counted; `complete` are those that the confidence's figures are of.
    `wins` counts the families (or tasks) in which a run's Brier score is
    lower than the first's. Raises UserError where there is nothing to compare.
    """
    if len(paths) < 2:
        raise UserError("one run alone: give at least two to compare")
    runs = [_by_question(path, system) for path in paths]
    shared = sorted(set.intersection(*(set(run) for run in runs)))
    if not shared:
        raise UserError(f"{paths[0]} and the others have no question in common")
    complete = [i for i in shared if all(_complete(run[i]) for run in runs)]
    parts = ((OF_ALL, shared), (OF_STATED, complete))
    found = list[dict[str, Any]]()
    for path, run in zip(paths, runs, strict=True):
        one: dict[str, Any] = {"run": str(path), "figures": {}}
        for names, ids in parts:
            one["figures"] |= summarise(*_run(run, ids), names, seed=seed)
        if run is not runs[0]:
            one |= {"differences": {}, "wins": _wins(run, runs[0], complete)}
            for names, ids in parts:
                pair = _run(run, ids), _run(runs[0], ids)
                one["differences"] |= paired_differences(*pair, names, seed=seed)
        found.append(one)
    left_out = [len(run) - len(shared) for run in runs]
    counts = {"questions": len(shared), "complete": len(complete), "left_out": left_out}
    return {**counts, "runs": found}


def markdown(compared: dict[str, Any]) -> str:
    """The comparison as a Markdown table: each figure, below it the difference to the first."""
    told = (
        f"{compared['questions']} questions; left out of each run: {compared['left_out']}. From"
        f" {OF_STATED[0]} on: the {compared['complete']} on which every run states a confidence and"
        " is graded."
    )
    lines = [told, ""]
    lines += [f"| run | {' | '.join(NAMES)} | families won |", "|---" * (len(NAMES) + 2) + "|"]
    for run in compared["runs"]:
        cells = [_cell(run["figures"][name]) for name in NAMES]
        lines.append(f"| {run['run']} | {' | '.join(cells)} | |")
        if "differences" in run:
            cells = [_cell(run["differences"][name], signed=True) for name in NAMES]
            won, families = run["wins"]
            lines.append(f"| − first | {' | '.join(cells)} | {won} of {families} |")
    return "\n".join(lines)


def _by_question(path: Path, system: str | None) -> dict[str, Row]:
    file = path / "replies.jsonl" if path.is_dir() else path
    rows = read(file, system)
    found = {str(row["question_id"]): row for row in rows}
    if len(found) < len(rows):
        raise UserError(f"{file}: has several replies to one question; keep one of each")
    return found


def _run(rows: dict[str, Row], ids: Sequence[str]) -> Run:
    pairs = [(rows[i]["confidence"], rows[i].get("correctness")) for i in ids]
    return Run([c for c, _ in pairs], [y for _, y in pairs], ids)


def _wins(run: dict[str, Row], first: dict[str, Row], ids: Sequence[str]) -> tuple[int, int]:
    """Families (or tasks) in which `run` has the lower Brier score, and how many there are."""
    families: dict[str, list[str]] = {}
    for i in ids:
        kind = first[i].get("family") or first[i].get("task")
        families.setdefault(str(kind), []).append(i)
    scores = [
        [brier(*_run(rows, members)[:2]) for rows in (run, first)]  # pyright: ignore
        for members in families.values()
    ]
    return sum(mine < theirs for mine, theirs in scores), len(scores)


def _complete(row: Row) -> bool:
    return row["confidence"] is not None and row.get("correctness") is not None


def _cell(figure: Figure, signed: bool = False) -> str:
    if figure["value"] is None:
        return f"– ({figure['reason']})"
    form = "+.3f" if signed else ".3f"
    if figure["low"] is None:
        return format(figure["value"], form)
    return f"{figure['value']:{form}} [{figure['low']:{form}}, {figure['high']:{form}}]"
