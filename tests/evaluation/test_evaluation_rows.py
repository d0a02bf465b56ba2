"""Rows of each method: where the confidence comes from, and what a row holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metaconf.errors import UserError
from metaconf.evaluation.generate import Plain, Settings, evaluate, short_answers, worked_turns
from metaconf.evaluation.rows import EvaluatedReply, agreement, truth
from metaconf.generation.sampler import GREEDY
from metaconf.generation.store import append_replies, content_of, read_replies
from metaconf.prompts.chat import messages
from metaconf.records import Question, Reply, Target
from metaconf.reply import parse_reply

MALI = Question("q0", "Where is Timbuktu?", (Target(("Mali",)),), "short", "city", "heldout", "kb")
SAN = Question(
    "q1", "Where is San Juan?", (Target(("Argentina", "ARG"), 0.6), Target(("Peru",), 0.4))
)
FAST = Settings(reply_tokens=12, answer_tokens=4, rows=16)


def rows_of(tmp_path: Path, method: Any, replies: Sequence[Reply], questions: Any) -> list[Any]:
    """Rows made of stored replies: no model is asked."""
    path, nobody = tmp_path / "raw.jsonl", SimpleNamespace(identity="nobody")
    append_replies(path, replies, {q.id: content_of(q, "nobody") for q in questions})
    return evaluate(nobody, questions, method, path, "mine")  # pyright: ignore


def test_a_reply_row_holds_all_that_is_reported(tmp_path: Path) -> None:
    text = "Answer: Mali\nSelf-reflection: I know it well.\nConfidence: 8.5"
    (row,) = rows_of(tmp_path, "reply", [Reply("q0", GREEDY, text)], [MALI])
    assert row.to_json() == {
        "question_id": "q0",
        "method": "mine",
        "prompt": "Where is Timbuktu?",
        "family": "city",
        "cause": "kb",
        "split": "heldout",
        "answer": "Mali",
        "reflection": "I know it well.",
        "confidence": 0.85,
        "correctness": 1.0,
        "truth": "Mali",
        "text": text,
        "problems": [],
        "formatted": True,
        "tokens": 0,
        "task": "short",
        "why": row.why,
    }
    assert row.why
    assert EvaluatedReply.from_json(json.loads(json.dumps(row.to_json()))) == row


@pytest.mark.parametrize(
    ("text", "status", "confidence", "problem"),
    [
        ("I do not know", "ok", None, "no answer"),
        ("Answer: Mali\nSelf-reflection: Hm.\nConfidence: 85%", "ok", None, "is not 0–10"),
        ("Answer: Mali\nSelf-reflection: Hm.\nConfidence: 0", "ok", 0.0, None),
        # More may have followed the 1; after a line break the number was whole.
        ("Answer: Mali\nSelf-reflection: Hm.\nConfidence: 1", "cut", None, "token limit"),
        ("Answer: Mali\nSelf-reflection: Hm.\nConfidence: 1\n", "cut", 0.1, "token limit"),
    ],
)
def test_a_missing_confidence_is_none_and_never_zero(
    tmp_path: Path, text: str, status: str, confidence: float | None, problem: str | None
) -> None:
    (row,) = rows_of(tmp_path, "asked", [Reply("q0", GREEDY, text, status)], [MALI])
    assert row.confidence == confidence
    assert [p for p in row.problems if problem and problem in p] or problem is None
    assert bool(row.problems) == (problem is not None)


def test_confidence_of_short_answers(tmp_path: Path) -> None:
    greedy = Reply("q0", GREEDY, "Mali", probability=0.25)
    drawn = [Reply("q0", i, text) for i, text in enumerate(["Mali", "mali.", "Chad", ""] * 2)]
    (row,) = rows_of(tmp_path, "samples8", [greedy, *drawn], [MALI])
    assert (row.confidence, row.agreement, row.probability) == (0.5, 0.5, 0.25)
    assert (row.answer, row.correctness, row.reflection) == ("Mali", 1.0, None)
    (row,) = rows_of(tmp_path, "probability", [], [MALI])
    assert row.confidence == 0.25
    assert "agreement" not in row.to_json()


def test_an_empty_answer_has_no_confidence(tmp_path: Path) -> None:
    drawn = [Reply("q0", i, "") for i in range(8)]
    (row,) = rows_of(tmp_path, "samples8", [Reply("q0", GREEDY, ""), *drawn], [MALI])
    assert (row.answer, row.confidence, row.correctness) == (None, None, 0.0)


def test_agreement_is_unknown_without_samples() -> None:
    assert agreement(MALI, "Mali", []) is None
    assert agreement(MALI, "Mali", ["Chad"]) == 0.0


def test_the_truth_shows_graded_credit() -> None:
    assert truth(MALI) == "Mali"
    assert truth(SAN) == "Argentina (0.6) or Peru (0.4)"


def test_worked_turns_are_well_formed() -> None:
    parsed = [parse_reply(text) for _, text in worked_turns()]
    assert len(parsed) > 2
    assert all(p.well_formed for p in parsed)
    assert len({p.confidence for p in parsed}) > 1


def test_a_task_without_grader_is_refused(tmp_path: Path) -> None:
    odd = Question("q0", "?", (Target(("x",)),), task="poem")
    with pytest.raises(UserError, match="no grader for task 'poem'"):
        rows_of(tmp_path, "reply", [Reply("q0", GREEDY, "Answer: x")], [odd])


def test_a_model_is_asked_once_and_worked_turns_are_for_the_untrained_alone(
    tmp_path: Path, local_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, questions = local_of(), [MALI, SAN]
    asked: list[tuple[str, int]] = []

    def counted(question: str, *rest: Any, turns: Any = ()) -> Any:
        asked.append((question, len(turns)))
        return messages(question, *rest, turns=turns)

    monkeypatch.setattr("metaconf.evaluation.generate.messages", counted)
    wanted: tuple[tuple[Plain, int], ...] = (("asked", len(worked_turns())), ("reply", 0))
    for method, turns in wanted:
        path = tmp_path / f"{method}.jsonl"
        asked.clear()
        rows = evaluate(local, questions, method, path, settings=FAST)
        assert asked == [(MALI.prompt, turns), (SAN.prompt, turns)]
        assert [row.question_id for row in rows] == ["q0", "q1"]
        assert rows == evaluate(local, questions, method, path, settings=FAST)
        assert len(asked) == 2


def test_both_methods_of_short_answers_share_a_file(tmp_path: Path, local_of: Any) -> None:
    path, local = tmp_path / "answers.jsonl", local_of()
    by_samples = evaluate(local, [MALI, SAN], "samples8", path, settings=FAST)
    stored = path.read_bytes()
    by_probability = evaluate(local, [MALI, SAN], "probability", path, settings=FAST)
    assert path.read_bytes() == stored
    assert {sample for _, sample in read_replies(path)} == {GREEDY, *range(8)}
    answers = [row.answer for row in by_samples]
    assert answers == [row.answer for row in by_probability]
    for row, other in zip(by_probability, by_samples, strict=True):
        assert row.confidence == row.probability == other.probability


def test_samples_do_not_depend_on_an_interruption(tmp_path: Path, local_of: Any) -> None:
    local, wanted = local_of(), (GREEDY, 0, 1)
    whole = short_answers(local, [MALI, SAN], wanted, tmp_path / "a.jsonl", settings=FAST)
    short_answers(local, [SAN], (0,), tmp_path / "b.jsonl", settings=FAST)
    pieces = short_answers(local, [MALI, SAN], wanted, tmp_path / "b.jsonl", settings=FAST)
    assert {k: r.text for k, r in pieces.items()} == {k: r.text for k, r in whole.items()}
