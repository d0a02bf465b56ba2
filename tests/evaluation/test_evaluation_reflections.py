"""Figures of reflections, on texts that were written for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metaconf.evaluation.reflections import partners, reflection_figures
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.records import Question, Target

CITIES = ("Aba", "Bor", "Cue", "Dab", "Ede", "Fes")
LANDS = ("Nigeria", "Serbia", "Australia", "Poland", "Kenya", "Morocco")
OTHERS = ("Ghana", "Croatia", "Fiji", "Latvia", "Uganda", "Algeria")


def questions() -> list[Question]:
    return [
        Question(city, f"In which country is {city}?", (Target((land,)),), family="city")
        for city, land in zip(CITIES, LANDS, strict=True)
    ]


def row(i: int, reflection: str | None = None, **fields: Any) -> EvaluatedReply:
    """A grounded reflection: it names the other answer that the model samples."""
    grounded = f"I know little of {CITIES[i]}; I might also say {OTHERS[i]}."
    plain: dict[str, Any] = {"prompt": f"In which country is {CITIES[i]}?"}
    plain |= {"family": "city", "cause": "knowledge boundary", "split": "heldout"}
    plain |= {"answer": LANDS[i], "reflection": grounded if reflection is None else reflection}
    return EvaluatedReply(CITIES[i], **plain | fields)


SAMPLES = {c: [a, o] for c, a, o in zip(CITIES, LANDS, OTHERS, strict=True)}
UNSURE = dict.fromkeys(CITIES, 0.5)


def figures(rows: list[EvaluatedReply], **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"samples": SAMPLES, "agreement": UNSURE} | more
    return dict(reflection_figures(rows, questions(), **given, replicates=100))


def test_grounded_reflections_beat_swapped_ones() -> None:
    found = figures([row(i) for i in range(6)])
    assert found["alternatives_precision"].value == 1.0
    assert found["alternatives_precision_swapped"].value == 0.0
    assert found["alternatives_precision_difference"].value == 1.0
    assert found["alternatives_precision"].n == 6
    assert found["cause_named"].value == 1.0


def test_reflections_that_hold_for_any_question_gain_nothing() -> None:
    samples = {city: [*SAMPLES[city], "Chad"] for city in CITIES}
    rows = [row(i, "I know little; I might also say Chad.") for i in range(6)]
    found = figures(rows, samples=samples)
    assert found["alternatives_precision"].value == 1.0
    assert found["alternatives_precision_difference"].value == 0.0


def test_recall_is_the_share_of_other_samples_that_are_named() -> None:
    samples = {city: [*SAMPLES[city], "Chad"] for city in CITIES[:4]}
    rows = [row(0), row(1, "I know it well."), row(2, f"I might say {OTHERS[2]} or Chad.")]
    # The fourth gave no other answer; of the fifth nothing was sampled.
    samples[CITIES[3]] = [LANDS[3]] * 3
    found = figures([*rows, row(3), row(4)], samples=samples)["alternatives_recall"]
    assert found.n == 3
    assert found.value == pytest.approx((0.5 + 0.0 + 1.0) / 3)


def test_the_difference_is_paired_with_an_interval() -> None:
    made_up = [row(i, "I know little; I might also say Chad.") for i in range(3)]
    found = figures([*made_up, *(row(i) for i in range(3, 6))])
    difference = found["alternatives_precision_difference"]
    assert found["alternatives_precision"].value == 0.5
    assert difference.value == 0.5
    assert difference.low < 0.5 < difference.high


def test_an_answer_of_its_own_is_no_alternative() -> None:
    """A swapped reflection that names this question's answer says nothing of *other* answers."""
    rows = [row(0, f"I know little; perhaps {LANDS[1]}."), row(1, "I know it well.")]
    found = figures(rows)
    assert found["alternatives_precision"].value == 0.0
    assert found["alternatives_precision_swapped"].value is None


def test_the_cause_counts_where_it_is_known_and_the_answer_uncertain() -> None:
    rows = [
        row(0),
        row(1, "It is a plain sum of two numbers."),
        row(2, "It is a plain sum of two numbers.", cause=None),
        row(3, "It is a plain sum of two numbers."),
        row(4, "It is a plain sum of two numbers."),
        row(5, "It is a plain sum of two numbers.", split="ood"),
    ]
    found = figures(rows, agreement={**UNSURE, CITIES[3]: 0.75, CITIES[4]: None})["cause_named"]
    assert (found.value, found.n) == (0.5, 2)


def test_nothing_named_is_unknown_not_zero() -> None:
    found = figures([row(i, "I know it well.") for i in range(4)])
    assert found["alternatives_precision"].value is None
    assert found["alternatives_precision_difference"].value is None
    assert figures([row(0)])["alternatives_precision_swapped"].value is None
    assert figures([row(i) for i in range(4)], samples={})["alternatives_precision"].n == 0
    assert figures([])["cause_named"].value is None


@pytest.mark.parametrize("seed", range(3))
def test_partners_are_a_derangement_within_the_family(seed: int) -> None:
    rows = [row(i, family="ab"[i % 2]) for i in range(6)]
    found = partners(rows, seed)
    assert sorted(found) == sorted(CITIES)
    assert sorted(other.question_id for other in found.values()) == sorted(CITIES)
    family = {r.question_id: r.family for r in rows}
    for key, other in found.items():
        assert key != other.question_id
        assert other.family == family[key]
    assert {k: r.question_id for k, r in partners(rows[::-1], seed).items()} == {
        k: r.question_id for k, r in found.items()
    }


def test_a_question_alone_in_its_family_has_no_partner() -> None:
    rows = [row(0, family="alone"), row(1), row(2), replace(row(3), reflection=None)]
    assert set(partners(rows)) == {CITIES[1], CITIES[2]}
