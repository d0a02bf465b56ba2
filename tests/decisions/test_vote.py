"""Voting: the winner, ties, and when no further reply can change it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaconf.decisions import vote, vote_until_settled


def settled_after(answers: Sequence[str], confidences: Sequence[float] | None = None) -> int:
    """How many replies are drawn before no further one can change the winner."""
    sure = [1.0] * len(answers) if confidences is None else confidences
    pairs = list(zip(answers, sure, strict=True))
    return vote_until_settled(pairs.__getitem__, len(pairs), confidences is not None)[2]


def test_confidence_can_outvote_numbers() -> None:
    answers = ["a", "b", "b"]
    assert vote(answers) == ("b", pytest.approx(2 / 3))
    assert vote(answers, [0.9, 0.2, 0.3]) == ("a", pytest.approx(0.9 / 1.4))


def test_ties_go_to_the_first_and_no_confidence_counts_votes() -> None:
    assert vote(["b", "a"])[0] == "b"
    assert vote(["a", "b", "b"], [0, 0, 0])[0] == "b"
    for bad in ([], [0.5]):
        with pytest.raises(ValueError, match="give"):
            vote(["a", "b"] if bad else [], bad)


REPLIES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.3, 0.7, 1.0])))


@given(REPLIES.filter(bool), st.booleans())
def test_a_settled_vote_is_the_vote_of_all(replies: list[tuple[str, float]], weigh: bool) -> None:
    answers = [answer for answer, _ in replies]
    confidences = [c for _, c in replies] if weigh else None
    n = settled_after(answers, confidences)
    some = None if confidences is None else confidences[:n]
    assert vote(answers[:n], some)[0] == vote(answers, confidences)[0]


@given(REPLIES.filter(bool), st.booleans())
def test_drawing_stops_where_the_vote_is_settled(
    replies: list[tuple[str, float]], weigh: bool
) -> None:
    asked: list[int] = []

    def draw(i: int) -> tuple[str, float]:
        asked.append(i)
        return replies[i]

    winner, _, drawn = vote_until_settled(draw, len(replies), weigh)
    answers, confidences = [a for a, _ in replies], [c for _, c in replies]
    assert winner == vote(answers, confidences if weigh else None)[0]
    assert asked == list(range(drawn))


@pytest.mark.parametrize("bad", [math.nan, -0.1, 1.1])
def test_what_is_no_confidence_is_refused_with_its_place(bad: float) -> None:
    with pytest.raises(ValueError, match="confidence 1 is"):
        vote(["a", "b"], [0.5, bad])
    with pytest.raises(ValueError, match="confidence 0 is"):
        vote_until_settled(lambda _: ("a", bad), 3)
    with pytest.raises(ValueError, match="k is 0"):
        vote_until_settled(lambda _: ("a", 0.5), 0)


def test_a_tie_that_is_still_possible_is_not_settled() -> None:
    # 0.3 + 1 may still reach 1.3, and the first answer to come wins a tie.
    assert settled_after("abba", [0.3, 0.3, 1.0, 1.0]) == 4


def test_a_clear_vote_stops_early() -> None:
    assert settled_after("aaaaa") == 3
    assert settled_after("abbaa") == 5
    assert settled_after("abaaa") == 4  # three to one, and one to come
    assert settled_after("aaaaa", [0.1] * 5) == 5
