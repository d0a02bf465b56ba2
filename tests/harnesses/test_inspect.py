"""Inspect reports what `metaconf evaluate` reports of the same replies."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from asked import FIGURES, LONG, ROWS, SUMS, evaluated, reply, write

from metaconf.cli import main
from metaconf.evaluation.methods import REPLY_TOKENS
from metaconf.evaluation.rows import FAILED
from metaconf.prompts.chat import INSTRUCTION

inspect_ai: Any = pytest.importorskip("inspect_ai", reason="needs the extra `inspect`")
SAMPLES = [
    {"input": SUMS[1], "target": "2"},
    {"input": "Where is Timbuktu?", "target": ["Mali", "ML"]},
    {"input": "Which is a town?", "target": "B", "choices": ["Rhine", "Lyon"]},
    {"input": "Say {nothing}.", "target": ""},
]


def model() -> Any:
    """Inspect's own mock, which replies by the last message and refuses another format."""
    from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
        ModelOutput,
        ModelUsage,
        get_model,
    )

    def output(messages: list[Any], *_: Any) -> Any:
        system, user = messages[0], messages[-1]
        assert system.text == INSTRUCTION
        reason = "max_tokens" if user.text == "Be long." else "stop"
        said = ModelOutput.from_content("m", reply(user.text), stop_reason=reason)
        said.usage = ModelUsage()  # else a tokenizer is loaded from the network to count
        return said

    return get_model("mockllm/model", custom_outputs=output, memoize=False)


def run(task: Any, folder: Path, **more: Any) -> Any:
    (log,) = inspect_ai.eval(task, model=model(), log_dir=str(folder), display="none", **more)
    assert log.status == "success", log.error
    return log


def values(log: Any) -> dict[str, float]:
    (score,) = log.results.scores
    return {name: one.value for name, one in score.metrics.items()}


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_figures_are_those_of_evaluate(tmp_path: Path, epochs: int) -> None:
    questions = write(tmp_path, [*ROWS, LONG])
    log = run(
        "metaconf/questions", tmp_path / "logs", task_args={"path": str(questions)}, epochs=epochs
    )
    assert values(log) == pytest.approx(evaluated(questions), rel=0, abs=1e-9)
    assert (log.plan.config.temperature, log.plan.config.max_tokens) == (0, REPLY_TOKENS)


def test_its_log_is_a_file_of_replies(tmp_path: Path) -> None:
    questions = write(tmp_path, ROWS)
    log = run("metaconf/questions", tmp_path / "logs", task_args={"path": str(questions)})
    rows = [sample.scores["confidence"].metadata for sample in log.samples]
    path, out = tmp_path / "replies.jsonl", tmp_path / "again"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["evaluate", "--replies", str(path), "--output_dir", str(out)]) == 0
    (method,) = json.loads((out / "metrics.json").read_text())["methods"]
    again = {name: method["figures"][name]["value"] for name in FIGURES if name != "format_rate"}
    assert again == pytest.approx({name: values(log)[name] for name in again}, rel=0, abs=1e-9)


def test_samples_of_any_task_are_asked_and_graded(tmp_path: Path) -> None:
    from inspect_ai.dataset import MemoryDataset, Sample  # pyright: ignore[reportMissingImports]

    from metaconf.harnesses import inspect as ours

    samples = MemoryDataset([Sample(**one) for one in SAMPLES])
    task = inspect_ai.Task(samples, solver=ours.reply_format(), scorer=ours.confidence())
    log = run(task, tmp_path)
    scores = [sample.scores["confidence"].value for sample in log.samples]
    assert [one["correctness"] for one in scores] == [1, 1, 1, None]
    assert [one["confidence"] for one in scores] == [0.3, 0.9, 0.8, None]
    assert values(log)["accuracy"] == 1 and math.isnan(values(log)["auroc"])
    assert log.samples[2].messages[1].text == "Which is a town?\nA. Rhine\nB. Lyon"


def test_a_call_that_failed_is_neither_right_nor_wrong() -> None:
    import asyncio

    from inspect_ai.scorer import Target  # pyright: ignore[reportMissingImports]
    from inspect_ai.solver import TaskState  # pyright: ignore[reportMissingImports]

    from metaconf.harnesses import inspect as ours

    target = Target("2")
    state = TaskState(model="m", sample_id=1, epoch=1, input=SUMS[1], messages=[], target=target)  # pyright: ignore
    score = asyncio.run(ours.confidence()(state, target))
    assert score.value == {"correctness": None, "confidence": None, "well_formed": 0}
    assert score.metadata["why"] == FAILED
