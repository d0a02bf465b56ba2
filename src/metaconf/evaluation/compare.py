"""`metaconf compare A B …`: runs on the same questions side by side, the others minus the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metaconf.decide.replies import Row, read
from metaconf.errors import UserError
from metaconf.metrics import Figure, Run, brier, paired_differences, summarise

NAMES = ("accuracy", "mean_confidence", "ece", "brier", "auroc", "aurc")


def compare(paths: Sequence[Path], system: str | None, seed: int) -> dict[str, Any]:
    """Figures of each run and its paired differences to the first, as JSON.

    `paths` are folders of `metaconf evaluate` or files of replies. Questions that not all runs
    answered are left out and counted. `wins` counts the families in which a run's Brier score is
    lower than the first's. Raises UserError where there is nothing to compare.
    """
    if len(paths) < 2:
        raise UserError("one run alone: give at least two to compare")
    runs = [_by_question(path, system) for path in paths]
    shared = sorted(set.intersection(*(set(run) for run in runs)))
    if not shared:
        raise UserError(f"{paths[0]} and the others have no question in common")
    first, found = _run(runs[0], shared), list[dict[str, Any]]()
    for path, run in zip(paths, runs, strict=True):
        own = _run(run, shared)
        one: dict[str, Any] = {"run": str(path), "figures": summarise(*own, NAMES, seed=seed)}
        if run is not runs[0]:
            differences = paired_differences(own, first, NAMES, seed=seed)
            one |= {"differences": differences, "wins": _wins(run, runs[0], shared)}
        found.append(one)
    left_out = [len(run) - len(shared) for run in runs]
    return {"questions": len(shared), "left_out": left_out, "runs": found}


def markdown(compared: dict[str, Any]) -> str:
    """The comparison as a Markdown table: each figure, below it the difference to the first."""
    lines = [f"{compared['questions']} questions; left out of each run: {compared['left_out']}", ""]
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
    """Families in which `run` has the lower Brier score, and families in which both have one."""
    families: dict[str, list[str]] = {}
    for i in ids:
        if all(_complete(rows[i]) for rows in (run, first)):
            families.setdefault(str(first[i].get("family")), []).append(i)
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
