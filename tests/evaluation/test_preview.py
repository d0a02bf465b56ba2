"""What `metaconf evaluate` shows before it asks, and that --dry_run asks nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import tiny_model

from metaconf.cli import main
from metaconf.clients import endpoint_of
from metaconf.config.blocks import Client
from metaconf.evaluation.preview import conversation, preview, replies_each
from metaconf.prompts.chat import INSTRUCTION
from metaconf.records import Question, Target


def test_prompts_are_shown_as_they_are_sent_and_graded(tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "model"))
    asked = [Question(f"q{i}", f"What is {i} + 1?", (Target((str(i + 1),)),)) for i in range(5)]
    text = preview(model, asked, asked[:2], ["samples8", "probability", "reply"])
    assert text.count(INSTRUCTION) == 3 and text.count("<|im_start|>assistant") == 3
    assert "What is 2 + 1?" in text and "What is 3 + 1?" not in text
    assert "reference '1' → 1" in text and "another's '2' → 0" in text
    assert "5 questions and 2 to calibrate on" in text
    # The greedy answer and its 8 samples serve two ways, and each question gets one whole reply.
    assert "70 replies to draw" in text


def test_what_a_server_may_cost_is_worked_out() -> None:
    """5 questions, 9 short answers and 1 whole reply each: 45 × 12 + 5 × 96 tokens written."""
    asked = [Question(f"q{i}", f"What is {i} + 1?", (Target((str(i + 1),)),)) for i in range(5)]
    client = Client("http://127.0.0.1:1", model="m", input_price=2.0, output_price=1000.0)
    text = preview("m", asked, [], ["samples8", "reply"], endpoint_of(client, {}))
    read = sum(len(conversation(q.prompt)) for q in asked) / 4 * 10
    assert f"about {read:,.0f} tokens read and at most 1,020 written" in text
    assert f"at most {(read * 2 + 1_020_000) / 1e6:.2f} at the prices given" in text
    free = preview("m", asked, [], ["reply"], endpoint_of(replace(client, input_price=None), {}))
    assert "at most 480 written; with --input_price" in free


def test_shared_replies_count_once() -> None:
    assert replies_each(["reply"]) == 1
    assert replies_each(["samples8", "entropy", "probability", "p_true"]) == 9
    assert replies_each(["asked", "verbal2", "verbal8", "cot"]) == 10


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "model"))
    evil = Question("q", "Who?\x1b[2J\x07", (Target(("me\x1b]0;x",)),))
    assert not any(c in preview(model, [evil], [], ["reply"]) for c in "\x1b\x07")


def test_a_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("asked.jsonl").write_text(json.dumps({"question": "Who?", "answer": "me"}) + "\n")
    model = str(tiny_model(tmp_path / "model"))
    words = ["evaluate", "--model", model, "--questions", "asked.jsonl", "--dry_run"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "Who?" in shown and "1 replies to draw" in shown
    assert not (tmp_path / "runs").exists()
    # Without a chat template a plain one is asked with: that is said here, not after the weights.
    (tmp_path / "model" / "chat_template.jinja").unlink(missing_ok=True)
    path = tmp_path / "model" / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings.pop("chat_template", None)
    path.write_text(json.dumps(settings))
    assert main(words) == 0
    assert "has no chat template" in capsys.readouterr().err
