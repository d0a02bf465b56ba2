"""Metrics of stated confidence: row order, ties and graded correctness never change a number.

Pure functions of confidence (n,) and correctness (n,), both in [0, 1]; `summarise` takes missing
values too and gives every figure with its 95 % interval. numpy and scikit-learn only.
"""

from metaconf.metrics.agreement import (
    ReadReplies,
    agreement_differences,
    agreement_figures,
    contradicts,
    rank_correlation,
    reading_aurocs,
)
from metaconf.metrics.bins import ece, reliability_bins, wilson
from metaconf.metrics.figures import Bin, Figure, MethodResult
from metaconf.metrics.isotonic import Isotonic, apply_isotonic, fit_isotonic
from metaconf.metrics.registry import METRICS, auroc, brier, compute, effective_levels
from metaconf.metrics.selective import RiskCoverage, risk_coverage
from metaconf.metrics.summary import (
    ScoredReplies,
    paired_difference,
    paired_differences,
    summarise,
)
from metaconf.metrics.within import (
    auroc_within,
    auroc_within_difference,
    auroc_within_figure,
    ranking_warning,
)

__all__ = [
    "METRICS",
    "Bin",
    "Figure",
    "Isotonic",
    "MethodResult",
    "ReadReplies",
    "RiskCoverage",
    "ScoredReplies",
    "agreement_differences",
    "agreement_figures",
    "apply_isotonic",
    "auroc",
    "auroc_within",
    "auroc_within_difference",
    "auroc_within_figure",
    "brier",
    "compute",
    "contradicts",
    "ece",
    "effective_levels",
    "fit_isotonic",
    "paired_difference",
    "paired_differences",
    "rank_correlation",
    "ranking_warning",
    "reading_aurocs",
    "reliability_bins",
    "risk_coverage",
    "summarise",
    "wilson",
]
