"""How well the reader of reflections agrees with labels, and how fast it is.

`python benchmarks/reading.py` writes benchmarks/results/reading.json. The reader was written and
fitted with all sets but the final one (tests/grading/reflections_labelled.md), which was frozen
before it was first read: its figures are what to expect of free wording.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import record

from metaconf.grading.reading import by_cues, reading
from metaconf.grading.reading.fitted import fitted
from metaconf.grading.reading.lexicon import words_of
from metaconf.metrics import rank_correlation

TESTS = Path(__file__).parents[1] / "tests" / "grading"
sys.path.insert(0, str(TESTS))
Row = dict[str, Any]
Reader = Callable[[str], float | None]


def main() -> None:
    final, told = labelled("reflections_final.jsonl")
    gaps = [abs(found - given) for found, given in read(final)]
    figures = {
        "correlation_final": correlation(final, target="≥ .9"),
        "correlation_final_cues_alone": correlation(final, by_cues_alone),
        "correlation_final_weights_alone": correlation(final, by_weights),
        "coverage_final": record.figure(share_read(final)),
        "read_without_sureness_final": record.figure(share_read(told)),
        "mean_gap_final": record.figure(float(np.mean(gaps))),
        "label_agreement_final": record.figure(
            rank_correlation([r["sureness_a"] for r in final], [r["sureness_b"] for r in final])
        ),
        "probability_words_within": record.figure(within(), target="≥ 14 of 17"),
        "seconds_10k": record.figure(seconds(final), unit="s", target="≤ 3"),
        **{
            f"correlation_final_{name}": correlation(rows)
            for key in ("kind", "style")
            for name, rows in by(key, final).items()
        },
    }
    notes = (
        "Reader: a lexicon and rules, and weights of phrases fitted on all sets but the final one. "
        "Texts and labels are a language model's, the same that wrote 1,700 of the fitted texts."
    )
    record.write(
        "reading", "python benchmarks/reading.py", figures, [0], notes, ["numpy", "scikit-learn"]
    )


def labelled(name: str) -> tuple[list[Row], list[Row]]:
    """Texts that say how sure they are, and texts that say nothing of it."""
    rows = [json.loads(line) for line in (TESTS / name).read_text(encoding="utf-8").splitlines()]
    return (
        [row for row in rows if row["sureness_a"] is not None],
        [row for row in rows if row["sureness_a"] is None],
    )


def share_read(rows: Sequence[Row]) -> float:
    return float(np.mean([reading(row["text"]) is not None for row in rows]))


def by_weights(text: str) -> float:
    return min(max(fitted(words_of(text)), 0.0), 1.0)


def by_cues_alone(text: str) -> float | None:
    return by_cues(words_of(text))


def read(rows: Sequence[Row], reader: Reader = reading) -> list[tuple[float, float]]:
    """(reading, label) of the rows that can be read."""
    found = [(reader(row["text"]), (row["sureness_a"] + row["sureness_b"]) / 2) for row in rows]
    return [(one, given) for one, given in found if one is not None]


def correlation(
    rows: Sequence[Row], reader: Reader = reading, target: str | None = None
) -> record.Figure:
    """Spearman's correlation of reading and label, with its bootstrap interval over texts."""
    found, labels = np.array(read(rows, reader)).T
    rng = np.random.default_rng(0)
    picks = rng.integers(len(found), size=(999, len(found)))
    drawn = [rank_correlation(found[pick], labels[pick]) for pick in picks]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return record.figure(rank_correlation(found, labels), (float(low), float(high)), target=target)


def by(key: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    names = sorted({row[key] for row in rows})
    return {name: [row for row in rows if row[key] == name] for name in names}


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


def seconds(rows: Sequence[Row]) -> float:
    """CPU seconds for 10,000 reflections, the least of five rounds."""
    rounds: list[float] = []
    for _ in range(5):
        start = time.process_time()
        for row in rows:
            reading(row["text"])
        rounds.append(time.process_time() - start)
    return round(min(rounds) / len(rows) * 10_000, 2)


if __name__ == "__main__":
    main()
