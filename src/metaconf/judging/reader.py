"""A small reader of words: what a reflection adds for someone who does not know the model.

It predicts whether an answer is right from the words of question and answer, and from the words of
the reflection as well. The value of the reflection is how much it lowers the reader's Brier score.
The reader is fitted on replies to other questions, and reads letters only, so that no stated number
reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from metaconf.metrics.logistic import GradedLogistic

Array = NDArray[np.float64]


class ReaderInput(NamedTuple):
    """What the reader is given of a reply."""

    question: str
    answer: str
    reflection: str

    @property
    def without_reflection(self) -> str:
        return f"{self.question} {self.answer}"


class Reading(NamedTuple):
    """The predicted chance (n,) in [0, 1] that each answer is right, without and with its
    reflection."""

    without: Array
    with_reflection: Array


def cross_fitted(
    replies: Sequence[ReaderInput],
    correctness: Sequence[float] | Array,
    questions: Sequence[str],
    others: Sequence[Sequence[ReaderInput]] = (),
    folds: int = 5,
) -> list[Reading]:
    """Readings of `replies`, and of the same with other reflections (each of `others`, (n,)), by
    readers fitted on the replies to other questions. Raises ValueError for fewer than `folds`."""
    from metaconf.metrics import logistic

    sets = [replies, *others]
    # The others have no label: they are read, and no reader is fitted on them.
    labels = np.full((len(sets), len(replies)), np.nan)
    labels[0] = correctness
    groups = [*questions] * len(sets)
    read = [
        logistic.cross_fitted(_regression(), counts, labels.ravel(), groups, folds)
        for counts in _counts([reply for some in sets for reply in some])
    ]
    return [Reading(*pair) for pair in zip(*(r.reshape(labels.shape) for r in read), strict=True)]


def _counts(replies: Sequence[ReaderInput]) -> tuple[Any, Any]:
    """Sparse counts of words and of two and three in a row: those of question and answer, and the
    same with those of the reflection beside them."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    # Hashed: no table of words to fit, keep and take along.
    words = HashingVectorizer(
        token_pattern=r"[^\W\d_]+", ngram_range=(1, 3), n_features=2**15, alternate_sign=False
    )
    bare = words.transform([one.without_reflection for one in replies])
    return bare, hstack([bare, words.transform([one.reflection for one in replies])]).tocsr()


def _regression() -> GradedLogistic:
    from metaconf.metrics.logistic import GradedLogistic

    return GradedLogistic(C=STRENGTH, max_iter=300)


STRENGTH = 5.0
"""Inverse penalty of the regressions (docs/lab-notebook.md)."""
FEWEST = 50
"""Replies without which no reader is fitted to measure with."""


def reader_input(question: str, answer: str | None, reflection: str | None) -> ReaderInput | None:
    """What the reader is given of a reply; None where it lacks an answer or a reflection."""
    return ReaderInput(question, answer, reflection) if answer and reflection else None
