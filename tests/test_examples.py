"""The examples run, and the public names are few, lazy and the same everywhere."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import metaconf
from examples import certify_threshold, evaluate_replies, grade_reply
from metaconf import api
from metaconf.errors import UserError
from metaconf.training import checkpoints, stage2
from tests.tiny import tiny_model

ROOT = Path(__file__).parent.parent


def test_every_example_is_run_here() -> None:
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert names == {"grade_reply", "evaluate_replies", "certify_threshold", "reward_in_trl"}


def test_grade_reply() -> None:
    assert grade_reply.main() == [("Mali", 1.0, 0.7), ("Niger", 0.0, 0.25), (None, 0.0, None)]


def test_evaluate_replies(tmp_path: Path) -> None:
    figures = evaluate_replies.main(tmp_path)
    assert figures["mean_confidence"] > figures["accuracy"]
    assert figures["auroc"] > 0.7
    assert (tmp_path / "evaluation" / "report.html").is_file()


def test_certify_threshold() -> None:
    assert certify_threshold.main().threshold == 0.9
    assert certify_threshold.main(20).threshold is None


def test_reward_in_trl(tmp_path: Path) -> None:
    from examples import reward_in_trl

    model = tiny_model(tmp_path / "model")
    log = reward_in_trl.main(str(model), 1, str(tmp_path / "out"))
    assert 0 <= log[0]["reward"] <= 3


def test_public_names_agree() -> None:
    stub = ast.parse((ROOT / "src/metaconf/__init__.pyi").read_text(encoding="utf-8"))
    typed = {a.name for node in stub.body if isinstance(node, ast.ImportFrom) for a in node.names}
    assert typed == set(metaconf.PUBLIC)
    assert typed <= set(dir(metaconf))
    for name in metaconf.PUBLIC:
        assert getattr(metaconf, name) is getattr(api, name)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        metaconf.trian  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_loads_nothing() -> None:
    program = "import sys, metaconf; print(*(m for m in sys.modules if m.startswith('metaconf.')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, [])


def test_the_api_loads_torch_late() -> None:
    program = "import sys; from metaconf import train_grpo; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["False"], done.stderr


def test_keywords_become_keys_of_the_configuration(tmp_path: Path) -> None:
    from metaconf.config.load import load_config

    (tmp_path / "a.yaml").write_text("max_steps: 3\n")
    keys = {"learning_rate": 1e-5, "run_name": "2024", "reward": {"format": 0.25}}
    words = api._words({**keys, "output_dir": tmp_path / "run", "bf16": False})
    config = load_config(tmp_path / "a.yaml", "grpo", words)
    assert config.trainer["learning_rate"] == 1e-5 and config.trainer["run_name"] == "2024"
    assert config.reward.format == 0.25 and config.trainer["bf16"] is False
    with pytest.raises(UserError, match="did you mean max_steps"):
        metaconf.train_grpo(tmp_path / "a.yaml", max_step=3)


def test_evaluate_wants_a_model_or_replies(tmp_path: Path) -> None:
    for asked in ({}, {"model": "embedded", "replies": tmp_path}):
        with pytest.raises(UserError, match="either a model"):
            metaconf.evaluate(**asked)


def test_calibrate_gives_rule_and_map(tmp_path: Path) -> None:
    evaluate_replies.write_replies(tmp_path / "a.jsonl")
    found = metaconf.calibrate(tmp_path / "a.jsonl", tmp_path / "calibration.json", alpha=0.4)
    assert 0 < found["rule"]["threshold"] < 1
    assert found["map"]["kind"] in ("isotonic", "logistic", "temperature", "none")


def test_the_stages_run_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """prepare, both stages and the evaluation on a random model of two layers."""
    monkeypatch.setattr(checkpoints, "check_learned", lambda *_: None)  # it earns nothing
    monkeypatch.setattr(stage2, "check_format", lambda *_: None)
    model = str(tiny_model(tmp_path / "model"))
    rows = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(16)]
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    asked: dict[str, Any] = {"questions": {"path": questions}}
    common: dict[str, Any] = {"model_name_or_path": model, **asked}
    target = {"target": "self_consistency"}
    prepared = metaconf.prepare(output_dir=tmp_path / "prepare", confidence=target, **common)
    assert prepared == tmp_path / "prepare" / "sft.jsonl" and prepared.read_text()
    steps: dict[str, Any] = {
        "max_steps": 1,
        "per_device_train_batch_size": 4,
        "save_strategy": "no",
    }
    sft = metaconf.train_sft(
        empty, output_dir=tmp_path / "sft", train_file=prepared, model_name_or_path=model, **steps
    )
    assert (sft / "README.md").is_file()
    more = {"num_generations": 4, "max_completion_length": 8, **steps}
    keys = {"model_name_or_path": sft, **asked, **more}
    grpo = metaconf.train_grpo(empty, output_dir=tmp_path / "grpo", **keys)
    assert (grpo / "README.md").is_file()
    results = metaconf.evaluate(str(grpo), str(questions), tmp_path / "run", limit=4)
    assert results["methods"][0]["name"]
