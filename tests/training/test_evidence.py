"""From samples to stage-1 targets, and how stage 2 grades a batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaconf.config.blocks import Config
from metaconf.errors import UserError
from metaconf.records import Question, Reply, Target
from metaconf.rewards.recipes import recipe_of
from metaconf.training.evidence import (
    UNSEEN,
    answered,
    answered_later,
    features,
    known_families,
    reflection_for,
    speakable,
    stretched,
    targets,
)
from metaconf.training.payment import Payment, keep_before
from metaconf.training.probe import COPIES

QUESTION = Question("q", "In which country is Quito?", (Target(("Ecuador",)),))


def reply(text: str, sample: int = 0, status: str = "ok") -> Reply:
    return Reply("q", sample, text, status, probability=0.5)


def row(greedy: str, *samples: str, question: Question = QUESTION) -> Any:
    return answered(question, reply(greedy, -1), [reply(s, i) for i, s in enumerate(samples)])


def test_shares_are_over_all_samples() -> None:
    found = row("Ecuador", "ecuador", "Peru", "Peru", "Ecuador.", "Chad", "", "Mali", "Peru")
    assert found.right == 1.0 and found.probability == 0.5
    # An empty answer is known: it agrees with nothing and is not right.
    assert found.agreement == found.share_right == 2 / 8
    assert found.alternatives == ("Peru",)


def test_a_failed_sample_is_unknown() -> None:
    samples = [reply("Ecuador"), reply("", 1, "failed")]
    assert answered(QUESTION, reply("Ecuador", -1), samples).agreement == 1.0


def test_of_a_later_answer_is_known_what_the_model_said_before() -> None:
    before = [
        Reply("q", -1, "Peru", probability=0.5),
        *(Reply("q", i, "Ecuador", probability=p) for i, p in enumerate((0.2, 0.3))),
        Reply("q", 2, "", status="failed"),
    ]
    known = answered_later(QUESTION, Reply("q", -1, "ecuador", probability=0.9), before)
    assert (known.answer, known.right, known.probability) == ("ecuador", 1.0, 0.3)
    assert known.agreement == pytest.approx(2 / 3) and known.alternatives == ("Peru",)
    new = answered_later(QUESTION, Reply("q", -1, "Chad", probability=0.9), before)
    assert (new.right, new.probability, new.agreement) == (0.0, UNSEEN, 0.0)


def test_alternatives_come_by_how_often_they_came() -> None:
    found = row("Ecuador", "Chad", "Peru", "Chad", "peru", "Peru", "Ecuador", "{b}", "\n")
    assert found.alternatives == ("Peru", "Chad")


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
    assert targets(rows, "share")[:2] == pytest.approx([0.5, 0.25])
    assert targets(rows, "right")[:2] == pytest.approx([0.5, 0.25])
    assert targets(rows, "mixture")[:2] == pytest.approx([0.75, 0.125])
    for kind in ("right", "mixture"):
        assert np.isnan(targets(rows, kind)[2])
    with pytest.raises(ValueError, match="hidden states"):
        targets(rows, "probe")


@pytest.mark.parametrize("kind", ["probe", "hidden"])
def test_probe_targets_are_cross_fitted_and_skip_what_is_not_graded(kind: str) -> None:
    rng = np.random.default_rng(0)
    rows, states = [], []
    for i in range(60):
        # One is never graded: its right answer is not known.
        targets_ = (Target(("" if i == 5 else "Ecuador",)),)
        question = Question(f"q{i}", "In which country is Quito?", targets_)
        rows.append(row("Ecuador" if i % 2 else "Peru", "Ecuador", question=question))
        states.append(rng.normal(size=4) + 2 * (i % 2))
    found = targets(rows, kind, np.array(states))
    assert np.isnan(found[5]) and np.isnan(found).sum() == 1
    kept = np.arange(60) != 5
    right = np.arange(60) % 2 == 1
    assert found[kept & right].mean() > found[kept & ~right].mean() + 0.1


@pytest.mark.parametrize("kind", ["probe", "hidden"])
def test_a_probe_on_some_labels_teaches_all_answers_and_knows_no_other(kind: str) -> None:
    rng = np.random.default_rng(0)
    rows, states = [], []
    for i in range(60):
        question = Question(f"q{i}", "Where is Quito?", (Target(("" if i == 50 else "Ecuador",)),))
        rows.append(row("Ecuador" if i % 2 else "Peru", "Ecuador", question=question))
        states.append(rng.normal(size=4) + 2 * (i % 2))
    found = targets(rows, kind, np.array(states), labels=40)
    assert not np.isnan(found).any()  # the one that nothing can grade is taught too
    right = np.arange(60) % 2 == 1
    for part in (slice(40), slice(40, None)):
        assert found[part][right[part]].mean() > found[part][~right[part]].mean() + 0.1
    others = [*rows[:40], *(replace(r, right=1 - (r.right or 0)) for r in rows[40:])]
    assert (targets(others, kind, np.array(states), labels=40) == found).all()
    first = [replace(rows[0], right=1.0), *rows[1:]]
    again = targets(first, kind, np.array(states), labels=40)
    assert again[0] == found[0] and (again[40:] != found[40:]).any()


def test_a_probe_is_told_the_family_where_enough_of_it_is_graded() -> None:
    rng = np.random.default_rng(0)
    rows, states = [], rng.normal(size=(120, 4))
    for i in range(120):
        # The answers look alike; of one family in three none is right, and "rare" is not labelled.
        name = "rare" if i in (3, 80) else ("shared" if i % 3 == 0 else "other")
        right = name == "other" and i % 3 == 1
        question = Question(f"q{i}", "Where is Quito?", (Target(("Ecuador",)),), family=name)
        answer = "Ecuador" if right else "Peru"
        rows.append(row(answer, answer, question=question))
    assert known_families(rows[:60]) == ("other", "shared")
    assert features(rows, states, ("other", "shared")).shape == (120, 4 + 5 * COPIES)
    found = targets(rows, "probe", states, labels=60, families=True)
    family = np.array([r.question.family for r in rows])
    for part in (slice(60), slice(60, None)):
        means = [found[part][family[part] == name].mean() for name in ("shared", "other")]
        assert means[0] < 0.2 and 0.35 < means[1] < 0.65
    for kind in ("probe", "hidden"):  # not told, or no place for it
        blind = targets(rows, kind, states, labels=60, families=kind == "hidden")
        assert abs(blind[family == "shared"].mean() - blind[family == "other"].mean()) < 0.1


def test_reflections_are_the_same_for_the_same_seed() -> None:
    found = row("Ecuador", "Peru", "Peru")
    texts = {reflection_for(found, 0.2, seed, 0.15) for seed in range(20)}
    assert len(texts) > 4 and all("Peru" in text for text in texts)
    assert reflection_for(found, 0.2, 3, 0.15) == reflection_for(found, 0.2, 3, 0.15)


def test_a_blur_mixes_the_wordings_of_near_certainties() -> None:
    found = row("Ecuador", "Peru", "Peru")
    low = ("very little", "thin", "hardly", "not familiar")
    for blur, mixed in ((0.0, False), (0.15, True)):
        texts = [reflection_for(found, 0.25, seed, blur) for seed in range(40)]
        assert any(all(word not in text for word in low) for text in texts) == mixed


def said(answer: str) -> str:
    return f"Answer: {answer}\nSelf-reflection: I know Quito.\nConfidence: 8"


def asked(gold: str, id_: str) -> str:
    return json.dumps(Question(id_, "In which country is Quito?", (Target((gold,)),)).to_json())


def test_the_same_replies_to_other_questions_are_graded_again(tmp_path: Path) -> None:
    payment = Payment(recipe_of(Config("grpo", {})), tmp_path / "replies.jsonl")
    texts = [said("Peru"), said("Peru")]
    first = payment.lesson([{"question": asked("Ecuador", "a")}] * 2, texts).outcome
    second = payment.lesson([{"question": asked("Peru", "b")}] * 2, texts).outcome
    assert (first.tolist(), second.tolist()) == ([0.0, 0.0], [1.0, 1.0])


PARTS = ("calibration", "reflection", "accuracy", "format")


def test_four_functions_pay_the_four_parts(tmp_path: Path) -> None:
    payment = Payment(recipe_of(Config("grpo", {})), tmp_path / "replies.jsonl")
    questions = [asked("Ecuador", "a")] * 2 + [asked("", "b")]
    completions = [[{"content": t}] for t in (said("Ecuador"), "nonsense", said("Peru"))]
    seen: dict[str, float] = {}
    paid = {
        function.__name__: function(
            prompts=[], completions=completions, question=questions, log_metric=seen.__setitem__
        )
        for function in payment.functions()
    }
    assert tuple(paid) == PARTS
    # What cannot be graded is None in every part; a bad reply is 0.
    assert all(values[2] is None for values in paid.values())
    assert [paid[part][1] for part in PARTS] == [0.0] * 4
    assert paid["accuracy"][0] == paid["format"][0] == 1.0
    assert paid["calibration"][0] == pytest.approx(0.96)
    assert seen == {"unscored": pytest.approx(1 / 3)}
    rows = [json.loads(line) for line in payment.path.read_text().splitlines()]
    assert [r["reward"] is None for r in rows] == [False, False, True]
    assert [r["text"] for r in rows] == [c[0]["content"] for c in completions]


def test_questions_and_replies_must_match(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 questions for 2 replies"):
        Payment(recipe_of(Config("grpo", {})), tmp_path / "r").batch([asked("x", "a")], ["a", "b"])


def test_a_resumed_run_drops_what_it_draws_again(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    keep_before(path, 0)
    path.write_text("".join(json.dumps({"step": s}) + "\n" for s in (0, 0, 1, 2)) + '{"step": 1')
    keep_before(path, 2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 0, 1]


def test_stretched_goals_lie_farther_apart_around_the_same_mean() -> None:
    goals = np.array([0.0, 0.2, 0.5, 0.8, 1.0, np.nan])
    assert stretched(goals, 1.0) == pytest.approx(goals, nan_ok=True)
    found = stretched(goals, 2.0)
    # The odds of .8 are 4, and 16 when they are squared.
    assert found == pytest.approx([0, 1 / 17, 0.5, 16 / 17, 1, np.nan], nan_ok=True)

    few = np.random.default_rng(0).beta(0.4, 1.2, 500)
    found = stretched(few, 1.4)
    assert found.mean() == pytest.approx(few.mean()) and found.std() > 1.1 * few.std()
    slopes = np.diff(np.log(found / (1 - found))) / np.diff(np.log(few / (1 - few)))
    assert slopes == pytest.approx(np.full(499, 1.4))
    certain = np.array([0.0, 1.0, np.nan])
    assert stretched(certain, 1.4) == pytest.approx(certain, nan_ok=True)
