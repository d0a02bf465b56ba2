"""Draw the README's architecture figure: the records, and the rooms that make them.

    python figures/architecture.py            # writes docs/figures/architecture.svg

Drawn by a program so that it can be changed with the code; the same input gives the same bytes.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, MUTED, LINE = "#1f2933", "#5f6b7a", "#9aa5b1"
RECORD, ROOM, RESULT = "#dbe9f6", "#f3f4f6", "#fde8c8"
WIDTH, HEIGHT = 12.0, 6.1
OUT = Path(__file__).parent.parent / "docs" / "figures" / "architecture.svg"


class Box(NamedTuple):
    """A box by its centre and size, in inches of the figure."""

    x: float
    y: float
    width: float
    height: float
    title: str
    detail: str
    colour: str


BOXES = {
    "question": Box(
        1.25, 3.9, 1.9, 1.0, "Question", "prompt, targets,\ncause, familiarity", RECORD
    ),
    "reply": Box(3.6, 3.9, 1.9, 1.0, "Reply", "text, sample,\nstatus", RECORD),
    "parsed": Box(5.95, 3.9, 1.9, 1.0, "Parsed", "answer, reflection,\nconfidence, spans", RECORD),
    "grade": Box(8.3, 3.9, 1.9, 1.0, "Grade", "correctness | none,\nquality | none", RECORD),
    "reward": Box(10.65, 3.9, 1.9, 1.0, "Reward", "total | none,\nnamed parts", RECORD),
    "questions": Box(1.25, 5.45, 1.9, 0.85, "embedded/  data/", "GeoNames, or your own", ROOM),
    "engines": Box(3.6, 5.45, 1.9, 0.85, "generation/", "any model, k samples", ROOM),
    "parser": Box(5.95, 5.45, 1.9, 0.85, "reply", "one parser, never raises", ROOM),
    "graders": Box(8.3, 5.45, 1.9, 0.85, "grading/", "training = evaluation", ROOM),
    "rewards": Box(10.65, 5.45, 1.9, 0.85, "rewards/", "pure functions", ROOM),
    "metrics": Box(2.1, 1.95, 2.1, 0.95, "metrics/", "ECE, Brier, AUROC\nwith intervals", ROOM),
    "stage1": Box(
        8.0, 1.95, 1.9, 0.95, "training/  stage 1", "learn confidence and\nreflection (SFT)", ROOM
    ),
    "stage2": Box(
        10.65, 1.95, 1.9, 0.95, "training/  stage 2", "reward and exact score\n(GRPO)", ROOM
    ),
    "report": Box(2.1, 0.5, 2.1, 0.7, "report/", "one HTML file", RESULT),
    "model": Box(10.35, 0.5, 2.5, 0.7, "model", "answer, reflection, confidence", RESULT),
}
MAKES = [("questions", "question"), ("engines", "reply"), ("parser", "parsed")]
MAKES += [("graders", "grade"), ("rewards", "reward")]
FLOW = ["question", "reply", "parsed", "grade", "reward"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    matplotlib.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "metaconf"})
    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    draw(axes)
    metadata = {"Date": None} if out.suffix == ".svg" else None
    figure.savefig(out, metadata=metadata, dpi=110)


def draw(axes: Axes) -> None:
    for box in BOXES.values():
        draw_box(axes, box)
    for room, record in MAKES:
        arrow(axes, bottom(room), top(record), colour=LINE)
    for left, right in pairwise(FLOW):
        arrow(axes, side(left, 1), side(right, -1))
    arrow(axes, bottom("grade"), top("stage1", 0.3), "samples, grades")
    arrow(axes, bottom("reward"), top("stage2"), "advantages")
    arrow(axes, side("stage1", 1), side("stage2", -1), "start")
    arrow(axes, bottom("stage2"), top("model", 0.3))
    arrow(axes, bottom("metrics"), top("report"))
    join(axes)
    axes.text(4.75, 2.85, "replies.jsonl, grades.jsonl", color=MUTED, fontsize=8.5, ha="center")
    axes.text(2.425, 4.62, "one JSONL a step", color=MUTED, fontsize=8.5, ha="center")


def join(axes: Axes) -> None:
    """The elbow that takes replies and grades to the metrics, clear of the stages."""
    y = 3.1
    for record in ("reply", "grade"):
        start = bottom(record, 0 if record == "reply" else -0.6)
        axes.plot([start[0], start[0]], [start[1], y], color=INK, linewidth=1.2)
    right = bottom("grade", -0.6)[0]
    axes.plot([BOXES["metrics"].x, right], [y, y], color=INK, linewidth=1.2)
    arrow(axes, (BOXES["metrics"].x, y), top("metrics"))


def draw_box(axes: Axes, box: Box) -> None:
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    style = "round,pad=0,rounding_size=0.09"
    axes.add_patch(
        FancyBboxPatch(
            corner, box.width, box.height, boxstyle=style, facecolor=box.colour, edgecolor=LINE
        )
    )
    top_line = box.y + box.height / 2 - 0.24
    axes.text(
        box.x, top_line, box.title, ha="center", va="center", color=INK, weight="bold", size=10
    )
    middle = (top_line - 0.12 + box.y - box.height / 2) / 2
    axes.text(box.x, middle, box.detail, ha="center", va="center", color=MUTED, size=8.5)


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    label: str = "",
    colour: str = INK,
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=colour, shrinkA=0, shrinkB=1
        )
    )
    if label:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        level = start[1] == end[1]
        axes.text(
            x if level else x + 0.12,
            y + 0.08 if level else y,
            label,
            color=MUTED,
            size=8.5,
            ha="center" if level else "left",
            va="bottom" if level else "center",
        )


def top(name: str, shift: float = 0.0) -> tuple[float, float]:
    box = BOXES[name]
    return box.x + shift, box.y + box.height / 2


def bottom(name: str, shift: float = 0.0) -> tuple[float, float]:
    box = BOXES[name]
    return box.x + shift, box.y - box.height / 2


def side(name: str, sign: int) -> tuple[float, float]:
    box = BOXES[name]
    return box.x + sign * box.width / 2, box.y


if __name__ == "__main__":
    main()
