"""Several replies to one question: which answer wins, and when is it settled?"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence


def vote(
    answers: Sequence[Hashable], confidences: Sequence[float] | None = None
) -> tuple[Hashable, float]:
    """The answer with the largest sum of confidences (without them: of votes) and its share of the
    whole sum, in [0, 1]. Equal sums go to the answer that came first.

    `answers` (k,) are keys of equal answers, `confidences` (k,) in [0, 1]. Where no reply has any
    confidence, votes count. Raises ValueError for no answers, lengths that differ, and confidences
    that are none.
    """
    if not answers:
        raise ValueError("no answers to vote on; give at least one")
    weights = [1.0] * len(answers) if confidences is None else list(confidences)
    if len(weights) != len(answers):
        raise ValueError(f"{len(answers)} answers but {len(weights)} confidences; give one each")
    _check(weights)
    if not sum(weights):
        weights = [1.0] * len(answers)
    sums = _sums(answers, weights)
    best = max(sums, key=lambda answer: sums[answer])
    return best, sums[best] / sum(weights)


def vote_until_settled(
    draw: Callable[[int], tuple[Hashable, float]], k: int, weigh: bool = True
) -> tuple[Hashable, float, int]:
    """Draw replies until no further one of `k` could change the winner: (answer, share, drawn).

    `draw(i)` asks for the i-th reply, its answer's key and its confidence in [0, 1]; votes count
    alone where not `weigh`. The winner is that of all k replies; the share is that of those drawn.
    Raises ValueError for k < 1, and as `vote`.
    """
    if k < 1:
        raise ValueError(f"k is {k}; at least one reply is needed")
    answers, confidences = list[Hashable](), list[float]()
    for i in range(k):
        answer, confidence = draw(i)
        _check([confidence])
        answers.append(answer)
        confidences.append(confidence)
        if _settled(answers, confidences if weigh else None, k - i - 1):
            break
    return (*vote(answers, confidences if weigh else None), len(answers))


def _settled(answers: Sequence[Hashable], confidences: Sequence[float] | None, left: int) -> bool:
    """Whether `left` further replies, however confident, cannot change who wins."""
    weights = [1.0] * len(answers) if confidences is None else confidences
    first, *others = sorted(_sums(answers, weights).values(), reverse=True)
    # Clearly more, beyond rounding: at equal sums the answer that came first would win.
    return first - max(others, default=0.0) > left + 1e-9


def _sums(answers: Sequence[Hashable], weights: Sequence[float]) -> dict[Hashable, float]:
    sums: dict[Hashable, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        sums[answer] = sums.get(answer, 0.0) + weight
    return sums


def _check(confidences: Sequence[float]) -> None:
    for place, one in enumerate(confidences):
        if not 0 <= one <= 1:
            raise ValueError(f"confidence {place} is {one!r}; give numbers in [0, 1]")
