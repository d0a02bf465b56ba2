"""What ships is what is measured: benchmarks train with the files in configs/, by the commands."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metaconf import api
from metaconf.config.load import known_keys, load_config
from metaconf.data import load_questions
from metaconf.errors import UserError
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.records import write_jsonl

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
NO_SETTINGS = {
    *("seed", "output_dir", "train_file", "model_name_or_path", "recipe"),
    *("questions.path", "questions.limit", "eval_steps", "eval_questions"),
}
"""Keys that say what is trained on what, and how often it is looked at."""
CHANGED = {
    ("recipes_plan.py", "num_generations"): "published recipes compare within a group",
    ("recipes_plan.py", "learning_rate"): "each at its best rate of the sweep; an ablation",
    ("recipes_plan.py", "lr_scheduler_type"): "an ablation",
    ("recipes_plan.py", "gradient_accumulation_steps"): "an ablation",
    ("recipes_plan.py", "warmup_steps"): "an ablation",
    ("recipes_plan.py", "max_steps"): "the same number of replies for all",
    ("recipes_measured.py", "confidence.num_labeled"): "the same number of labels for all",
    ("trl_plain.py", "num_generations"): "as in the recipes' benchmark",
    ("trl_plain.py", "max_steps"): "steps that are timed",
    ("trl_plain.py", "disable_tqdm"): "nothing is trained otherwise by it",
    ("trl_plain.py", "save_strategy"): "the models are thrown away",
    ("trl_plain.py", "scale_rewards"): "TRL's trainer knows no recipe that says it",
    ("shipped.py", "save_strategy"): "a model that was cut short is trained anew",
    ("llama_factory.py", "confidence.full_reply_fraction"): "as docs/scale-and-engines.md says",
    ("default.py", "top_k"): "of transformers' `generate`, whose speed is compared",
    ("decisions.py", "delta"): "a figure's name",
    ("runs.py", "dtype"): "of a tensor in a file of safetensors",
    ("runs.py", "max_steps"): "steps that are timed",
}
"""Every key that a benchmark gives another value than configs/ does, and why."""


def keys_given(source: str) -> Iterator[str]:
    """Keys of a configuration that stand in a program: in mappings, arguments and --words."""
    known = known_keys("sft").keys() | known_keys("grpo").keys()
    names: list[Any] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            names += [getattr(key, "value", None) for key in node.keys]
        elif isinstance(node, ast.Call):
            names += [one.arg for one in node.keywords]
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            names.append(getattr(node.slice, "value", None))
        elif isinstance(node, ast.Constant) and str(node.value).startswith("--"):
            names.append(str(node.value)[2:].partition("=")[0])
    return (name for name in names if isinstance(name, str) and name in known)


def test_keys_are_seen_wherever_they_stand() -> None:
    source = 'a = {"beta": 0}; f(warmup_steps=3); a["max_steps"] = 1; w = ["--lora_r", "--seed=3"]'
    found = {"beta", "warmup_steps", "max_steps", "lora_r", "seed"}
    assert set(keys_given(f"{source}; b = a['learning_rate']")) == found


def test_benchmarks_hold_no_settings_of_their_own() -> None:
    found = {
        (path.name, key)
        for path in BENCHMARKS.glob("*.py")
        for key in keys_given(path.read_text(encoding="utf-8"))
        if key not in NO_SETTINGS
    }
    assert found == CHANGED.keys()


def test_benchmarks_use_no_command_as_a_library_and_build_no_configuration() -> None:
    for path in BENCHMARKS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("metaconf.cli."):
                timed = {"stage_config"} if path.name == "runs.py" else set[str]()
                assert {alias.name for alias in node.names} <= {"main"} | timed, path.name
            called = node.func if isinstance(node, ast.Call) else None
            assert getattr(called, "id", "") not in ("Config", "Confidence", "Reward"), path.name


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`bench(name)`: a program of benchmarks/."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield __import__
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The calls of the API, which leave what the commands would leave."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def run(name: str, config: Path, keys: dict[str, Any]) -> Path:
        calls.append((name, {"config": Path(config), **keys}))
        keys["output_dir"].mkdir(parents=True)
        (
            keys["output_dir"] / ("sft.jsonl" if name == "prepare" else "tokenizer_config.json")
        ).touch()
        return keys["output_dir"]

    for name in ("prepare", "train_sft", "train_grpo"):
        monkeypatch.setattr(
            api, name, lambda config, *_, name=name, **keys: run(name, config, keys)
        )
    return calls


def test_a_model_is_trained_once_and_one_cut_short_anew(
    bench: Any, commands: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = bench("shipped")
    monkeypatch.setattr(shipped, "load_local", lambda path: path)
    out = tmp_path / "model"
    out.mkdir()
    (out / "half").touch()
    for _ in range(2):
        assert shipped.trained("grpo", out, recipe="rlcr") == str(out)
    assert not (out / "half").exists()
    keys = {"recipe": "rlcr", "output_dir": out, "save_strategy": "no"}
    assert commands == [("train_grpo", {"config": ROOT / "configs" / "demo.yaml", **keys})]
    config = shipped.config("grpo", {"learning_rate": 6e-05, "reward.format": 0.25})
    whole = load_config(ROOT / "configs" / "demo.yaml", "grpo")
    assert config.trainer == {**whole.trainer, "learning_rate": 6e-5}
    assert config.reward.format == 0.25 and config.confidence == whole.confidence
    with pytest.raises(UserError, match="unknown key"):
        shipped.config("grpo", {"learning_rat": 1})


def test_the_demo_is_the_command(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = bench("default")
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(default.shipped, "command", lambda *words: asked.append(words))
    row = EvaluatedReply("q1", method="stage2", confidence=0.5, correctness=1.0)
    write_jsonl(tmp_path / "replies.jsonl", [row.to_json()])
    assert default.measured(tmp_path, 7) == {"stage2": [row]}
    counts = ("--heldout", "1500", "--out_of_domain", "300")
    assert asked == [("demo", "--output_dir", str(tmp_path), "--seed", "7", *counts)]
    monkeypatch.undo()
    with pytest.raises(SystemExit, match="metaconf demo --quick: failed"):
        bench("shipped").command("demo", "--quick")


def test_commonsense_trains_on_its_own_questions_alone(
    bench: Any, commands: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commonsense = bench("commonsense")
    monkeypatch.setattr(commonsense.shipped, "load_local", lambda path: path)
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        commonsense, "evaluate", lambda model, questions, *_: asked.update({model: questions}) or []
    )
    splits = commonsense.split(load_questions("embedded:stage2")[:20], (8, 6, 4, 2))
    assert commonsense.trained(tmp_path, splits, 5).keys() == {"stage1", "stage2"}
    assert [name for name, _ in commands] == ["prepare", "train_sft", "train_grpo"]
    taught, first, second = (keys for _, keys in commands)
    assert first["train_file"] == taught["output_dir"] / "sft.jsonl"
    assert second["model_name_or_path"] == first["output_dir"]
    assert {keys["seed"] for keys in (taught, first, second)} == {5}
    for keys, part in ((taught, splits.stage1), (second, splits.stage2)):
        assert load_questions(str(keys["questions.path"])) == part
    assert list(asked.values()) == [splits.heldout] * 2


def test_llama_factory_is_followed_by_the_documented_pass(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = bench("llama_factory")
    asked: list[list[str]] = []

    def command(*words: str) -> None:
        asked.append([*words])
        folder = Path(words[words.index("--output_dir") + 1])
        folder.mkdir(parents=True)
        (folder / "tokenizer_config.json").touch()

    monkeypatch.setattr(program.shipped, "command", command)
    monkeypatch.setattr(program, "load_local", lambda path: path)
    monkeypatch.setattr(program, "evaluate", lambda *_: [])
    monkeypatch.setattr(program.default, "asked", list)
    for _ in range(2):
        rows = program.by_llama_factory(tmp_path, tmp_path / "prepare", 3)
        assert rows.keys() == {"llama_factory", "stage1", "stage2"}
    assert [words[0] for words in asked] == ["sft", "sft", "grpo"]
    models = [str(tmp_path / stage) for stage in program.STAGES]
    assert [words[words.index("--output_dir") + 1] for words in asked] == models
    assert [words[words.index("--model") + 1] for words in asked[1:]] == models[:2]
    assert asked[2][2] == str(ROOT / "configs" / "demo.yaml")
    page = (ROOT / "docs" / "scale-and-engines.md").read_text(encoding="utf-8")
    assert " ".join(program.PASS) in page
    (tmp_path / "stage1" / "llama_factory").mkdir()
    assert json.loads((tmp_path / "stage2" / "seconds.json").read_text()) >= 0


def test_trl_and_ours_are_timed_with_the_same_settings(bench: Any, tmp_path: Path) -> None:
    program = bench("trl_plain")
    one, other = (program.settings("embedded", name, tmp_path) for name in ("rlcr", "metaconf"))
    assert one.trainer == other.trainer and (one.recipe, other.recipe) == ("rlcr", "metaconf")
    ships = load_config(ROOT / "configs" / "demo.yaml", "grpo").trainer
    apart = {k for k in {**ships, **one.trainer} if ships.get(k) != one.trainer.get(k)}
    changed = {"num_generations", "max_steps", "disable_tqdm", "save_strategy"}
    assert apart == {"output_dir", "seed", *changed}


def test_programs_that_share_a_record_leave_each_other_s_figures(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = bench("record")
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    for program, name, note in (
        ("b.py", "first", "One: 1"), ("a.py", "second", "Two: 2"), ("b.py", "first", "One: 3"),
    ):  # fmt: skip
        record.add("both", program, {name: record.figure(len(note))}, [note], ["numpy"])
    found = json.loads((tmp_path / "both.json").read_text())
    assert found["command"] == "a.py; b.py" and found["notes"] == "Two: 2\nOne: 3"
    assert found["figures"].keys() == {"first", "second"} and found["versions"].keys() == {"numpy"}
    assert capsys.readouterr().out.count('"name": "both"') == 3
