"""The graders on hand-labelled cases, their speed beside an earlier grader's, and the reports that
others made of trouble: how many of them come out right.

    python benchmarks/cases.py [--before 5c953d2] [--rounds 15] [--only table,speed,rows]

Writes its figures into benchmarks/results/cases.json, beside those that other programs wrote there.
The earlier grader is taken from the history into a temporary folder. Both graders run in processes
of their own, a round each in turn, on texts that are new in every round, so that neither lives on
what it remembers, and a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import record

from metaconf.grading import grade_answer
from metaconf.records import Question, Target

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "5c953d2"
# The sections of the list of reports, and how many each has; the test of a row is test_<row>_….
ROWS = [
    f"{section}{number}"
    for section, count in {"a": 5, "b": 8, "c": 6, "d": 3, "e": 8, "f": 5, "g": 5}.items()
    for number in range(1, count + 1)
]
WORKER = """
import json, sys, time
import metaconf
try:
    from metaconf.grading import grade_answer
except ModuleNotFoundError:  # what it was called before
    from metaconf.graders import grade_answer
from metaconf.records import Question, Target
print(metaconf.__file__, flush=True)
for line in sys.stdin:
    asked = [
        (Question("q", prompt, (Target((gold,)),), task), answer)
        for task, gold, answer, prompt in json.loads(line)
    ]
    start = time.perf_counter()
    for question, answer in asked:
        grade_answer(question, answer)
    print(time.perf_counter() - start, flush=True)
"""
NAMES = [
    "Mali",
    "Niger",
    "Chad",
    "Quito",
    "Lima",
    "Paris",
    "Oslo",
    "Turin",
    "Bergen",
    "Lagos",
    "Osaka",
]
Pair = tuple[str, str, str, str]


def numbers(rng: np.random.Generator) -> list[Pair]:
    """Plain numbers, half of them right, bare and in a sentence, in both tasks."""
    found: list[Pair] = []
    for value in rng.integers(1, 10**6, 250):
        other = value + int(rng.integers(0, 2))
        for task in ("short", "math"):
            found.append((task, str(value), str(other), "How much is it?"))
            found.append((task, f"{value:,}", f"The answer is {other}.", "How much is it?"))
    return found


def words(rng: np.random.Generator) -> list[Pair]:
    """Names, half of them right, bare and in a sentence."""
    found: list[Pair] = []
    for i in range(500):
        first, second, other = (NAMES[k] for k in rng.integers(0, len(NAMES), 3))
        gold = f"{first} {second} {rng.integers(10**6)}x"
        said = gold if i % 2 else f"{other} {gold}"
        found.append(("short", gold, said, "What is it called?"))
        found.append(("short", gold, f"It is {said}.", "What is it called?"))
    return found


def maths(rng: np.random.Generator) -> list[Pair]:
    """Fractions, roots and polynomials, half of them right."""
    found: list[Pair] = []
    for i, (a, b) in enumerate(rng.integers(2, 500, (40, 2))):
        c = b + i % 2
        found.append(("math", f"\\frac{{{a}}}{{{b}}}", f"$\\frac{{{a}}}{{{c}}}$", "Work it out."))
        found.append(("math", f"{a}\\sqrt{{{b}}}", f"\\sqrt{{{a * a * c}}}", "Work it out."))
        found.append(("math", f"x^2+{a}x+{b}", f"{c}+{a}x+x^2", "Work it out."))
    return found


KINDS: dict[str, Callable[[np.random.Generator], list[Pair]]] = {
    "numbers": numbers,
    "words": words,
    "maths": maths,
}


def table() -> tuple[dict[str, record.Figure], str]:
    """The hand-labelled cases, and a note that names every miss."""
    files = [("cases.py", "CASES"), ("cases_hard.py", "CASES_HARD")]
    cases = [case for file, name in files for case in runpy.run_path(_tests("grading", file))[name]]
    misses = [case for case in cases if not _agrees(*case)]
    listed = "; ".join(
        f"{task} {texts[0]!a} <- {answer!a} is {'right' if right else 'wrong'}"
        for task, texts, answer, right, _ in misses
    )
    return {
        "grader_table": record.figure(len(cases), None, "cases", ">= 393"),
        "grader_table_right": record.figure(
            len(cases) - len(misses), None, "cases", f">= {-(-99 * len(cases) // 100)}"
        ),
    }, f"Misses of the table: {listed or 'none'}."


def _agrees(task: str, texts: tuple[str, ...], answer: str, right: bool, prompt: str) -> bool:
    return grade_answer(Question("q", prompt, (Target(texts),), task), answer)[0] == float(right)


def _tests(*parts: str) -> str:
    return str(ROOT.joinpath("tests", *parts))


def speed(before: str, rounds: int) -> tuple[dict[str, record.Figure], str]:
    """Seconds of the earlier grader over those of this one; medians over the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["git", "archive", before, "src"], cwd=ROOT, check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
        workers = [_worker(Path(folder) / "src"), _worker(ROOT / "src")]
        seconds = _in_turn(workers, rounds)
        for worker in workers:
            worker.communicate(timeout=60)
    return _ratios(seconds), (
        f"Speed: seconds of the grader of {before} over those of this one, medians of {rounds} "
        "rounds in turn in one run, one thread each; maths are fractions, roots and polynomials."
    )


