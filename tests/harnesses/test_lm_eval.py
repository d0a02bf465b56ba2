"""lm-eval reports what `metaconf evaluate` reports of the same replies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from asked import FIGURES, LONG, ROWS, answers, evaluated, write
from chat_server import serving

from metaconf import harnesses
from metaconf.evaluation.methods import REPLY_TOKENS
from metaconf.prompts.chat import INSTRUCTION, messages

FOLDER = Path(harnesses.__file__).parent / "lm_eval"


class Loader(yaml.SafeLoader):
    """Reads `!function name` as the name."""


Loader.add_constructor("!function", lambda loader, node: node.value)  # pyright: ignore
TASK: dict[str, Any] = yaml.load((FOLDER / "metaconf.yaml").read_text(), Loader)


def test_the_task_asks_and_measures_as_evaluate_does() -> None:
    assert TASK["description"] == INSTRUCTION
    assert TASK["generation_kwargs"]["max_gen_toks"] == REPLY_TOKENS
    named = {one["metric"]: one["aggregation"] for one in TASK["metric_list"]}
    assert named == {name: f"utils.{name}" for name in FIGURES}


def test_the_folder_is_printed() -> None:
    program = [sys.executable, "-m", "metaconf.harnesses.lm_eval"]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == FOLDER


def lm_eval(folder: Path, questions: Path, *words: str) -> dict[str, float]:
    """Figures of the command line of lm-eval, which is asked offline."""
    pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")
    program = [
        sys.executable,
        "-m",
        "lm_eval",
        "--tasks",
        "metaconf",
        "--include_path",
        str(FOLDER),
    ]
    program += ["--metadata", json.dumps({"questions": str(questions)})]
    program += ["--output_path", str(folder), "--log_samples", *words]
    done = subprocess.run(program, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = folder.rglob("results_*.json")
    found = json.loads(path.read_text())["results"]["metaconf"]
    return {name: found[f"{name},none"] for name in FIGURES}


def test_the_figures_are_those_of_evaluate(tmp_path: Path) -> None:
    questions = write(tmp_path, ROWS)
    (tmp_path / "logs").mkdir()
    with serving(answers) as server:
        url = f"base_url={server.url}/v1/chat/completions,model=m,max_retries=1"
        asked = ["--model", "local-chat-completions", "--model_args", url, "--apply_chat_template"]
        found = lm_eval(tmp_path / "logs", questions, *asked)
    assert found == pytest.approx(evaluated(questions), rel=0, abs=1e-9)
    sent = {json.dumps(one["messages"]) for one in server.asked}
    assert json.dumps(messages("Where is Timbuktu?")) in sent and len(sent) == len(ROWS)


def test_a_model_that_ignores_the_format_has_no_confidence(tmp_path: Path) -> None:
    found = lm_eval(tmp_path, write(tmp_path, [*ROWS, LONG]), "--model", "dummy")
    assert found["accuracy"] == found["parse_rate"] == found["format_rate"] == 0
    assert found["brier"] != found["brier"]
