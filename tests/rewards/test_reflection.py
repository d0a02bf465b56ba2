"""The offline scorer of reflections: every check has a case that fails without it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metaconf.grading.reading import reading
from metaconf.grading.reflection import named_share, score_reflection
from metaconf.prompts.causes import COMPLEXITY, KNOWLEDGE
from metaconf.records import Parsed, Question, Target

QUESTION = Question("q", "In which country is the city of Quito?", (Target(("Ecuador",)),))
KNOWN = replace(QUESTION, cause=KNOWLEDGE)


def score(
    reflection: str,
    samples: tuple[str, ...] = ("Ecuador",),
    question: Question = KNOWN,
    confidence: float | None = None,
) -> tuple[float | None, dict[str, float]]:
    return score_reflection(question, Parsed("Ecuador", reflection, confidence), samples)


WELL = reading("I know Quito well; I also think of Peru.")


def test_all_checks_hold() -> None:
    total, parts = score(
        "I know Quito well; I also think of Peru.", ("Ecuador", "Peru"), KNOWN, WELL
    )
    assert parts == {"answers": 1.0, "specific": 1.0, "cause": 1.0, "agrees": 1.0}
    assert total == 1.0


@pytest.mark.parametrize(
    ("check", "reflection"),
    [
        ("answers", "I know Quito well; I also think of Chad."),
        ("specific", "I know that city well; I also think of Peru."),
        ("cause", "Quito is well established; I also think of Peru."),
        ("agrees", "I am only guessing, for I know nothing of Quito; I also think of Peru."),
    ],
)
def test_each_check_can_fail_alone(check: str, reflection: str) -> None:
    stated = WELL if check == "agrees" else reading(reflection)
    total, parts = score(reflection, ("Ecuador", "Peru"), KNOWN, stated)
    assert {name for name, value in parts.items() if value < 1} == {check}
    assert total == pytest.approx((len(parts) - 1 + parts[check]) / len(parts))


@pytest.mark.parametrize(
    ("cause", "reflection", "paid"),
    [
        (COMPLEXITY, "Several places share the name Quito.", 1.0),
        (COMPLEXITY, "I know Quito.", 0.0),
        (KNOWLEDGE, "Several places share the name Quito.", 0.0),
    ],
)
def test_the_cause_must_be_the_true_one(cause: str, reflection: str, paid: float) -> None:
    assert score(reflection, question=replace(QUESTION, cause=cause))[1]["cause"] == paid


def test_checks_that_do_not_apply_are_left_out_and_not_0() -> None:
    total, parts = score("I know Quito.", question=QUESTION)
    assert parts == {"answers": 1.0, "specific": 1.0} and total == 1.0
    vague = replace(QUESTION, prompt="who sang the song first?")
    assert "specific" not in score("I know it.", question=vague)[1]


@pytest.mark.parametrize(
    ("reflection", "samples", "paid"),
    [
        ("I know Quito; it may be Peru or Chad.", ("Ecuador", "Peru"), 0.5),
        ("I know Quito; it may be Peru or Chad.", ("Ecuador", "Chad", "the Peru"), 1.0),
        ("I know Quito; it may be Peru.", ("Ecuador",), 0.0),
        ("I know Quito.", ("Ecuador", "ecuador "), 1.0),
        ("I know Quito.", ("Ecuador", "Peru"), 0.0),
        ("I know Quito; Ecuador it is.", ("Ecuador",), 1.0),
    ],
)
def test_answers(reflection: str, samples: tuple[str, ...], paid: float) -> None:
    assert score(reflection, samples)[1]["answers"] == paid


def test_numbers_are_named_too() -> None:
    question = Question("m", "What is 47 + 38?", (Target(("85",)),), task="math")
    reply = Parsed("85", "I worked out 47 + 38; it could be 75 or 95 too.", None)
    assert score_reflection(question, reply, ("85", "75"))[1]["answers"] == 0.5


@pytest.mark.parametrize("missing", ["answer", "reflection"])
def test_nothing_to_score(missing: str) -> None:
    parsed = replace(Parsed("Ecuador", "I know Quito.", 0.5), **{missing: None})
    assert score_reflection(KNOWN, parsed, ("Ecuador",)) == (None, {})


@pytest.mark.parametrize("confidence", [0.0, 0.3, 1.0])
def test_agreement_with_the_confidence(confidence: float) -> None:
    for text in ("I know Quito well.", "I am only guessing about Quito."):
        read = reading(text)
        assert read is not None
        assert score(text, confidence=confidence)[1]["agrees"] == pytest.approx(
            1 - abs(read - confidence)
        )
    assert "agrees" not in score("Quito is a city.", confidence=confidence)[1]


def test_named_share() -> None:
    assert named_share(QUESTION, [], ["Peru"]) is None
    assert named_share(QUESTION, ["Peru", "Chad"], ["peru", "Mali"]) == 0.5
    assert named_share(QUESTION, ["Peru"], []) == 0.0
