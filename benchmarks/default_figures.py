"""The figures of the default benchmark, from what its seeds measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import record
from scoring import (
    graded,
    in_domain,
    mean_confidence,
    mean_right,
    over_seeds,
    pairs,
    scores,
    well_formed,
)

from metaconf import metrics
from metaconf.evaluation.rows import EvaluatedReply

STAGES = ("stage1", "stage2")


def figures(runs: Sequence[dict[str, Any]]) -> dict[str, record.Figure]:
    """The figures of the record, from the seeds' measurements."""
    rows: dict[str, list[list[EvaluatedReply]]] = {}
    for run in runs:
        for key, found in run["rows"].items():
            rows.setdefault(key, []).append([EvaluatedReply.from_json(one) for one in found])
    inside = {key: [pairs(in_domain(r)) for r in found] for key, found in rows.items()}
    outside = {
        key: [pairs([r for r in f if r.split == "ood"]) for f in rows[key]] for key in STAGES
    }
    probes = {
        name: [{i: (c, y) for i, c, y in run["probes"][name]} for run in runs]
        for name in ("probe", "probe_samples")
    }
    formats = [well_formed(in_domain(r)) for r in rows["stage2"]]
    found = {"format_rate": over_seeds(formats, mean_right)}
    for name, key in (("base", "probability"), ("stage1", "stage1"), ("stage2", "stage2")):
        found[f"accuracy_{name}"] = over_seeds(
            [graded(in_domain(r)) for r in rows[key]], mean_right
        )
    for key in ("asked", "samples8", "stage1", "stage2"):
        found |= scores(key, inside[key])
    found |= scores("probability", inside["probability_calibrated"])
    # Of the raw probability: isotonic ties only lose rank.
    found["auroc_probability"] = over_seeds(inside["probability"], metrics.auroc)
    for key, kept in probes.items():
        found |= scores(key, kept)
    for key in ("without_reflection", "swapped_reflection"):
        found[f"auroc_{key}"] = over_seeds(inside[key], metrics.auroc)
    for key in STAGES:
        found[f"ece_ood_{key}"] = over_seeds(outside[key], metrics.ece)
        found[f"auroc_ood_{key}"] = over_seeds(outside[key], metrics.auroc)
    for key in ("invented", "unknowable"):
        if key in inside:
            found[f"confidence_{key}"] = over_seeds(inside[key], mean_confidence)
            found[f"accuracy_{key}"] = over_seeds(inside[key], mean_right)
    found |= _reflection_figures(runs)
    found["levels_stage2"] = over_seeds(inside["stage2"], lambda c, _: metrics.effective_levels(c))
    return {name: value | _target(name, found) for name, value in found.items()}


def _reflection_figures(runs: Sequence[dict[str, Any]]) -> dict[str, record.Figure]:
    """Means over seeds of the reflection figures; the interval spans the seeds' own intervals."""
    found: dict[str, record.Figure] = {}
    for name in runs[0]["reflections"]:
        each = [run["reflections"][name] for run in runs]
        if any(one["value"] is None for one in each):
            continue
        bounds = [float(np.mean([one[side] for one in each])) for side in ("low", "high")]
        found[name] = record.figure(round(float(np.mean([o["value"] for o in each])), 4), bounds)
    return found


def _target(name: str, found: dict[str, record.Figure]) -> dict[str, str]:
    """The target that issue and design set for a figure."""
    fixed = {
        "format_rate": ">= 0.99",
        "accuracy_stage2": f">= {found['accuracy_base']['value'] - 0.015:.4f}",
        "ece_stage2": "<= 0.06",
        "auroc_stage2": ">= 0.78",
        "cause_named": ">= 0.85",
        "alternatives_precision_difference": "> 0",
        "confidence_invented": "<= 0.2",
        "confidence_unknowable": "<= 0.2",
    }
    return {"target": fixed[name]} if name in fixed else {}
