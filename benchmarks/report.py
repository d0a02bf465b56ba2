"""How the report holds up with 100,000 replies: seconds to open, to filter, and its size.

    python benchmarks/report.py

Writes benchmarks/results/report.json. The replies are made up, of the length that the default
model writes; nothing is trained. Needs a Chromium-like browser.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import record
from chromium import Chromium, find_chromium

from metaconf.records import write_jsonl
from metaconf.report import write_report

COMMAND = "python benchmarks/report.py"
NOTES = (
    "Made-up replies of 400 characters, one run; the slowest of six filters, to the next painted "
    "frame. A search right after opening, before its text is prepared, took COLD ms."
)
TARGETS = {
    "open_seconds_100k": ("s", "<= 3"),
    "filter_ms_100k": ("ms", "<= 300"),
    "megabytes_100k": ("MB", "<= 60"),
}
METHODS = (
    ("asked", "base, asked in words", 0.82, 0.06),
    ("probability", "base, answer's probability", 0.49, 0.8),
    ("samples8", "base, agreement of 8 samples", 0.5, 0.7),
    ("stage1", "stage 1", 0.5, 0.75),
    ("stage2", "stage 2", 0.47, 1.0),
)
FAMILIES = {
    "city → country": "knowledge boundary",
    "namesake city → country": "query complexity",
    "country → capital": "knowledge boundary",
    "US county → state": "knowledge boundary",
    "product": "reasoning",
    "sum": "reasoning",
}
PLACES = ("France", "Chad", "Peru", "Mali", "Japan", "Chile", "Ghana", "Oman", "Spain", "Kenya")
FILTERS = {
    "method": "form.elements.method.value = 'stage2'",
    "wrong and sure": "form.elements.outcome.value = 'wrong'; form.elements.min.value = '0.8'",
    "order": "form.elements.sort.value = 'low'",
    "search, common word": "form.elements.q.value = 'reading'",
    "search, rare word": "form.elements.q.value = 'city 4711'",
    "search, no hit": "form.elements.q.value = 'zzzz'",
}


def make_run(folder: Path, count: int, seed: int = 0) -> None:
    """Write a made-up run of `count` replies by five methods, with figures and curves."""
    draw = random.Random(seed)
    replies = [_reply(draw, i // len(METHODS), METHODS[i % len(METHODS)]) for i in range(count)]
    write_jsonl(folder / "replies.jsonl", replies)
    methods = [_method(row, replies) for row in METHODS]
    metrics = {"title": "SmolLM2-135M on embedded questions (made-up run)", "methods": methods}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "curves.json").write_text(json.dumps(_curves(draw)), encoding="utf-8")


def _reply(
    draw: random.Random, question: int, method: tuple[str, str, float, float]
) -> dict[str, Any]:
    key, _, claim, skill = method
    family, cause = list(FAMILIES.items())[question % len(FAMILIES)]
    known = random.Random(question).random()
    right = draw.random() < known
    confidence = min(1.0, max(0.0, claim + skill * (known - 0.5) + draw.gauss(0, 0.08)))
    truth, other, third = draw.sample(PLACES, 3)
    answer = truth if right else other
    reflection = (
        f"I came across this name while reading about {answer}, yet {third} fits nearly as well; "
        f"my drafts gave {answer} {round(8 * confidence)} times out of eight and {third} else. "
        f"The doubt comes from {cause}: I cannot recall a single fact that would settle it for "
        "this place, and a namesake elsewhere may be meant."
    )
    silent = draw.random() < 0.01
    text = f"Answer: {answer}\nSelf-reflection: {reflection}\n"
    text += "" if silent else f"Confidence: {10 * confidence:.1f}"
    return {
        "question_id": f"q{question}",
        "method": key,
        "prompt": f"In which country is the city of city {question}?",
        "family": family,
        "cause": cause,
        "answer": answer,
        "reflection": reflection,
        "confidence": None if silent else round(confidence, 2),
        "correctness": float(right),
        "truth": truth,
        "text": text,
        "problems": ["confidence: no such line"] if silent else [],
        "why": f"{answer!r} {'matches' if right else 'is not'} {truth!r}",
    }


def _method(method: tuple[str, str, float, float], replies: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [row for row in replies if row["method"] == method[0]]
    groups = {
        f"{kind}={value}": _figures([row for row in rows if row[kind] == value])
        for kind in ("family", "cause")
        for value in dict.fromkeys(row[kind] for row in rows)
    }
    return {
        "key": method[0],
        "name": method[1],
        "figures": _figures(rows),
        "reliability": _bins(rows),
        "risk_coverage": _risk(rows),
        "groups": groups,
    }


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rough figures with rough intervals: enough to draw, and not meant for anything else."""
    known = [row for row in rows if row["confidence"] is not None]
    bins = [b for b in _bins(rows) if b["n"]]
    values = {
        "accuracy": sum(row["correctness"] for row in rows) / len(rows),
        "mean_confidence": sum(row["confidence"] for row in known) / len(known),
        "ece": sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / len(known),
        "brier": sum((row["confidence"] - row["correctness"]) ** 2 for row in known) / len(known),
        "parse_rate": len(known) / len(rows),
    }
    half = 1 / len(rows) ** 0.5
    figures: dict[str, Any] = {
        name: {"value": v, "low": max(0, v - half), "high": min(1, v + half), "n": len(rows)}
        for name, v in values.items()
    }
    return {**figures, "auroc": {"value": None, "reason": "not computed for made-up replies"}}


