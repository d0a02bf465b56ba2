"""A calibration file as the server uses it: map, decision, and whether it still holds.

Both watches may be looked at after every reply: their chance of ever warning without cause stays
below `FALSE_ALARM`, however long the server runs.

- Drift: two-sample Kolmogorov–Smirnov tests of the last `WINDOW` confidences against the labelled
  ones, after every `STEP` replies; the k-th test has the level `FALSE_ALARM`·6/(π²k²), and these
  add up to `FALSE_ALARM`. On tied confidences the test errs towards silence.
- Conflict: of the answered replies that people labelled, more are wrong than α allows. The mean of
  the likelihood ratios of all error rates p > α against α is a supermartingale under every rate of
  at most α, so it exceeds 1/`FALSE_ALARM` with probability at most `FALSE_ALARM` (Ville 1939).
  That is about the replies that were labelled; people label what looks wrong to them.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metaconf.decisions.abstain import Rule, certify
from metaconf.decisions.cascade_run import Cascade
from metaconf.decisions.recalibrate import Map
from metaconf.decisions.run import in_words, read_calibration
from metaconf.metrics.arrays import Array

WINDOW, STEP = 500, 50
FALSE_ALARM = 0.01
ALPHAS = tuple(k / 100 for k in range(1, 51))
"""Tolerated errors that the page's slider offers."""
State = Literal["calibrated", "insufficient_evidence", "unsupported", "stale", "conflict"]
Action = Literal["answer", "abstain", "escalate", "unknown"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `metaconf calibrate` wrote. `confidence` and `correctness` (n,) are the labelled
    replies, `id` names the file by its content, `words` say what is certified. Of a
    `cascade` of `models` the threshold is one model's, and the error certified that of all."""

    id: str
    rule: Rule
    map: Map
    confidence: Array
    correctness: Array
    fitted_at: str
    words: str
    cascade: Cascade | None = None
    models: tuple[str, ...] = ()

    def recalibrated(self, confidence: float) -> float:
        """The confidence deserved, in [0, 1], for the one stated."""
        return float(self.map([confidence])[0])


def load(path: Path) -> Calibration:
    """Raises UserError for a file that `metaconf calibrate` did not write."""
    kept, rule, mapping = read_calibration(path)
    c, y = (np.array(kept[name], float) for name in ("confidences", "correctness"))
    name = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return Calibration(name, rule, mapping, c, y, str(kept.get("fitted_at")), in_words(rule))


def offers(calibration: Calibration) -> list[dict[str, Any]]:
    """For each of ALPHAS: the models' `thresholds`, None for one that is not asked, and all of them
    where nothing is certified; the share that is answered, and its error; of a cascade what a
    question costs, as a share of a call of the last model."""
    cascade = calibration.cascade
    if cascade is not None:
        fitted, dearest = cascade.rules(ALPHAS), cascade.costs[-1]
        found = [
            (r.alpha, r.thresholds, r.answered / r.tested, r.error, r.cost / dearest)
            for r in fitted
        ]
    else:
        c, y, delta = calibration.confidence, calibration.correctness, calibration.rule.delta
        rules = [certify(c, y, alpha, delta) for alpha in ALPHAS]
        found = [(r.alpha, (r.threshold,), r.coverage, r.error, None) for r in rules]
    names = ("alpha", "thresholds", "coverage", "error", "cost")
    return [dict(zip(names, one, strict=True)) for one in found]


def decision(
    calibration: Calibration | None, state: State, confidence: float | None
) -> dict[str, Any]:
    """What to do with a reply that states this confidence, and why, in words."""
    if calibration is None:
        why = "No calibration applies to this reply, so no error is certified."
        return _decided("unknown", None, False, why)
    rule = calibration.rule
    certified = state == "calibrated"
    if confidence is None:
        return _decided("unknown", rule, certified, "The reply states no confidence.")
    if rule.threshold is None:
        return _decided("abstain", rule, False, calibration.words)
    sure = confidence >= rule.threshold
    place = f"{'at least' if sure else 'below'} {rule.threshold:g}"
    why = f"The confidence {confidence:g} is {place}, {_warranty(calibration, state)}"
    return _decided("answer" if sure else "abstain", rule, certified, why)


def _decided(action: Action, rule: Rule | None, certified: bool, why: str) -> dict[str, Any]:
    known = {name: getattr(rule, name, None) for name in ("threshold", "alpha", "delta")}
    return {"action": action, **known, "certified": certified, "reason": why}


def _warranty(calibration: Calibration, state: State) -> str:
    rule = calibration.rule
    if state == "stale":
        return "but confidences have drifted from the labelled ones: no error is certified."
    if state == "conflict":
        return f"but labels that came back show an error above {rule.alpha:g}: none is certified."
    what = "this model answers: the cascade's error" if calibration.cascade else "the error"
    return (
        f"at and above which {what} is at most {rule.alpha:g} with probability {1 - rule.delta:g}"
        f" ({rule.labelled} labelled {'questions' if calibration.cascade else 'replies'})."
    )


def described(calibration: Calibration | None, state: State) -> dict[str, Any]:
    """Which calibration a reply was decided by."""
    if calibration is None:
        return {"id": None, "n": 0, "state": state, "fitted_at": None}
    n, at = calibration.rule.labelled, calibration.fitted_at
    return {"id": calibration.id, "n": n, "state": state, "fitted_at": at}


@dataclass(slots=True)
class Watch:
    """Whether the calibration holds for what is served and labelled; see above."""

    calibration: Calibration | None
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    seen: int = 0
    tests: int = 0
    drifted: bool = False
    wrong: float = 0.0
    labelled: int = 0

    def served(self, confidence: float | None) -> None:
        """Note a reply's stated confidence."""
        if self.calibration is None or confidence is None:
            return
        self.recent.append(confidence)
        self.seen += 1
        if self.seen % STEP == 0:
            self.tests += 1
            level = FALSE_ALARM * 6 / (math.pi * self.tests) ** 2
            self.drifted |= _p_value(self.calibration.confidence, list(self.recent)) < level

    @property
    def state(self) -> State:
        if self.calibration is None:
            return "unsupported"
        rule = self.calibration.rule
        if rule.threshold is None:
            return "insufficient_evidence"
        if against(self.wrong, self.labelled, rule.alpha) > -math.log(FALSE_ALARM):
            return "conflict"
        return "stale" if self.drifted else "calibrated"


def _p_value(before: Array, now: list[float]) -> float:
    from scipy.stats import ks_2samp

    return float(ks_2samp(before, now, method="asymp").pvalue)  # pyright: ignore


def against(wrong: float, labelled: int, alpha: float) -> float:
    """Log of the evidence that the error exceeds `alpha`: the mean likelihood ratio of rates
    uniform in [alpha, 1]. Any sequence of labels; 0 for none."""
    from scipy.special import betainc, betaln

    if not labelled:
        return 0.0
    a, b = wrong + 1, labelled - wrong + 1
    above = float(betainc(b, a, 1 - alpha))  # P(rate > alpha), exact also where it is near 0
    if above <= 0:
        return -math.inf
    mean = float(betaln(a, b)) + math.log(above) - math.log1p(-alpha)
    return mean - wrong * math.log(alpha) - (labelled - wrong) * math.log1p(-alpha)
