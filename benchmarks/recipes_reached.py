"""When a recipe is calibrated, and which figures the recipes' benchmark aims at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import record
from recipes_plan import LONGER
from scoring import Pairs, both_classes, inside

from metaconf import metrics
from metaconf.rewards.recipes import OURS

ECE_REACHED = 0.06
"""Calibrated: AUROC of the answer's own probability, and an ECE of at most this."""


def reached(
    pieces: Sequence[Mapping[str, Any]], of_curve: Pairs, of_heldout: Pairs, recipe: str
) -> dict[str, record.Figure]:
    """Replies and seconds until calibrated, means over seeds: at the first look of the curve that
    says so, or at the end, when all the held-out questions are asked. A seed that does not get
    there counts with its whole budget, and the figure is then called a lower bound. The
    probability's confidences on the questions of the two are `of_curve` and `of_heldout`."""
    looks = [[row for row in piece["curve"] if "replies" in row] for piece in pieces]
    if not all(map(both_classes, (of_curve, of_heldout))) or not all(looks):
        return {}
    each = [*zip(looks, (inside(piece["rows"]) for piece in pieces), strict=True)]
    firsts = [_first(some, stated, _ranked(of_curve), of_heldout) for some, stated in each]
    bound = "" if all(firsts) else " (lower bound)"
    found: dict[str, record.Figure] = {}
    for unit in ("replies", "seconds"):
        spent = [(first or some[-1])[unit] for first, some in zip(firsts, looks, strict=True)]
        figure = record.figure(round(float(np.mean(spent)), 1), None, f"{unit}{bound}")
        found[f"{unit}_to_calibrated_{recipe}"] = figure
    return found


def _first(
    looks: Sequence[dict[str, float]], stated: Pairs, wanted: float, of_heldout: Pairs
) -> dict[str, float] | None:
    for row in looks:
        if row.get("heldout_auroc", 0.0) >= wanted and row["heldout_ece"] <= ECE_REACHED:
            return row
    both = {i: of_heldout[i] for i in stated.keys() & of_heldout.keys()}
    calibrated = metrics.ece(*_columns(stated)) <= ECE_REACHED
    return looks[-1] if calibrated and _ranked(stated) >= _ranked(both) else None


def _columns(stated: Pairs) -> tuple[np.ndarray, np.ndarray]:
    confidence, correctness = np.array(list(stated.values())).T
    return confidence, correctness


def _ranked(stated: Pairs) -> float:
    return metrics.auroc(*_columns(stated))


def aims(found: dict[str, record.Figure], trl: Path) -> dict[str, record.Figure]:
    """The same with the targets of what was measured, and our seconds until calibrated, if we got
    there, beside those of RLCR on plain TRL: on our trainer, over the ratio of one step in `trl`
    (trl_plain.json)."""
    value = {name: figure["value"] for name, figure in found.items()}
    long = LONGER if f"replies_to_calibrated_{LONGER}" in found else "rlcr"
    ours, rlcr = (found.get(f"seconds_to_calibrated_{name}") for name in (OURS, long))
    if ours and rlcr and "bound" not in ours["unit"] and trl.exists():
        step = json.loads(trl.read_text())["figures"]["step_ratio_rlcr"]["value"]
        bound = "x (upper bound)" if "bound" in rlcr["unit"] else "x"
        ratio = round(ours["value"] / (rlcr["value"] / step), 3)
        found = found | {"seconds_to_calibrated_ratio_trl": record.figure(ratio, None, bound)}
    limits: dict[str, tuple[str, Callable[[], float]]] = {
        f"auroc_{OURS}": (
            ">=",
            lambda: max(value["auroc_probability"] + 0.03, value["auroc_samples8"] + 0.05),
        ),
        f"accuracy_{OURS}": (">=", lambda: value["accuracy_rlvr"] - 0.01),
        f"ece_{OURS}": ("<=", lambda: 0.04),
        f"ece_ood_{OURS}": ("<=", lambda: value["ece_ood_start"]),
        "confidence_levels": (">=", lambda: 4),
        "brier_ratio_calibrated": ("<=", lambda: 0.95),
        "brier_ratio_probe": ("<=", lambda: 1.0),
        f"replies_to_calibrated_{OURS}": ("<=", lambda: value[f"replies_to_calibrated_{long}"] / 5),
        "seconds_to_calibrated_ratio_trl": ("<=", lambda: 0.25),
    }
    for name, (side, limit) in limits.items():
        with suppress(KeyError):  # what it is held against was not measured
            found = found | {name: found[name] | {"target": f"{side} {limit():.4g}"}}
    return found
