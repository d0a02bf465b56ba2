"""How soon stage 2 finds replies of a policy that is no more, and whether it accuses a healthy one.

    OMP_NUM_THREADS=1 python benchmarks/stale.py

Runs the tests that measure it (tests/training/test_policy_gap.py, a tiny model) and keeps the
figures that they note. Writes benchmarks/results/stale.json.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import record

TARGETS = {
    "stale_found_steps": ("logged steps", "<= 2"),
    "stale_found": ("of 20 trials", "== 20"),
    "stale_false_alarms": ("in 200 healthy steps", "== 0"),
    "healthy_gap": ("nats a token", None),
}
NOTES = (
    "Tiny model with an adapter. A sampler that never updates: one update at 3e-3 (float32) or 1e-1"
    " (bfloat16), 20 seeds; found_steps is the greatest over them. Healthy: 200 steps at 3e-4,"
    " temperature .8, num_iterations 2; healthy_gap is the greatest of a step."
)


def main() -> None:
    tests = Path(__file__).parents[1] / "tests" / "training" / "test_policy_gap.py"
    with tempfile.TemporaryDirectory() as work:
        noted = Path(work) / "noted.xml"
        words = ["-m", "pytest", "-q", "-m", "long", "--timeout", "7200", "-o"]
        words += ["junit_family=xunit1", f"--junitxml={noted}", str(tests)]
        subprocess.run([sys.executable, *words], check=True)
        rows = [
            (one.get("name", ""), one.get("value", "")) for one in ET.parse(noted).iter("property")
        ]
    figures = {
        name: record.figure(float(f"{float(value):.3g}"), None, *TARGETS[name.rpartition("_")[0]])
        for name, value in rows
    }
    packages = ("torch", "transformers", "trl", "peft", "accelerate")
    command = "OMP_NUM_THREADS=1 python benchmarks/stale.py"
    record.write("stale", command, figures, list(range(20)), NOTES, packages)


if __name__ == "__main__":
    main()