def _bins(rows: list[dict[str, Any]], count: int = 15) -> list[dict[str, Any]]:
    bins = []
    for b in range(count):
        low, high = b / count, (b + 1) / count
        inside = [
            r
            for r in rows
            if (c := r["confidence"]) is not None and min(int(c * count), count - 1) == b
        ]
        n = len(inside)
        share = sum(r["correctness"] for r in inside) / n if n else None
        half = (0.25 / n) ** 0.5 * 1.96 if n else 0
        mean = sum(r["confidence"] for r in inside) / n if n else None
        interval = (None, None) if share is None else (max(0, share - half), min(1, share + half))
        bins.append(
            {"low": low, "high": high, "n": n, "confidence": mean, "accuracy": share}
            | {"accuracy_low": interval[0], "accuracy_high": interval[1]}
        )
    return bins


def _risk(rows: list[dict[str, Any]], points: int = 60) -> list[tuple[float, float]]:
    known = sorted(
        (row for row in rows if row["confidence"] is not None), key=lambda row: -row["confidence"]
    )
    cuts = [max(1, round(len(known) * (i + 1) / points)) for i in range(points)]
    return [
        (cut / len(rows), 1 - sum(row["correctness"] for row in known[:cut]) / cut) for cut in cuts
    ]


def _curves(draw: random.Random) -> dict[str, Any]:
    falling = [
        {"step": step, "loss": 2.4 * 0.97**step + 0.7 + draw.gauss(0, 0.05)}
        for step in range(1, 76)
    ]
    parts = ("reward", "calibration", "accuracy", "reflection", "format")
    rising = [
        {"step": step}
        | {
            part: 0.8 - 0.4 * 0.94**step + draw.gauss(0, 0.03) - 0.05 * i
            for i, part in enumerate(parts)
        }
        for step in range(1, 57)
    ]
    return {"stage 1": falling, "stage 2": rising}


def measure(page: Path, folder: Path) -> dict[str, float]:
    """Open the page cold, then time each filter until the browser has painted it.

    The text for searches is prepared in the first idle seconds; `cold_search_ms` is a search that
    does not wait for that, and no part of `filter_ms_100k`.
    """
    binary = find_chromium()
    if binary is None:
        raise SystemExit("no Chromium-like browser on PATH; install chromium")
    with Chromium(binary, folder, patience=120) as browser:
        start = time.monotonic()
        browser.open(page)
        browser.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        opened = time.monotonic() - start
        cold = browser.evaluate(_timed(FILTERS["search, no hit"]))
        browser.until("'prepared' in document.documentElement.dataset")
        slowest = max(browser.evaluate(_timed(change)) for change in FILTERS.values())
    return {"open_seconds_100k": opened, "filter_ms_100k": slowest, "cold_search_ms": cold}


def _timed(change: str) -> str:
    """Script: milliseconds from a change of the filters to the next painted frame."""
    return f"""(async () => {{
      document.getElementById('clear').click();
      const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
      await frame();
      const form = document.getElementById('filters'), start = performance.now();
      {change};
      form.requestSubmit();
      await frame();
      return performance.now() - start;
    }})()"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        run.mkdir()
        make_run(run, arguments.replies)
        start = time.monotonic()
        page = write_report(run)
        print(f"written in {time.monotonic() - start:.1f} s")
        figures = measure(page, Path(name))
        figures["megabytes_100k"] = page.stat().st_size / 1e6
    found = {
        name: record.figure(round(figures[name], 2), None, unit, target)
        for name, (unit, target) in TARGETS.items()
    }
    notes = NOTES.replace("COLD", f"{figures['cold_search_ms']:.0f}")
    path = record.write("report", COMMAND, found, [0], notes, ("matplotlib", "jinja2"))
    print(path.read_text())


if __name__ == "__main__":
    main()
