"""How well the reader of reflections agrees with people and with labels, and how fast it is.

`python benchmarks/reading.py` writes benchmarks/results/reading.json. FIRST holds what was measured
before any labelled text had been looked at, which is the fairest figure of the lexicon as it was
then. Half of the labelled texts (`was_read`) were looked at afterwards, for kinds of wording that
the reader lacked; the others never.
"""

from __future__ import annotations

import hashlib
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

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "judging"))
TESTS = ROOT / "tests" / "judging"
FIRST = {"correlation_first_look": 0.663, "coverage_first_look": 0.956}
"""At commit 1a4ac11, over all labelled reflections."""
Row = dict[str, Any]


def main() -> None:
    rows = [row for row in lines("reflections_labelled.jsonl") if row["sureness_a"] is not None]
    unread = [row for row in rows if not was_read(row)]
    figures = {
        "correlation": correlation(rows, "≥ .9"),
        "correlation_never_read": correlation(unread, "≥ .9"),
        "coverage": record.figure(float(np.mean([reading(r["text"]) is not None for r in rows]))),
        "label_agreement": record.figure(
            rank_correlation([r["sureness_a"] for r in rows], [r["sureness_b"] for r in rows])
        ),
        "mean_gap": record.figure(float(np.mean([abs(r - x) for r, x in read(rows)]))),
        "correlation_development": correlation(development()),
        "probability_words_within": record.figure(within(), target="≥ 14 of 17"),
        "ngram_ridge_correlation": record.figure(ngram_ridge(development(), rows)),
        "seconds_10k": record.figure(seconds(rows), unit="s", target="≤ 2"),
        **{name: record.figure(value) for name, value in FIRST.items()},
        **{f"correlation_{kind}": correlation(of) for kind, of in by_kind(rows).items()},
    }
    notes = (
        "Reader: a lexicon and rules, no fitting; n-gram ridge: fitted on the development texts."
    )
    record.write(
        "reading", "python benchmarks/reading.py", figures, [0], notes, ["numpy", "scikit-learn"]
    )


def lines(name: str) -> list[Row]:
    return [json.loads(line) for line in (TESTS / name).read_text(encoding="utf-8").splitlines()]


def development() -> list[Row]:
    """The texts that the lexicon was written with, as rows with one label twice."""
    rows = [row for row in lines("reflections_dev.jsonl") if row["sureness"] is not None]
    return [{**row, "sureness_a": row["sureness"], "sureness_b": row["sureness"]} for row in rows]


def was_read(row: Row) -> bool:
    """Whether the author of the lexicon looked at the text: half of the groups, and half of the
    rest, chosen by a hash."""
    key = str(row["paraphrase_group"] or row["id"]).encode()
    first, second = hashlib.sha256(key).digest()[:2]
    return first % 2 == 0 or second % 2 == 0


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
