"""Fits the weights of words and phrases that the offline reader uses.

`python -m tools.reading_weights` reads the labelled reflections and writes
src/metaconf/grading/reading/weights.json.gz. The final set is never read here.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, diags
from sklearn.linear_model import Ridge

from metaconf.grading.reading import NEUTRAL
from metaconf.grading.reading.fitted import phrases, scale
from metaconf.grading.reading.lexicon import words_of

HERE = Path(__file__).parents[1]
SETS = ("dev", "labelled", "fresh", "more")
OUT = HERE / "src/metaconf/grading/reading/weights.json.gz"
GAIN = 2.0
"""A ridge regression on few texts predicts too close to the mean; this undoes it."""
SHRINK, ALPHA, LEVELS = 6.0, 0.5, 127


def main() -> None:
    texts, labels = labelled(SETS)
    intercept, weights = fit(texts, labels)
    unit = max(map(abs, weights.values())) / LEVELS
    rounded = {phrase: round(weight / unit) for phrase, weight in sorted(weights.items())}
    table = {
        "intercept": round(intercept, 4),
        "unit": round(unit, 6),
        "of": {phrase: weight for phrase, weight in rounded.items() if weight},
    }
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    OUT.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(texts)} texts, {len(table['of'])} phrases, {OUT.stat().st_size} bytes")


def labelled(names: Sequence[str]) -> tuple[list[str], list[float]]:
    """Texts of the sets and their labels; a text that tells nothing counts as NEUTRAL."""
    rows: list[dict[str, Any]] = []
    for name in names:
        lines = (HERE / f"tests/grading/reflections_{name}.jsonl").read_text(encoding="utf-8")
        rows += map(json.loads, lines.splitlines())
    return [row["text"] for row in rows], [_label(row) for row in rows]


def _label(row: dict[str, Any]) -> float:
    given = [row[key] for key in ("sureness", "sureness_a", "sureness_b") if key in row]
    known = [label for label in given if label is not None]
    return float(np.mean(known)) if known else NEUTRAL


def fit(texts: Sequence[str], labels: Sequence[float]) -> tuple[float, dict[str, float]]:
    """(intercept, weights by phrase), scaled by GAIN around NEUTRAL.

    Rare phrases weigh more, as in tf-idf; those of three places that stand in one text only are
    left out.
    """
    words = [words_of(text) for text in texts]
    found = [phrases(one) for one in words]
    counts = Counter(phrase for one in found for phrase in one)
    kept = sorted(p for p, count in counts.items() if count > 1 or p.count(" ") < 2)
    column = {phrase: i for i, phrase in enumerate(kept)}
    cells = [(i, column[p], scale(words[i])) for i, one in enumerate(found) for p in sorted(one)
             if p in column]  # fmt: skip
    rows, columns, values = zip(*cells, strict=True)
    design = csr_matrix((values, (rows, columns)), shape=(len(texts), len(kept)))
    rarity = np.array([np.log((1 + len(texts)) / (1 + counts[p])) + 1 for p in kept]) / SHRINK
    model = Ridge(alpha=ALPHA, solver="sparse_cg", tol=1e-4).fit(design @ diags(rarity), labels)
    weights = dict(zip(kept, (GAIN * model.coef_ * rarity).tolist(), strict=True))
    return NEUTRAL + GAIN * (float(model.intercept_) - NEUTRAL), weights


if __name__ == "__main__":
    main()
