"""Paths with "~" (G1), empty ones (A5, F5) and configurations that end no parser (A5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaconf.cli import arguments as cli_arguments
from metaconf.cli import main
from metaconf.cli.preflight import check_prepared, stage_config
from metaconf.config.llama_factory import read
from metaconf.config.load import Stage, check_model, help_lines, known_keys, load_config
from metaconf.config.values import read_value
from metaconf.data import load_questions
from metaconf.errors import UserError

PATH_KEYS = ("model_name_or_path", "output_dir", "train_file", "questions.path", "eval_path")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a model and questions in it, and another working directory."""
    folder = tmp_path / "home"
    (folder / "m").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (folder / "m" / name).write_text("{}")
    (folder / "m" / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (folder / "q.jsonl").write_text('{"question": "Where?", "answer": "Lima"}\n')
    (folder / "sft.jsonl").write_text('{"conversations": [], "system": "", "target": 1}\n')
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("metaconf: error: ") and said.count("\n") == 1
    return said


@pytest.mark.parametrize("name", PATH_KEYS)
@pytest.mark.parametrize("on_command_line", [False, True])
def test_g1_every_path_of_a_configuration_is_at_home(
    home: Path, name: str, on_command_line: bool
) -> None:
    block, _, key = name.rpartition(".")
    text = f"{block}: {{{key}: ~/m}}" if block else f"{key}: ~/m"
    (home / "c.yaml").write_text("" if on_command_line else text)
    words = [f"--{name}=~/m"] if on_command_line else []
    words += ["--eval_steps=1"] if name == "eval_path" else []
    config = load_config(Path("~/c.yaml"), "grpo" if name == "eval_path" else "sft", words)
    owner = getattr(config, block) if block else config
    assert getattr(owner, key) == str(home / "m")
    if name == "output_dir":
        assert config.trainer["output_dir"] == str(home / "m")


def test_g1_a_setting_that_speaks_of_a_file_is_marked_as_a_path() -> None:
    lines = {line.split(" ")[0]: line for line in help_lines()}
    speaking = {
        name
        for name, line in lines.items()
        if any(word in line for word in ("folder", "JSONL", "the run directory", "prepare` wrote"))
    }
    assert speaking <= set(PATH_KEYS)


def test_g1_a_model_at_home_is_found_before_torch_and_used_as_found(home: Path) -> None:
    (home / "c.yaml").write_text("model_name_or_path: ~/m\ntrain_file: ~/sft.jsonl\n")
    config = stage_config(home / "c.yaml", "sft")
    assert config.model_name_or_path == str(home / "m")
    check_prepared(Path(config.train_file))
    check_model("~/m")
    assert len(load_questions("~/q.jsonl")) == 1
    for missing in ("~/none", "~nobody-of-that-name/m"):
        with pytest.raises(UserError, match="no such folder"):
            check_model(missing)


def test_g1_arguments_and_the_keys_of_llama_factory_are_at_home_too(home: Path) -> None:
    words = ["--model=~/m", "--questions=~/q.jsonl", "--output_dir=~/out", "--replies=~/r.jsonl"]
    args = cli_arguments.read(["evaluate", *words])
    assert (args.model, args.questions) == (f"{home}/m", f"{home}/q.jsonl")
    assert (args.output_dir, args.replies) == (home / "out", home / "r.jsonl")
    words = ["decide", "~/a", "--calibration", "~/c.json"]
    assert cli_arguments.read(words).calibration == home / "c.json"
    assert cli_arguments.read(["compare", "~/a:stage1", "b"]).runs == [f"{home}/a:stage1", "b"]
    assert cli_arguments.read(["ask", "~/ is what?"]).question == "~/ is what?"
    (home / "l.yaml").write_text("stage: sft\nmodel_name_or_path: ~/m\ndataset_dir: ~/d\n")
    keys = read(home / "l.yaml")
    assert (keys["model_name_or_path"], keys["dataset_dir"]) == (f"{home}/m", f"{home}/d")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["questions", ""], "QUESTIONS"),
        (["questions", "~/q.jsonl", "--against", ""], "--against"),
        (["questions", "~/q.jsonl", "--columns", ""], "--columns"),
        (["evaluate", "--questions", ""], "--questions"),
        (["evaluate", "--questions="], "--questions"),
        (["evaluate", "--questions", "  "], "--questions"),
        (["evaluate", "--model", ""], "--model"),
        (["evaluate", "--output_dir", ""], "--output_dir"),
        (["evaluate", "--replies", ""], "--replies"),
        (["evaluate", "--judge", ""], "--judge"),
        (["evaluate", "--calibration", ""], "--calibration"),
        (["evaluate", "--base_url", ""], "--base_url"),
        (["prepare", "--output_dir", ""], "--output_dir"),
        (["prepare", "--config", ""], "--config"),
        (["sft", "--config", ""], "--config"),
        (["grpo", "--config", "", "--questions", "q"], "--config"),
        (["grpo", "--config", "c.yaml", "--model", ""], "--model"),
        (["audit", "--config", ""], "--config"),
        (["report", ""], "RUN"),
        (["card", ""], "MODEL"),
        (["card", "m", "--results", ""], "--results"),
        (["compare", "a", ""], "RUN"),
        (["compare", "a", "--output_dir", ""], "--output_dir"),
        (["calibrate", ""], "REPLIES"),
        (["calibrate", "a", "--output", ""], "--output"),
        (["decide", "a", "--calibration", ""], "--calibration"),
        (["ask", ""], "QUESTION"),
        (["demo", "--output_dir", ""], "--output_dir"),
    ],
)
def test_f5_an_empty_argument_is_refused_by_name(
    home: Path, words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"metaconf: error: {named}: is empty" in told(words, capsys)


@pytest.mark.parametrize("name", PATH_KEYS)
def test_f5_an_empty_path_in_a_configuration_is_refused(home: Path, name: str) -> None:
    (home / "c.yaml").write_text("")
    words = [f"--{name}", ""]
    if name == "eval_path":  # there it is the default, and means none
        load_config(home / "c.yaml", "grpo", words)
        return
    with pytest.raises(UserError, match=f"command line: {name}: '' names nothing"):
        load_config(home / "c.yaml", "sft", words)


@pytest.mark.parametrize("stage", ["sft", "grpo"])
@pytest.mark.parametrize("text", ["[" * 20_000, "beta: " + "{a: " * 20_000, "seed: " + "1" * 5000])
def test_a5_yaml_without_end_is_one_line(home: Path, stage: Stage, text: str) -> None:
    (home / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=r"c\.yaml: ") as error:
        load_config(home / "c.yaml", stage)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
    assert read_value("[" * 20_000) == "[" * 20_000
    assert known_keys(stage)


def test_a5_columns_without_end_are_one_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(["questions", "~/q.jsonl", "--columns", "{a: " * 20_000], capsys)
