"""What a run survives, and what its checks cost: the reports of others that come out right, the
sweeps of settings, faults and signals, the seconds of the checks, and a step on a busy machine.

    OMP_NUM_THREADS=1 python benchmarks/runs.py [--only rows,settings,faults,checks]
    python benchmarks/runs.py --only steps

`make sweep` runs the sweeps first (hours; stopped, they go on), and this counts their outcomes in
build/sweep. A figure that was not measured is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import record

from metaconf.cli.preflight import stage_config
from metaconf.model_files import check_files, fingerprint
from metaconf.runs import inputs_of

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "sweep"
ROWS = [
    f"{section}{number}"
    for section, count in {"a": 14, "b": 5, "c": 8, "d": 8}.items()
    for number in range(1, count + 1)
]
"""The reports by section of their list; the tests of a row are called test_<row>_…."""
FILES = ("tests/test_cases3.py", "tests/test_cases3_runs.py")
ROUNDS = 5
STEPS, REPEATS = 6, 3
LIBGOMP_SPINS = "300000"
"""What libgomp takes where nothing is set and threads are not more than cores."""
Measured = tuple[dict[str, record.Figure], str]


def rows() -> Measured:
    """How many reports have tests of their name, of which one passes and none fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-q", *FILES, f"--junitxml={out}"]
        subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
        outcomes = dict[str, set[str]]()
        for case in ElementTree.parse(out).getroot().iter("testcase"):
            kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
            for row in re.findall(r"(?<=_)[abcd]\d+(?=_)", case.get("name", "").partition("[")[0]):
                outcomes.setdefault(row, set()).update(kinds or {"ok"})
    failing = [row.upper() for row in ROWS if outcomes.get(row, {"none"}) - {"skipped"} != {"ok"}]
    return {
        "rows": record.figure(len(ROWS), None, "rows"),
        "passed": record.figure(len(ROWS) - len(failing), None, "rows", f">= {len(ROWS)}"),
    }, f"Rows that fail: {', '.join(failing) or 'none'}."


def settings() -> Measured:
    """Pairs of a key and a hostile value, from build/sweep/settings.jsonl."""
    kinds = [row[1] for row in _stored("settings.jsonl")]
    refused = kinds.count("refused")
    return {
        "settings_pairs": record.figure(len(kinds), None, "pairs", ">= 1500"),
        "settings_tracebacks": record.figure(kinds.count("traceback"), None, "pairs", "<= 0"),
        "settings_without_effect": record.figure(
            kinds.count("without effect"), None, "pairs", "<= 0"
        ),
    }, (
        f"Settings: {refused} of {len(kinds)} pairs are refused in a line that names the key,"
        f" {kinds.count('accepted')} change what the command goes on with;"
        f" {kinds.count('unclear')} refusals are not one line that names the key."
    )


def faults() -> Measured:
    """Points of the fault sweep and moments of a signal, from build/sweep/points.jsonl."""
    points = _stored("points.jsonl")
    signals = [row for row in points if row["fault"] == "SIGTERM"]
    broken = [row for row in points if row["fault"] != "SIGTERM"]
    figures = {
        "sweep_points": record.figure(len(broken), None, "points", ">= 1500"),
        "sweep_tracebacks": _count(broken, "traceback"),
        "sweep_lost": _count(broken, "lost"),
        "sweep_different": _count(broken, "different"),
    }
    if signals:
        figures["signals_lost"] = _count(signals, "lost")
        figures["signals_different"] = _count(signals, "different")
    by = {c: sum(row["command"] == c for row in broken) for c in _commands(points)}
    refused = sum(bool(row["refused"]) for row in points)
    unclear = sum(row["unclear"] for row in points)
    return figures, (
        f"Faults: {', '.join(f'{count} of {name}' for name, count in by.items())}, drawn at random"
        f" from all; {len(signals)} moments of SIGTERM. {refused} could not be resumed and said"
        f" why; {unclear} ended without a line of their own."
    )


def _commands(points: list[dict[str, Any]]) -> list[str]:
    return sorted({row["command"] for row in points})


def _count(points: list[dict[str, Any]], name: str) -> record.Figure:
    return record.figure(sum(bool(row[name]) for row in points), None, "points", "<= 0")


def _stored(name: str) -> list[Any]:
    file = WORK / name
    if not file.is_file():
        raise SystemExit(f"{file}: no such file; run `make sweep` first")
    return [json.loads(line) for line in file.read_text().splitlines()]


