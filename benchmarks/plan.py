"""How far the memory that `metaconf plan` predicts is from what a training takes.

    python benchmarks/plan.py

Runs the test that measures it (tests/planning/measuring.py says how) and keeps what it notes.
Writes benchmarks/results/plan.json.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import record

TEST = Path(__file__).parents[1] / "tests" / "planning" / "test_measured.py"
TARGETS = {"memory_error": "<= 0.15", "peak_gib": None}
UNITS = {"memory_error": "share of the peak", "peak_gib": "GiB"}
NOTES = (
    "Random models of 11 to 58 million parameters with 32,000 tokens, two steps on a processor."
    " peak_gib: what PyTorch has allocated at the peak of the second step; memory_error: how far"
    " the prediction is from it. as_gpu: under autocast in bfloat16 and with fused attention, as on"
    " a GPU; none was used."
)


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        noted = Path(work) / "noted.xml"
        words = ["-m", "pytest", "-q", "-m", "long or not long", "--timeout", "7200"]
        words += ["-o", "junit_family=xunit1", f"--junitxml={noted}", str(TEST)]
        subprocess.run([sys.executable, *words], check=True)
        figures = {
            name: record.figure(float(f"{value:.3g}"), None, UNITS[kind], TARGETS[kind])
            for kind in TARGETS
            for name, value in noted_as(kind, noted)
        }
    packages = ("torch", "transformers", "trl", "peft")
    record.write("plan", "python benchmarks/plan.py", figures, [0], NOTES, packages)


def noted_as(kind: str, noted: Path) -> list[tuple[str, float]]:
    """The properties of a JUnit file whose names begin with `kind`."""
    every = [
        (p.get("name", ""), float(p.get("value", "nan"))) for p in ET.parse(noted).iter("property")
    ]
    return [(name, value) for name, value in every if name.startswith(kind)]


if __name__ == "__main__":
    main()
