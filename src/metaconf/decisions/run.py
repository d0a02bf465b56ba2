"""`metaconf calibrate` and `metaconf decide`: a rule from labelled replies, and its use."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from metaconf.decisions.abstain import Rule, certify
from metaconf.decisions.recalibrate import Map, choose, too_little
from metaconf.decisions.replies import Row, by_question, check_new, read
from metaconf.errors import UserError
from metaconf.files import write_text
from metaconf.metrics.arrays import check_pair
from metaconf.records import write_jsonl
from metaconf.safe_text import loads_bounded

VERSION = 2
FLAT = 0.01
"""Mapped confidences that lie within so little say the same."""


def calibrate(replies: Path, output: Path, alpha: float, delta: float, method: str | None) -> str:
    """Write `output` (JSON) from labelled `replies`; returns what was found, in words.

    Replies without a confidence, or ungraded, are left out and counted. Raises UserError for a
    file that cannot be used, for an output that exists, and for two replies to one question.
    """
    check_new(output)
    rows = read(replies, method)
    known = [r for r in rows if r["confidence"] is not None and r.get("correctness") is not None]
    if not known:
        raise UserError(f"{replies}: no reply has both a confidence and a correctness")
    ids = list(by_question(replies, known))
    c, y = (np.array([r[name] for r in known], float) for name in ("confidence", "correctness"))
    rule = certify(c, y, alpha, delta)
    mapping, scores = choose(c, y, ids)
    order = np.argsort(c, kind="stable")
    kept = {
        "version": VERSION,
        "rule": asdict(rule),
        "map": asdict(mapping),
        "no_map_because": too_little(c, y),
        "held_out_brier": scores,
        "confidences": c[order].tolist(),
        "correctness": y[order].tolist(),
        "fitted_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "left_out": len(rows) - len(known),
        "replies": len(rows),
        "silent": sum(r["confidence"] is None for r in rows),
    }
    write_text(output, json.dumps(kept, allow_nan=False) + "\n")
    lines = [in_words(rule), f"Recalibration: {mapping.kind}.", *_map_words(kept, mapping(c))]
    return _left_out(len(rows) - len(known)) + "\n".join(lines)


def decide(replies: Path, calibration: Path, output: Path, method: str | None) -> str:
    """Write `output` (JSONL): each reply of `replies` with `decision` and `recalibrated`.

    The decision is "answer" or "abstain"; "unknown" where no confidence was stated. Returns the
    coverage and the drift check in words. Raises UserError as `calibrate` does.
    """
    check_new(output)
    kept, rule, mapping = read_calibration(calibration)
    rows = read(replies, method)
    stated = np.array([r["confidence"] for r in rows if r["confidence"] is not None], float)
    mapped = iter(mapping(stated).tolist() if len(stated) else [])
    decided = [_decided(row, rule, mapped) for row in rows]
    write_jsonl(output, decided)
    counts = Counter(row["decision"] for row in decided)
    lines = [f"{counts[kind]} of {len(rows)}: {kind}" for kind in ("answer", "abstain", "unknown")]
    lines += _map_words(kept)
    drift = _drift(np.array(kept["confidences"]), stated)
    return "\n".join([*lines, *drift, *_silence(kept, len(rows) - len(stated), len(rows))])


def in_words(rule: Rule) -> str:
    """The rule for a reader."""
    goal = f"error ≤ {rule.alpha:g} with probability {1 - rule.delta:g}"
    if rule.threshold is not None:
        return (
            f"{goal}: answer where the confidence is at least {rule.threshold:g}. That is "
            f"{rule.answered} of {rule.labelled} labelled replies ({rule.coverage:.1%}), with an "
            f"observed error of {rule.error:.3f}."
        )
    if rule.more is None:
        return (
            f"{goal}: cannot be certified at any confidence, and at the rates seen so far no "
            "number of labelled replies would do; every reply is abstained from. Allow a larger "
            "alpha."
        )
    return (
        f"{goal}: cannot be certified with {rule.labelled} labelled replies; every reply is "
        f"abstained from. About {rule.more} more would do at the rates seen so far."
    )


def _map_words(kept: dict[str, Any], mapped: np.ndarray | None = None) -> list[str]:
    """What a user must know of the map: that there is none, and why, or that it is flat."""
    if why := kept.get("no_map_because"):
        return [f"Warning: {why}, so the confidences are left as they are; label more replies."]
    if mapped is not None and len(mapped) > 1 and np.ptp(mapped) < FLAT:
        return [
            f"Warning: every confidence becomes {mapped.mean():.2f}: in these replies it does not"
            " tell right from wrong."
        ]
    return []


def read_calibration(path: Path) -> tuple[dict[str, Any], Rule, Map]:
    """The content of a file that `calibrate` wrote, with its rule and its map; UserError for any
    other."""
    try:
        kept = loads_bounded(path.read_text(encoding="utf-8"))
        if "cascade" in kept:
            raise UserError(f"{path}: is of a cascade; it is for metaconf serve --cascade")
        if kept["version"] != VERSION:
            raise UserError(f"{path}: is of version {kept['version']!r}; calibrate again")
        kept["map"]["numbers"] = tuple(map(tuple, kept["map"]["numbers"]))
        mapping, rule = Map(**kept["map"]), Rule(**kept["rule"])
        check_pair(kept["confidences"], kept["correctness"])
        if rule.threshold is not None and not 0 <= rule.threshold <= 1:
            raise ValueError(rule.threshold)
        if not _counts(kept["silent"], kept["replies"]):
            raise ValueError(kept["silent"])
        return kept, rule, mapping
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: is no file that `metaconf calibrate` wrote") from error


def _counts(silent: Any, replies: Any) -> bool:
    """Whether these are numbers of replies, some of them silent, as scipy can hold them."""
    whole = type(silent) is int and type(replies) is int
    return whole and 0 <= silent <= replies and 0 < replies < 2**31


def _decided(row: Row, rule: Rule, mapped: Iterator[float]) -> Row:
    if row["confidence"] is None:
        return {**row, "decision": "unknown", "recalibrated": None}
    sure = rule.threshold is not None and row["confidence"] >= rule.threshold
    return {**row, "decision": "answer" if sure else "abstain", "recalibrated": next(mapped)}


def _drift(before: np.ndarray, now: np.ndarray) -> Sequence[str]:
    """Whether new confidences look like the labelled ones: a two-sample Kolmogorov–Smirnov test,
    which on tied values errs towards silence."""
    from scipy.stats import ks_2samp

    if not len(now):
        return ()
    found = ks_2samp(before, now)
    p = float(found.pvalue)  # pyright: ignore[reportAttributeAccessIssue]
    if p >= 0.01:
        return (f"No drift of the confidences is seen (p = {p:.2g}).",)
    return (
        f"Warning: the confidences have drifted from the calibration file's (p = {p:.2g}, means "
        f"{now.mean():.3f} against {before.mean():.3f}): the guarantee does not hold for them; "
        "label some of these replies and calibrate again.",
    )


def _silence(kept: dict[str, Any], silent: int, replies: int) -> Sequence[str]:
    """A warning where no confidence is stated more or less often than in the calibration file
    (Fisher's exact test): a model that falls silent where it is unsure shows in no confidence."""
    from scipy.stats import fisher_exact

    before, of = kept["silent"], kept["replies"]
    found = fisher_exact([[before, of - before], [silent, replies - silent]])
    p = float(found.pvalue)  # pyright: ignore[reportAttributeAccessIssue]
    if p >= 0.01:
        return ()
    return (
        f"Warning: {silent / replies:.1%} state no confidence, {before / of:.1%} did in the"
        f" calibration file (p = {p:.2g}): the replies have drifted; calibrate again.",
    )


def _left_out(n: int) -> str:
    return f"{n} replies without a confidence or a grade were left out.\n" if n else ""
