"""The small reader of words, on replies whose reflections tell or do not tell what is right."""

from __future__ import annotations

import numpy as np
import pytest

from metaconf.judging.ask import Judged
from metaconf.judging.reader import ENOUGH, UNREAD, ReadBy, Told, cross_fitted, fit, told_of
from metaconf.records import Grade, Parsed, Question, Target

COUNT = 200
RIGHT = np.array([float(i % 2) for i in range(COUNT)])
NAMES = [f"{a}{b}ville" for a in "bcdfghjklmnprst" for b in "aeiouaeiouaeio"][:COUNT]


def told(i: int, reflection: str) -> Told:
    return Told(f"Where is {NAMES[i]}?", "Peru", reflection)


def honest(right: float) -> str:
    return "I know it well." if right else "I hardly recall it."


def brier(chances: np.ndarray) -> float:
    return float(((chances - RIGHT) ** 2).mean())


def test_an_honest_reflection_helps_and_anothers_or_a_template_does_not() -> None:
    own = [told(i, honest(RIGHT[i])) for i in range(COUNT)]
    drawn = np.random.default_rng(0).permutation(COUNT)
    swapped = [told(i, own[drawn[i]].reflection) for i in range(COUNT)]
    same = [told(i, own[0].reflection) for i in range(COUNT)]
    read, other, alike = cross_fitted(own, RIGHT, NAMES, (swapped, same))
    assert brier(read.without) == pytest.approx(0.25, abs=0.02)
    assert brier(read.told) < 0.02
    assert brier(other.told) > brier(read.without)
    assert brier(alike.told) > brier(read.without)
    assert (read.without == other.without).all()


def test_no_reply_is_read_by_a_reader_that_was_fitted_on_it() -> None:
    """A word of its own for each reply is worth nothing to readers of the others."""
    own = [told(i, f"I know {NAMES[i]}{'right' if RIGHT[i] else 'wrong'}.") for i in range(COUNT)]
    (read,) = cross_fitted(own, RIGHT, NAMES)
    assert brier(read.told) > 0.24


def test_several_replies_to_a_question_are_left_out_together() -> None:
    secret = [told(i // 2, f"I say {NAMES[i // 2]}.") for i in range(COUNT)]
    right = [float(i // 2 % 2) for i in range(COUNT)]
    (read,) = cross_fitted(secret, right, [NAMES[i // 2] for i in range(COUNT)])
    assert np.mean((read.told - right) ** 2) > 0.24


def test_numbers_do_not_reach_the_reader() -> None:
    reader = fit([told(i, f"I am {int(RIGHT[i] * 90)}% sure.") for i in range(COUNT)], RIGHT)
    low, high = reader.read([told(0, "I am 0% sure."), told(0, "I am 90% sure.")]).told
    assert low == high


def test_a_graded_answer_counts_as_that_share_of_a_right_one() -> None:
    reader = fit([told(i, "I know it.") for i in range(COUNT)], [0.25] * COUNT)
    assert reader.read([told(0, "I know it.")]).told[0] == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_where_all_are_alike_the_reader_says_so(right: float) -> None:
    reader = fit([told(i, "I know it.") for i in range(5)], [right] * 5)
    assert reader.read([told(9, "I guess.")]).told.tolist() == [right]


def test_without_answer_or_reflection_there_is_nothing_to_read() -> None:
    assert told_of("q", None, "I know.") is None
    assert told_of("q", "Peru", "") is None


def reply(i: int, reflection: str | None, right: float | None) -> Judged:
    question = Question(NAMES[i], f"Where is {NAMES[i]}?", (Target(("Peru",)),))
    return question, Parsed("Peru", reflection, 0.5), Grade(NAMES[i], 0, right, quality=0.9)


def test_it_pays_alike_until_it_has_read_enough_then_by_use() -> None:
    judge = ReadBy()
    first = judge([reply(i, honest(RIGHT[i]), RIGHT[i]) for i in range(ENOUGH)])
    assert {(g.quality, g.judged) for g in first} == {(0.5, UNREAD)}
    true, false = judge([reply(190, honest(1.0), 1.0), reply(192, honest(0.0), 1.0)])
    assert true.quality is not None and false.quality is not None
    assert true.quality > 0.55 > 0.45 > false.quality
    assert true.parts["reader_with"] > true.parts["reader_without"]
    assert judge.failing == ""


def test_what_cannot_be_read_is_not_paid_and_not_learnt() -> None:
    judge = ReadBy()
    grades = judge([reply(0, None, 1.0), reply(1, "I know it.", None)])
    assert [grade.quality for grade in grades] == [None, None]
    assert judge.known == []


def test_a_batch_is_paid_before_it_is_learnt() -> None:
    judge = ReadBy()
    judge([reply(i, "I know it.", RIGHT[i]) for i in range(ENOUGH)])
    grades = judge([reply(i, honest(RIGHT[i]), RIGHT[i]) for i in range(50)])
    # Nothing that it has read so far tells one wording from the other.
    assert np.mean([grade.quality for grade in grades]) == pytest.approx(0.5, abs=0.02)  # pyright: ignore
