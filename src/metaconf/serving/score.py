"""What the server measures: an answer that is given, ready replies, and its own calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaconf.decisions.replies import read_reply
from metaconf.grading import same_answer
from metaconf.metrics import reliability_bins, summarise
from metaconf.metrics.arrays import Array
from metaconf.serving import calibration as calibrations
from metaconf.serving.reply import Served
from metaconf.serving.schema import ReadyReply
from metaconf.serving.service import Service

AUTOMIX = 0.7
"""The threshold of AutoMix, where neither the request nor a calibration gives one."""
NAMES = ("accuracy", "mean_confidence", "brier", "ece", "smooth_ece", "auroc", "aurc")
EXPECTED = ("brier", "ece", "auroc")


def verified(service: Service, threshold: float | None, answer: str, found: Served | None) -> Any:
    """AutoMix's verdict. A confidence in another answer says nothing of this one: null, and to be
    escalated; so is a blank answer, of which no model is asked."""
    said = found.parsed.answer if found else None
    confidence = found.object["confidence"] if found and said and same_answer(said, answer) else {}
    rule = service.calibration.rule if service.calibration else None
    stated, value = confidence.get("stated"), confidence.get("value")
    if threshold is not None:
        least, enough = threshold, value is not None and value >= threshold
    else:
        # The certified threshold is one of stated confidences; where nothing is certified, none do.
        least = AUTOMIX if rule is None else 1.0 if rule.threshold is None else rule.threshold
        certain = rule is None or rule.threshold is not None
        enough = certain and stated is not None and stated >= least
    return {
        "confidence": value,
        "expected": confidence.get("expected"),
        "distribution": confidence.get("distribution"),
        "should_escalate": not enough,
        "verified_count": int(enough),
        "total_samples": int(found is not None),
        "samples": [found.last.text] if found else [],
        "threshold": least,
    }


def figures(replies: Sequence[ReadyReply]) -> dict[str, Any]:
    """Figures of ready replies; "expected_…" of those that say what they expect."""
    rows = [read_reply("replies", _row(one)) for one in replies]
    keys = ("confidence", "expected", "correctness")
    c, expected, y = (np.array([_number(row.get(k)) for row in rows]) for k in keys)
    ids = [row["question_id"] for row in rows]
    found = summarise(c, y, ids, NAMES, replicates=200)
    if not np.isnan(expected).all():
        more = summarise(expected, y, ids, EXPECTED, replicates=200)
        found |= {f"expected_{name}": one for name, one in more.items()}
    return {
        "figures": {name: one.to_json() for name, one in found.items()},
        "without_confidence": int(np.isnan(c).sum()),
        "without_correctness": int(np.isnan(y).sum()),
    }


def _row(one: ReadyReply) -> dict[str, Any]:
    own = {"question_id", "confidence", "expected", "correctness", "reply"}
    row = one.model_dump(include=own, exclude_none=True)
    return row if "reply" in row else {"confidence": None, **row}


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def shown(service: Service) -> dict[str, Any]:
    """What the page draws of the calibration, with the feedback that came since."""
    calibration = service.calibration
    state = calibrations.described(calibration, service.watch.state)
    came = [r for r in service.feedback.rows() if r["confidence"] is not None]
    c = np.array([r["confidence"] for r in came], float)
    y = np.array([r["correctness"] for r in came], float)
    if calibration is not None:
        c, y = (
            np.concatenate([calibration.confidence, c]),
            np.concatenate([calibration.correctness, y]),
        )
    rule = calibration.rule if calibration else None
    cascade = calibration.cascade if calibration else None
    return {
        **state,
        "models": calibration.models if cascade and calibration else [service.name],
        "asked": cascade.rule.asked if cascade else [0],
        "alpha": getattr(rule, "alpha", None),
        "delta": getattr(rule, "delta", None),
        "feedback": len(came),
        "reliability": _bins(c, y),
        "offers": service.offers,
    }


def _bins(c: Array, y: Array) -> list[dict[str, Any]]:
    return [one.to_json() for one in reliability_bins(c, y)] if len(c) else []
