"""`metaconf evaluate --replies` on a million lines, as a whole process: seconds and peak memory.

    OMP_NUM_THREADS=1 python benchmarks/replies.py [--lines 1000000]

Writes benchmarks/results/replies.json. The lines are drawn: five tasks, confidences in tenths, one
in fifty without a confidence, and one in a hundred ungraded.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import record


def write_lines(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(count)
    said = np.clip(np.round(chance + rng.normal(0, 0.15, count), 1), 0, 1)
    right = rng.random(count) < chance
    silent, ungraded = rng.random(count) < 0.02, rng.random(count) < 0.01
    with path.open("w") as out:
        for i in range(count):
            row = {
                "question_id": f"q{i}",
                "task": f"task{i % 5}",
                "answer": f"answer {i}",
                "confidence": None if silent[i] else float(said[i]),
                "correctness": None if ungraded[i] else float(right[i]),
            }
            out.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="evaluate --replies on many lines")
    parser.add_argument("--lines", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "replies.jsonl", Path(folder) / "run"
        write_lines(file, args.lines)
        size = file.stat().st_size / 2**20
        command = [sys.executable, "-m", "metaconf.cli", "evaluate", "--replies", str(file)]
        start = time.monotonic()
        subprocess.run([*command, "--output_dir", str(out)], check=True)
        seconds = time.monotonic() - start
        figures = json.loads((out / "metrics.json").read_text())["methods"][0]["figures"]
    counted = figures["n"]["value"]
    assert counted == args.lines, f"{counted} replies counted of {args.lines}"
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**30
    record.write(
        "replies",
        "OMP_NUM_THREADS=1 python benchmarks/replies.py",
        {
            "seconds": record.figure(round(seconds, 1), None, "s", "<= 60"),
            "peak_gib": record.figure(round(peak, 2), None, "GiB", "<= 2"),
            "lines": record.figure(args.lines),
            "megabytes": record.figure(round(size, 1), None, "MiB"),
        },
        [0],
        "One run of the whole command, figures with 1,000 resamples and report included.",
        ["numpy", "scikit-learn"],
    )


if __name__ == "__main__":
    main()
