"""The report's charts. Each function draws one figure; none touches pyplot or its global state.

Every series differs by dash or marker as well as by colour, so that charts survive grey printing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text

from metaconf.metrics import Bin, Figure, MethodResult
from metaconf.report import fonts
from metaconf.report.svg import AFTER, BEFORE, INK, LINE, MUTED, OTHERS

_MARKERS = "osD^vP"
_DASHES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2, 2, 2)))
_SMALL = 7.5


def colours(methods: Sequence[MethodResult]) -> dict[str, str]:
    """Colour by key: the first method (before) and the last (after) stand out."""
    middle = [OTHERS[i % len(OTHERS)] for i in range(max(0, len(methods) - 2))]
    order = [BEFORE, *middle, AFTER] if len(methods) > 1 else [AFTER]
    return {method.key: colour for method, colour in zip(methods, order, strict=False)}


def reliability(methods: Sequence[MethodResult], palette: dict[str, str]) -> Canvas:
    """Share of right answers against stated confidence, with intervals, above a histogram."""
    canvas = Canvas(figsize=(3.5, 3.95))
    top, bottom = canvas.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    top.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    for place, method in enumerate(methods):
        _points(top, method, palette[method.key], _MARKERS[place % len(_MARKERS)])
        _histogram(bottom, method.reliability, palette[method.key], filled=place > 0)
    if len(methods) == 1:
        _histogram(bottom, methods[0].reliability, palette[methods[0].key], filled=True)
    else:
        _legend(top, "upper left")
    top.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share right")
    bottom.set(xlabel="stated confidence", ylabel="share of\nreplies", ylim=(0, None))
    return _finish(canvas)


def risk_coverage(methods: Sequence[MethodResult], palette: dict[str, str]) -> Canvas:
    """Error among the answers kept, as the least confident are set aside."""
    canvas = Canvas(figsize=(5.6, 3.3))
    axes = canvas.subplots()
    for place, method in enumerate(reversed(methods)):
        if method.risk_coverage:
            coverage, risk = zip(*sorted(method.risk_coverage), strict=True)
            dash = _DASHES[place % len(_DASHES)]
            axes.plot(
                coverage, risk, color=palette[method.key], linestyle=dash, label=label(method.name)
            )
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="share of questions answered", ylabel="error")
    _legend(axes, "lower right")
    return _finish(canvas)


def curve(steps: Sequence[float], values: Sequence[float], name: str) -> Canvas:
    """One quantity over training steps: as logged (faint) and its running mean."""
    canvas = Canvas(figsize=(2.9, 1.8))
    axes = canvas.subplots()
    axes.plot(steps, values, color=AFTER, linewidth=0.8, alpha=0.4)
    axes.plot(steps, _running(values), color=AFTER, linewidth=1.6)
    axes.set(xlabel="step")
    axes.set_title(label(name), loc="left", fontsize=8.5, color=INK)
    return _finish(canvas)


def gaps(rows: Sequence[tuple[str, Figure, Figure]]) -> Canvas:
    """Per "kind=group", the share right (dot, 95 % interval) and the mean confidence (diamond)."""
    kinds = [name.partition("=")[0] for name, _, _ in rows]
    new = [place > 0 and kinds[place - 1] != kind for place, kind in enumerate(kinds)]
    places = [place + 0.6 * sum(new[: place + 1]) for place in range(len(rows))]
    canvas = Canvas(figsize=(5.6, 0.75 + 0.28 * (places[-1] + 1)))
    axes = canvas.subplots()
    for place, (_, accuracy, confidence) in zip(places, rows, strict=True):
        _gap(axes, place, accuracy, confidence)
    axes.scatter([], [], s=26, color=AFTER, marker="o", label="share right, 95 %")
    axes.scatter([], [], s=26, facecolor="none", edgecolor=INK, marker="D", label="mean confidence")
    axes.set_yticks(places, [label(group_name(name)) for name, _, _ in rows])
    axes.set(xlim=(-0.01, 1.01), ylim=(places[-1] + 0.5, -0.5))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=_SMALL)
    return _finish(canvas)


def group_name(name: str) -> str:
    """What a group "kind=value" is called in a chart; of a domain, "in" alone would say nothing."""
    kind, _, value = name.partition("=")
    return f"{kind}: {value}" if kind == "domain" and value else value or name


def label(text: str, width: int = 34) -> str:
    """Text fit for a chart: printable, and short. Names come from files and may hold anything."""
    drawn = fonts.in_chart(text)
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in drawn)
    return clean if len(clean) <= width else clean[: width - 1] + "…"


def _points(axes: Axes, method: MethodResult, colour: str, marker: str) -> None:
    known = [b for b in method.reliability if b.n and None not in (b.confidence, b.accuracy)]
    xs, ys = [b.confidence or 0.0 for b in known], [b.accuracy or 0.0 for b in known]
    for b in known:
        if b.accuracy_low is not None and b.accuracy_high is not None:
            axes.vlines(
                b.confidence or 0.0, b.accuracy_low, b.accuracy_high, colour, linewidth=1, alpha=0.7
            )
    axes.plot(xs, ys, color=colour, linewidth=0.8, alpha=0.6)
    axes.scatter(xs, ys, s=18, color=colour, marker=marker, zorder=3, label=label(method.name))


def _histogram(axes: Axes, bins: Sequence[Bin], colour: str, *, filled: bool) -> None:
    total = sum(b.n for b in bins) or 1
    shares, edges = [b.n / total for b in bins], [b.low for b in bins]
    if not bins:
        return
    axes.stairs(
        shares,
        [*edges, bins[-1].high],
        color=colour,
        fill=filled,
        alpha=0.55 if filled else 1,
        linewidth=1,
    )


def _gap(axes: Axes, place: float, accuracy: Figure, confidence: Figure) -> None:
    if accuracy.value is not None and confidence.value is not None:
        axes.hlines(place, accuracy.value, confidence.value, LINE, linewidth=4)
    if accuracy.low is not None and accuracy.high is not None:
        axes.hlines(place, accuracy.low, accuracy.high, AFTER, linewidth=1)
    if accuracy.value is not None:
        axes.scatter([accuracy.value], [place], s=26, color=AFTER, zorder=3)
    if confidence.value is not None:
        axes.scatter([confidence.value], [place], s=26, facecolor="none", edgecolor=INK, marker="D")


def _running(values: Sequence[float]) -> list[float]:
    """Mean over a centred window of about a tenth of the run."""
    half = max(1, len(values) // 20)
    windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _legend(axes: Axes, place: Literal["upper left", "lower right"]) -> None:
    axes.legend(loc=place, frameon=False, fontsize=_SMALL, handlelength=2.4, borderaxespad=0.2)


def _finish(canvas: Canvas) -> Canvas:
    canvas.patch.set_alpha(0)
    for axes in canvas.axes:
        axes.patch.set_alpha(0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LINE)
        axes.tick_params(color=LINE, labelcolor=MUTED, labelsize=_SMALL, length=3)
        axes.xaxis.label.set(color=MUTED, fontsize=8)
        axes.yaxis.label.set(color=MUTED, fontsize=8)
        if legend := axes.get_legend():
            for text in legend.get_texts():
                text.set_color(INK)
    for text in canvas.findobj(Text):
        # A name such as "m$^{" must stay a name and not become mathematics.
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]
    # Laid out once, not again for each of the files that are written.
    canvas.set_layout_engine("constrained")
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    return canvas
