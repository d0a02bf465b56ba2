"""The reward as TRL and verl call it: their forms of rows and texts, and what is paid for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaconf.config.blocks import Config
from metaconf.errors import UserError
from metaconf.records import Question, Target
from metaconf.reply import format_reply
from metaconf.rewards.adapters import compute_score, reward_function
from metaconf.rewards.group import grade_group
from metaconf.rewards.recipes import recipe_of
from metaconf.training.reward_computer import RewardComputer

KEYS = ["score", "calibration", "reflection", "accuracy", "format", "graded"]
QUITO = Question(
    "q", "In which country is Quito?", (Target(("Ecuador",)),), cause="knowledge boundary"
)
RECORD = json.dumps(QUITO.to_json())
RIGHT = format_reply("Ecuador", "I know Quito well.", 1.0)
WRONG = format_reply("Peru", "I know little of Quito; it could be Ecuador.", 0.2)
WEIGHTS = {"calibration": 1.0, "reflection": 0.5, "accuracy": 1.0, "format": 0.5}


def chat(text: str, role: str = "assistant") -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def test_trl_is_paid_what_stage_2_pays_whatever_the_order() -> None:
    other = QUITO.to_json() | {"id": "other", "targets": [{"texts": ["Peru"], "credit": 1}]}
    columns = {"question": [RECORD, json.dumps(other), RECORD], "trainer_state": None}
    prompts = [chat(QUITO.prompt, "user")] * 3
    paid = reward_function(prompts, [chat(RIGHT), chat(WRONG), chat(WRONG)], **columns)
    first, third = (row[2].total for row in grade_group(QUITO, [RIGHT, WRONG], WEIGHTS))
    assert (paid[0], paid[2]) == (first, third)
    assert paid[1] is not None and paid[2] is not None and paid[1] > paid[2]


@pytest.mark.parametrize("column", ["answer", "target"])
def test_trl_takes_columns_of_ones_own(column: str) -> None:
    columns: dict[str, Any] = {column: [["Ecuador", "EC"], "Peru"]}
    paid = reward_function(["In which country is Quito?"] * 2, [RIGHT, RIGHT], **columns)
    assert paid[0] is not None and paid[1] is not None
    assert paid[0] - paid[1] == pytest.approx(2.0)  # accuracy and calibration
    asked = {"question": ["What is 9 + 9?"], column: ["9 + 9 = 18\n#### 18"]}
    good = format_reply("18", "The sum 9 + 9 is easy.", 1.0)
    assert (reward_function(["…"], [good], **asked)[0] or 0) > 2.5


def test_an_unknown_answer_is_left_out_and_never_zero() -> None:
    columns: dict[str, Any] = {"answer": ["Ecuador", None, ""]}
    paid = reward_function([QUITO.prompt] * 3, [RIGHT] * 3, **columns)
    assert paid[0] is not None and paid[1:] == [None, None]


def test_missing_columns_are_named() -> None:
    with pytest.raises(UserError, match=r"row 0: no right answer among the columns solution"):
        reward_function(["q"], [RIGHT], solution=["x"])


def test_a_malformed_completion_is_paid_little_and_breaks_nothing() -> None:
    texts = ["", "no labels at all", "Answer: Ecuador", RIGHT]
    paid = reward_function([QUITO.prompt] * 4, texts, answer=["Ecuador"] * 4)
    totals = [value for value in paid if value is not None]
    assert len(totals) == 4
    assert totals[0] == totals[1] == 0 < totals[2] == 1.0 < totals[3]


def test_verl_always_gets_the_same_keys_and_numbers() -> None:
    calls: list[tuple[str, Any, dict[str, Any] | None]] = [
        (RIGHT, "Ecuador", None),
        (RIGHT, RECORD, {"question": QUITO.prompt}),
        (WRONG, np.array(["Ecuador", "EC"]), {"samples": np.array(["Peru", "Ecuador"])}),
        ("", "Ecuador", {}),
        ("\x00<think>", None, {}),
        (RIGHT, "", {}),
    ]
    for text, truth, extra in calls:
        scores = compute_score("cities", text, truth, extra, reward_router_address=None)
        assert list(scores) == KEYS
        assert all(type(value) is float and np.isfinite(value) for value in scores.values())
        assert scores["graded"] == float(truth is not None and str(truth) != "")


def test_verl_s_score_is_the_weighted_sum() -> None:
    scores = compute_score("cities", RIGHT, RECORD, None)
    assert scores["score"] == pytest.approx(sum(WEIGHTS[name] * scores[name] for name in WEIGHTS))
    assert (scores["accuracy"], scores["calibration"], scores["format"]) == (1, 1, 1)
    weighed = compute_score("cities", RIGHT, RECORD, None, reflection=0, format="2")
    assert weighed["score"] == pytest.approx(4.0)


def test_a_named_answer_is_judged_only_where_samples_are_known() -> None:
    def reflection(**extra: Any) -> float:
        extra["question"] = QUITO.prompt
        return compute_score("cities", WRONG, RECORD, extra)["reflection"]

    alone = reflection()
    assert reflection(samples=["Ecuador"]) > alone > reflection(samples=["Chile"])


def test_a_broken_ground_truth_is_named() -> None:
    with pytest.raises(UserError, match="compute_score, data_source 'cities': targets"):
        compute_score("cities", RIGHT, '{"id": "q", "prompt": "?", "targets": []}')


def test_unknown_parts_are_treated_one_way_in_all_three(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A group where one judgement failed, one where all did, and a reply that was not graded."""

    import metaconf.rewards.group as group

    graded = group.grade_answer

    def scored(question: Question, parsed: Any, samples: Any) -> Any:
        known = "well" in (parsed.reflection or "")
        return (0.8, {"points": 0.8}) if known else (None, {})

    def grade(question: Question, answer: str | None) -> tuple[float | None, str]:
        return (None, "no verdict") if question.id == "blank" else graded(question, answer)

    monkeypatch.setattr(group, "score_reflection", scored)
    monkeypatch.setattr(group, "grade_answer", grade)
    other, blank = (json.dumps(QUITO.to_json() | {"id": name}) for name in ("other", "blank"))
    questions = [RECORD, RECORD, other, other, blank]
    texts = [RIGHT, WRONG, WRONG, WRONG, RIGHT]
    trl = reward_function([QUITO.prompt] * 5, texts, question=questions)
    stage2 = RewardComputer(recipe_of(Config("grpo", {})), tmp_path / "r.jsonl")(questions, texts)
    assert trl == [None if np.isnan(total) else total for total in stage2.total]
    calibration = 1 - 0.2**2
    # Its group's mean; left out of sum (2.5 at most) and weights (3 in all); no part at all.
    assert trl[1] == pytest.approx(calibration + 0.5 * 0.8 + 0.5)
    assert trl[2] == trl[3] == pytest.approx((calibration + 0.5) * 3 / 2.5)
    assert trl[4] is None
    alone = compute_score("cities", WRONG, other)
    assert alone["score"] == pytest.approx(trl[2]) and alone["graded"] == 1
    assert compute_score("cities", RIGHT, blank)["graded"] == 0
