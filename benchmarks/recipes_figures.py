"""Figures of the recipes' benchmark, from the rows and curves that its pieces left."""

from __future__ import annotations

import gzip
import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import record
import scoring
from recipes_reached import reached
from scoring import Pairs

from metaconf import metrics
from metaconf.errors import UserError
from metaconf.evaluation.reader import Read
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.rewards.recipes import OURS


def kept(keep: Path, start: str, recipe: str, seed: int) -> Path:
    """Where the measurements of one recipe with one seed from one start are kept."""
    return keep / start / f"{recipe}-{seed}.json.gz"


def write(path: Path, measured: Mapping[str, Any]) -> None:
    """Keep a piece's measurements in one step; the same ones are the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(measured, allow_nan=False, sort_keys=True)
    partial = path.with_name(f".{path.name}")
    partial.write_bytes(gzip.compress(text.encode(), mtime=0))
    partial.replace(path)


def read(path: Path, decided: Mapping[str, Any]) -> dict[str, Any]:
    """What a piece measured. Raises UserError where something else decided it."""
    found = json.loads(gzip.decompress(path.read_bytes()))
    if found["plan"] != decided:
        raise UserError(f"{path}: was measured by another plan; give another --keep")
    return found


def read_seeds(
    keep: Path, decides: Callable[[str, int], Mapping[str, Any]], recipe: str, seeds: Sequence[int]
) -> dict[int, Any]:
    """What was measured of a recipe's seeds. Raises UserError as `read`."""
    found: dict[int, Any] = {}
    for seed in seeds:
        path = kept(keep, "start", recipe, seed)
        if path.exists():
            found[seed] = read(path, decides(recipe, seed))
            found[seed]["rows"] = [EvaluatedReply.from_json(one) for one in found[seed]["rows"]]
    return found


def figures(
    keep: Path,
    decides: Callable[[str, int], Mapping[str, Any]],
    recipes: Sequence[str],
    seeds: Sequence[int],
    base: Mapping[str, list[EvaluatedReply]],
) -> dict[str, record.Figure]:
    """The figures of what was measured so far. `decides` gives what decides the piece of a recipe
    and seed (`recipes.decided`); `base` as `recipes.base_rows` gives it."""
    found = _of_base(base)
    names = dict.fromkeys((OURS, "start", *recipes))
    all_pieces = {name: read_seeds(keep, decides, name, seeds) for name in names}
    own, before = all_pieces[OURS], all_pieces["start"]
    ours = _rows(own)
    found |= _read_more(own, before, "reader_gain_difference")
    found |= _named_more(own, before)
    found |= _beside(own, base["calibrated"])
    sides = scoring.inside(base["curve"]), scoring.inside(base["probability"])
    for recipe in ("start", *recipes):
        pieces = all_pieces[recipe]
        if not pieces:
            continue
        runs = _rows(pieces)
        found |= _of_runs(list(runs.values()), recipe)
        if recipe != OURS and ours:
            found |= _difference(runs, ours, recipe)
        found |= _read(pieces, recipe)
        if recipe != "start":
            found |= reached([*pieces.values()], *sides, recipe)
        if recipe == OURS:
            mean = float(np.mean([piece["tokens"] for piece in pieces.values()]))
            found["tokens_reply"] = record.figure(round(mean, 1), None, "tokens")
    return found


def _rows(pieces: Mapping[int, Any]) -> dict[int, list[EvaluatedReply]]:
    return {seed: piece["rows"] for seed, piece in pieces.items()}


def _of_base(rows: Mapping[str, list[EvaluatedReply]]) -> dict[str, record.Figure]:
    found: dict[str, record.Figure] = {}
    for key in ("probability", "calibrated", "samples8"):
        for name in ("auroc", "brier"):
            found |= _scored(f"{name}_{key}", [scoring.inside(rows[key])], scoring.SCORES[name])
    if rows["samples8"]:
        mean = float(np.mean([row.tokens or 0 for row in rows["samples8"]]))
        found["tokens_samples8"] = record.figure(round(mean, 1), None, "tokens")
    return found


def _of_runs(runs: Sequence[list[EvaluatedReply]], recipe: str) -> dict[str, record.Figure]:
    stated = [scoring.inside(rows) for rows in runs]
    graded = [scoring.graded(scoring.in_domain(rows)) for rows in runs]
    found = _scored(f"accuracy_{recipe}", graded, scoring.mean_right)
    for name, score in scoring.SCORES.items():
        found |= _scored(f"{name}_{recipe}", stated, score)
    levels = "confidence_levels" if recipe == OURS else f"levels_{recipe}"
    found |= _scored(levels, stated, lambda c, _: metrics.effective_levels(c))
    outside = [scoring.pairs([r for r in rows if r.split == "ood"]) for rows in runs]
    found |= _scored(f"ece_ood_{recipe}", outside, metrics.ece)
    formats = [scoring.well_formed(rows) for rows in runs]
    return found | _scored(f"format_{recipe}", formats, scoring.mean_right)


def _scored(name: str, runs: Sequence[Pairs], score: scoring.Score) -> dict[str, record.Figure]:
    """The figure over seeds, or none where a seed has not two questions or one class alone."""
    if len(scoring.shared(runs)) < 2 or (
        score is metrics.auroc and not all(scoring.both_classes(r) for r in runs)
    ):
        return {}
    return {name: scoring.over_seeds(runs, score)}


