"""What stage 1 can teach: how often the model is right, and how well the targets tell when.

No target is fitted on the grade of its own question (`evidence.targets`), so that it is measured
here as a confidence would be: its figures are about what a model can learn from the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from metaconf.metrics import Figure, ScoredReplies, auroc_within_figure, summarise
from metaconf.metrics.figures import figures_to_json
from metaconf.metrics.within import in_words, ranking_warning
from metaconf.training.evidence import Answered

ENOUGH = 400
"""Rows. In trials with a model of 270M parameters 250 rows taught one constant confidence, or one
a kind of question; 400 taught more."""


@dataclass(frozen=True, slots=True)
class Learnable:
    """`figures` of the targets of `rows` rows as confidences: accuracy (of all graded answers),
    Brier score, AUROC, AUROC within kinds. `brier_share` is the Brier score of a confidence that is
    the share right of the others, `brier_kinds` that of the others of the kind; None: not known."""

    rows: int
    figures: Mapping[str, Figure]
    brier_share: float | None
    brier_kinds: float | None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "figures": figures_to_json(self.figures)}

    def in_words(self) -> str:
        """One line; what is not known is said."""
        right, brier = self.figures["accuracy"], self.figures["brier"]
        if right.value is None or brier.value is None or self.brier_share is None:
            return f"What can be learnt is not known: {right.reason or brier.reason}."
        auroc, within = (in_words(self.figures[name]) for name in ("auroc", "auroc_within"))
        return (
            f"What can be learnt: {right.value:.2f} of {right.n:.0f} graded answers are right; the"
            f" confidence targets tell which with an AUROC of {auroc}, within kinds of question"
            f" {within}; Brier score {brier.value:.3f} (the share right for all:"
            f" {self.brier_share:.3f}; for each kind: {self.brier_kinds:.3f})."
        )

    def warnings(self) -> list[str]:
        """Sentences about what the rows can hardly teach."""
        few = (
            f"{self.rows} rows are few: so many may teach one confidence for all questions, or one"
            f" for each kind; from {ENOUGH} on it was more in trials; take more questions"
        )
        said = ranking_warning(self.figures, "the confidence target")
        return [*([few] if self.rows < ENOUGH else []), *([said] if said else [])]


def learnable(
    answers: Sequence[Answered], rows: Sequence[Mapping[str, Any]], seed: int = 0
) -> Learnable:
    """Of the prepared `rows` (`id` and `target` of each) and the answers that they come from."""
    targets = {row["id"]: row["target"] for row in rows}
    ids = [answer.question.id for answer in answers]
    kinds = [answer.question.kind for answer in answers]
    run = ScoredReplies([targets.get(i) for i in ids], [answer.right for answer in answers], ids)
    names = ("accuracy", "brier", "auroc", "effective_levels")
    figures = summarise(*run, names, seed=seed)
    figures["auroc_within"] = auroc_within_figure(run, kinds, seed=seed)
    known = [i for i, a in enumerate(answers) if a.right is not None and ids[i] in targets]
    right = np.array([answers[i].right for i in known], float)
    return Learnable(
        len(rows),
        {name: figures[name] for name in (*names, "auroc_within")},
        _brier_of_shares(right, [""] * len(right)),
        _brier_of_shares(right, [kinds[i] for i in known]),
    )


def _brier_of_shares(right: np.ndarray, kinds: Sequence[str]) -> float | None:
    """Brier score of a confidence that is the share right of the other answers of the kind, or of
    all others where the answer is alone of its kind; `right` (n,). None for fewer than two."""
    if len(right) < 2:
        return None
    _, kind = np.unique(kinds, return_inverse=True)
    count, total = np.bincount(kind)[kind], np.bincount(kind, right)[kind]
    others = (right.sum() - right) / (len(right) - 1)
    share = np.where(count > 1, (total - right) / np.maximum(count - 1, 1), others)
    return float(np.mean((share - right) ** 2))
