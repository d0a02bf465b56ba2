"""How well the reader of reflections agrees with labels, and how fast it is.

`python benchmarks/reading.py` writes benchmarks/results/reading.json. The lexicon and its rules
were written with the development and the labelled texts. Whoever wrote them never looked at the
fresh ones: their figures are what to expect of free wording.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import record

from metaconf.grading.reading import reading
from metaconf.metrics import rank_correlation

TESTS = Path(__file__).parents[1] / "tests" / "grading"
sys.path.insert(0, str(TESTS))
Row = dict[str, Any]


def main() -> None:
    fresh, told = labelled("reflections_fresh.jsonl")
    known, _ = labelled("reflections_labelled.jsonl")
    own = development()
    figures = {
        "correlation_fresh": correlation(fresh, "≥ .9"),
        "coverage_fresh": record.figure(share_read(fresh)),
        "read_without_sureness_fresh": record.figure(share_read(told)),
        "mean_gap_fresh": record.figure(float(np.mean([abs(r - x) for r, x in read(fresh)]))),
        "label_agreement_fresh": record.figure(
            rank_correlation([r["sureness_a"] for r in fresh], [r["sureness_b"] for r in fresh])
        ),
        "correlation_labelled": correlation(known),
        "correlation_development": correlation(own),
        "probability_words_within": record.figure(within(), target="≥ 14 of 17"),
        "ngram_ridge_correlation_fresh": record.figure(ngram_ridge([*own, *known], fresh)),
        "seconds_10k": record.figure(seconds(known), unit="s", target="≤ 2"),
        **{f"correlation_fresh_{kind}": correlation(of) for kind, of in by_kind(fresh).items()},
    }
    notes = (
        "Reader: a lexicon and rules, no fitting, written with the labelled and the development "
        "texts, not with the fresh ones; n-gram ridge: fitted on the former."
    )
    record.write(
        "reading", "python benchmarks/reading.py", figures, [0], notes, ["numpy", "scikit-learn"]
    )


def labelled(name: str) -> tuple[list[Row], list[Row]]:
    """Texts that say how sure they are, and texts that say nothing of it."""
    rows = lines(name)
    return (
        [row for row in rows if row["sureness_a"] is not None],
        [row for row in rows if row["sureness_a"] is None],
    )


def share_read(rows: Sequence[Row]) -> float:
    return float(np.mean([reading(row["text"]) is not None for row in rows]))


def lines(name: str) -> list[Row]:
    return [json.loads(line) for line in (TESTS / name).read_text(encoding="utf-8").splitlines()]


def development() -> list[Row]:
    """The texts that the lexicon was written with, as rows with one label twice."""
    rows = [row for row in lines("reflections_dev.jsonl") if row["sureness"] is not None]
    return [{**row, "sureness_a": row["sureness"], "sureness_b": row["sureness"]} for row in rows]


def label(row: Row) -> float:
    return (row["sureness_a"] + row["sureness_b"]) / 2


def read(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """(reading, label) of the rows that can be read."""
    found = [(reading(row["text"]), label(row)) for row in rows]
    return [(one, given) for one, given in found if one is not None]


def correlation(rows: Sequence[Row], target: str | None = None) -> record.Figure:
    """Spearman's correlation of reading and label, with its bootstrap interval over texts."""
    found, labels = np.array(read(rows)).T
    rng = np.random.default_rng(0)
    picks = rng.integers(len(found), size=(999, len(found)))
    drawn = [rank_correlation(found[pick], labels[pick]) for pick in picks]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return record.figure(rank_correlation(found, labels), (float(low), float(high)), target=target)


def by_kind(rows: Sequence[Row]) -> dict[str, list[Row]]:
    kinds = sorted({row["kind"] for row in rows})
    return {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}


def within() -> int:
    """Probability words whose median over four carriers lies in the quartiles of people."""
    from test_reading import WORDS  # pyright: ignore[reportMissingImports]

    medians = [
        float(np.median([reading(carrier.format(word)) or 0.0 for carrier in carriers]))
        for word, _, _, carriers in WORDS
    ]
    return sum(
        low <= 100 * found <= high for found, (_, low, high, _) in zip(medians, WORDS, strict=True)
    )


def ngram_ridge(train: Sequence[Row], rows: Sequence[Row]) -> float:
    """What a ridge regression on hashed n-grams reaches, fitted on the development texts."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import Ridge

    words = HashingVectorizer(ngram_range=(1, 2), n_features=2**15, alternate_sign=False)
    fitted = Ridge(alpha=1.0).fit(
        words.transform([r["text"] for r in train]), list(map(label, train))
    )
    found = fitted.predict(words.transform([row["text"] for row in rows]))
    return rank_correlation(np.clip(found, 0, 1), list(map(label, rows)))


def seconds(rows: Sequence[Row]) -> float:
    """CPU seconds for 10,000 reflections, the least of five rounds."""
    texts = [row["text"] for row in rows]
    rounds: list[float] = []
    for _ in range(5):
        start = time.process_time()
        for text in texts:
            reading(text)
        rounds.append(time.process_time() - start)
    return round(min(rounds) / len(texts) * 10_000, 2)


if __name__ == "__main__":
    main()
