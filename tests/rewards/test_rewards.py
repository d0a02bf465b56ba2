"""What a reply is paid: each part's truth table, and unknown is never zero."""

from __future__ import annotations

import math
from typing import Any

import pytest

from metaconf.records import Grade, Parsed, Question, Reward, Target
from metaconf.rewards.group import grade_group, reward_group

WEIGHTS = {"calibration": 1.0, "reflection": 0.5, "accuracy": 2.0, "format": 0.25}
QUESTION = Question(
    "q", "In which country is Quito?", (Target(("Ecuador",)),), cause="knowledge boundary"
)


def text(answer: str = "Ecuador", reflection: str = "I know Quito well.", conf: str = "8") -> str:
    return f"Answer: {answer}\nSelf-reflection: {reflection}\nConfidence: {conf}"


def reward(reply: Parsed, grade: Grade, weights: dict[str, float]) -> Reward:
    """The reward of one reply, alone in its group."""
    return reward_group([(reply, grade)], weights)[0]


def parsed(**fields: Any) -> Parsed:
    return Parsed(**{"answer": "x", "reflection": "hm", "confidence": 0.5, **fields})


@pytest.mark.parametrize(
    ("correctness", "confidence", "paid"),
    [
        (1.0, 1.0, 1.0),
        (1.0, 0.0, 0.0),
        (0.0, 1.0, 0.0),
        (0.0, 0.0, 1.0),
        (1.0, 0.7, 0.91),
        (0.25, 0.75, 0.75),
        (1.0, None, 0.0),
        (0.0, None, 0.0),
        (None, 0.5, None),
        (None, None, None),
    ],
)
def test_calibration(
    correctness: float | None, confidence: float | None, paid: float | None
) -> None:
    reply = parsed(confidence=confidence)
    found = reward(reply, Grade("q", 0, correctness, 0.5), WEIGHTS).parts["calibration"]
    assert found == (paid if paid is None else pytest.approx(paid))


@pytest.mark.parametrize(("problems", "paid"), [((), 1.0), (("answer repeated",), 0.0)])
def test_format(problems: tuple[str, ...], paid: float) -> None:
    found = reward(parsed(problems=problems), Grade("q", 0, 1.0, 0.5), WEIGHTS)
    assert found.parts["format"] == paid


def test_the_total_is_the_weighted_sum() -> None:
    paid = reward(parsed(), Grade("q", 3, 1.0, 0.6), WEIGHTS)
    assert (paid.question_id, paid.sample) == ("q", 3)
    assert paid.parts == {
        "calibration": 0.75,
        "reflection": 0.6,
        "accuracy": 1.0,
        "format": 1.0,
    }
    assert paid.total == pytest.approx(0.75 + 0.5 * 0.6 + 2 + 0.25)


@pytest.mark.parametrize("part", WEIGHTS)
def test_each_weight_pays_its_part_alone(part: str) -> None:
    weights = {name: 3.0 if name == part else 0.0 for name in WEIGHTS}
    paid = reward(parsed(problems=("x",)), Grade("q", 0, 0.5, 0.25), weights)
    expected = {"calibration": 1.0, "reflection": 0.25, "accuracy": 0.5, "format": 0.0}
    assert paid.total == pytest.approx(3 * expected[part])


def test_ungraded_has_no_total() -> None:
    paid = reward(parsed(), Grade("q", 0, None, 0.6), WEIGHTS)
    assert paid.total is None
    assert paid.parts["accuracy"] is None and paid.parts["calibration"] is None
    assert paid.parts["reflection"] == 0.6 and paid.parts["format"] == 1.0


def test_a_reflection_that_was_not_judged_leaves_its_part_out_of_sum_and_weights() -> None:
    paid = reward(parsed(), Grade("q", 0, 1.0, None), WEIGHTS)
    assert paid.parts["reflection"] is None
    known = 0.75 + 2.0 + 0.25
    assert paid.total == pytest.approx(known * 3.75 / 3.25)


def test_what_is_not_weighed_may_be_unknown() -> None:
    weights = {**WEIGHTS, "reflection": 0.0}
    assert reward(parsed(), Grade("q", 0, 1.0, None), weights).total == pytest.approx(3.0)


@pytest.mark.parametrize("missing", ["answer", "reflection"])
def test_leaving_a_segment_out_is_paid_nothing_not_forgiven(missing: str) -> None:
    paid = reward(parsed(**{missing: None}, problems=("x",)), Grade("q", 0, 0.0, None), WEIGHTS)
    assert paid.parts["reflection"] == 0.0
    assert paid.total is not None


def test_missing_confidence_and_confidence_0_differ() -> None:
    wrong = [text("Peru", conf="0"), "Answer: Peru\nSelf-reflection: I know Quito well."]
    (zero, _, paid_zero), (none, _, paid_none) = grade_group(QUESTION, wrong, WEIGHTS)
    assert zero.confidence == 0.0 and none.confidence is None
    assert paid_zero.parts["calibration"] == 1.0 and paid_none.parts["calibration"] == 0.0
    assert zero.well_formed and not none.well_formed


P4 = [("nan", None), ("inf", None), ("-1", None), ("1e3", None), ("²", None), ("８", 0.8)]


@pytest.mark.parametrize(("stated", "confidence"), P4)
def test_P4_reward_and_evaluation_read_the_same(stated: str, confidence: float | None) -> None:
    from metaconf.evaluation.rows import reply_row
    from metaconf.records import Reply

    reply = text(conf=stated)
    seen, grade, paid = grade_group(QUESTION, [reply], WEIGHTS)[0]
    row = reply_row(QUESTION, Reply("q", 0, reply), "stage 2")
    assert seen.confidence == row.confidence == confidence
    assert grade.correctness == row.correctness == 1.0
    assert paid.total is not None and math.isfinite(paid.total)
    expected = 0.0 if confidence is None else 1 - (1 - confidence) ** 2
    assert paid.parts["calibration"] == pytest.approx(expected)
    assert paid.parts["format"] == (confidence is not None)


def test_replies_of_a_group_are_judged_against_each_other() -> None:
    texts = [
        text(reflection="I know Quito; I might also say Peru."),
        text("Peru", reflection="I know Quito; I might also say Chad."),
        "nothing of the kind",
    ]
    graded = grade_group(QUESTION, texts, WEIGHTS)
    assert [g.sample for _, g, _ in graded] == [0, 1, 2]
    assert [g.correctness for _, g, _ in graded] == [1.0, 0.0, 0.0]
    assert graded[0][1].parts["answers"] == 1.0 and graded[1][1].parts["answers"] == 0.0
    assert graded[2][2].total == 0.0


def test_a_right_answer_in_the_reflection_earns_nothing() -> None:
    sly = text("Peru", reflection="I know Quito; I might also say Ecuador.")
    _, grade, paid = grade_group(QUESTION, [sly], WEIGHTS)[0]
    assert grade.correctness == 0.0 and paid.parts["accuracy"] == 0.0


def test_T1_an_empty_gold_is_never_paid() -> None:
    empty = Question("q", "Where?", (Target(("",)),))
    for _, grade, paid in grade_group(empty, [text(""), text(), "x"], WEIGHTS):
        assert grade.correctness is None and paid.total is None and grade.why
