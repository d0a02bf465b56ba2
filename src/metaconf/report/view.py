"""What the page says, as plain values for the template: cells, tables and the verdict.

Unknown is never zero: a number that is not there becomes a dash with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np

from metaconf.metrics import Figure, MethodResult, contradicts, ranking_warning
from metaconf.metrics.figures import number
from metaconf.report.load import Row, Run
from metaconf.safe_text import as_seen


@dataclass(frozen=True, slots=True)
class Measure:
    """How a figure is shown. `share`: as a percentage. `better`: "higher", "lower" or ""."""

    key: str
    name: str
    share: bool
    better: str
    meaning: str


MEASURES = (
    Measure(
        "ece",
        "ECE",
        False,
        "lower",
        "mean gap between confidence and share right, in 15 bins; by chance alone: what as many"
        " replies of a calibrated model would show",
    ),
    Measure(
        "auroc",
        "AUROC",
        False,
        "higher",
        "share of pairs where the right answer has more confidence",
    ),
    Measure(
        "auroc_within",
        "AUROC within kinds",
        False,
        "higher",
        "the same over pairs of one kind of question: 0.5 where confidence tells kinds apart alone",
    ),
    Measure("brier", "Brier score", False, "lower", "mean of (correctness − confidence)²"),
    Measure("accuracy", "Accuracy", True, "higher", "share of answers that are right"),
    Measure("mean_confidence", "Mean confidence", True, "", "mean of the stated confidences"),
    Measure(
        "parse_rate",
        "Parse rate",
        True,
        "higher",
        "share of replies that state a confidence",
    ),
    Measure(
        "contradiction_rate",
        "Contradictions",
        True,
        "lower",
        "replies whose reflection sounds unsure beside a confidence of 0.6 or more, or sure beside"
        " 0.2 or less",
    ),
    Measure("graded_rate", "Graded", True, "higher", "replies that a rule or a judge could grade"),
    Measure("abstained_rate", "Declined", True, "", "answers such as “I don't know”"),
)
SCREEN = 5
"""So many of them stand on the first screen."""
_MAIN = {measure.key: measure for measure in MEASURES}
_GROUP = (
    "accuracy",
    "mean_confidence",
    "ece",
    "auroc",
    "brier",
    "parse_rate",
    "graded_rate",
    "abstained_rate",
)
SURE = 0.8
"""Confidence from which a wrong answer counts as confidently wrong."""
EXCERPT = 200
"""Characters of a reflection that the first screen shows."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A number as text and its interval as text; `reason`: why it is missing, or its null band."""

    text: str
    interval: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells. `head`: (name, direction, meaning) a column; `links`: hash by row name."""

    head: list[tuple[str, str, str]]
    rows: list[tuple[str, str, list[Cell]]]


def measure(key: str) -> Measure:
    """The named figure's presentation; figures without one are shown as plain numbers."""
    return _MAIN.get(key) or Measure(key, key.replace("_", " "), False, "", "")


def cell(key: str, figure: Figure | None, *, signed: bool = False) -> Cell:
    """The named figure as text; `signed`: with its sign, as a difference."""
    if figure is None:
        return Cell("–", reason="not recorded")
    share = measure(key).share
    if figure.value is None:
        return Cell("–", reason=figure.reason or "not recorded")
    known = figure.low is not None and figure.high is not None
    low, high = (_number(end or 0.0, share, signed) for end in (figure.low, figure.high))
    unit = ("\N{NO-BREAK SPACE}points" if signed else "\N{NO-BREAK SPACE}%") if share else ""
    band = "–".join(_number(end, share) for end in figure.null or ())
    chance = f"{band} by chance alone" if band else ""
    between = " to " if signed else "–"
    interval = f"{low}{between}{high}" if known else ""
    return Cell(_number(figure.value, share, signed) + unit, interval, chance)


def methods_table(methods: Sequence[MethodResult], *, main: bool) -> Table:
    """One row a method: the main figures, or all that are not among them."""
    keys = [m.key for m in MEASURES] if main else _other_keys(methods)
    rows = [
        (
            s.name,
            s.description,
            [_count(s.figures)] * main + [cell(k, s.figures.get(k)) for k in keys],
        )
        for s in methods
    ]
    return Table([("Questions", "", "")] * main + [_head(key) for key in keys], rows)


