"""From samples to stage-1 targets, and how stage 2 grades a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metaconf.records import Question, Reply, Target
from metaconf.training.evidence import (
    answered,
    features,
    offline_reflections,
    speakable,
    targets,
)
from metaconf.training.probe import FEATURE_REPEAT

QUESTION = Question("q", "In which country is Quito?", (Target(("Ecuador",)),))


def reply(text: str, sample: int = 0, status: str = "ok") -> Reply:
    return Reply("q", sample, text, status, probability=0.5)


def row(greedy: str, *samples: str, question: Question = QUESTION) -> Any:
    return answered(question, reply(greedy, -1), [reply(s, i) for i, s in enumerate(samples)])


def test_shares_are_over_all_samples() -> None:
    found = row("Ecuador", "ecuador", "Peru", "Peru", "Ecuador.", "Chad", "", "Mali", "Peru")
    assert found.right == 1.0 and found.probability == 0.5
    # An empty answer is known: it agrees with nothing and is not right.
    assert found.agreement == 2 / 8
    assert found.alternatives == ("Peru",)


def test_a_failed_sample_is_unknown() -> None:
    samples = [reply("Ecuador"), reply("", 1, "failed")]
    assert answered(QUESTION, reply("Ecuador", -1), samples).agreement == 1.0


def test_alternatives_come_by_how_often_they_came() -> None:
    found = row("Ecuador", "Chad", "Peru", "Chad", "peru", "Peru", "Ecuador", "{b}", "\n")
    assert found.alternatives == ("Peru", "Chad")


def test_where_the_samples_scatter_the_likeliest_other_answer_is_named() -> None:
    texts = ("Ecuador", "Peru", "Chad", "Mali", "Niger", "Togo", "Cuba", "Fiji")
    drawn = [replace(reply(text, i), probability=0.1) for i, text in enumerate(texts)]
    drawn[3] = replace(drawn[3], probability=0.3)
    drawn[4] = replace(drawn[4], probability=0.4, status="cut")  # its end is not known
    assert answered(QUESTION, reply("Ecuador", -1), drawn).alternatives == ("Mali",)


def test_one_odd_sample_is_no_alternative() -> None:
    assert row("Ecuador", *["Ecuador"] * 7, "Peru").alternatives == ()
    assert row("Ecuador", *["Ecuador"] * 6, "Peru", "Chad").alternatives == ("Peru",)


@pytest.mark.parametrize(
    ("text", "fits"),
    [("Peru", True), ("3", True), ("a\nb", False), ("x" * 41, False), ("", False), ("?!", False)],
)
def test_speakable(text: str, fits: bool) -> None:
    assert speakable(text) == fits


def test_targets() -> None:
    ungraded = Question("u", "Where?", (Target(("",)),))
    rows = [row("Ecuador", "Ecuador", "Peru"), row("Peru", "Peru", "Ecuador", "Chad", "Mali")]
    rows.append(row("Peru", "Peru", question=ungraded))
    assert targets(rows, "self_consistency")[:2] == pytest.approx([0.5, 0.25])
    assert targets(rows, "self_consistency")[2] == 1.0  # needs no grade
    with pytest.raises(ValueError, match="hidden states"):
        targets(rows, "probe")


def test_probe_targets_are_cross_fitted_and_skip_what_is_not_graded() -> None:
    rng = np.random.default_rng(0)
    rows, states = [], []
    for i in range(60):
        # One is never graded: its right answer is not known.
        targets_ = (Target(("" if i == 5 else "Ecuador",)),)
        question = Question(f"q{i}", "In which country is Quito?", targets_)
        rows.append(row("Ecuador" if i % 2 else "Peru", "Ecuador", question=question))
        states.append(rng.normal(size=4) + 2 * (i % 2))
    found = targets(rows, "probe", np.array(states))
    assert np.isnan(found[5]) and np.isnan(found).sum() == 1
    kept = np.arange(60) != 5
    right = np.arange(60) % 2 == 1
    assert found[kept & right].mean() > found[kept & ~right].mean() + 0.1


def test_a_probe_on_some_labels_teaches_all_answers_and_knows_no_other() -> None:
    rng = np.random.default_rng(0)
    rows, states = [], []
    for i in range(60):
        question = Question(f"q{i}", "Where is Quito?", (Target(("" if i == 50 else "Ecuador",)),))
        rows.append(row("Ecuador" if i % 2 else "Peru", "Ecuador", question=question))
        states.append(rng.normal(size=4) + 2 * (i % 2))
    found = targets(rows, "probe", np.array(states), labels=40)
    assert not np.isnan(found).any()  # the one that nothing can grade is taught too
    right = np.arange(60) % 2 == 1
    for part in (slice(40), slice(40, None)):
        assert found[part][right[part]].mean() > found[part][~right[part]].mean() + 0.1
    others = [*rows[:40], *(replace(r, right=1 - (r.right or 0)) for r in rows[40:])]
    assert (targets(others, "probe", np.array(states), labels=40) == found).all()
    first = [replace(rows[0], right=1.0), *rows[1:]]
    again = targets(first, "probe", np.array(states), labels=40)
    assert again[0] == found[0] and (again[40:] != found[40:]).any()


def test_what_is_known_without_a_label_stands_beside_the_state() -> None:
    rows = [row("Ecuador", "Ecuador", "Peru"), row("Peru", "Peru")]
    states = np.random.default_rng(0).normal(size=(2, 4))
    found = features(rows, states)
    assert found.shape == (2, 4 + 3 * FEATURE_REPEAT)
    assert (found[:, :4] == states).all()
    for column, wanted in enumerate((np.log([0.5, 0.5]), [0, 0], [0.5, 1])):
        start = 4 + column * FEATURE_REPEAT
        for repeated in found[:, start : start + FEATURE_REPEAT].T:
            assert repeated == pytest.approx(wanted)


def test_reflections_are_the_same_for_the_same_seed() -> None:
    found = row("Ecuador", "Peru", "Peru")
    texts = {offline_reflections(found, seed)[1] for seed in range(20)}
    assert len(texts) > 4 and all("Peru" in text for text in texts)
    assert offline_reflections(found, 3) == offline_reflections(found, 3)


def test_another_answer_that_came_as_often_is_said_to() -> None:
    rare = row("Ecuador", "Ecuador", "Ecuador", "Ecuador", "Peru")
    often = row("Ecuador", "Ecuador", "Ecuador", "Peru", "Peru")
    never = row("Ecuador", "Peru", "Chad", "Mali")
    assert (rare.often, often.often, never.often) == (False, True, True)
    assert (
        any("as often" in text for text in offline_reflections(often, 0))
        or "just as often" in (offline_reflections(often, 0)[0])
    )
    assert "as often" not in "".join(offline_reflections(rare, 0))
