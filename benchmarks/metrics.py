"""How fast the metrics are, beside the libraries that others use, and how far they agree.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py

Writes benchmarks/results/metrics.json. Seconds are process time of one core, the median of three
runs; netcal and torchmetrics are timed where they are installed and otherwise left out.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from statistics import median
from types import ModuleType

import numpy as np
import record
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from metaconf import metrics
from metaconf.metrics.scores import NLL_CLIP

COMMAND = "OMP_NUM_THREADS=1 python benchmarks/metrics.py"
NOTES = (
    "Process time of one core. Ours covers the whole table of metrics; scikit-learn AUROC, two "
    "average precisions, Brier and log loss; netcal and torchmetrics their ECE with 15 bins. All "
    "on 1e6 replies with confidences in tenths, except where a name says 1e5 or untied."
)
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
            (metrics.compute("auprc_right", c, y), average_precision_score(y, c)),
            (metrics.compute("auprc_wrong", c, y), average_precision_score(1 - y, 1 - c)),
            (metrics.brier(c, y), brier_score_loss(y, c)),
            (metrics.compute("nll", c, y), log_loss(y, clipped)),
        ]
        gaps += [abs(a - b) for a, b in pairs]
    c, y = untied(SOME)  # the libraries put a confidence on an edge in different bins
    gaps += [abs(metrics.ece(c, y) - error(c, y)) for error in reference_eces().values()]
    return float(max(gaps))


def main() -> None:
    figures: dict[str, record.Figure] = {}
    for name, replies in (("", tied), ("_untied", untied)):
        all_metrics, resampled = ours(replies(MANY), 0), ours(replies(SOME), 1000)
        figures[f"seconds_1e6{name}"] = record.figure(all_metrics, None, "s", "<= 1.5")
        figures[f"seconds_bootstrap_1e5{name}"] = record.figure(resampled, None, "s", "<= 3")
    for name, taken in theirs(tied(MANY)).items():
        figures[name] = record.figure(taken, None, "s")
    figures["max_difference_to_references"] = record.figure(
        greatest_difference(), None, "", "<= 1e-9"
    )
    packages = ("numpy", "scikit-learn", *reference_eces())
    record.write("metrics", COMMAND, figures, [SEED], NOTES, packages)


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


if __name__ == "__main__":
    main()
