"""AUROC within kinds of question, and what a good AUROC over all of them can hide.

A confidence that states one level a kind ranks answers well over all kinds, because some kinds are
easier, and not at all within them: it knows the kind, and nothing of the question.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from metaconf.metrics.arrays import Array, Index, Partial, check_partial, number_questions
from metaconf.metrics.bins import BINS, edges
from metaconf.metrics.bootstrap import interval, replicate
from metaconf.metrics.figures import Figure
from metaconf.metrics.summary import ScoredReplies
from metaconf.metrics.table import Cells, coarsen, group, ratio, segment_sums, starts_of

ONE_KIND = "the questions are of one kind, or their kinds are not given (family, cause or task)"
NO_PAIR = "no kind has right and wrong replies"
LEAST = 20
"""Of fewer replies nothing is said about the ranking."""
CHANCE = 0.5
_LEVELS = 200
"""With more distinct scores the resamples use so many neighbourhoods."""


def auroc_within(
    scores: Partial, correctness: Partial, kinds: Sequence[Hashable]
) -> tuple[float, int]:
    """(AUROC over the pairs of a right and a wrong reply of one kind, ties ½; number of pairs).

    Σ_k P_k A_k / Σ_k P_k, with A_k the AUROC of kind k and P_k its pairs, right_k · wrong_k: the
    concordance of a stratified outcome, counted within strata and then added (`strata` of
    `concordance` in R's survival). NaN and 0 where no kind has both. Graded correctness y counts as
    y right and 1 − y wrong. All inputs (n,); raises ValueError as `check_partial`.
    """
    cells, _ = _stratified(ScoredReplies(scores, correctness, range(len(kinds))), kinds)
    won, pairs = _pairs_won(cells, cells.count)
    return float(ratio(won, pairs)), round(float(pairs))


def auroc_within_figure(
    run: ScoredReplies, kinds: Sequence[Hashable], *, seed: int = 0, replicates: int = 1000
) -> Figure:
    """`auroc_within` with its 95 % interval by question; n: the replies with score and correctness.

    `kinds` (n,); questions whose kind is not given ("" or None) are one kind. No value, and the
    reason, where the replies are of one kind.
    """
    c, y = check_partial(run.confidence, run.correctness)
    complete = ~(np.isnan(c) | np.isnan(y))
    n = int(complete.sum())
    if len(np.unique(_numbered(kinds)[complete])) < 2:
        return Figure(n=n, reason=ONE_KIND if n else "no reply has both a confidence and a grade")
    value, _ = auroc_within(c, y, kinds)
    (drawn,) = _replicated([run], kinds, replicates, seed)
    return _figure(value, drawn, n, 0.0)


def auroc_within_difference(
    a: ScoredReplies,
    b: ScoredReplies,
    kinds: Sequence[Hashable],
    *,
    seed: int = 0,
    replicates: int = 1000,
) -> Figure:
    """`auroc_within` of run `a` minus that of run `b`, whose rows are the same questions in the
    same order, of the `kinds` (n,), with a paired 95 % interval; n is the number of questions."""
    questions, _ = number_questions(a.question_ids)
    if len(np.unique(_numbered(kinds))) < 2:
        return Figure(n=len(questions), reason=ONE_KIND)
    value = auroc_within(a[0], a[1], kinds)[0] - auroc_within(b[0], b[1], kinds)[0]
    first, second = _replicated([a, b], kinds, replicates, seed)
    apart = None if first is None or second is None else first - second
    return _figure(value, apart, len(questions), -1.0)


def ranking_warning(figures: Mapping[str, Figure], what: str = "the confidence") -> str | None:
    """A sentence where `what` was not learnt, or only the kind of question; else None.

    `figures` are those of `summarise` with `auroc_within`. An AUROC counts as chance where its
    95 % interval reaches down to .5; nothing is said of fewer than LEAST replies.
    """
    levels, overall, within = (
        figures.get(name, Figure()) for name in ("effective_levels", "auroc", "auroc_within")
    )
    if (overall.n or 0) < LEAST:
        return None
    if levels.value == 1.0:
        return f"{what} is one and the same in all {overall.n:.0f} replies"
    if _may_be_chance(overall):
        return (
            f"{what} is not shown to tell right answers from wrong ones: AUROC"
            f" {in_words(overall)} over {overall.n:.0f} replies"
        )
    if _may_be_chance(within):
        return (
            f"{what} is shown to tell only the kind of question apart: AUROC within kinds"
            f" {in_words(within)} over {within.n:.0f} replies, {in_words(overall)} over all kinds"
        )
    return None


def in_words(figure: Figure) -> str:
    """ ".87 (95 % .85 to .89)", or "not known (why)"."""
    if figure.value is None:
        return f"not known ({figure.reason})"
    value, *ends = (
        f"{one:.2f}" for one in (figure.value, figure.low, figure.high) if one is not None
    )
    return f"{value} (95 % {ends[0]} to {ends[1]})" if len(ends) == 2 else value


def _may_be_chance(figure: Figure) -> bool:
    """Whether the interval reaches down to chance; without one, whether all replies were tied."""
    if figure.value is None:
        return False
    return abs(figure.value - CHANCE) < 1e-9 if figure.low is None else figure.low <= CHANCE


def _numbered(kinds: Sequence[Hashable]) -> Index:
    """A number for each kind, (n,)."""
    return number_questions(["" if kind is None else kind for kind in kinds])[1]


def _stratified(
    run: ScoredReplies, kinds: Sequence[Hashable], most: int | None = None
) -> tuple[Cells, Index]:
    """Cells whose `confidence` is the number of the kind and, as its fraction, the score's rank;
    the question of each row. With more than `most` distinct scores, as many neighbourhoods of equal
    mass."""
    scores, correctness = check_partial(run.confidence, run.correctness)
    levels, level = np.unique(scores, return_inverse=True)
    if most is not None and len(levels) > most:
        levels, level = np.unique(coarsen(scores, most, edges(BINS)), return_inverse=True)
    code = np.where(np.isnan(scores), np.nan, _numbered(kinds) + level / len(levels))
    return group(code, correctness), number_questions(run.question_ids)[1]


def _pairs_won(cells: Cells, weights: Array) -> tuple[Array, Array]:
    """Pairs of one kind in which the right reply scores higher (ties ½), and all such pairs, for
    weights (..., C) of the cells; each (...,)."""
    table = cells.table(weights)
    starts = starts_of(np.floor(table.levels))
    right, wrong = table.right, table.count - table.right
    lower = np.cumsum(wrong, axis=-1) - wrong
    lengths = np.diff(np.append(starts, len(table.levels)))
    below = lower - np.repeat(lower[..., starts], lengths, axis=-1) + 0.5 * wrong
    pairs = segment_sums(right, starts) * segment_sums(wrong, starts)
    return (right * below).sum(axis=-1), pairs.sum(axis=-1)


def _replicated(
    runs: Sequence[ScoredReplies], kinds: Sequence[Hashable], replicates: int, seed: int
) -> list[Array | None]:
    """Each run's `auroc_within` over the same resamples of questions, (replicates,)."""

    def of(cells: Cells, weights: Array) -> dict[str, Array]:
        return {"auroc_within": ratio(*_pairs_won(cells, weights))}

    questions = len(number_questions(runs[0].question_ids)[0])
    parts = [_stratified(run, kinds, _LEVELS) for run in runs]
    drawn = replicate(parts, questions, of, replicates, seed)
    return [one.get("auroc_within") for one in drawn]


def _figure(value: float, drawn: Array | None, n: int, low: float) -> Figure:
    if np.isnan(value):
        return Figure(n=n, reason=NO_PAIR)
    return Figure.with_ends(value, interval(value, drawn, low, 1.0), n)
