"""Several replies to one question: which answer wins, and when is it settled?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def vote(
    answers: Sequence[Hashable], confidences: Sequence[float] | None = None
) -> tuple[Hashable, float]:
    """The answer with the largest sum of confidences (without them: of votes) and its share of the
    whole sum, in [0, 1]. Equal sums go to the answer that came first.

    `answers` (k,) are keys of equal answers, `confidences` (k,) in [0, 1]. Where no reply has any
    confidence, votes count. Raises ValueError for no answers, or lengths that differ.
    """
    if not answers:
        raise ValueError("no answers to vote on; give at least one")
    weights = [1.0] * len(answers) if confidences is None else list(confidences)
    if len(weights) != len(answers):
        raise ValueError(f"{len(answers)} answers but {len(weights)} confidences; give one each")
    if not sum(weights):
        weights = [1.0] * len(answers)
    sums: dict[Hashable, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        sums[answer] = sums.get(answer, 0.0) + weight
    best = max(sums, key=lambda answer: sums[answer])
    return best, sums[best] / sum(weights)


def settled_after(answers: Sequence[Hashable], confidences: Sequence[float] | None = None) -> int:
    """How many of the k replies, drawn in order, settle the vote: no further reply, however
    confident (1 each), can change the winner. Between 1 and k; exact, so the winner is that of all.
    """
    for drawn in range(1, len(answers)):
        some = None if confidences is None else confidences[:drawn]
        sums: dict[Hashable, float] = {}
        for i, answer in enumerate(answers[:drawn]):
            sums[answer] = sums.get(answer, 0.0) + (1.0 if some is None else some[i])
        first, *others = sorted(sums.values(), reverse=True)
        # Clearly more, beyond rounding: at equal sums the answer that came first would win.
        if first - max(others, default=0.0) > len(answers) - drawn + 1e-9:
            return drawn
    return len(answers)