def differences_table(run: Run) -> Table:
    """One row a compared run: its figures minus the first's."""
    keys = list(dict.fromkeys(key for d in run.differences for key in d.figures))
    rows = [
        (d.name, "", [*(cell(k, d.figures.get(k), signed=True) for k in keys), Cell(d.won or "–")])
        for d in run.differences
    ]
    return Table([*(_head(key) for key in keys), ("Families won", "", "")], rows)


def groups(method: MethodResult) -> dict[str, Table]:
    """A table for each kind of group ("family", "cause", "domain"), in the file's order."""
    tables: dict[str, Table] = {}
    for name, figures in method.groups.items():
        kind, _, value = name.partition("=")
        head = [("Questions", "", ""), *(_head(key) for key in _GROUP)]
        table = tables.setdefault(kind, Table(head, []))
        link = "#" + urlencode({"method": method.key, kind: value})
        link = link if kind in {"family", "cause"} else ""
        cells = [_count(figures), *(cell(key, figures.get(key)) for key in _GROUP)]
        table.rows.append((value or kind, link, cells))
    return tables


def gap_rows(method: MethodResult) -> list[tuple[str, Figure, Figure]]:
    """("kind=group", accuracy, mean confidence) of the groups where either is known."""
    rows = [
        (name, f.get("accuracy", Figure()), f.get("mean_confidence", Figure()))
        for name, f in method.groups.items()
    ]
    return [row for row in rows if row[1].value is not None or row[2].value is not None]


@dataclass(frozen=True, slots=True)
class Risks:
    """The error of each method when only a share of the questions is answered, surest first."""

    shares: tuple[float, ...]
    rows: list[tuple[str, list[float]]]


def risks(methods: Sequence[MethodResult]) -> Risks:
    """Points of the risk–coverage curves, read off linearly between those that are stored; of fewer
    than the surest level's replies none can be chosen, and its error stands there."""
    shares = tuple(k / 10 for k in range(1, 11))
    rows = [
        (s.name, np.interp(shares, *np.array(s.risk_coverage).T).tolist())
        for s in methods
        if s.risk_coverage
    ]
    return Risks(shares, rows)


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and after. `before` None where there is only one method."""

    measure: Measure
    before: Cell | None
    after: Cell


@dataclass(frozen=True, slots=True)
class Contradictions:
    """How often words and number of a method contradict each other, "3 of 40", with an example
    (confidence, reading, reflection) of each kind that there is."""

    name: str
    count: str
    examples: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first screen: a sentence, what it rests on, and the main figures before → after."""

    headline: str
    lines: list[str]
    sure: list[tuple[str, str, str]]
    changes: list[Change]
    contradictions: Contradictions | None = None


def verdict(run: Run) -> Verdict:
    """Compare the first method with the last; says so where that cannot be done."""
    if not run.methods:
        return Verdict("No figures in this run, only its replies.", [], [], [])
    before, after = run.methods[0], run.methods[-1]
    alone = before is after
    changes = [
        Change(m, None if alone else cell(m.key, before.figures.get(m.key)), _cell(after, m.key))
        for m in MEASURES[:SCREEN]
    ]
    pair = [after] if alone else [before, after]
    return Verdict(
        _headline(None if alone else before, after),
        [line for method in pair if (line := _claims(method))]
        + _ahead(run.methods)
        + _doubts(after),
        [part for method in pair if (part := _sure(run.replies, method))],
        changes,
        _contradictions(run.replies, after),
    )


def _cell(method: MethodResult, key: str) -> Cell:
    return cell(key, method.figures.get(key))


def _headline(before: MethodResult | None, after: MethodResult) -> str:
    new = after.figures.get("ece", Figure())
    if new.value is None:
        return f"How well {after.name} is calibrated is not known: {_cell(after, 'ece').reason}."
    off = f"{_start(after.name)}: confidence is off by {_points(new.value)} on average"
    old = Figure() if before is None else before.figures.get("ece", Figure())
    if before is None or old.value is None:
        return f"{off}."
    return f"{off}, {_trend(old, new)} {100 * old.value:.1f} ({before.name})."


def _trend(old: Figure, new: Figure) -> str:
    """Says "down" or "up" only where the two intervals are apart."""
    if new.high is not None and old.low is not None and new.high < old.low:
        return "down from"
    if old.high is not None and new.low is not None and new.low > old.high:
        return "up from"
    return "not clearly different from"


