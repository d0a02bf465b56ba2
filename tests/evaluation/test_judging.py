"""`metaconf evaluate --judge`: verdicts in rows and figures, failures counted, none paid twice."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_server import ok, serving
from tiny import tiny_model

from metaconf.cli import main
from metaconf.config.blocks import Client
from metaconf.config.blocks import Judge as Settings
from metaconf.evaluation.baselines import certainty
from metaconf.evaluation.judging import by_meaning
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.judging import judge_of
from metaconf.prompts.judge import ANSWER, READING
from metaconf.records import Question, Target

pytestmark = pytest.mark.usefixtures("few_resamples")

LONG = {"question": "Why is the sky blue?", "answer": "It scatters blue light.", "task": "long"}
SHORT = {"question": "What is 1 + 1?", "answer": "2"}
OTHER = {"question": "What is 3 - 1?", "answer": "2"}
TOLD = {
    LONG["question"]: ("It scatters light.", "unreadable"),
    SHORT["question"]: ("2", "I know it."),
    OTHER["question"]: ("2", "unreadable"),
}


def said(sent: Any) -> str:
    """What an untiring judge says; of the one reflection that it cannot read, nothing usable."""
    content = json.loads(sent["messages"][1]["content"])
    if sent["messages"][0]["content"] == ANSWER:
        return json.dumps({"ticket": content["ticket"], "verdict": "partly", "reason": "half"})
    if sent["messages"][0]["content"] == READING:
        tells = "no" if "unreadable" in content["data"]["text"] else "yes"
        return json.dumps({"ticket": content["ticket"], "tells": tells, "sureness": 90})
    if "unreadable" in content["data"]["reflection"]:
        return "I cannot say."
    points = {"consistency": 2, "specificity": 1, "plausibility": 0}
    return json.dumps({"ticket": content["ticket"], **points, "reason": "<b>names nothing</b>"})


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's replies, whatever it would have said."""
    from metaconf.generation.sampler import GREEDY
    from metaconf.records import Reply

    def given(_: Any, questions: Any, *__: Any, **___: Any) -> Any:
        found = {}
        for q in questions:
            answer, why = TOLD[q.prompt]
            text = f"Answer: {answer}\nSelf-reflection: {why}\nConfidence: 5"
            found[q.id, GREEDY] = Reply(q.id, GREEDY, text, status="ok", tokens=5)
        return found

    monkeypatch.setattr("metaconf.evaluation.generate.full_replies", given)


@pytest.mark.usefixtures("replies")
def test_a_judged_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = tiny_model(tmp_path / "model"), tmp_path / "run"
    asked = tmp_path / "questions.jsonl"
    rows = [LONG, SHORT, OTHER]
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("JUDGE_KEY", "secret-of-the-judge")

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        return ok(said(sent))

    with serving(handler) as server:
        settings = tmp_path / "judge.yaml"
        settings.write_text(
            "judge: {kind: llm}\n"
            f"client: {{base_url: '{server.url}', api_key_env: JUDGE_KEY, model: j}}"
        )
        words = ["evaluate", "--model", str(model), "--questions", str(asked), "--quiet"]
        words += ["--judge", str(settings), "--output_dir", str(out)]
        assert main(words) == 0, capsys.readouterr().err
        first = len(server.asked)
        assert main([*words, "--resume"]) == 0
        repeated = len(server.asked) - first
    assert repeated == 2 * 2  # the two unreadable ones, twice; nothing that was paid for

    lines = [json.loads(line) for line in (out / "replies.jsonl").read_text().splitlines()]
    by_prompt = {row["prompt"]: row for row in lines}
    long, good, bad = (by_prompt[row["question"]] for row in (LONG, SHORT, OTHER))
    assert (long["correctness"], long["why"]) == (0.5, "judge: half")
    assert (long.get("quality"), long["judged"]) == (None, "the judge failed")
    assert (good["correctness"], good["quality"]) == (1.0, 0.5)
    assert (bad["correctness"], bad.get("quality")) == (1.0, None)
    assert [row.get("reading") for row in (long, good, bad)] == [None, 0.9, None]
    (method,) = json.loads((out / "metrics.json").read_text())["methods"]
    coverage = method["figures"]["reading_coverage"]
    assert (coverage["value"], coverage["n"]) == (pytest.approx(1 / 3), 3)
    quality, known = (method["figures"][f"reflection_{n}"] for n in ("quality", "judged"))
    assert (quality["value"], quality["n"]) == (0.5, 1)
    assert (known["value"], known["n"]) == (pytest.approx(1 / 3), 3)
    page = (out / "report.html").read_text()
    assert "names nothing" in page and "<b>names" not in page
    for path in out.rglob("*"):
        assert not path.is_file() or b"secret-of-the-judge" not in path.read_bytes(), path