def _ratios(seconds: dict[str, list[tuple[float, float]]]) -> dict[str, record.Figure]:
    seconds["plain"] = [
        (a + c, b + d) for (a, b), (c, d) in zip(seconds["numbers"], seconds["words"], strict=True)
    ]
    found: dict[str, record.Figure] = {}
    for kind, pairs in seconds.items():
        name = "plain_speed_ratio" if kind == "plain" else f"speed_ratio_{kind}"
        ratios = [old / new for old, new in pairs]
        target = ">= 0.9" if kind == "plain" else None
        found[name] = record.figure(
            round(statistics.median(ratios), 3), _interval(ratios), "", target
        )
    found["plain_answers_per_second"] = record.figure(
        round(2000 / statistics.median(new for _, new in seconds["plain"])), None, "1/s", ">= 5000"
    )
    return found


def _interval(ratios: list[float]) -> tuple[float, float]:
    """Of the median, by resampling the rounds."""
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def _worker(source: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout
    imported = Path(worker.stdout.readline().strip())
    if not imported.is_relative_to(source):
        raise SystemExit(f"{imported} was imported, not {source}")
    return worker


def _in_turn(
    workers: list[subprocess.Popen[str]], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """(earlier, this) seconds by kind, a round each; the first round only warms up."""
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for turn in range(rounds + 1):
        for kind, draw in KINDS.items():
            pairs = draw(np.random.default_rng([turn, *kind.encode()]))
            order = (0, 1) if turn % 2 else (1, 0)
            took = {which: _round(workers[which], pairs) for which in order}
            if turn:
                found[kind].append((took[0], took[1]))
    return found


def _round(worker: subprocess.Popen[str], pairs: list[Pair]) -> float:
    assert worker.stdin and worker.stdout
    worker.stdin.write(json.dumps(pairs) + "\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def rows() -> tuple[dict[str, record.Figure], str]:
    """How many reports have tests of their name, of which one passes and none fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tests.xml"
        chosen = " or ".join(f"test_{row}_" for row in ROWS)
        command = [sys.executable, "-m", "pytest", "-q", "tests", "-k", chosen, f"--junitxml={out}"]
        subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
        outcomes = _outcomes(ElementTree.parse(out).getroot())
    failing = [row.upper() for row in ROWS if outcomes.get(row, {"none"}) - {"skipped"} != {"ok"}]
    return {
        "rows": record.figure(len(ROWS), None, "rows"),
        "passed": record.figure(len(ROWS) - len(failing), None, "rows", f">= {len(ROWS)}"),
    }, f"Rows that fail: {', '.join(failing) or 'none'}."


def _outcomes(root: ElementTree.Element) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for case in root.iter("testcase"):
        if match := re.match(r"test_([a-g]\d)_", case.get("name", "").lower()):
            kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
            found.setdefault(match[1], set()).update(kinds or {"ok"})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", default=BEFORE, help="commit of the earlier grader")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="table,speed,rows")
    options = parser.parse_args()
    parts = {"table": table, "speed": lambda: speed(options.before, options.rounds), "rows": rows}
    figures: dict[str, record.Figure] = {}
    notes: list[str] = []
    for part in options.only.split(","):
        measured, note = parts[part]()
        figures |= measured
        notes.append(note)
        print(note, json.dumps(measured), sep="\n")
    record.add("cases", "python benchmarks/cases.py", figures, notes, ["numpy", "math-verify"])


if __name__ == "__main__":
    main()