def _start(name: str) -> str:
    return name[:1].upper() + name[1:]


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _claims(method: MethodResult) -> str:
    claim, right = (method.figures.get(k, Figure()).value for k in ("mean_confidence", "accuracy"))
    if claim is None or right is None:
        return ""
    claim, right = (_number(value, True) + "\N{NO-BREAK SPACE}%" for value in (claim, right))
    return f"{_start(method.name)}: mean confidence {claim}, accuracy {right}."


def _ahead(methods: Sequence[MethodResult]) -> list[str]:
    """Which method has the highest AUROC, where that is not the last: the first screen shows only
    the first and the last, and the first is often the weakest."""
    known = [m for m in methods if m.figures.get("auroc", Figure()).value is not None]
    best = max(reversed(known), key=lambda m: m.figures["auroc"].value or 0.0, default=methods[-1])
    if best is methods[-1] or methods[-1] not in known:
        return []
    shown = _cell(best, "auroc")
    interval = f" ({shown.interval})" if shown.interval else ""
    return [f"The highest AUROC is that of {best.name}: {shown.text}{interval}."]


def _doubts(method: MethodResult) -> list[str]:
    """What a good figure may hide: a confidence that was not learnt, or only the kind."""
    said = ranking_warning(method.figures)
    return [f"{_start(method.name)}: {said}."] if said else []


def _sure(rows: Sequence[Row], method: MethodResult) -> tuple[str, str, str] | None:
    """(name, "12 of 400", link) of wrong answers among those given with confidence ≥ SURE."""
    stated = [
        wrong
        for row in _rows_of(rows, method)
        if (confidence := number(row.get("confidence"))) is not None
        and confidence >= SURE
        and (wrong := number(row.get("correctness"))) is not None
    ]
    if not stated:
        return None
    wrong = sum(correctness == 0 for correctness in stated)
    link = "#" + urlencode({"method": method.key, "outcome": "wrong", "min": SURE})
    return method.name, f"{wrong:,} of {len(stated):,}", link


def _contradictions(rows: Sequence[Row], method: MethodResult) -> Contradictions | None:
    """What the readings in the method's replies show; None where no reply could contradict."""
    read = [
        (confidence, reading, str(row.get("reflection") or ""))
        for row in _rows_of(rows, method)
        if (confidence := _share_of(row, "confidence")) is not None
        and (reading := _share_of(row, "reading")) is not None
    ]
    found = contradicts([one[0] for one in read], [one[1] for one in read])
    among = int(np.count_nonzero(~np.isnan(found)))
    if not among:
        return None
    wrong = [one for one, contrary in zip(read, found, strict=True) if contrary == 1.0]
    first = [next((o for o in wrong if (o[0] > o[1]) is high), None) for high in (True, False)]
    examples = [(f"{c:.2g}", f"{r:.2g}", _excerpt(text)) for c, r, text in filter(None, first)]
    return Contradictions(method.name, f"{len(wrong):,} of {among:,}", examples)


def _rows_of(rows: Sequence[Row], method: MethodResult) -> list[Row]:
    return [row for row in rows if row.get("method") in (method.key, method.name)]


def _share_of(row: Row, name: str) -> float | None:
    """The row's number of that name where it lies in [0, 1]."""
    value = number(row.get(name))
    return value if value is not None and 0.0 <= value <= 1.0 else None


def _excerpt(text: str) -> str:
    """One line of a text that a model wrote, without what is invisible."""
    plain = " ".join(as_seen(text)[0].split())
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in plain)
    return shown if len(shown) <= EXCERPT else f"{shown[:EXCERPT]}…"


def _other_keys(methods: Sequence[MethodResult]) -> list[str]:
    keys = dict.fromkeys(key for method in methods for key in method.figures)
    return [key for key in keys if key not in _MAIN and key != "n"]


def _head(key: str) -> tuple[str, str, str]:
    shown = measure(key)
    return shown.name, {"higher": "↑", "lower": "↓"}.get(shown.better, ""), shown.meaning


def _count(figures: Mapping[str, Figure]) -> Cell:
    """Number of questions: the largest n of the figures, for each may leave some out."""
    own = figures.get("n", Figure()).value
    known = [figure.n for figure in figures.values() if figure.n is not None]
    if own is None and not known:
        return Cell("–", reason="not recorded")
    return Cell(f"{max([*known, *([] if own is None else [own])]):,.0f}")


def _number(value: float, share: bool, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f}" if share else f"{value:{sign}.3f}"
