"""Baselines: each confidence against a value worked out by hand, and all of them in one run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_model

from metaconf.cli import main
from metaconf.errors import UserError
from metaconf.evaluation import run as evaluation
from metaconf.evaluation.baselines import (
    as_expected,
    certainty,
    measure,
    recalibrated,
    token_mean,
    two_in_words,
)
from metaconf.evaluation.generate import Settings, worked_turns
from metaconf.evaluation.methods import BASELINES, METHODS, chosen
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.generation.local import next_share
from metaconf.generation.sampler import GREEDY
from metaconf.prompts.chat import REVIEW
from metaconf.records import Question, Reply, Target
from metaconf.report.load import load_run
from metaconf.training.levels import level_tokens

pytestmark = pytest.mark.usefixtures("few_resamples")

WHERE = Question("q0", "Where is Timbuktu?", (Target(("Mali",)),))
FAST = Settings(reply_tokens=10, answer_tokens=3, rows=64)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (["Mali"] * 8, 1.0),
        (["Mali", "mali.", "Niger", "Niger"] * 2, 1 - math.log(2) / math.log(8)),
        ([*"abcdefgh"], 0.0),
        (["", "", "Mali", "Mali"] * 2, 1 - math.log(2) / math.log(8)),  # silence is a group too
    ],
)
def test_semantic_entropy(samples: list[str], expected: float) -> None:
    assert certainty(WHERE, samples) == pytest.approx(expected, abs=1e-12)
    assert certainty(WHERE, samples[:1]) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply("q", GREEDY, "a b", "ok", 3, 0.25), 0.5),  # the third token ended it
        (Reply("q", GREEDY, "a b", "cut", 2, 0.25), 0.5),
        (Reply("q", GREEDY, "", "ok", 1, None), None),
    ],
)
def test_mean_token_probability(reply: Reply, expected: float | None) -> None:
    assert token_mean(reply) == expected


def said(answer: str, level: str, tokens: int = 20) -> Reply:
    text = f"Answer: {answer}\nSelf-reflection: I know it.\nConfidence: {level}"
    return Reply("q0", 0, text, "ok", tokens)


def test_two_replies_in_words() -> None:
    agreeing = two_in_words(WHERE, said("Mali", "8"), said("mali", "4", 30))
    assert agreeing.confidence == pytest.approx((0.6 + 1) / 2)
    assert agreeing.correctness == 1 and agreeing.tokens == 50
    apart = two_in_words(WHERE, said("Niger", "8"), said("Mali", "4"))
    assert apart.confidence == pytest.approx(0.3) and apart.correctness == 0
    # What was not stated is not known, and never 0.
    assert two_in_words(WHERE, said("Mali", "8"), said("Mali", "high")).confidence is None


def test_p_true_is_the_share_of_one_option(local_of: Callable[..., Any]) -> None:
    local = local_of("qwen3")
    texts = ("What is it?", "Where is the city of Quito, and why?", "Kenya")
    prompts = [local.reply_prompt(text) for text in texts]
    encode = local.tokenizer.encode
    a, b = (encode(f"({option}", add_special_tokens=False) for option in "AB")
    expected = []
    for prompt in prompts:
        with torch.inference_mode():
            logits = local.model(torch.tensor([[*prompt, *a[:-1]]])).logits[0, -1]
        expected.append(torch.softmax(logits[[a[-1], b[-1]]], 0)[0].item())
    assert next_share(local, prompts, "(", "AB", rows=2) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(UserError, match="differ by several tokens"):
        next_share(local, prompts, "(", "AA")


def test_the_expectation_is_read_after_the_models_own_reflection(
    local_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = local_of()
    tokens, encode = level_tokens(local.tokenizer), local.tokenizer.encode
    told: Any = {"prompt": WHERE.prompt, "answer": "Mali", "confidence": 0.4}
    rows = [
        EvaluatedReply("q0", "expected", reflection="I do.", **told),
        EvaluatedReply("q1", "expected", reflection=None, **told),
    ]
    first, second = as_expected(local, rows)
    start = encode("Answer: Mali\nSelf-reflection: I do.\nConfidence: 0", add_special_tokens=False)
    ids = [*local.reply_prompt(WHERE.prompt), *start[:-1]]
    assert start[-1] == tokens.first[0]
    with torch.inference_mode():
        logits = local.model(torch.tensor([ids])).logits[0, -1]
        one = local.model(torch.tensor([[*ids, tokens.first[1]]])).logits[0, -1]
    levels = torch.softmax(logits[list(tokens.first[:10])], 0)
    ten = torch.softmax(one, 0)[tokens.ten_next] if tokens.ten_next is not None else 0.0
    mean = float(levels @ torch.arange(10.0) + levels[1] * ten * 9) / 10
    assert first.confidence == pytest.approx(mean, abs=1e-4)
    assert second.confidence is None  # where it says no reflection nothing is known


def rows_with(confidence: Sequence[float], right: Sequence[float]) -> list[EvaluatedReply]:
    return [
        EvaluatedReply(str(i), confidence=c, correctness=y, split="heldout")
        for i, (c, y) in enumerate(zip(confidence, right, strict=True))
    ]


def test_recalibration_uses_the_calibration_rows_alone() -> None:
    # It says .9 where half is right, and .2 where a quarter is.
    calibration = rows_with([0.9] * 20 + [0.2] * 20, [1, 0] * 10 + [1, 0, 0, 0] * 5)
    rows = rows_with([0.9, 0.9, 0.2, 0.2], [1, 0, 1, 0])
    figures = recalibrated(rows, calibration)
    assert figures["brier_recalibrated"].value == pytest.approx(
        (0.5**2 * 2 + 0.75**2 + 0.25**2) / 4
    )
    assert figures["ece_recalibrated"].value == pytest.approx(0.125)
    few = recalibrated(rows, calibration[:19])
    assert few["brier_recalibrated"].value is None
    assert "19 calibration replies" in (few["brier_recalibrated"].reason or "")


def test_a_review_is_shown_the_reply(local_of: Callable[..., Any], tmp_path: Path) -> None:
    local = local_of()
    asked: list[tuple[int, ...]] = []
    from metaconf.evaluation import generate

    real = generate.sample_replies

    def record(one: Any, questions: Any, samples: Any, how: Any, keep: Any, prompt: Any) -> None:
        asked.extend(prompt(q) for q in questions)
        real(one, questions, samples, how, keep, prompt)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "sample_replies", record)
        rows = measure(local, [WHERE], [], ["asked", "refine"], tmp_path, FAST)
    first, second = (local.tokenizer.decode(tokens) for tokens in asked)
    given = rows["asked"][0].text
    assert REVIEW not in first
    assert second.index(WHERE.prompt) < second.index(REVIEW)
    assert given.strip() and given in second
    # The review costs what the first reply cost, and its own tokens.
    assert (rows["refine"][0].tokens or 0) > (rows["asked"][0].tokens or 0)
    assert len(worked_turns()) == first.count("Self-reflection: ") - first.count("why it may")


def write(path: Path, first: int, count: int) -> str:
    rows = [{"question": f"What is {i} + 1?", "answer": i + 1} for i in range(first, first + count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_every_baseline_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaconf.evaluation.run.Settings", lambda _, seed: FAST)
    monkeypatch.setattr("metaconf.evaluation.tables.METRICS", ("accuracy", "ece", "brier"))
    model = str(tiny_model(tmp_path / "model"))
    asked = write(tmp_path / "asked.jsonl", 0, 3)
    apart = write(tmp_path / "apart.jsonl", 50, 21)
    out = tmp_path / "run"
    told = evaluation.Evaluation(model, asked, baselines=BASELINES, calibration=apart)
    evaluation.run(told, out)
    run = load_run(out)
    assert [method.key for method in run.methods] == list(METHODS)
    assert [method.name for method in run.methods] == [one.name for one in METHODS.values()]
    assert len(run.replies) == 3 * len(METHODS)  # the calibration questions are in no table
    by_key = {method.key: method for method in run.methods}
    assert by_key["samples8"].figures["brier_recalibrated"].value is not None
    assert by_key["probe"].figures["brier"].value is not None
    # Eight samples cost more than one answer, and the probe costs no more than that.
    tokens = {key: method.figures["tokens"].value or 0 for key, method in by_key.items()}
    assert tokens["samples8"] > tokens["probability"] == tokens["probe"] == tokens["p_true"]
    assert tokens["verbal8"] > tokens["verbal2"] > tokens["asked"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--baselines p_tru", "did you mean p_true"),
        ("--calibration asked.jsonl", "give --baselines too"),
        ("--baselines probe --calibration asked.jsonl", "2 of its questions are asked too"),
        ("--baselines --calibration none.jsonl", "none.jsonl"),
        ("--replies asked.jsonl", "--replies asks no model"),
    ],
)
def test_bad_arguments_are_refused(
    words: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "asked.jsonl", 0, 2)
    model = str(tiny_model(tmp_path / "model"))
    start = ["evaluate", "--model", model, "--questions", "asked.jsonl"]
    assert main([*start, *words.split()]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_baselines_are_chosen_by_name() -> None:
    assert chosen(None) == ()
    assert chosen("all") == BASELINES and "reply" not in BASELINES
    assert chosen("probability, asked") == ("asked", "probability")
