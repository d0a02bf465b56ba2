"""Metrics of stated confidence: row order, ties and graded correctness never change a number.

Pure functions of confidence (n,) and correctness (n,), both in [0, 1]; `summarise` takes missing
values too and gives every figure with its 95 % interval. numpy and scikit-learn only.
"""

from metaconf.metrics.agreement import (
    ReadReplies,
    agreement_differences,
    agreement_figures,
    cmfg,
    cmfg_star,
    contradicts,
    mfg,
    rank_correlation,
    reading_aurocs,
)
from metaconf.metrics.arrays import as_classes
from metaconf.metrics.bins import ace, ece, mce, null_band, reliability_bins, wilson
from metaconf.metrics.figures import Bin, Figure, MethodResult
from metaconf.metrics.isotonic import Isotonic, apply_isotonic, fit_isotonic
from metaconf.metrics.ranking import auprc_right, auprc_wrong, auroc, effective_levels
from metaconf.metrics.registry import METRICS
from metaconf.metrics.scores import Parts, brier, corp, murphy, nll, smooth_ece
from metaconf.metrics.selective import (
    RiskCoverage,
    augrc,
    aurc,
    coverage_at_risk,
    eaurc,
    prr,
    risk_at_coverage,
    risk_coverage,
)
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
    "Parts",
    "ReadReplies",
    "RiskCoverage",
    "ScoredReplies",
    "ace",
    "agreement_differences",
    "agreement_figures",
    "apply_isotonic",
    "as_classes",
    "augrc",
    "auprc_right",
    "auprc_wrong",
    "aurc",
    "auroc",
    "auroc_within",
    "auroc_within_difference",
    "auroc_within_figure",
    "brier",
    "cmfg",
    "cmfg_star",
    "contradicts",
    "corp",
    "coverage_at_risk",
    "eaurc",
    "ece",
    "effective_levels",
    "fit_isotonic",
    "mce",
    "mfg",
    "murphy",
    "nll",
    "null_band",
    "paired_difference",
    "paired_differences",
    "prr",
    "rank_correlation",
    "ranking_warning",
    "reading_aurocs",
    "reliability_bins",
    "risk_at_coverage",
    "risk_coverage",
    "smooth_ece",
    "summarise",
    "wilson",
]
