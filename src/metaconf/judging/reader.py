"""A small reader of words: what a reflection tells someone who does not know the model.

It predicts whether an answer is right from the words of question and answer, and from those of the
reflection beside them; what the reflection takes off its Brier score is what the reflection is
worth. It is fitted on other replies of the same model, never on those that it reads, and reads
letters alone, so that no number that is stated reaches it. The offline counterpart of the language
model that reads (`ask.Judge`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaconf.records import Grade

if TYPE_CHECKING:
    from metaconf.judging.ask import Judged
    from metaconf.metrics.logistic import GradedLogistic

Array = NDArray[np.float64]


class Told(NamedTuple):
    """What is read: question, answer and reflection."""

    question: str
    answer: str
    reflection: str

    @property
    def bare(self) -> str:
        return f"{self.question} {self.answer}"


class Reading(NamedTuple):
    """The chance (n,) in [0, 1] that each answer is right, read without and with its reflection."""

    without: Array
    told: Array


@dataclass(frozen=True, slots=True)
class Reader:
    """Two logistic regressions on words: of question and answer, and of the reflection as well."""

    bare: GradedLogistic
    told: GradedLogistic

    def read(self, replies: Sequence[Told]) -> Reading:
        bare, told = _counts(replies)
        return Reading(self.bare.predict(bare), self.told.predict(told))


def fit(replies: Sequence[Told], correctness: Sequence[float] | Array) -> Reader:
    """A reader of these replies; `correctness` (n,) in [0, 1], a graded one counts as that share
    of a right answer."""
    labels = np.asarray(correctness, float)
    bare, told = _counts(replies)
    return Reader(*(_regression().fit(counts, labels) for counts in (bare, told)))


def cross_fitted(
    replies: Sequence[Told],
    correctness: Sequence[float] | Array,
    questions: Sequence[str],
    others: Sequence[Sequence[Told]] = (),
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


def _counts(replies: Sequence[Told]) -> tuple[Any, Any]:
    """Sparse counts of words and of two and three in a row: those of question and answer, and the
    same with those of the reflection beside them."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    # Hashed: no table of words to fit, keep and take along.
    words = HashingVectorizer(
        token_pattern=r"[^\W\d_]+", ngram_range=(1, 3), n_features=2**15, alternate_sign=False
    )
    bare = words.transform([one.bare for one in replies])
    return bare, hstack([bare, words.transform([one.reflection for one in replies])]).tocsr()


def _regression() -> GradedLogistic:
    from metaconf.metrics.logistic import GradedLogistic

    return GradedLogistic(C=STRENGTH, max_iter=300)


STRENGTH = 5.0
"""Inverse penalty of the regressions (docs/lab-notebook.md)."""
ENOUGH, KEPT = 128, 4096
"""Replies that a reader must have seen before it pays, and the last ones that it is fitted on: the
policy moves."""
FEWEST = 50
"""Replies without which no reader is fitted to measure with."""
UNREAD = "reader: too few replies read so far"


@dataclass
class ReadBy:
    """Pays the reflections of a batch by a reader that was fitted on the batches before it.

    Quality as `paid`; ½ for all while fewer than ENOUGH replies are known. Replies without an
    answer, a reflection or a grade are not read. `failing` is there for who takes either judge:
    this one cannot.
    """

    known: list[tuple[Told, float]] = field(default_factory=list)
    failing: str = ""

    def __call__(self, replies: Sequence[Judged]) -> list[Grade]:
        grades = [replace(grade, quality=None, parts={}) for *_, grade in replies]
        read = {
            place: (told, grade.correctness)
            for place, (question, parsed, grade) in enumerate(replies)
            if (told := told_of(question.prompt, parsed.answer, parsed.reflection))
            and grade.correctness is not None
        }
        for place, (quality, parts, said) in zip(read, self._paid([*read.values()]), strict=True):
            grades[place] = replace(grades[place], quality=quality, parts=parts, judged=said)
        self.learn(read.values())
        return grades

    def learn(self, replies: Iterable[tuple[Told, float]]) -> None:
        """Know these replies and their correctness too."""
        self.known = [*self.known, *replies][-KEPT:]

    def _paid(self, replies: Sequence[tuple[Told, float]]) -> list[Paid]:
        if not replies or len(self.known) < ENOUGH:
            return [(0.5, {}, UNREAD)] * len(replies)
        reader = fit(*zip(*self.known, strict=True))
        read = reader.read([told for told, _ in replies])
        return [
            paid(right, float(before), float(after))
            for (_, right), before, after in zip(replies, *read, strict=True)
        ]


Paid = tuple[float, dict[str, float], str]
"""A reflection's quality in [0, 1], its parts, and a sentence on it."""


def paid(right: float, before: float, after: float) -> Paid:
    """½ + ½((a − r₀)² − (a − r₁)²): what the reflection takes off a reader's Brier score; ½ for one
    that changes nothing."""
    gain = (right - before) ** 2 - (right - after) ** 2
    said = f"reader: {before:.2f} without the reflection, {after:.2f} with it"
    return 0.5 + gain / 2, {"reader_without": before, "reader_with": after}, said


def told_of(question: str, answer: str | None, reflection: str | None) -> Told | None:
    """What a reader is given of a reply; None where it lacks an answer or a reflection."""
    return Told(question, answer, reflection) if answer and reflection else None
