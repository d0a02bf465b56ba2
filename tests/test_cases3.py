"""Trouble that others met in the everyday running of training: each row refused in one line, before
torch is imported, and the output folder is left alone, so that the corrected command can use it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metaconf.cli import main
from metaconf.config.llama_factory import check_template
from metaconf.data import load_questions
from metaconf.errors import UserError

A9 = [
    ("sft", "gradient_accumulation_steps", "-2", "too small; give at least 1"),
    ("grpo", "gradient_accumulation_steps", "-2", "too small; give at least 1"),
    ("sft", "num_train_epochs", "0", "too small"),
    ("sft", "max_steps", "0", "nothing would be trained"),
    ("grpo", "max_steps", "0", "nothing would be trained"),
    ("grpo", "max_steps", "-7", "too small; give at least -1"),
]
A10 = [
    ("grpo", "temperature", "-1", "too small"),
    ("grpo", "temperature", "0", "too small"),
    ("grpo", "temperature", ".nan", "nan is not a number"),
]
A14 = [
    ("grpo", "reward_weights", "[1, 2]", "the weights are the recipe's"),
    ("grpo", "generation_kwargs", "{top_k: 3}", "the trainer's own sampler"),
    ("grpo", "chat_template_kwargs", "{a: 1}", "written by ourselves"),
]
B5 = [
    ("sft", "report_to", "wandb", "needs wandb, which is not installed"),
    ("sft", "report_to", "wandbb", "'wandbb' is none of all, none, azure_ml"),
    ("grpo", "report_to", "[none, tensorbord]", "is none of all, none"),
    ("sft", "eval_strategy", "steps", "no evaluation during training"),
    ("grpo", "load_best_model_at_end", "true", "no evaluation during training"),
    ("sft", "save_strategy", "best", "no evaluation during training"),
    ("sft", "per_device_train_batch_size", "0", "too small; give at least 1"),
    ("grpo", "logging_steps", "0", "too small"),
    ("grpo", "num_generations", "1", "too small; give at least 2"),
    ("grpo", "max_completion_length", "0", "too small; give at least 1"),
    ("sft", "learning_rate", "-1e-4", "too small; give at least 0"),
    ("sft", "learning_rate", "1e30", "too large; give at most 10"),
    ("sft", "learning_rate", ".nan", "nan is not a number"),
    ("sft", "learning_rate", "1e999", "inf is not a number"),
    ("grpo", "seed", "4294967296", "too large; give at most 4294967295"),
    ("sft", "adam_beta2", "1.5", "too large; give at most 1"),
    ("grpo", "beta", "-0.1", "too small; give at least 0"),
    ("sft", "accelerator_config", "none.json", "is no file"),
    ("grpo", "accelerator_config", "{even: true}", "unknown key even; known are split_batches"),
    ("sft", "debug", "x", "is none of"),
    ("grpo", "ddp_backend", "x", "is none of"),
    ("grpo", "pad_to_multiple_of", "x", "is none of"),
    ("grpo", "num_generations", "null", "there must be several replies"),
]


def refused(
    row: tuple[str, str, str, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, key, value, said = row
    (folder / "c.yaml").write_text("seed: 1\n")
    words = [stage, "--config", str(folder / "c.yaml"), "--output_dir", str(folder / "run")]
    assert main([*words, f"--{key}={value}"]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"metaconf: error: command line: {key}: ") and line.count("\n") == 1
    assert said in line and not (folder / "run").exists()


@pytest.mark.parametrize("row", A9, ids=str)
def test_a9_what_trains_nothing(
    row: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(row, tmp_path, capsys)


@pytest.mark.parametrize("row", A10, ids=str)
def test_a10_a_temperature_that_draws_nothing(
    row: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(row, tmp_path, capsys)


@pytest.mark.parametrize("row", A14, ids=str)
def test_a14_keys_without_effect(
    row: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(row, tmp_path, capsys)


@pytest.mark.parametrize("row", B5, ids=str)
def test_b5_values_that_fail_after_the_model_is_loaded(
    row: tuple[str, str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(row, tmp_path, capsys)


def test_a9_a10_a14_b5_are_refused_before_torch(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("seed: 1\n")
    words = [[s, "--config", "c.yaml", f"--{k}={v}"] for s, k, v, _ in (*A9, *A10, *A14, *B5)]
    program = (
        f"import sys; from metaconf.cli import main; assert {{*map(main, {words!r})}} == {{2}};"
        "assert not {'torch', 'transformers', 'trl'} & set(sys.modules)"
    )
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert len(done.stderr.splitlines()) == len(words)
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_c8_a_model_of_a_user_who_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--model", "~nosuchuser/m", "--output_dir", str(tmp_path / "run")]
    assert main(words) == 2
    line = capsys.readouterr().err
    assert "'~nosuchuser/m': no such folder" in line and line.count("\n") == 1


def test_c8_a_template_of_llama_factory_that_is_not_the_models(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text('{"added_tokens": [{"content": "<|im_start|>"}]}')
    with pytest.raises(UserError, match=r"'llama3' writes <\|start_header_id\|>, which"):
        check_template({"template": "llama3"}, file)
    for fits in ("chatml", "smollm2", "qwen3", "a_template_that_we_do_not_know", None):
        check_template({"template": fits}, file)


ANSWERS = [
    ('["Russia", "Russian Federation"]', ("Russia", "Russian Federation")),
    ("['Russia' 'Russian Federation']", ("Russia", "Russian Federation")),
    ('["A|B"]', ("A|B",)),
    ("P(A|B)", ("P(A|B)",)),
    ("|x|", ("|x|",)),
]


def questions_of(folder: Path, answer: str, form: str, **more: str) -> Path:
    """A file with one question, as CSV or JSONL."""
    path, row = folder / f"q.{form}", {"question": "Which?", "answer": answer, **more}
    cells = ['"' + text.replace('"', '""') + '"' for text in row.values()]
    csv = f"{','.join(row)}\n{','.join(cells)}\n"
    path.write_text(csv if form == "csv" else json.dumps(row) + "\n")
    return path


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(("cell", "answers"), ANSWERS)
def test_d1_a_list_in_a_cell_is_several_answers(
    tmp_path: Path, cell: str, answers: tuple[str, ...], form: str
) -> None:
    (question,) = load_questions(str(questions_of(tmp_path, cell, form)))
    assert question.targets[0].texts == answers


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("cell", ["Russia|Russian Federation", "Russia | Russian Federation"])
def test_d1_answers_between_bars_are_refused_with_the_remedy(
    tmp_path: Path, cell: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["questions", str(questions_of(tmp_path, cell, form))]) == 2
    line = capsys.readouterr().err
    assert 'Write ["Russia", "Russian Federation"] for several' in line and "aliases" in line
    assert load_questions(str(questions_of(tmp_path, "a|b", form, task="math")))


def replies(path: Path, *methods: str) -> str:
    rows = [
        {"question_id": str(i), "confidence": 0.7, "correctness": i % 2, "method": method}
        for i in range(6)
        for method in methods
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_d5_compare_shows_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [replies(tmp_path / f"{name}.jsonl", "reply") for name in ("one", "two")]
    assert main(["compare", *names]) == 0
    head, *rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert "accuracy" in head and "brier" in head
    assert "0.500" in rows[1] and "0.290" in rows[1]  # .5 · .3² + .5 · .7²


def test_d6_compare_says_how_a_method_of_a_run_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (replies(tmp_path / f"{n}.jsonl", "asked", "reply") for n in ("one", "two"))
    assert main(["compare", one, two]) == 2
    assert f"choose one by {one}:METHOD: asked, reply" in capsys.readouterr().err
    assert main(["compare", f"{one}:reply", f"{two}:reply"]) == 0


OTHERS = [
    ("prepare", "learning_rate", "1e-4", "sft"),
    ("prepare", "confidence.confidence_loss_weight", "2", "sft"),
    ("sft", "questions.limit", "3", "prepare"),
    ("sft", "confidence.num_labeled", "3", "prepare"),
]


@pytest.mark.parametrize(("command", "key", "value", "other"), OTHERS)
def test_a14_keys_that_the_other_command_reads(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    key: str,
    value: str,
    other: str,
) -> None:
    file = tmp_path / "c.yaml"
    block, _, name = key.rpartition(".")
    file.write_text(f"{block}: {{{name}: {value}}}\n" if block else f"{key}: {value}\n")
    line = [command, "--model", "none/of/these", "--output_dir", str(tmp_path / "run")]
    assert main([*line, f"--{key}={value}"]) == 2
    assert f"--{key}: {command} has no use for it; give it to metaconf {other}" in (
        capsys.readouterr().err
    )
    assert main([*line, "--config", str(file)]) == 2
    assert "no such folder" in capsys.readouterr().err  # in the YAML that both read it may stand


WITHOUT_EFFECT = [
    (["questions", "q.jsonl", "--name", "main"], "name: 'main' has no effect: a file is read"),
    (["evaluate", "--map", "gsm8k"], "map: 'gsm8k' has no effect: the embedded questions are"),
    (["evaluate", "--api_key_env", "KEY"], "--api_key_env: only a server has a use for it"),
    (["card", ".", "--method", "reply"], "--method: only a run has methods"),
]


@pytest.mark.parametrize(("words", "said"), WITHOUT_EFFECT)
def test_a14_arguments_without_effect(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    questions_of(tmp_path, "Lima", "jsonl")
    assert main([*words, "--dry_run"] if words[0] == "evaluate" else words) == 2
    assert said in capsys.readouterr().err
