"""Puts a run's report together: draws, packs, renders, and writes it in one step."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text

from metaconf.files import replacing, write_text
from metaconf.metrics import MethodResult
from metaconf.report import charts, fonts, view
from metaconf.report.load import Run, load_run
from metaconf.report.pack import Packed, pack
from metaconf.report.svg import inline
from metaconf.safe_text import clean_text


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn figure: its element for the page, what it is called, its file's stem, and names
    that stand in it as numbers."""

    svg: Markup
    title: str
    stem: str
    names: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Charts:
    """All drawn figures of a run, by their place in the page; absent ones are empty."""

    overlay: Chart | None
    reliability: dict[str, Chart]
    risk: Chart | None
    gaps: Chart | None
    curves: dict[str, list[Chart]]


def write_report(run: Path) -> Path:
    """Write `run`/report.html and `run`/figures/*.svg and *.png; return the report's path.

    Reads metrics.json, replies.jsonl and curves.json, of which one of the first two must be there.
    The same files give the same bytes. Raises UserError for a broken or missing file.
    """
    content = load_run(run)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rc("svg", hashsalt="metaconf")
        matplotlib.rc("font", size=8)
        matplotlib.rc("lines", linewidth=1.6)
        with fonts.named(_names(content)):
            drawn = _draw(content, run / "figures")
    packed = pack(content.replies, {method.key: method.name for method in content.methods})
    return _write(run / "report.html", _render(content, drawn, packed))


def _names(run: Run) -> Iterator[str]:
    """All names that stand in charts."""
    yield from (method.name for method in run.methods)
    for rows in run.curves.values():
        yield from (name for row in rows for name in row)
    if run.methods:
        for name, _, _ in view.gap_rows(run.methods[-1]):
            yield charts.group_name(name)


def _draw(run: Run, folder: Path) -> Charts:
    folder.mkdir(parents=True, exist_ok=True)
    palette = charts.colours(run.methods)
    stems = dict(zip((s.key for s in run.methods), _stems(s.key for s in run.methods), strict=True))
    shown = [method for method in run.methods if method.reliability]
    gaps = view.gap_rows(run.methods[-1]) if run.methods else []
    return Charts(
        overlay=_overlay(run.methods, palette, folder),
        reliability={
            method.key: _save(
                charts.reliability([method], palette),
                folder,
                f"reliability-{stems[method.key]}",
                f"Reliability diagram, {method.name}",
            )
            for method in shown
        },
        risk=_risk(run.methods, palette, folder),
        gaps=_save(charts.gaps(gaps), folder, "groups", "Confidence and truth by group")
        if gaps
        else None,
        curves={stage: list(_curves(stage, rows, folder)) for stage, rows in run.curves.items()},
    )


def _overlay(
    methods: Sequence[MethodResult], palette: dict[str, str], folder: Path
) -> Chart | None:
    pair = [methods[0], methods[-1]] if len(methods) > 1 else list(methods)
    pair = [method for method in pair if method.reliability]
    if not pair:
        return None
    title = "Reliability, " + " and ".join(method.name for method in pair)
    return _save(charts.reliability(pair, palette), folder, "reliability", title)


def _risk(methods: Sequence[MethodResult], palette: dict[str, str], folder: Path) -> Chart | None:
    if not any(method.risk_coverage for method in methods):
        return None
    canvas = charts.risk_coverage(methods, palette)
    return _save(canvas, folder, "risk-coverage", "Risk–coverage curves")


def _curves(stage: str, rows: Sequence[dict[str, float]], folder: Path) -> Iterator[Chart]:
    keys = dict.fromkeys(key for row in rows for key in row)
    names = [name for name in keys if name not in ("step", "epoch")]  # an epoch is a step as well
    for name, stem in zip(names, _stems(names), strict=True):
        points = [
            (row.get("step", float(i)), row[name]) for i, row in enumerate(rows, 1) if name in row
        ]
        steps, values = [step for step, _ in points], [value for _, value in points]
        title = f"{name} over {stage}, from {values[0]:.3g} to {values[-1]:.3g}"
        canvas = charts.curve(steps, values, name)
        yield _save(canvas, folder, f"curve-{file_stem(stage)}-{stem}", title)


def _save(canvas: Canvas, folder: Path, stem: str, title: str) -> Chart:
    """Write <stem>.svg (outlined text) and <stem>.png; return the chart for the page."""
    metadata = {"Date": None, "Creator": None}
    canvas.savefig(folder / f"{stem}.svg", metadata=metadata)
    canvas.savefig(folder / f"{stem}.png", dpi=200, facecolor="white", metadata={"Software": None})
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        canvas.savefig(text, format="svg", metadata=metadata)
    names = fonts.key(one.get_text() for one in canvas.findobj(Text))  # pyright: ignore
    _write_key(folder / f"{stem}.txt", names)
    svg = Markup(inline(text.getvalue(), stem, charts.label(title, 200)))
    return Chart(svg, title, stem, names)


def _write_key(path: Path, names: Sequence[tuple[str, str]]) -> None:
    """What numbers in a chart's files stand for, beside them."""
    lines = [f"{number} {clean_text(' '.join(name.split()))}\n" for number, name in names]
    if lines:
        write_text(path, "".join(lines))
    else:
        path.unlink(missing_ok=True)


def file_stem(text: str) -> str:
    """`text` as a part of a file's name that is safe on every system."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "x"


def _stems(names: Iterable[str]) -> list[str]:
    """File stems that are safe on every system and differ wherever the names do."""
    stems: list[str] = []
    for name in names:
        stem = file_stem(name)
        stems.append(stem if stem not in stems else f"{stem}-{len(stems)}")
    return stems


def _render(run: Run, drawn: Charts, packed: Packed) -> str:
    style = _asset("report.css")
    script = '"use strict";\n' + _asset("store.js") + _asset("report.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("template.html")).render(
        run=run,
        charts=drawn,
        verdict=view.verdict(run),
        main=view.methods_table(run.methods, main=True),
        others=view.methods_table(run.methods, main=False),
        risk=view.risks(run.methods),
        differences=view.differences_table(run),
        groups=[(method, view.groups(method)) for method in reversed(run.methods)],
        sure=view.SURE,
        limit=packed.limit,
        head=Markup(packed.head),
        blocks=[Markup(block) for block in packed.blocks],
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )


def _policy(style: str, script: str) -> str:
    """Only this style and this script; no network, no form target, no other base."""
    return (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return files("metaconf.report").joinpath(name).read_text(encoding="utf-8")


def _write(path: Path, page: str) -> Path:
    """Write in one step. A lone surrogate becomes its JSON escape, which is what it came from."""
    with replacing(path) as partial:
        partial.write_bytes(page.encode("utf-8", "backslashreplace"))
    return path
