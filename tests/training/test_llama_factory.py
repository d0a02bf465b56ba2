"""Stage 1 by LLaMA-Factory: its YAML read for both engines, its program run and handed over."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny import tiny_model

from metaconf import cli
from metaconf.config.llama_factory import as_overrides, read, train_file
from metaconf.config.load import load_config
from metaconf.errors import UserError
from metaconf.training.dataset import write_set

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/llama_factory_sft_cpu.yaml"


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A folder as `prepare` leaves it, with one row."""
    row = {
        "conversations": [
            {"from": "human", "value": "What is 1 + 2?"},
            {"from": "gpt", "value": "Answer: 3\nSelf-reflection: I know it.\nConfidence: 9"},
        ],
        "system": "Reply.",
        "target": 0.9,
    }
    folder = tmp_path / "prepare"
    folder.mkdir()
    write_set(folder, [row])
    return folder


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """A program in the place of llamafactory-cli that runs the given Python with `keys` read."""

    def make(body: str) -> Path:
        path = tmp_path / "llamafactory-cli"
        lines = (
            f"#!{sys.executable}",
            "import json, os, shutil, sys, yaml",
            "keys = yaml.safe_load(open(sys.argv[2]))",
            body,
        )
        path.write_text("\n".join(lines) + "\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def sft(prepared: Path, program: Path, out: Path, *words: str) -> int:
    given = ["--dataset_dir", str(prepared), "--output_dir", str(out), *words]
    engine = ["--engine", "llama-factory", "--llama_factory", str(program)]
    return cli.main(["sft", "--config", str(CONFIG), *engine, *given])


def test_its_program_gets_its_own_keys_and_no_key_of_an_api(
    prepared: Path,
    program: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DEEPSEEK_API_KEY", "VLLM_API_KEY"):
        monkeypatch.setenv(name, "sk-secret")
    model = tiny_model(tmp_path / "model")
    # It "trains" by copying the base, and leaves what the Trainer leaves.
    made = program(
        "assert sys.argv[1] == 'train' and 'sk-secret' not in os.environ.values()\n"
        "shutil.copytree(keys['model_name_or_path'], keys['output_dir'])\n"
        "state = {'log_history': [{'loss': 1.5, 'step': 1}, {'train_runtime': 3.0}]}\n"
        "json.dump(state, open(keys['output_dir'] + '/trainer_state.json', 'w'))"
    )
    out = tmp_path / "out"
    assert sft(prepared, made, out, "--model", str(model), "--learning_rate=1e-4") == 0
    told = yaml.safe_load((out / "llama_factory.yaml").read_text())
    assert told["learning_rate"] == 1e-4 and told["template"] == "smollm2"
    assert json.loads((out / "curve.json").read_text()) == [{"loss": 1.5, "step": 1}]
    # What it handed over is a model that the next stage loads.
    assert (out / "config.json").is_file() and list(out.glob("*.safetensors"))
    assert (out / "tokenizer_config.json").is_file()


def test_a_failing_program_is_reported(
    prepared: Path,
    program: Callable[[str], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = program("sys.exit('CUDA out of memory')")
    model = str(tiny_model(tmp_path / "model"))
    assert sft(prepared, made, tmp_path / "out", "--model", model) == 2
    shown = capfd.readouterr().err
    assert "CUDA out of memory" in shown and "exit status 1" in shown


def test_new_tokens_without_a_row_in_the_embedding_are_refused(
    prepared: Path,
    program: Callable[[str], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = program(
        "from transformers import AutoTokenizer\n"
        "shutil.copytree(keys['model_name_or_path'], keys['output_dir'])\n"
        "tokenizer = AutoTokenizer.from_pretrained(keys['output_dir'])\n"
        "tokenizer.add_tokens(['<|new|>'])\n"
        "tokenizer.save_pretrained(keys['output_dir'])"
    )
    model = str(tiny_model(tmp_path / "model"))
    assert sft(prepared, made, tmp_path / "out", "--model", model) == 2
    assert "resize_vocab" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stage", "dpo"], "write stage: sft"),
        (["--dataset", "other"], "'other' is not in it"),
        (["--dataset_dir", "nowhere"], "run `metaconf prepare`"),
        (["--model", "nowhere/at/all"], "no such folder"),
        (["--llama_factory", "nowhere"], "make llama-factory"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    prepared: Path,
    program: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    made, out = program("raise SystemExit('ran')"), tmp_path / "out"
    assert sft(prepared, made, out, *words) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_an_output_folder_with_another_run_is_kept(
    prepared: Path, program: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text("{}")
    assert sft(prepared, program("raise SystemExit('ran')"), out) == 2
    assert os.listdir(out) == ["run.json"]


def test_the_trl_engine_reads_the_same_keys(prepared: Path, tmp_path: Path) -> None:
    keys = read(CONFIG, [f"dataset_dir={prepared}", "--lora_target", "q_proj,v_proj"])
    words, unused = as_overrides(keys)
    config = load_config(Path(os.devnull), "sft", words)
    assert train_file(keys) == prepared / "curriculum.jsonl"
    # It lays the rows out by itself.
    assert config.train_file == str(prepared / "sft.jsonl")
    assert (config.lora_r, config.lora_alpha) == (64, 128)
    assert config.lora_target_modules == ("q_proj", "v_proj")
    wanted = {"learning_rate": 4e-4, "max_length": 512, "lr_scheduler_kwargs": {"power": 0.5}}
    assert {name: config.trainer[name] for name in wanted} == wanted
    assert set(unused) == {
        "template", "overwrite_cache", "overwrite_output_dir", "bf16",
        "disable_gradient_checkpointing", "disable_shuffling", "preprocessing_num_workers",
    }  # fmt: skip
    full, _ = as_overrides({**keys, "finetuning_type": "full"})
    assert load_config(Path(os.devnull), "sft", full).use_peft is False


def test_the_known_example_is_read_whole(prepared: Path) -> None:
    keys = read(ROOT / "configs/llama_factory_sft.yaml", ["--dataset_dir", str(prepared)])
    words, unused = as_overrides(keys)
    assert "--warmup_steps=0.1" in words
    assert {"deepspeed", "fp16", "plot_loss"} <= set(unused)
    with pytest.raises(UserError, match="key=value"):
        read(CONFIG, ["learning_rate"])


def test_a_row_longer_than_max_length_is_left_out_and_counted(
    fresh_local: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from metaconf.training.rows import Row, within

    made = [Row([1] * 5, [2] * n, None, ()) for n in (3, 5, 6)]
    assert within(made, 10) == made[:2]
    assert "1 of 3 rows" in capsys.readouterr().err
    assert within(made, None) == made


@pytest.mark.parametrize(
    ("dtype", "words", "number_format"),
    [
        ("float32", [], "float32"),
        ("bfloat16", [], "bfloat16"),
        ("float32", ["--pure_bf16", "true"], "bfloat16"),
        ("float32", ["--use_cpu", "false"], "bfloat16"),
    ],
)
def test_on_a_processor_without_bfloat16_it_trains_in_float32(
    prepared: Path,
    program: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    words: list[str],
    number_format: str,
) -> None:
    monkeypatch.setattr("metaconf.generation.local.default_dtype", lambda: getattr(torch, dtype))
    model = tiny_model(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    made = program(
        "at = keys['model_name_or_path']\n"
        "json.dump(json.load(open(at + '/config.json'))['dtype'], open('told.json', 'w'))\n"
        "shutil.copytree(at, keys['output_dir'])"
    )
    monkeypatch.chdir(tmp_path)
    assert sft(prepared, made, tmp_path / "out", "--model", str(model), *words) == 0
    assert json.loads((tmp_path / "told.json").read_text()) == number_format
    assert json.loads((model / "config.json").read_text())["dtype"] == "bfloat16"
