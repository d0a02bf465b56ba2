"""`metaconf prepare` with a teacher and a judge behind a server: leaks, failures, the card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from chat_server import ok, serving
from tiny import tiny_model

from metaconf.cli import main
from metaconf.cli.preflight import prepare_config
from metaconf.clients import Endpoint
from metaconf.config.blocks import Client, Confidence
from metaconf.errors import UserError
from metaconf.records import Question, Target, read_jsonl
from metaconf.reply import parse_reply
from metaconf.training.dataset import build_rows
from metaconf.training.evidence import Answered
from metaconf.training.teacher import TeacherOutput, write_reflections

GOOD = "I know little of this and may mix it up."


def answer(name: str) -> Answered:
    question = Question(name, f"Where is {name}?", (Target(("Mali",)),))
    return Answered(question, "Chad", 0.5, 0.0, 0.5, ("Niger",))


def endpoint(url: str, **limits: Any) -> Endpoint:
    return Endpoint(f"{url}/v1/chat/completions", "m", None, Client(url, **limits))


def written_by(say: Any, names: str, tmp_path: Path, most: float = 1.0) -> Any:
    """The output of a teacher that replies `say(name, again)`, and the server."""

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        name = json.loads(sent["messages"][1]["content"])["question"].split()[-1].rstrip("?")
        found = say(name, "An earlier reflection" in sent["messages"][0]["content"])
        return web.Response(status=400, text="no") if found is None else ok(found)

    with serving(handler) as server:
        rows = [answer(name) for name in names]
        where = endpoint(server.url, input_price=1.0, output_price=10.0)
        return write_reflections(rows, where, tmp_path / "t.sqlite", most), server


def test_a_leak_is_written_again_or_dropped_and_counted(tmp_path: Path) -> None:
    def say(name: str, again: bool) -> str | None:
        if name == "F":
            return None
        leak = "I think it is 90% likely."
        return {"A": GOOD, "B": GOOD if again else leak, "C": leak}[name]

    output, server = written_by(say, "ABCF", tmp_path)
    assert output.reflections == {"A": GOOD, "B": GOOD}
    assert (output.asked, output.leaking, output.rewritten, output.failed) == (4, 2, 1, 1)
    assert sum(output.leaked.values()) == 2 and sum(output.dropped.values()) == 1
    assert output.calls == 6 and output.cost == pytest.approx(5 * 200 / 1e6)
    again = [s for s in server.asked if "earlier" in s["messages"][0]["content"]]
    assert all("a number for the confidence" in s["messages"][0]["content"] for s in again)


def test_a_reflection_that_says_the_opposite_of_the_target_is_left_out_and_counted() -> None:
    said = {"A": "I am certain of it.", "B": "I am only guessing.", "C": "Quito is a city."}
    output = TeacherOutput(3, dict(said))
    answers = [replace(answer(name), agreement=0.1) for name in said]
    how = Confidence(target="self_consistency")
    rows = build_rows(None, answers, how, 0, output)  # pyright: ignore[reportArgumentType]
    assert [row["id"] for row in rows] == ["B", "C"] and output.contradicting == 1


def test_a_teacher_that_mostly_fails_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"max_dropped 0\.5: 3 of 4"):
        written_by(lambda name, _: GOOD if name == "A" else "It is 9/10.", "ABCD", tmp_path, 0.5)


def test_prepare_with_a_served_teacher_and_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = tmp_path / "questions.jsonl"
    rows = [{"question": f"Where is Q{i}?", "answer": "Mali", "task": "long"} for i in range(12)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        data = json.loads(sent["messages"][1]["content"])
        if "ticket" not in data:
            return ok(GOOD)
        word = ["right", "wrong"][len(data["data"]["answer"]) % 2]
        return ok(json.dumps({"ticket": data["ticket"], "verdict": word}))

    out, config = tmp_path / "set", tmp_path / "c.yaml"
    with serving(handler) as server:
        block = {"kind": "llm"}
        keys = {"judge": block, "teacher": block, "client": {"base_url": server.url}}
        keys["confidence"] = {"target": "self_consistency"}
        config.write_text(yaml.safe_dump(keys))
        model = tiny_model(tmp_path / "llama")
        told = ["--model", str(model), "--questions", str(questions), "--output_dir", str(out)]
        assert main(["prepare", "--config", str(config), *told]) == 0
    made = [row for _, row in read_jsonl(out / "sft.jsonl")]
    assert made, capsys.readouterr().out
    for row in made:
        parsed = parse_reply(row["conversations"][1]["value"])
        assert parsed.well_formed and parsed.reflection == GOOD
    card = (out / "README.md").read_text()
    assert "by deepseek-chat" in card and "## Teacher" in card and "| 0.0–0.1 |" in card
    assert str(tmp_path) not in card
    facts = json.loads((out / "metaconf.json").read_text())
    assert facts["teacher"] == {"kind": "llm", "model": "deepseek-chat"}
    output = facts["teacher_output"]
    assert (output["reflections"], output["leaking"], output["dropped"]) == (
        len(made) + output["contradicting"],
        0,
        {},
    )


def test_a_teacher_without_an_address_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEEPSEEK_BASE_URL", raising=False)
    told = ["prepare", "--teacher.kind", "llm", "--output_dir", str(tmp_path / "set")]
    assert main(told) == 2
    assert "DEEPSEEK_BASE_URL: not set" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_a_judge_grades_no_more_answers_than_labels_are_wanted(tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    rows = [{"question": f"Where is Q{i}?", "answer": "Mali", "task": "long"} for i in range(24)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked: list[str] = []

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        data = json.loads(sent["messages"][1]["content"])
        asked.append(data["data"]["question"])
        word = ["right", "wrong"][len(asked) % 2]
        return ok(json.dumps({"ticket": data["ticket"], "verdict": word}))

    out, config = tmp_path / "set", tmp_path / "c.yaml"
    with serving(handler) as server:
        how = {"target": "probe", "num_labeled": 8}
        client = {"base_url": server.url}
        keys = {"judge": {"kind": "llm"}, "client": client, "confidence": how}
        config.write_text(yaml.safe_dump(keys))
        model = tiny_model(tmp_path / "llama")
        told = ["--model", str(model), "--questions", str(questions), "--output_dir", str(out)]
        assert main(["prepare", "--config", str(config), *told]) == 0
    made = [row for _, row in read_jsonl(out / "sft.jsonl")]
    assert len(asked) == len(set(asked)) == 8 < len(made)
    assert all(0 <= row["target"] <= 1 for row in made)
    assert "fitted on 8 graded answers" in (out / "README.md").read_text()


def test_labels_without_a_probe_are_refused(tmp_path: Path) -> None:
    words = ["--confidence.num_labeled", "8", "--confidence.target", "self_consistency"]
    with pytest.raises(UserError, match=r"num_labeled: 8 has no effect without .*target: probe"):
        prepare_config(None, [*words, "--output_dir", str(tmp_path / "out")])
