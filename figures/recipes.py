"""Draw how soon each recipe calibrates: held-out scores against graded replies.

    python figures/recipes.py            # writes docs/figures/recipes.svg

From what benchmarks/recipes.py kept (benchmarks/results/recipes), means over the seeds that
all recipes have.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "benchmarks" / "results" / "recipes" / "start"
OUT = ROOT / "docs" / "figures" / "recipes.svg"
PANELS = {"auroc": "AUROC (higher is better)", "brier": "Brier score (lower is better)"}
PANELS |= {"ece": "ECE (lower is better)"}
OURS, INK, MUTED = "metaconf", "#1f2933", "#5f6b7a"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", "--", ":")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=Path, default=KEPT)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    found = curves(arguments.kept)
    if not found:
        raise SystemExit(f"{arguments.kept}: no recipe was run yet; run benchmarks/recipes.py")
    matplotlib.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "metaconf"})
    figure = Figure(figsize=(12, 4.2), facecolor="white")
    for place, (score, label) in enumerate(PANELS.items()):
        axes = figure.add_subplot(1, len(PANELS), place + 1)
        draw(axes, found, score, label)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=5, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    metadata = {"Date": None} if arguments.out.suffix == ".svg" else None
    figure.savefig(arguments.out, metadata=metadata, dpi=110)


def curves(kept: Path) -> dict[str, list[dict[str, float]]]:
    """Recipe → held-out rows by step, means over the seeds that all of them have; ours is last."""
    seeds: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for path in sorted(kept.glob("*.json.gz")):
        recipe, _, seed = path.name.partition(".")[0].rpartition("-")
        rows = json.loads(gzip.decompress(path.read_bytes()))["curve"]
        measured = [row for row in rows if "heldout_n" in row]
        # Parts of ours have no column of their own, and RLCR for longer would squeeze all others.
        if measured and not recipe.startswith("ours") and not recipe.endswith("-longer"):
            seeds.setdefault(recipe, {})[seed] = measured
    names = sorted(seeds, key=lambda name: (name == OURS, name))
    shared = sorted(set.intersection(*map(set, seeds.values()))) if seeds else []
    found = {name: _means([seeds[name][seed] for seed in shared]) for name in names if shared}
    if OURS in found and len(names) > 1:  # the start is all recipes'; ours is measured after labels
        found[OURS].insert(0, found[names[0]][0])
    return found


def _means(seeds: Sequence[list[dict[str, Any]]]) -> list[dict[str, float]]:
    """Row by row; a score that one seed lacks (no confidence was stated) is left out of it."""
    return [
        {
            name: float(np.mean([row[name] for row in rows if name in row]))
            for name in {key for row in rows for key in row}
        }
        for rows in zip(*seeds, strict=False)
    ]


def draw(axes: Axes, found: dict[str, list[dict[str, float]]], score: str, label: str) -> None:
    for place, (recipe, rows) in enumerate(found.items()):
        known = [row for row in rows if f"heldout_{score}" in row]
        ours = recipe == OURS
        axes.plot(
            [row["replies"] for row in known],
            [row[f"heldout_{score}"] for row in known],
            color=INK if ours else COLOURS[place % len(COLOURS)],
            linestyle="-" if ours else DASHES[place // len(COLOURS)],
            linewidth=3 if ours else 1.4,
            label=recipe,
        )
    axes.set_title(label, fontsize=10, color=INK)
    axes.set_xlabel("graded replies", fontsize=9, color=MUTED)
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
