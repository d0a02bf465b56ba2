"""Verify, score and feedback: what is measured, kept, and given back to `metaconf calibrate`."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from chat_server import ok
from front import GOOD, UNSURE, in_front, says

from metaconf.cli import main
from metaconf.clients.types import Completion
from metaconf.errors import UserError
from metaconf.serving.backend import Call
from metaconf.serving.calibration import Calibration
from metaconf.serving.feedback import REMEMBERED, Feedback, Remembered
from metaconf.serving.service import Service


def test_verify_keeps_the_contract_of_automix(tmp_path: Path, calibration: Calibration) -> None:
    asked: list[Any] = []

    async def note(_: Any, sent: Any, __: int) -> Any:
        asked.append(sent["messages"])
        return ok(GOOD)

    body = {"question": "Where is Timbuktu?", "answer": "  Mali ", "threshold": 0.9}
    with in_front(note, tmp_path) as server:
        strict = server.ask("/verify", body)[2]
        default = server.ask("/verify", {**body, "threshold": None, "context": "Africa"})[2]
        other = server.ask("/verify", {**body, "answer": "Chad"})[2]
        blank = server.ask("/verify", {**body, "answer": " "})[2]
        assert blank["should_escalate"] and blank["total_samples"] == 0 and len(asked) == 3
    assert strict == {
        **{"confidence": 0.8, "should_escalate": True, "verified_count": 0, "total_samples": 1},
        **{"samples": [GOOD], "threshold": 0.9, "expected": None, "distribution": None},
    }
    assert (default["threshold"], default["should_escalate"]) == (0.7, False)
    assert asked[1][1]["content"] == "Africa\n\nWhere is Timbuktu?"
    assert asked[0][2] == {"role": "assistant", "content": "Answer: Mali"}
    assert other["confidence"] is None and other["should_escalate"]
    with in_front(says(UNSURE), tmp_path, calibration) as server:
        unsure = server.ask("/verify", {"question": "?", "answer": "Mali"})[2]
    assert unsure["threshold"] == calibration.rule.threshold and unsure["should_escalate"]


def test_ready_replies_are_measured_as_evaluate_does(tmp_path: Path) -> None:
    rows = [{"question_id": i, "confidence": 0.9, "correctness": float(i % 2)} for i in range(8)]
    more = [{"question_id": "q", "reply": GOOD, "correctness": 1}, {"question_id": "silent"}]
    with in_front(says(GOOD), tmp_path) as server:
        found = server.ask("/v1/score", {"replies": [*rows, *more]})[2]
        more = [{**row, "expected": 0.8} for row in rows[:2]]
        expected = server.ask("/v1/score", {"replies": more})[2]
        status, _, error = server.ask("/v1/score", {"replies": [{"confidence": 1.5}]})
    assert found["figures"]["accuracy"]["value"] == pytest.approx(5 / 9)
    brier = (4 * 0.81 + 4 * 0.01 + 0.04) / 9
    assert found["figures"]["brier"]["value"] == pytest.approx(brier)
    assert (found["without_confidence"], found["without_correctness"]) == (1, 1)
    assert not any(name.startswith("expected") for name in found["figures"])
    assert expected["figures"]["expected_brier"]["value"] == pytest.approx((0.04 + 0.64) / 2)
    assert status == 400 and "replies.0" in error["error"]["message"]


def test_labels_are_kept_and_calibrate_reads_them(
    tmp_path: Path, calibration: Calibration, capsys: pytest.CaptureFixture[str]
) -> None:
    with in_front(says(GOOD), tmp_path, calibration) as server:
        ids = [server.chat(f"question {i}")["id"] for i in range(4)]
        every = [
            server.ask("/feedback", {"id": one, "correctness": i > 0})[2]
            for i, one in enumerate(ids)
        ]
        assert [one["labelled"] for one in every] == [1, 2, 3, 4]
        assert every[-1]["state"] == "calibrated"
        told = server.ask("/feedback", {"id": ids[0], "correctness": 1.0})[2]
        assert told["labelled"] == 4  # the same reply, another opinion
        again = server.chat("question 1")["id"]
        server.ask("/feedback", {"id": again, "correctness": False})
        status, _, error = server.ask("/feedback", {"id": "chatcmpl-x", "correctness": True})
        assert (status, error["error"]["code"]) == (404, "reply_not_found")
        lines = server.ask("/v1/labels")[2]
    rows = [json.loads(line) for line in lines.splitlines()]
    assert sorted(row["correctness"] for row in rows) == [0.0, 1.0, 1.0, 1.0]
    assert "question 1" not in lines
    (tmp_path / "labels.jsonl").write_text(lines)
    out = tmp_path / "new.json"
    assert main(["calibrate", str(tmp_path / "labels.jsonl"), "--output", str(out)]) == 0
    assert json.loads(out.read_text())["rule"]["labelled"] == 4
    capsys.readouterr()
    with in_front(says(GOOD), tmp_path, calibration) as server:  # started anew
        shown = server.ask("/v1/calibration")[2]
        assert server.service.watch.labelled == 4 and shown["feedback"] == 4
        before = sum(one["n"] for one in shown["reliability"])
        assert before == len(calibration.confidence) + 4
        assert shown["offers"][19]["thresholds"] == [calibration.rule.threshold]


def test_wrong_labels_end_the_certificate(tmp_path: Path, calibration: Calibration) -> None:
    with in_front(says(GOOD), tmp_path, calibration) as server:
        states = list[str]()
        for i in range(12):
            reply = server.chat(f"question {i}")["id"]
            told = server.ask("/feedback", {"id": reply, "correctness": False})[2]
            states.append(told["state"])
        assert states[0] == "calibrated" and states[-1] == "conflict"
        decision = server.chat()["metaconf"]["decision"]
    assert decision["action"] == "answer" and not decision["certified"]


def test_a_label_that_cannot_be_kept_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with in_front(says(GOOD), tmp_path) as server:
        reply = server.chat()["id"]
        monkeypatch.setattr(server.service.feedback, "label", full)
        status, _, error = server.ask("/feedback", {"id": reply, "correctness": True})
    assert status == 507 and "not kept" in error["error"]["message"]


def test_a_reply_is_an_event_of_its_span(tmp_path: Path, calibration: Calibration) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")
    for text, value in ((GOOD, 0.8), ("no format", None)):

        class Says:
            name, begins, takes = "m", True, frozenset()

            async def complete(self, _: Call, text: str = text) -> Completion:
                return Completion(text)

        feedback = Feedback(tmp_path / "labels.sqlite")
        service = Service(Says(), feedback, calibration)  # pyright: ignore
        with tracer.start_as_current_span("request") as span:
            asyncio.run(service.answer(Call(({"role": "user", "content": "secret"},))))
        (event,) = span.events  # pyright: ignore
        told = dict(event.attributes)
        assert event.name == "gen_ai.evaluation.result" and "secret" not in str(told)
        found = told.get("gen_ai.evaluation.score.value")
        assert found is None if value is None else found == calibration.recalibrated(value)
        label = told["gen_ai.evaluation.score.label"]
        assert label == ("unknown" if value is None else "answer")


def test_only_the_last_replies_are_remembered(tmp_path: Path) -> None:
    feedback = Feedback(tmp_path / "labels.sqlite")
    for i in range(REMEMBERED + 1):
        feedback.remember(str(i), Remembered("q", "m", 0.5, "answer", None))
    assert feedback.known("0") is None and feedback.known(str(REMEMBERED)) is not None
    (tmp_path / "no.sqlite").write_bytes(b"not a database, but a file of some length " * 99)
    with pytest.raises(UserError, match=r"no\.sqlite"):
        Feedback(tmp_path / "no.sqlite")
