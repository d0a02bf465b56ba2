"""The four parts of a reply's reward, and their weighted sum: pure functions.

A part that cannot be known (no grade, no judgement) is None and leaves the whole reply out of the
update; it is never 0 in silence. A reply that says no confidence earns nothing for calibration:
that is known, not missing.
"""

from __future__ import annotations

from collections.abc import Mapping

from metaconf.records import Grade, Parsed, Reward


def calibration(correctness: float | None, confidence: float | None) -> float | None:
    """1 − (a − c)², in [0, 1]: the Brier score turned into a reward. 0 without a confidence."""
    if correctness is None:
        return None
    return 0.0 if confidence is None else 1 - (correctness - confidence) ** 2


def well_formed(parsed: Parsed) -> float:
    """1 if the reply holds each field once and in order, else 0."""
    return float(parsed.well_formed)


def reward(parsed: Parsed, grade: Grade, weights: Mapping[str, float]) -> Reward:
    """Weighted sum of calibration, reflection, accuracy and format; weights by those names."""
    # Without an answer or a reflection the reflection earns nothing, and that is known too.
    spoken = parsed.answer is not None and parsed.reflection is not None
    quality = grade.quality if spoken else 0.0
    parts = {
        "calibration": calibration(grade.correctness, parsed.confidence),
        "reflection": quality,
        "accuracy": grade.correctness,
        "format": well_formed(parsed),
    }
    used = {name: parts[name] for name, weight in weights.items() if weight}
    known = [weights[name] * value for name, value in used.items() if value is not None]
    total = sum(known) if len(known) == len(used) else None
    return Reward(grade.question_id, grade.sample, total, parts)
