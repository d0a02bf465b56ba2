"""How fast the metrics are, beside the libraries that others use, and how far they agree.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/metrics.py

Writes benchmarks/results/metrics.json. Seconds are process time of one core, the median of three
runs; netcal and torchmetrics are timed where they are installed and otherwise left out.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from metaconf import metrics
from metaconf.metrics.scores import NLL_CLIP

RESULTS = Path(__file__).parent / "results" / "metrics.json"
SEED = 0
MANY, SOME = 1_000_000, 100_000
Replies = tuple[np.ndarray, np.ndarray]


def tied(n: int) -> Replies:
    """Confidences in tenths, as models state them, (n,), and correctness 0 or 1, (n,)."""
    rng = np.random.default_rng(SEED)
    c = rng.integers(0, 11, n) / 10
    return c, (rng.random(n) < c**1.5).astype(float)


def untied(n: int) -> Replies:
    """As `tied`, with nearly every confidence its own."""
    rng = np.random.default_rng(SEED)
    c = rng.beta(3, 1, n)
    return c, (rng.random(n) < c**1.5).astype(float)


def seconds(work: Callable[[], object]) -> float:
    """Median process time of three runs, in seconds."""
    taken: list[float] = []
    for _ in range(3):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return median(taken)


def ours(replies: Replies, replicates: int) -> float:
    ids = np.arange(replies[0].size)
    return seconds(lambda: metrics.summarise(*replies, ids, replicates=replicates))


def theirs(replies: Replies) -> dict[str, float]:
    """Seconds of what each installed library covers of the table, on the same replies."""
    c, y = replies
    clipped = np.clip(c, NLL_CLIP, 1 - NLL_CLIP)
    found = {
        "sklearn_seconds": seconds(
            lambda: (
                roc_auc_score(y, c),
                average_precision_score(y, c),
                average_precision_score(1 - y, 1 - c),
                brier_score_loss(y, c),
                log_loss(y, clipped),
            )
        )
    }
    for name, error in reference_eces().items():
        found[f"{name}_seconds"] = seconds(lambda error=error: error(c, y))
    return found


def reference_eces() -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """ECE with 15 bins of each installed library."""
    found: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {}
    if (netcal := _optional("netcal.metrics")) is not None:
        found["netcal"] = lambda c, y: float(netcal.ECE(15).measure(c, y.astype(int)))
    functional = _optional("torchmetrics.functional.classification")
    if functional is not None and (torch := _optional("torch")) is not None:
        found["torchmetrics"] = lambda c, y: float(
            functional.binary_calibration_error(
                torch.tensor(c), torch.tensor(y.astype(int)), n_bins=15
            )
        )
    return found


def greatest_difference() -> float:
    """Largest |ours − reference| over the metrics that a reference library computes."""
    gaps: list[float] = []
    for c, y in (tied(SOME), untied(SOME)):
        clipped = np.clip(c, NLL_CLIP, 1 - NLL_CLIP)
        pairs = [
            (metrics.auroc(c, y), roc_auc_score(y, c)),
            (metrics.auprc_right(c, y), average_precision_score(y, c)),
            (metrics.auprc_wrong(c, y), average_precision_score(1 - y, 1 - c)),
            (metrics.brier(c, y), brier_score_loss(y, c)),
            (metrics.nll(c, y), log_loss(y, clipped)),
        ]
        gaps += [abs(a - b) for a, b in pairs]
    c, y = untied(SOME)  # the libraries put a confidence on an edge in different bins
    gaps += [abs(metrics.ece(c, y) - error(c, y)) for error in reference_eces().values()]
    return float(max(gaps))


def main() -> None:
    figures: dict[str, dict[str, Any]] = {}
    for name, replies in (("", tied), ("_untied", untied)):
        figures[f"seconds_1e6{name}"] = _figure(ours(replies(MANY), 0), "s", "<= 1.5")
        figures[f"seconds_bootstrap_1e5{name}"] = _figure(ours(replies(SOME), 1000), "s", "<= 3")
    figures |= {name: _figure(taken, "s") for name, taken in theirs(tied(MANY)).items()}
    figures["max_difference_to_references"] = _figure(greatest_difference(), "", "<= 1e-9")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(_record(figures), indent=1, allow_nan=False) + "\n")
    print(RESULTS.read_text())


def _figure(value: float, unit: str, target: str | None = None) -> dict[str, Any]:
    figure: dict[str, Any] = {"value": value, "unit": unit}
    return figure if target is None else figure | {"target": target}


def _record(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("numpy", "scikit-learn", *reference_eces())
    return {
        "name": "metrics",
        "command": "PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/metrics.py",
        "commit": _commit(),
        "date": datetime.date.today().isoformat(),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_gib": round(memory, 1),
            "gpu": None,
        },
        "versions": {name: version(name) for name in packages},
        "seeds": [SEED],
        "figures": figures,
        "notes": "Process time of one core. Ours covers the whole table of metrics; scikit-learn "
        "AUROC, two average precisions, Brier and log loss; netcal and torchmetrics their ECE "
        "with 15 bins. All on 1e6 replies with confidences in tenths, except where a name says "
        "1e5 or untied.",
    }


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


if __name__ == "__main__":
    main()
