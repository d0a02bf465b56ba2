"""Published questions with their own answers: what is right must stay right, hedges must not pay.

Their files are not part of the project; the tests are skipped where they do not lie beside it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from metaconf.grading import grade_answer
from metaconf.records import Question, Target

DATA = Path(__file__).parents[3] / "shared" / "data"


def rows(name: str, every: int) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no {name} beside the project")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()][::every]


def right(task: str, golds: list[str], answer: str, prompt: str) -> bool:
    return grade_answer(Question("q", prompt, (Target(tuple(golds)),), task), answer)[0] == 1.0


def test_the_last_line_of_a_worked_solution_is_right() -> None:
    """GSM8K: "12 + 6 = <<12+6=18>>18", "$45 - $7 = $<<45-7=38>>38 left.", "7 dozen eggs"."""
    missed: list[str] = []
    asked = rows("gsm8k_test.jsonl", 2)
    for row in asked:
        steps, _, gold = row["answer"].rpartition("####")
        answer = f"{steps.strip()}\nThe answer is {gold.strip()}."
        if not right("math", [row["answer"]], answer, row["question"]):
            missed.append(answer[-120:])
    assert len(missed) <= 0.005 * len(asked), missed


def test_names_and_dates_are_right_in_a_sentence_and_wrong_in_a_hedge() -> None:
    asked = rows("nq_open_dev.jsonl", 3)
    rng = random.Random(0)
    missed: list[str] = []
    paid: list[str] = []
    for row in asked:
        golds, prompt = row["answer"], row["question"]
        other = rng.choice(asked)["answer"][0]
        for text in (golds[0], f"It is {golds[0]}.", f"I think the answer is {golds[0]}"):
            if not right("short", golds, text, prompt):
                missed.append(text)
        if right("short", golds, f"{golds[0]} or {other}", prompt):
            paid.append(f"{golds[0]} or {other}")
    assert len(missed) <= 0.002 * 3 * len(asked), missed
    assert len(paid) <= 0.01 * len(asked), paid


def test_letters_and_texts_of_choices() -> None:
    forms = ("{l}", "{l}. {t}", "({l})", "{t}", "The answer is {l}.", "The answer is {l}) {t}")
    rng = random.Random(0)
    wrong: list[str] = []
    asked = rows("commonsense_qa.jsonl", 4)
    for row in asked:
        listed = dict(zip("ABCDE", row["choices"], strict=True))
        prompt = "\n".join([row["question"], *(f"{k}. {v}" for k, v in listed.items())])
        gold = row["answer"]
        other = rng.choice([k for k in listed if listed[k] != listed[gold]])
        for form in forms:
            for letter in (gold, other):
                said = form.format(l=letter, t=listed[letter])
                if right("choice", [gold], said, prompt) != (letter == gold):
                    wrong.append(said)
    # "The answer is C) will not starve" reads as a denial.
    assert len(wrong) <= 0.0005 * 12 * len(asked), wrong
