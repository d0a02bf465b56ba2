"""Held-out figures while stage 2 trains."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training import QUESTIONS, config_of

from metaconf.errors import UserError
from metaconf.generation.local import load_local
from metaconf.records import Parsed, Question, Reply, Target
from metaconf.reply import format_reply
from metaconf.training import heldout, stage2
from metaconf.training.heldout import _reader_gain, measure, set_aside


def test_curves_are_measured_and_the_best_model_is_kept(
    taught: Callable[[], Any], tmp_path: Path
) -> None:
    path = tmp_path / "held.jsonl"
    path.write_text("".join(json.dumps(q.to_json()) + "\n" for q in QUESTIONS))
    ask = [Question(f"{q.id}{i}", q.prompt, q.targets) for q in QUESTIONS for i in range(2)]
    start = taught()
    for part in (start.model, start.tokenizer):
        part.save_pretrained(tmp_path / "start")
    trained = {}
    for every in (0, 2):
        config = config_of(
            trainer={"max_steps": 5},
            eval_steps=every,
            eval_questions=2,
            eval_path=str(path),
            use_peft=True,
            lora_r=4,
        )
        local = load_local(str(tmp_path / "start"), torch.float32)
        trained[every] = stage2.train(local, ask, config, tmp_path / str(every))
    # Measuring changes nothing of what is learnt.
    for a, b in zip(*(m.model.parameters() for m in trained.values()), strict=True):
        assert torch.equal(a, b)
    plain = json.loads((tmp_path / "0" / "curve.json").read_text())
    assert all("loss" in row for row in plain) and not (tmp_path / "0" / "best.json").exists()
    curve = json.loads((tmp_path / "2" / "curve.json").read_text())
    rows = [row for row in curve if "heldout_brier" in row]
    assert [row["step"] for row in rows] == [0, 2, 4, 5]
    assert [row["replies"] for row in rows] == [0, 16, 32, 40]
    assert rows[0]["seconds"] < 0.5 and sorted(r["seconds"] for r in rows) == [
        r["seconds"] for r in rows
    ]
    assert all(row["heldout_n"] == 2 and 0 <= row["heldout_ece"] <= 1 for row in rows)
    best = json.loads((tmp_path / "2" / "best.json").read_text())
    least = min(rows, key=lambda row: row["heldout_brier"])
    assert {k: v for k, v in best.items() if k != "folder"} == least
    again = measure(load_local(str(tmp_path / "2" / best["folder"]), torch.float32), QUESTIONS, 40)
    assert again["heldout_brier"] == pytest.approx(best["heldout_brier"])


def test_the_curve_has_what_reflections_tell_a_reader() -> None:
    asked = [Question(str(i), "Where is it?", (Target(("Quito",)),)) for i in range(120)]
    right = [float(i % 2) for i in range(120)]
    telling = [Parsed("Quito", "I know it." if r else "I guess.", 0.5, None, (), {}) for r in right]
    silent = [Parsed("Quito", "I say so.", 0.5, None, (), {}) for _ in right]
    assert (_reader_gain(asked, telling, right) or 0) > 0.15  # of the .25 of one who knows nothing
    assert abs(_reader_gain(asked, silent, right) or 1) < 0.02
    assert _reader_gain(asked[:49], telling[:49], right[:49]) is None
    unread = [Parsed("Quito", None, 0.5, None, (), {})] * 120
    assert _reader_gain(asked, unread, right) is None
    assert _reader_gain(asked, telling, [None] * 120) is None


def test_a_resumed_run_goes_on_with_its_curve(taught: Callable[[], Any], tmp_path: Path) -> None:
    path = tmp_path / "held.jsonl"
    path.write_text("".join(json.dumps(q.to_json()) + "\n" for q in QUESTIONS))
    start = taught()
    for part in (start.model, start.tokenizer):
        part.save_pretrained(tmp_path / "start")
    asked = [replace(q, id=f"{q.id}-train") for q in QUESTIONS]

    def go(steps: int, **more: Any) -> list[dict[str, float]]:
        settings = {"max_steps": steps, "save_strategy": "steps", "save_steps": 2, **more}
        measured = {"eval_steps": 2, "eval_questions": 2, "eval_path": str(path)}
        config = config_of(trainer=settings, use_peft=True, lora_r=4, **measured)
        stage2.train(load_local(str(tmp_path / "start"), torch.float32), asked, config, out)
        rows = json.loads((out / "curve.json").read_text())
        return [row for row in rows if "heldout_n" in row]

    out = tmp_path / "run"
    first = go(2)
    rows = go(4, resume_from_checkpoint=str(out / "checkpoint-2"))
    assert rows[:2] == first and [row["step"] for row in rows] == [0, 2, 4]
    assert [row["replies"] for row in rows] == [0, 16, 32]
    assert rows[2]["seconds"] > rows[1]["seconds"]


def test_questions_to_measure_on_are_not_trained_on(tmp_path: Path) -> None:
    asked = [Question(str(i), f"What is {i}?", (Target((str(i),)),)) for i in range(10)]
    off = config_of()
    assert set_aside(asked, off) == (asked, [])
    own = replace(off, eval_steps=1, eval_questions=4, eval_path="")
    named = replace(own, questions=replace(own.questions, path="mine.jsonl"))
    kept, held = set_aside(asked, named)
    assert len(held) == 4 and len(kept) == 6 and not {q.id for q in kept} & {q.id for q in held}
    embedded = set_aside(asked, own)
    assert embedded[0] == asked and {q.split for q in embedded[1]} == {"calibration"}
    few = replace(named, eval_steps=1, eval_questions=10, eval_path="")
    with pytest.raises(UserError, match=r"eval_questions 10 of 10"):
        set_aside(asked, few)


def test_replies_without_a_number_are_counted_and_no_figure_is_made_up(
    local_of: Callable[..., Any],
) -> None:
    found = measure(local_of(), QUESTIONS, 8)
    assert found == {"heldout_accuracy": 0.0, "heldout_n": 0.0, "heldout_format": 0.0}


def test_a_confidence_that_tells_the_kind_alone_is_said_after_the_last_step(
    local_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [
        Question(str(i), "?", (Target((f"{i % 3 > i % 2}",)),), family=f"{i % 2}")
        for i in range(60)
    ]

    def answer(_: Any, questions: Any, *more: Any) -> None:
        stated = (
            format_reply("True", "I say so.", 0.8 if int(q.id) % 2 else 0.3) for q in questions
        )
        more[-1]([Reply(q.id, -1, text) for q, text in zip(questions, stated, strict=True)])

    monkeypatch.setattr(heldout, "sample_replies", answer)
    with caplog.at_level(logging.WARNING, logger="metaconf"):
        found = measure(local_of(), asked, 8)
        assert caplog.text == "" and found["heldout_auroc_within"] == 0.5
        assert measure(local_of(), asked, 8, last=True) == found
    assert found["heldout_auroc"] != 0.5 and "held-out replies after the last step: " in caplog.text
