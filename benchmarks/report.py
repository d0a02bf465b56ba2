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

from metaconf.evaluation.rows import EvaluatedReply
from metaconf.evaluation.run import write_results
from metaconf.records import write_jsonl

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
METHODS = {
    "asked": (0.82, 0.06),
    "probability": (0.49, 0.8),
    "samples8": (0.5, 0.7),
    "stage1": (0.5, 0.75),
    "stage2": (0.47, 1.0),
}
"""Mean confidence, and how much of it follows the question."""
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


def make_run(folder: Path, count: int, seed: int = 0) -> Path:
    """Write a made-up run of `count` replies by five methods, with figures (of a few of them, for
    they take time) and curves; returns the report's path."""
    draw = random.Random(seed)
    rows = {
        key: [_reply(draw, question, key) for question in range(count // len(METHODS))]
        for key in METHODS
    }
    (folder / "curves.json").write_text(json.dumps(_curves(draw)), encoding="utf-8")
    write_jsonl(folder / "replies.jsonl", (row.to_json() for own in rows.values() for row in own))
    few = {key: own[:400] for key, own in rows.items()}
    return write_results(folder, "SmolLM2-135M (made-up run)", few, keep=False)


def _reply(draw: random.Random, question: int, key: str) -> EvaluatedReply:
    claim, skill = METHODS[key]
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
    return EvaluatedReply(
        f"q{question}",
        method=key,
        prompt=f"In which country is the city of city {question}?",
        family=family,
        cause=cause,
        truth=truth,
        answer=answer,
        reflection=reflection,
        confidence=None if silent else round(confidence, 2),
        correctness=float(right),
        why=f"{answer!r} {'matches' if right else 'is not'} {truth!r}",
        text=text,
        problems=("confidence: no such line",) if silent else (),
        formatted=True,
    )


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
        page = make_run(run, arguments.replies)
        figures = measure(page, Path(name))
        figures["megabytes_100k"] = page.stat().st_size / 1e6
    found = {
        name: record.figure(round(figures[name], 2), None, unit, target)
        for name, (unit, target) in TARGETS.items()
    }
    notes = NOTES.replace("COLD", f"{figures['cold_search_ms']:.0f}")
    record.write("report", COMMAND, found, [0], notes, ("matplotlib", "jinja2"))


if __name__ == "__main__":
    main()