def judge_run(tmp_path: Path, url: str, *words: str) -> int:
    """`evaluate --judge` of three questions, one of them long, into `tmp_path/run`."""
    model, asked = tmp_path / "model", tmp_path / "questions.jsonl"
    if not model.exists():
        tiny_model(model)
    asked.write_text("".join(json.dumps(row) + "\n" for row in (LONG, SHORT, OTHER)))
    settings = tmp_path / "judge.yaml"
    settings.write_text(f"judge: {{kind: llm}}\nclient: {{base_url: '{url}', model: j}}")
    told = ["evaluate", "--model", str(model), "--questions", str(asked), "--quiet"]
    return main([*told, "--judge", str(settings), "--output_dir", str(tmp_path / "run"), *words])


@pytest.mark.usefixtures("replies")
@pytest.mark.parametrize("trouble", ["unreadable", "wrong key"])
def test_e2_a_judge_that_failed_on_everything_is_said_and_leaves_a_report(
    trouble: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = True

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        if broken and trouble == "wrong key":
            return web.json_response({"error": {"message": "who are you"}}, status=401)
        return ok("I cannot say." if broken else said(sent))

    with serving(handler) as server:
        assert judge_run(tmp_path, server.url) == 2
        told = capsys.readouterr().err
        what = {"unreadable": "not one of 7 verdicts", "wrong key": "401: who are you"}[trouble]
        assert what in told and "report.html" in told and "--resume" in told
        rows = (tmp_path / "run" / "replies.jsonl").read_text().splitlines()
        assert {json.loads(row)["judged"] for row in rows} == {"the judge failed"}
        assert (tmp_path / "run" / "report.html").is_file()
        broken = False
        assert judge_run(tmp_path, server.url, "--resume") == 0


def test_a_judge_file_without_a_judge_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text("judge: {steps: true}")
    assert main(["evaluate", "--judge", str(path), "--output_dir", str(tmp_path / "run")]) == 2
    assert "kind: llm" in capsys.readouterr().err
    assert main(["evaluate", "--judge", str(path), "--replies", str(path)]) == 2
    assert "--judge: --replies asks no model" in capsys.readouterr().err


def test_semantic_entropy_by_a_judge(tmp_path: Path) -> None:
    """Answers that the grader tells apart and the judge calls the same are one group; a failed
    verdict leaves the question's confidence unknown."""
    questions = {
        name: Question(name, f"Where is {name}?", (Target(("Mali",)),))
        for name in ("x", "y", "z", "w")
    }
    samples = {
        "x": ["Mali", "the Malian Republic", "mali", "Ghana"],
        "y": ["Mali", "Ghana"],
        "z": ["Mali", "Mali"],
    }
    rows = [EvaluatedReply(name) for name in questions]

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        content = json.loads(sent["messages"][1]["content"])
        answers = content["data"]["answers"]
        if content["data"]["question"] == "Where is y?":
            return ok("perhaps")
        same = all("mali" in answer.casefold() for answer in answers)
        verdict = "same" if same else "different"
        return ok(json.dumps({"ticket": content["ticket"], "verdict": verdict}))

    with serving(handler) as server:
        client = Settings(kind="llm", client=Client(server.url, model="j"))
        judge = judge_of(client, {}, tmp_path / "judge.sqlite")
        assert judge is not None
        found = by_meaning(rows, questions, samples, judge)
    by_id = {row.question_id: row.confidence for row in found}
    # Three of four say Mali; by the grader's rules they were two groups and Ghana.
    assert by_id["x"] == pytest.approx(1 + (0.75 * log(0.75) + 0.25 * log(0.25)) / log(4))
    assert certainty(questions["x"], samples["x"]) == pytest.approx(1 - 1.5 * log(2) / log(4))
    assert by_id["y"] is None and by_id["z"] == 1.0 and by_id["w"] is None
    assert judge.asked == 4 and judge.failed == 1
