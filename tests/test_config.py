"""Configuration: what is read, what is refused, and that each refusal says how to go on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from metaconf.config.blocks import Watch
from metaconf.config.load import (
    Config,
    Stage,
    check_model,
    help_lines,
    known_keys,
    load_config,
    resolved,
)
from metaconf.config.values import convert, kinds
from metaconf.errors import UserError
from metaconf.runs import check_output_dir
from tools import trl_keys as config_keys

WELL_KNOWN = """
model_name_or_path: Qwen/Qwen3-0.6B
max_steps: 40
learning_rate: 1e-6
beta: 0.001
num_generations: 8
max_prompt_length: 256
max_completion_length: 2048
save_strategy: no
bf16: yes
reward:
  calibration: 2
watch:
"""


def load(tmp_path: Path, text: str, *overrides: str, stage: Stage = "grpo") -> Config:
    path = tmp_path / "train.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, stage, overrides)


def refused(tmp_path: Path, text: str, *overrides: str, stage: Stage = "grpo") -> str:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text, *overrides, stage=stage)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_the_well_known_keys_keep_working(tmp_path: Path) -> None:
    config = load(tmp_path, WELL_KNOWN)
    assert config.trainer == {
        "max_steps": 40,
        "learning_rate": 1e-6,
        "beta": 0.001,
        "num_generations": 8,
        "max_completion_length": 2048,
        "save_strategy": "no",
        "bf16": True,
        "output_dir": "runs/grpo",
        "seed": 42,
    }
    assert isinstance(config.trainer["learning_rate"], float)
    assert config.model_name_or_path == "Qwen/Qwen3-0.6B"
    assert config.max_prompt_length == 256
    assert config.reward.calibration == 2
    assert config.watch == Watch()  # a block whose lines are all commented out has its defaults


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, "# nothing\n", stage="sft")
    assert config.model_name_or_path == "embedded"
    assert config.trainer == {"output_dir": "runs/sft", "seed": 42}


def test_own_keys_that_trl_needs_too_reach_it(tmp_path: Path) -> None:
    config = load(tmp_path, "output_dir: a\nseed: 7\n", "--seed", "8")
    assert (config.output_dir, config.seed) == ("a", 8)
    assert config.trainer == {"output_dir": "a", "seed": 8}


@pytest.mark.parametrize("text", ["1e-6", '"1e-6"', "1.0e-6", "0.000001"])
def test_a_float_is_one_however_it_is_written(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, f"learning_rate: {text}").trainer["learning_rate"] == 1e-6


def test_numbers_inside_a_mapping_are_numbers_too(tmp_path: Path) -> None:
    config = load(tmp_path, "lr_scheduler_kwargs: {min_lr: 1e-7}")
    assert config.trainer["lr_scheduler_kwargs"] == {"min_lr": 1e-7}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("num_generations: eight", "train.yaml:2: num_generations: 'eight' is not a whole number"),
        ("num_generations: 8.5", "8.5 is not a whole number"),
        ('num_generations: "8"', "'8' is not a whole number"),
        ("num_generations: true", "True is not a whole number"),
        ("max_prompt_length: 0", "max_prompt_length: 0 is too small; give at least 1"),
        ("learning_rate: fast", "learning_rate: 'fast' is not a number; write it in digits"),
        ("learning_rate: .nan", "nan is not a number"),
        ("learning_rate: 1e999", "inf is not a number"),
        ("learning_rate:", "None is not a number"),
        ("bf16: maybe", "'maybe' is not true or false"),
        ("use_cpu: 1", "1 is not true or false; write true or false"),
        ("run_name: 2024", "2024 is not text or null; put it in quotes"),
        ("reward_weights: [1, b]", "is not a list (each a number) or null; write [a, b]"),
        ("lr_scheduler_type: linaer", "'linaer' is none of linear, cosine"),
        ("lr_scheduler_type: linaer", "did you mean 'linear'?"),
        ("parallelism_config: {a: 1}", "this key can be set in Python only"),
        ("lora_dropout: 2", "lora_dropout: 2 is too large; give at most 1"),
        ("recipe: rlcrs", "did you mean 'rlcr'?"),
        ("reward: 1", "reward: 1 is no block; indent its keys below it"),
        ("reward.format: 1", "in a file, write the key below its block"),
    ],
)
def test_a_wrong_value_is_refused_with_its_remedy(tmp_path: Path, line: str, said: str) -> None:
    message = refused(tmp_path, f"beta: 0\n{line}\n")
    assert message.startswith("train.yaml:2: ")
    assert said in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("learning_rat: 1", "unknown key learning_rat; did you mean learning_rate?"),
        ("reward: {calibraton: 1}", "reward.calibraton; did you mean reward.calibration?"),
        ("calibration: 1", "unknown key calibration; did you mean reward.calibration?"),
        ("reward: {1: 2}", "unknown key reward.1;"),
        ("zzzzzz: 1", "unknown key zzzzzz; remove it; no known key is close"),
        ("max_length: 5", "max_length is a key of the sft stage, not of grpo; remove it"),
        ("torch_dtype: bfloat16", "unknown key torch_dtype"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path, line: str, said: str) -> None:
    assert said in refused(tmp_path, line)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1,\n", "train.yaml:3: "),
        ("beta: 0\nbeta: 1\n", "train.yaml:2: 'beta' stands twice (first in line 1)"),
        ("reward:\n  format: 0\n  format: 1\n", "train.yaml:3: 'format' stands twice"),
        ("- a\n", "train.yaml: list instead of `key: value` lines"),
        ("beta: !!python/object/apply:os.system [ls]\n", "train.yaml:1: could not determine"),
        ("beta: 0\n---\nbeta: 1\n", "train.yaml:2: "),
        ("beta: \x00", "not YAML"),
        ("{[1]: 2}", "train.yaml:1: "),
    ],
)
def test_broken_yaml_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory"):
        load_config(tmp_path / "none.yaml", "sft")
    with pytest.raises(UserError, match="Is a directory"):
        load_config(tmp_path, "sft")
    (tmp_path / "latin.yaml").write_bytes(b"run_name: \xe9\n")
    with pytest.raises(UserError, match="save it as UTF-8"):
        load_config(tmp_path / "latin.yaml", "sft")


def test_a_byte_order_mark_does_not_change_the_first_key(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeffseed: 3\n").seed == 3


@pytest.mark.parametrize(
    "words",
    [
        ["--reward.calibration", "0.5", "--max_steps", "-1", "--use_cpu", "--run_name", "2024"],
        ["--reward.calibration=.5", "--max-steps=-1", "--use_cpu=true", "--run_name=2024"],
        [
            "--max_steps=3",
            "--max_steps=-1",
            "--use_cpu",
            "--run-name=2024",
            "--reward.calibration=5e-1",
        ],
    ],
)
def test_overrides_win_over_the_file(tmp_path: Path, words: list[str]) -> None:
    config = load(tmp_path, "max_steps: 40\nreward: {calibration: 3, format: 4}\n", *words)
    assert (config.reward.calibration, config.reward.format) == (0.5, 4)
    assert config.trainer["max_steps"] == -1
    assert config.trainer["use_cpu"] is True
    assert config.trainer["run_name"] == "2024"


def test_overrides_take_lists_nulls_and_odd_texts(tmp_path: Path) -> None:
    words = ["--lora_target_modules=[q_proj, v_proj]", "--questions.limit=null"]
    config = load(tmp_path, "questions: {limit: 3}", *words, "--run_name", "a: b: [c")
    assert config.lora_target_modules == ("q_proj", "v_proj")
    assert config.questions.limit is None
    assert config.trainer["run_name"] == "a: b: [c"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--num_generations", "eight"], "command line: num_generations: 'eight' is not"),
        (["--max_prompt_length", "0"], "command line: max_prompt_length: 0 is too small"),
        (["--reward.calibraton", "1"], "did you mean reward.calibration?"),
        (["--reward", "1"], "reward is a block; write --reward.KEY value"),
        (["--max_step"], "unknown key max_step; did you mean max_steps?"),
        (["--max_steps"], "--max_steps has no value; write --max_steps value"),
        (["--max_steps", "--use_cpu"], "--max_steps has no value"),
        (["max_steps", "3"], "'max_steps' is no --key; write --key value"),
    ],
)
def test_wrong_overrides_are_refused(tmp_path: Path, words: list[str], said: str) -> None:
    assert said in refused(tmp_path, "", *words)


def test_the_resolved_configuration_reads_back_to_the_same(tmp_path: Path) -> None:
    config = load(tmp_path, WELL_KNOWN, "--lora_target_modules=[a, b]", "--output_dir", "x")
    text = json.dumps(resolved(config), allow_nan=False)
    assert load(tmp_path, text) == config


def test_the_resolved_configuration_holds_every_setting_but_no_secret(tmp_path: Path) -> None:
    config = load(tmp_path, "hub_token: s3cret\n")
    assert config.trainer["hub_token"] == "s3cret"
    assert "s3cret" not in json.dumps(resolved(config))
    assert resolved(config)["reward"]["calibration"] == config.reward.calibration


def test_every_setting_has_help_and_a_type_that_can_be_checked() -> None:
    known, lines = known_keys("sft") | known_keys("grpo"), help_lines()
    config = Config("sft", {})
    for owner, name in [(config, ""), *((getattr(config, b), f"{b}.") for b in BLOCKS)]:
        for item in fields(owner):
            if (key := f"{name}{item.name}") not in (*NO_KEYS, *BLOCKS):
                assert any(re.match(rf"{re.escape(key)} \(default .*\): \S", x) for x in lines), key
                assert kinds(known[key]) and all(kind["type"] for kind in kinds(known[key]))
    assert len(lines) == sum(line.split(" ")[0] in known for line in lines)


BLOCKS = ("questions", "reward", "watch", "client", "judge", "teacher", "engine", "confidence")
NO_KEYS = ("stage", "trainer", "judge.client", "teacher.client")


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_the_defaults_of_our_settings_are_legal(stage: Stage, tmp_path: Path) -> None:
    config = load(tmp_path, "", stage=stage)
    known = known_keys(stage)
    for name, value in resolved(config).items():
        for key, item in value.items() if isinstance(value, dict) else [("", value)]:
            full = f"{name}.{key}" if key else name
            assert convert(item, known[full], full) == item


UNUSED = [
    ("sft", "teacher: {max_dropped: 0.2}", "teacher.max_dropped: 0.2", "teacher.kind: llm"),
    ("grpo", "judge: {steps: true}", "judge.steps: True", "judge.kind: llm"),
    ("sft", "judge: {max_failed: 0.1}", "judge.max_failed: 0.1", "judge.kind: llm"),
    ("sft", "client: {model: m}", "client.model: 'm'", "judge.kind or teacher.kind: llm"),
    ("grpo", "client: {budget: 5}", "client.budget: 5.0", "judge.kind or teacher.kind: llm"),
    ("sft", "engine: {options: {a: 1}}", "engine.options: {'a': 1}", "engine.kind: vllm"),
    ("grpo", "eval_questions: 9", "eval_questions: 9", "eval_steps above 0"),
    (
        "sft", "confidence: {num_labeled: 8, target: self_consistency}",
        "confidence.num_labeled: 8", "confidence.target: probe",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "line", "key", "needed"), UNUSED)
def test_a_setting_without_effect_is_refused(
    tmp_path: Path, stage: Stage, line: str, key: str, needed: str
) -> None:
    said = refused(tmp_path, f"seed: 1\n{line}\n", stage=stage)
    assert said.startswith(f"train.yaml:2: {key} has no effect without {needed}; set that")


def test_a_setting_with_effect_and_a_default_without_one_are_taken(tmp_path: Path) -> None:
    load(tmp_path, "judge: {kind: llm, steps: true}\nclient: {model: m}\n")
    load(tmp_path, "teacher: {kind: llm, max_dropped: 0}\nclient: {model: m}\n", stage="sft")
    load(tmp_path, "judge: {steps: false, max_failed: 0.2}\neval_questions: 200\n")


@pytest.mark.parametrize(
    ("stage", "line", "of"),
    [
        ("grpo", "confidence: {target: probe}", "sft"),
        ("grpo", "teacher: {kind: offline}", "sft"),
        ("grpo", "engine: {kind: vllm}", "sft"),
        ("grpo", "train_file: rows.jsonl", "sft"),
        ("sft", "recipe: rlcr", "grpo"),
        ("sft", "reward: {format: 1}", "grpo"),
        ("sft", "watch: {stop: true}", "grpo"),
        ("sft", "eval_steps: 5", "grpo"),
        ("sft", "max_prompt_length: 5", "grpo"),
        ("sft", "num_generations: 4", "grpo"),
    ],
)
def test_a_setting_of_the_other_stage_is_refused(
    tmp_path: Path, stage: Stage, line: str, of: str
) -> None:
    said = refused(tmp_path, f"seed: 1\n{line}\n", stage=stage)
    assert said.startswith("train.yaml:2: ")
    assert f" is a key of the {of} stage, not of {stage}; remove it" in said


def test_only_some_blocks_are_read_of_a_file_of_another_command(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("packing: true\nteacher: {kind: llm}\njudge: {kind: llm}\n")
    assert load_config(tmp_path / "c.yaml", "grpo", only=("judge",)).judge.kind == "llm"


def test_python_is_held_to_the_same_types_and_ranges() -> None:
    every: list[dict[str, Any]] = [{"lora_r": 0}, {"seed": True}, {"lora_alpha": "1"}]
    for wrong in [*every, {"recipe": "none"}, {"output_dir": " "}]:
        with pytest.raises(ValidationError):
            Config("grpo", {}, **wrong)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))
)
def test_conversion_gives_the_right_type_or_a_user_error(value: object) -> None:
    for kind in (int, float, bool, str):
        try:
            converted = convert(value, kind, "here")
        except UserError as error:
            assert str(error).startswith("here: ")
        else:
            assert type(converted) is kind


def test_a_folder_with_another_run_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    check_output_dir(run, resume=False)
    run.mkdir()
    check_output_dir(run, resume=False)
    with pytest.raises(UserError, match="holds no run to resume"):
        check_output_dir(run, resume=True)
    (run / "run.json").write_text("{}")
    check_output_dir(run, resume=True)
    with pytest.raises(UserError, match="holds another run; give another output_dir"):
        check_output_dir(run, resume=False)
    assert (run / "run.json").read_text() == "{}"


def test_a_folder_with_anything_in_it_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(UserError, match="is not empty and no run"):
        check_output_dir(tmp_path, resume=False)
    with pytest.raises(UserError, match="is a file"):
        check_output_dir(tmp_path / "model.safetensors", resume=False)


@pytest.mark.parametrize("name", ["embedded", "gpt2", "Qwen/Qwen3-0.6B", "a_b/c.d-e"])
def test_hub_ids_and_the_embedded_model_pass(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_model(name)


@pytest.mark.parametrize(
    "name", ["./model", "../m", "/no/such/model", "~/none", "runs/stage1", "a/b/c", "a b", ""]
)
def test_paths_to_nothing_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        check_model(name)


def test_a_model_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a folder without config\.json"):
        check_model(str(tmp_path))
    weights = tmp_path / "weights.gguf"
    weights.write_text("")
    with pytest.raises(UserError, match="give the folder that holds the model"):
        check_model(str(weights))
    (tmp_path / "config.json").write_text("{}")
    check_model(str(tmp_path))


def test_reading_a_configuration_does_not_import_torch(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("max_steps: 1\n")
    program = (
        "import sys; from pathlib import Path; from metaconf.config.load import load_config;"
        f"load_config(Path({str(tmp_path / 'a.yaml')!r}), 'grpo');"
        "assert not {'torch', 'transformers', 'trl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_known_keys_are_those_of_the_installed_trl() -> None:
    """Fails after an upgrade: run `python -m tools.trl_keys` and read the difference."""
    written = config_keys.PATH.read_text(encoding="utf-8")
    assert written == config_keys.to_text(config_keys.train_keys())


def test_trl_takes_what_was_checked(tmp_path: Path) -> None:
    from trl.trainer.grpo_config import GRPOConfig

    text = WELL_KNOWN.replace(
        "bf16: yes", "bf16: no\nuse_cpu: yes\nreport_to: none\nlogging_steps: 1"
    )
    args = GRPOConfig(**load(tmp_path, text, f"--output_dir={tmp_path}/run").trainer)
    assert (args.learning_rate, args.max_steps, args.beta) == (1e-6, 40, 0.001)
    assert (args.num_generations, args.max_completion_length) == (8, 2048)