def _difference(
    runs: Mapping[int, list[EvaluatedReply]], ours: Mapping[int, list[EvaluatedReply]], recipe: str
) -> dict[str, record.Figure]:
    """Brier score of the recipe less ours."""
    figure = _apart(runs, ours)
    return {f"brier_difference_{recipe}": figure | {"target": "> 0"}} if figure else {}


def _apart(
    runs: Mapping[int, list[EvaluatedReply]], others: Mapping[int, list[EvaluatedReply]]
) -> record.Figure | None:
    """Brier score of the first less that of the others, over questions that both stated a
    confidence for in all seeds that both have."""
    both = sorted(runs.keys() & others.keys())
    pairs = [[scoring.inside(side[seed]) for seed in both] for side in (runs, others)]
    if len(scoring.shared([*pairs[0], *pairs[1]])) < 2:
        return None
    return scoring.apart_over_seeds(pairs[0], pairs[1], metrics.brier)


Gains = list[dict[str, float]]
"""For each seed, by question id: what the reflection takes off the reader's squared error."""


def _gains(pieces: Iterable[Mapping[str, Any]], reflection: str) -> Gains:
    """`reflection` is a field of `reader.Read`: "with_reflection", the own one, or "swapped"."""
    found: Gains = []
    for piece in pieces:
        read = {i: Read(*values) for i, values in piece["read"].items()}
        found.append(
            {
                i: (r.without - r.correctness) ** 2 - (getattr(r, reflection) - r.correctness) ** 2
                for i, r in read.items()
            }
        )
    return found


def _read(pieces: Mapping[int, Any], recipe: str) -> dict[str, record.Figure]:
    """What the reflections of a recipe tell the reader, and what swapped ones do."""
    found: dict[str, record.Figure] = {}
    for name, reflection in (("", "with_reflection"), ("_swapped", "swapped")):
        gains = _gains(pieces.values(), reflection)
        found |= _scored(f"reader_gain{name}_{recipe}", _paired(gains), scoring.mean_right)
    return found


def _read_more(
    ours: Mapping[int, Any], others: Mapping[int, Any], name: str
) -> dict[str, record.Figure]:
    """What our reflections tell the reader more than the start's, by question and
    seed."""
    both = sorted(ours.keys() & others.keys())
    pairs = [_gains((ours[s], others[s]), "with_reflection") for s in both]
    apart = [{i: own[i] - before[i] for i in own.keys() & before.keys()} for own, before in pairs]
    found = _scored(name, _paired(apart), scoring.mean_right)
    return {name: figure | {"target": "> 0"} for name, figure in found.items()}


NAMED = ("alternatives_precision", "alternatives_covered")
"""The two values by question of `recipes_measured.named_answers`."""


def _named_more(ours: Mapping[int, Any], start: Mapping[int, Any]) -> dict[str, record.Figure]:
    """How often the answers that reflections name are the model's own, ours and the start's, and
    how much more ours are; over the questions whose replies have a reflection in all of them."""
    shared = sorted(ours.keys() & start.keys())
    both = [seed for seed in shared if "named" in ours[seed] and "named" in start[seed]]
    found: dict[str, record.Figure] = {}
    for place, name in enumerate(NAMED):
        own, before = ([_known(side[s]["named"], place) for s in both] for side in (ours, start))
        if not all(_some_known(run) for run in (*own, *before)) or not both:
            continue
        found[f"{name}_{OURS}"] = scoring.over_seeds(own, scoring.mean_known)
        found[f"{name}_start"] = scoring.over_seeds(before, scoring.mean_known)
        apart = scoring.apart_over_seeds(own, before, scoring.mean_known)
        found[f"{name}_difference"] = apart | {"target": "> 0"}
    return found


def _known(values: Mapping[str, Sequence[float | None]], place: int) -> Pairs:
    found = {i: value[place] for i, value in values.items()}
    return {i: (0.0, np.nan if value is None else value) for i, value in found.items()}


def _some_known(run: Pairs) -> bool:
    """So many that a resample without any does not happen."""
    return sum(not np.isnan(value) for _, value in run.values()) >= 15


def _beside(ours: Mapping[int, Any], calibrated: list[EvaluatedReply]) -> dict[str, record.Figure]:
    """Our Brier score over that of the answer's own recalibrated probability, and over that of a
    probe on the base's hidden state with the same labels; and the latter's scores."""
    probes = [dict(p["probe"]) for p in ours.values() if "probe" in p]
    stated = [scoring.inside(piece["rows"]) for piece in ours.values()]
    found: dict[str, record.Figure] = {}
    for name, others in (
        ("calibrated", [scoring.inside(calibrated)] * len(stated)),
        ("probe", probes),
    ):
        if stated and len(others) == len(stated) and all(map(scoring.both_classes, others)):
            ratio = scoring.apart_over_seeds(stated, others, metrics.brier, operator.truediv)
            found[f"brier_ratio_{name}"] = ratio | {"unit": "x"}
    for name in ("auroc", "brier"):
        found |= _scored(f"{name}_probe", probes, scoring.SCORES[name])
    return found


def _paired(runs: Gains) -> list[Pairs]:
    return [{i: (0.0, gain) for i, gain in run.items()} for run in runs]
