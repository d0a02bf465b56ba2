"""A value is right in whatever way it is written, and another one is wrong in every way."""

from __future__ import annotations

from fractions import Fraction

import pytest
import renderings as r
from hypothesis import assume, example, given
from hypothesis import strategies as st

from metaconf.grading import grade_answer, group_answers, same_answer
from metaconf.records import Question, Target

ASKED = {"short": "How much is it?", "math": "Work it out.", "choice": "Which?\nA. 5\nB. ½\nC. 5 k"}
INVISIBLE = "\u200b\u2060\ufeff\u2066\u2069\u200e\u00ad"
PIECES = st.sampled_from(
    [
        *"0123456789.,'_/-−+×^{}()[]$\\%‰°½¾⅓²³⁻٣٫٬५๒５万億µΩ\u2126\u200b\u00a0\u0301\ud800\x00 ",
        *("\\frac", "\\boxed{", "\\text{", "e", "million", "k", "km", "°C", "or", "A", "B.", "x"),
    ]
)
ANYTHING = st.one_of(
    st.text(st.characters(), max_size=40), st.lists(PIECES, max_size=14).map("".join)
)
PREFIXES = {"G": 10**9, "M": 10**6, "k": 10**3, "": 1, "m": Fraction(1, 10**3)}
TASKS = pytest.mark.parametrize("task", ["short", "math"])


def graded(task: str, gold: str, answer: str) -> float | None:
    return grade_answer(Question("q", ASKED[task], (Target((gold,)),), task), answer)[0]


@TASKS
@given(data=st.data(), value=r.values(), carrier=st.sampled_from(r.CARRIERS))
def test_a_value_is_read_back_in_every_style(
    task: str, data: st.DataObject, value: Fraction, carrier: str
) -> None:
    gold = data.draw(r.written(value, r.TASKS[task]), label="gold")
    answer = carrier % data.draw(r.written(value, r.TASKS[task]), label="answer")
    assert graded(task, gold, answer) == 1.0, ascii((gold, answer))


@TASKS
@given(data=st.data(), value=r.values(), carrier=st.sampled_from(r.CARRIERS))
def test_another_value_is_wrong_in_every_style(
    task: str, data: st.DataObject, value: Fraction, carrier: str
) -> None:
    other = data.draw(st.one_of(st.sampled_from([*r.near(value)]), r.values()), label="other")
    assume(r.differ(value, other))
    gold = data.draw(r.written(value, r.TASKS[task]), label="gold")
    answer = carrier % data.draw(r.written(other, r.TASKS[task]), label="answer")
    assert graded(task, gold, answer) == 0.0, ascii((gold, answer))


@TASKS
@given(data=st.data(), value=r.values())
def test_money_is_the_number_and_another_sum_is_not(
    task: str, data: st.DataObject, value: Fraction
) -> None:
    value = abs(value)
    assume(value and r.digits(value))
    gold = data.draw(r.written(value, r.PLAIN), label="gold")
    assert graded(task, gold, data.draw(r.written(value, r.MONEY), label="answer")) == 1.0
    other = data.draw(st.sampled_from([*r.near(value)]), label="other")
    assume(other > 0 and r.digits(other) and r.differ(value, other))
    assert graded(task, gold, data.draw(r.written(other, r.MONEY), label="wrong")) == 0.0


@TASKS
@given(
    data=st.data(),
    value=r.values(),
    other=r.values(),
    join=st.sampled_from([" or ", "; ", " | ", " oder ", " или ", "或", ", or "]),
)
def test_two_values_at_once_are_wrong(
    task: str, data: st.DataObject, value: Fraction, other: Fraction, join: str
) -> None:
    assume(r.differ(value, other))
    gold = data.draw(r.written(value, [*r.PLAIN, r.slashed("%d/%d")]), label="gold")
    both = [data.draw(r.written(each, r.TASKS[task])) for each in (value, other)]
    assert graded(task, gold, join.join(both)) == 0.0, ascii((gold, join.join(both)))


@TASKS
@given(
    whole=st.integers(1, 999),
    unit=st.sampled_from(["W", "V", "Hz", "Ω", "\u2126"]),
    one=st.sampled_from([*PREFIXES]),
    other=st.sampled_from([*PREFIXES]),
)
def test_a_prefix_of_a_unit_changes_the_value(
    task: str, whole: int, unit: str, one: str, other: str
) -> None:
    gold = f"{whole} {one}{unit}"
    assert graded(task, gold, f"{whole} {other}{unit}") == float(one == other)
    same = r.digits(Fraction(whole) * PREFIXES[one] / PREFIXES[other])
    if same is not None:
        assert graded(task, gold, f"{same} {other}{unit}") == 1.0, (gold, same, other)


@TASKS
@given(data=st.data(), value=r.values())
def test_what_cannot_be_seen_changes_no_number(
    task: str, data: st.DataObject, value: Fraction
) -> None:
    gold = data.draw(r.written(value, r.TASKS[task]), label="gold")
    at = data.draw(st.integers(0, len(gold)), label="at")
    sign = data.draw(st.sampled_from(INVISIBLE), label="sign")
    assert graded(task, gold, gold[:at] + sign + gold[at:]) == 1.0
    assert graded(task, gold[:at] + sign + gold[at:], gold) == 1.0


@pytest.mark.parametrize("task", ["short", "math", "choice"])
@given(gold=ANYTHING, answer=ANYTHING)
@example("\ud800", "\ud800")
@example("5", "\u200b")
@example("½", "1\u0337")
def test_no_text_on_either_side_raises(task: str, gold: str, answer: str) -> None:
    question = Question("q", ASKED[task], (Target((gold,)),), task)
    credit, reason = grade_answer(question, answer)
    assert credit is None or 0.0 <= credit <= 1.0
    assert reason
    assert isinstance(same_answer(gold, answer, task), bool)
    groups = group_answers([gold, answer, gold])
    assert sorted(place for group in groups for place in group) == [0, 1, 2]