def checks() -> Measured:
    """Processor seconds of all checks before stage 1 trains the embedded model, the least of some
    rounds; and of the checks of a model of 16 GB in a sparse file."""
    from metaconf.embedded.model import embedded_model
    from metaconf.generation.loaded import check_loaded
    from metaconf.generation.local import load_local
    from metaconf.training.checks import check_forward, check_tokenizer

    local = load_local("embedded")
    with tempfile.TemporaryDirectory() as folder:
        row = {"conversations": [], "system": "", "target": 1}
        data = Path(folder) / "rows.jsonl"
        data.write_text((json.dumps(row) + "\n") * 2000)
        words = [f"--train_file={data}", f"--output_dir={folder}/run"]
        config = stage_config(Path(os.devnull), "sft", words)
        parts: dict[str, Callable[[], Any]] = {
            "settings, rows, files": lambda: stage_config(Path(os.devnull), "sft", words),
            "tokenizer and template": lambda: check_tokenizer("embedded"),
            "identity": lambda: inputs_of(config),
            "weights": lambda: check_loaded("embedded", local.model, local.tokenizer, {}),
            "forward pass": lambda: check_forward("embedded", local.model),
        }
        seconds = {name: _seconds(part) for name, part in parts.items()}
    big = _sparse_seconds()
    told = ", ".join(f"{name} {value:.3f}" for name, value in seconds.items())
    return {
        "check_seconds": record.figure(round(sum(seconds.values()), 3), None, "s", "<= 0.3"),
        "check_seconds_8b": record.figure(round(big, 3), None, "s", "<= 2"),
    }, (
        f"Checks: processor seconds of one thread, the least of {ROUNDS} rounds, beside other work"
        f" ({told}; {embedded_model().name}). Those of 8B are check_files and fingerprint."
    )


def _seconds(part: Callable[[], Any]) -> float:
    found = list[float]()
    for _ in range(ROUNDS):
        start = time.process_time()
        part()
        found.append(time.process_time() - start)
    return min(found)


def _sparse_seconds() -> float:
    size, count = 2**27, 120
    tensors = {
        f"layers.{i}.w": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [i * size, end]}
        for i, end in enumerate(range(size, (count + 1) * size, size))
    }
    header = json.dumps(tensors).encode()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "model.safetensors").open("wb") as out:
            out.write(len(header).to_bytes(8, "little") + header)
            out.truncate(8 + len(header) + count * size)
        for file in ("config.json", "tokenizer.json"):
            (folder / file).write_text("{}")
        return _seconds(lambda: (check_files(folder), fingerprint(folder)))


def steps() -> Measured:
    """Seconds of a step of stage 2 beside two busy processes, and with libgomp's own spinning, as
    ratios of an idle machine's: medians over the steps of runs that take turns."""
    taken: dict[str, list[float]] = {"idle": [], "libgomp": [], "busy": [], "busy libgomp": []}
    for _ in range(REPEATS):
        for name, found in taken.items():
            with _beside(2 if "busy" in name else 0):
                spins = {"GOMP_SPINCOUNT": LIBGOMP_SPINS} if "libgomp" in name else {}
                found += _step_seconds(spins)
    middle = {name: statistics.median(found) for name, found in taken.items()}
    told = ", ".join(f"{name} {value:.1f}" for name, value in middle.items())
    return {
        "busy_step_ratio": _ratio(middle["busy"], middle["idle"], "<= 2.5"),
        "idle_step_ratio": _ratio(middle["idle"], middle["libgomp"], "<= 1.05"),
    }, (
        f"Steps: seconds of a step of stage 2 as configs/demo.yaml has it, {STEPS - 1} of each of"
        f" {REPEATS} runs ({told}); busy: beside two processes that do nothing but count."
    )


@contextlib.contextmanager
def _beside(count: int) -> Iterator[None]:
    """So many processes that keep a core busy each."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _ratio(value: float, base: float, target: str) -> record.Figure:
    return record.figure(round(value / base, 2), None, "ratio", target)


def _step_seconds(settings: dict[str, str]) -> list[float]:
    """Seconds of the steps of one run but the first, which warms up."""
    free = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")}
    with tempfile.TemporaryDirectory() as folder:
        words = ["grpo", "--config", "configs/demo.yaml", "--model", "embedded-sft"]
        words += ["--max_steps", str(STEPS), "--output_dir", f"{folder}/run"]
        command = [str(Path(sys.executable).with_name("metaconf")), *words]
        subprocess.run(command, cwd=ROOT, env=free | settings, check=True, capture_output=True)
        logged = json.loads((Path(folder) / "run" / "curve.json").read_text())
    return [row["step_time"] for row in logged if "step_time" in row][1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="rows,settings,faults,checks")
    options = parser.parse_args()
    parts = {"rows": rows, "settings": settings, "faults": faults, "checks": checks}
    parts["steps"] = steps
    figures: dict[str, record.Figure] = {}
    notes = list[str]()
    for part in options.only.split(","):
        measured, note = parts[part]()
        figures |= measured
        notes.append(note)
        print(note, json.dumps(measured), sep="\n")
    record.add(
        "runs", "python benchmarks/runs.py", figures, notes, ["torch", "transformers", "trl"]
    )


if __name__ == "__main__":
    main()
