"""The small reader of words, on replies whose reflections tell or do not tell what is right."""

from __future__ import annotations

import numpy as np
import pytest

from metaconf.judging.reader import ReaderInput, cross_fitted, reader_input

COUNT = 200
RIGHT = np.array([float(i % 2) for i in range(COUNT)])
NAMES = [f"{a}{b}ville" for a in "bcdfghjklmnprst" for b in "aeiouaeiouaeio"][:COUNT]


def given(i: int, reflection: str) -> ReaderInput:
    return ReaderInput(f"Where is {NAMES[i]}?", "Peru", reflection)


def honest(right: float) -> str:
    return "I know it well." if right else "I hardly recall it."


def brier(chances: np.ndarray) -> float:
    return float(((chances - RIGHT) ** 2).mean())


def test_an_honest_reflection_helps_and_anothers_or_a_template_does_not() -> None:
    own = [given(i, honest(RIGHT[i])) for i in range(COUNT)]
    drawn = np.random.default_rng(0).permutation(COUNT)
    swapped = [given(i, own[drawn[i]].reflection) for i in range(COUNT)]
    same = [given(i, own[0].reflection) for i in range(COUNT)]
    read, other, alike = cross_fitted(own, RIGHT, NAMES, (swapped, same))
    assert brier(read.without) == pytest.approx(0.25, abs=0.02)
    assert brier(read.with_reflection) < 0.02
    assert brier(other.with_reflection) > brier(read.without)
    assert brier(alike.with_reflection) > brier(read.without)
    assert (read.without == other.without).all()


def test_no_reply_is_read_by_a_reader_that_was_fitted_on_it() -> None:
    """A word of its own for each reply is worth nothing to readers of the others."""
    own = [given(i, f"I know {NAMES[i]}{'right' if RIGHT[i] else 'wrong'}.") for i in range(COUNT)]
    (read,) = cross_fitted(own, RIGHT, NAMES)
    assert brier(read.with_reflection) > 0.24


def test_several_replies_to_a_question_are_left_out_together() -> None:
    secret = [given(i // 2, f"I say {NAMES[i // 2]}.") for i in range(COUNT)]
    right = [float(i // 2 % 2) for i in range(COUNT)]
    (read,) = cross_fitted(secret, right, [NAMES[i // 2] for i in range(COUNT)])
    assert np.mean((read.with_reflection - right) ** 2) > 0.24


def test_numbers_do_not_reach_the_reader() -> None:
    own = [given(i, f"I am {int(RIGHT[i] * 90)}% sure.") for i in range(COUNT)]
    low = [given(i, "I am 0% sure.") for i in range(COUNT)]
    read, other = cross_fitted(own, RIGHT, NAMES, (low,))
    assert (read.with_reflection == other.with_reflection).all()


def test_a_graded_answer_counts_as_that_share_of_a_right_one() -> None:
    own = [given(i, "I know it.") for i in range(COUNT)]
    (read,) = cross_fitted(own, [0.25] * COUNT, NAMES)
    assert read.with_reflection == pytest.approx(np.full(COUNT, 0.25), abs=0.01)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_where_all_are_alike_the_reader_says_so(right: float) -> None:
    own = [given(i, "I know it." if i else "I guess.") for i in range(COUNT)]
    (read,) = cross_fitted(own, [right] * COUNT, NAMES)
    assert set(read.with_reflection.tolist()) == {right}


def test_without_answer_or_reflection_there_is_nothing_to_read() -> None:
    assert reader_input("q", None, "I know.") is None
    assert reader_input("q", "Peru", "") is None
