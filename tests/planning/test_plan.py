"""`metaconf plan`: what it says of a file and a model, and that its remedy is one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_memory import LLAMA_8B

from metaconf.cli import main
from metaconf.config.blocks import Config
from metaconf.errors import UserError
from metaconf.planning.settings import CONTINUED, Machine, read_configs, run_of
from metaconf.planning.speed import draw_seconds, seconds
from metaconf.prompts.chat import INSTRUCTION
from metaconf.reply import format_reply

CONFIGS = Path(__file__).parents[2] / "configs"
PROGRAM = (
    "import sys; from metaconf.cli import main; main(sys.argv[1:]);"
    " sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of a model of 8 billion parameters, without its weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps(LLAMA_8B))
    return "model"


@pytest.fixture
def planned(model: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """`planned(words)`: the plans of a command line as JSON; the exit code says if they fit."""

    def run(words: str) -> list[dict[str, Any]]:
        code = main(["plan", "--model", model, "--json", *words.split()])
        plans = json.loads(capsys.readouterr().out)
        assert code == int(not all(one["fits"] for one in plans))
        return plans

    return run


def test_both_stages_are_shown(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--model", model, "--gpu_memory", "140"]) == 0
    out = capsys.readouterr().out
    for said in ("Stage 1 (sft): 8.03B parameters, LoRA of rank 64", "Stage 2 (grpo)", "\ndraw "):
        assert said in out
    assert out.count("It fits on 1 × 140 GiB: ") == 2
    lines = [line.split() for line in out.splitlines() if line.startswith(("loss", "backward"))]
    for cells in lines:
        assert sum(map(float, cells[1:-1])) == pytest.approx(float(cells[-1]), abs=0.04)


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("sft_train_config.yaml", ["sft"]),
        ("grpo_train_config.yaml", ["grpo"]),
        ("demo.yaml", ["sft", "grpo"]),
    ],
)
def test_a_file_is_planned_for_the_stages_that_read_it(file: str, stages: list[str]) -> None:
    assert [config.stage for config in read_configs(CONFIGS / file, [])] == stages


def test_a_file_of_another_engine_is_refused() -> None:
    with pytest.raises(UserError, match="keys of LLaMA-Factory"):
        read_configs(CONFIGS / "llama_factory_sft.yaml", [])


def test_a_key_of_one_stage_plans_that_one(planned: Any) -> None:
    (one,) = planned("--num_generations 4")
    assert one["stage"] == "grpo"
    assert [each["stage"] for each in planned("--lora_r 8")] == ["sft", "grpo"]


@pytest.mark.parametrize(
    "words",
    [
        "--max_length 512",
        "--use_peft false --max_length 512",
        "--use_peft false --gpus 8 --max_length 512",
        "--use_peft false --gpus 8 --num_generations 8 --max_completion_length 4096",
        "--num_generations 8 --max_completion_length 4096 --steps_per_generation 4",
    ],
)
def test_the_remedy_fits(words: str, planned: Any) -> None:
    (before,) = planned(f"{words} --gpu_memory 60")
    assert not before["fits"] and before["peak"] > before["room"]
    # The words of the remedy are typed behind the others, and win.
    (after,) = planned(f"{words} --gpu_memory 60 {' '.join(before['remedy'])}")
    assert after["fits"] and after["remedy"] is None
    assert after["peak"] == before["peak_with_remedy"]
    if "--gpus" not in " ".join(before["remedy"]):
        assert after["tokens_per_step"] == before[
            "tokens_per_step"
        ] or "--max_completion_length" in (" ".join(before["remedy"]))


def test_what_is_learnt_stays_where_it_can(planned: Any) -> None:
    (one,) = planned("--max_length 512 --gpu_memory 60")
    assert one["remedy"] == ["--per_device_train_batch_size 8", "--gradient_accumulation_steps 2"]
    (one,) = planned("--max_length 512 --use_peft false --gpus 4")
    assert "--use_peft true" not in one["remedy"] and "--sharding zero3" in one["remedy"]
    (one,) = planned("--max_length 512 --use_peft false")
    assert "--use_peft true" in one["remedy"]


def test_the_page_shows_what_is_printed(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (CONFIGS.parent / "docs/plan.md").read_text(encoding="utf-8")
    words = page.partition("$ metaconf ")[2].partition("\n")[0]
    Path(model).rename("llama-8b")
    main(words.replace("configs/", f"{CONFIGS}/").split())
    shown = [line[4:] for line in page.splitlines() if line.startswith("    ")]
    assert [line for line in shown if line] == [
        line for line in capsys.readouterr().out.splitlines() if line
    ]


def test_nothing_helps_on_a_small_gpu(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--model", model, "--max_length", "512", "--gpu_memory", "2"]
    assert main(words) == 1
    assert "Nothing that plan can change makes it fit." in capsys.readouterr().out


def test_torch_is_not_loaded(model: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "plan", "--model", str(Path(model).resolve())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Stage 2" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model some/where", "some/where: no folder; plan asks no hub"),
        ("--model ./none", "'./none': no such folder"),
        ("--sharding zero3", "--sharding zero3: one process has all; give --gpus 2 or more"),
        ("--lora_target_modules [lm]", "none of a layer's matrices"),
        ("--max_step 3", "unknown key max_step; did you mean max_steps?"),
    ],
)
def test_bad_input_is_refused(
    words: str, said: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words if "--model" in words else f"--model {model} {words}"
    assert main(["plan", *given.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith("metaconf: error: ") and err.count("\n") == 1
    assert said in err


def test_rows_that_are_no_rows_are_refused(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.jsonl").write_text('{"conversations": [], "system": "", "target": 1}\n')
    assert main(["plan", "--model", model, "--train_file", "rows.jsonl"]) == 2
    assert "rows.jsonl:1: not a row of `metaconf prepare`" in capsys.readouterr().err


def test_a_tokenizer_that_is_none_is_refused(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("model/tokenizer.json").write_text("{}")
    assert main(["plan", "--model", model]) == 2
    assert "model/tokenizer.json: is no tokenizer (Model missing" in capsys.readouterr().err


def test_rows_are_as_long_as_they_are_laid_out(
    local_of: Callable[..., Any], tmp_path: Path
) -> None:
    from metaconf.training.rows import collate, train_rows

    texts = ["I know it.", "Lima is a city that I have read about more than once; I am sure."]
    rows = [
        {
            "id": "q",
            "system": INSTRUCTION,
            "target": 0.5,
            "reflections": [[0.1, texts[0]], [0.9, texts[1]]],
            "conversations": [
                {"from": "human", "value": f"In which country is {city}?"},
                {"from": "gpt", "value": format_reply("Ecuador", texts[0], 0.5)},
            ],
        }
        for city in ("Quito", "Timbuktu in the north of it, and not in the south")
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    local = local_of()
    local.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "model/config.json").write_text(json.dumps(LLAMA_8B))
    config = Config(
        "sft",
        {},
        model_name_or_path=str(tmp_path / "model"),
        train_file=str(tmp_path / "rows.jsonl"),
    )
    run, row = run_of(config, Machine(1, 80.0, "ddp"))
    assert row.source == str(tmp_path / "rows.jsonl")
    longest = [made.wordings[1][1].columns() for made in train_rows(local, rows)]
    batch = collate(longest, 0, 1)
    laid_out = batch["prefix"].shape[1] + batch["input_ids"].shape[1]
    assert laid_out <= run.prefix + run.prompt + run.reply + CONTINUED <= 1.25 * laid_out


def test_drawing_is_bound_by_memory_or_by_arithmetic(model: str) -> None:
    config = Config("grpo", {}, model_name_or_path=model)
    run, _ = run_of(config, Machine(1, 80.0, "ddp"))
    used = 32 * 218_103_808 + 128_256 * 4096
    cache = 2 * 32 * 1024 * 2 * 8 * (run.prompt + 64)
    assert draw_seconds(run, 125.0) == pytest.approx(128 * (2 * used + cache) / 1e12)
    slow = draw_seconds(run, 1.0)
    assert slow == pytest.approx(128 * 2 * used * 8 / 1e12)
    reused = replace(run, replies=16)  # of which one update takes half
    assert seconds(reused, 1.0) - seconds(replace(reused, replies=0), 1.0) == pytest.approx(
        draw_seconds(reused, 1.0) / 2
    )
