"""The demo's file decides everything that is trained, and the main job runs on the real model."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import metaconf
from metaconf.cli import demo, main
from metaconf.config import values
from metaconf.config.blocks import Config
from metaconf.config.load import load_config, resolved
from metaconf.config.values import read_yaml
from metaconf.errors import UserError
from metaconf.records import read_jsonl
from metaconf.reply import parse_reply
from metaconf.runs import checkpoints
from metaconf.training import checkpoints as saving
from metaconf.training import prepare, stage1, stage2
from metaconf.training.sft import ConfidenceSFTTrainer
from tests.tiny import tiny_model

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "configs" / "demo.yaml"


SECTIONS = """\
seed: 3
heldout: 5
sft:
  learning_rate: 1e-4
  confidence:
    full_reply_fraction: 0.5
grpo: {num_generations: 2, seed: 4}
"""


def test_a_stage_reads_its_own_section_and_what_stands_beside(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(SECTIONS)
    sft, grpo = load_config(path, "sft"), load_config(path, "grpo", ["--num_generations", "4"])
    assert (sft.trainer["learning_rate"], sft.confidence.full_reply_fraction) == (1e-4, 0.5)
    assert (sft.seed, grpo.seed, grpo.trainer["num_generations"]) == (3, 4, 4)
    assert "learning_rate" not in grpo.trainer and "num_generations" not in sft.trainer


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("0.5", "half"), ":6: confidence.full_reply_fraction: 'half' is not a number"),
        (("learning_rate", "learning_rat"), ":4: unknown key learning_rat; did you mean"),
        (("heldout", "held_out"), ":2: unknown key held_out"),
        (("sft:", "watch:"), ":4: unknown key watch.learning_rate"),
    ],
)
def test_a_section_is_checked_like_any_file(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(SECTIONS.replace(*change))
    with pytest.raises(UserError, match=said):
        load_config(path, "sft")


def test_a_section_is_a_block(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text("seed: 3\nsft: 7\n")
    with pytest.raises(UserError, match=":2: sft: 7 is no block"):
        load_config(path, "sft")
    load_config(path, "grpo")  # which has no section: what stands beside, and the defaults


def keys_of(file: Path, stage: str) -> dict[str, Any]:
    """Every key of a section and what stands beside the sections, as "block.key"."""
    data, _ = read_yaml(file)
    beside = {k: v for k, v in data.items() if k not in ("sft", "grpo", "heldout", "out_of_domain")}
    flat: dict[str, Any] = {}
    for name, value in {**beside, **data[stage]}.items():
        of_block = isinstance(value, dict)
        flat |= {f"{name}.{k}": v for k, v in value.items()} if of_block else {name: value}
    return flat


def changed(value: Any) -> Any:
    """Another value of the same kind, where there is one."""
    if isinstance(value, dict):
        return {name: one if name == "use_peft" else changed(one) for name, one in value.items()}
    if isinstance(value, bool):
        return not value
    return (
        value + 1 if isinstance(value, int) else value / 2 + 0.1 if type(value) is float else value
    )


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Config]]:
    """What `prepare` and the two stages are run with, in demos that only go through the motions."""
    seen: dict[str, list[Config]] = {"prepare": [], "sft": [], "grpo": []}

    def run(name: str, config: Config) -> Path:
        seen[name].append(config)
        out = tiny_model(Path(config.output_dir))
        row = {"conversations": [], "system": "", "target": 0.5}
        (out / "sft.jsonl").write_text(json.dumps(row) + "\n")
        return out

    monkeypatch.setattr(prepare, "run", lambda config, *_: run("prepare", config))
    monkeypatch.setattr(stage1, "run", lambda config, *_: run("sft", config))
    monkeypatch.setattr(stage2, "run", lambda config, *_: run("grpo", config))
    monkeypatch.setattr("metaconf.report.card.write_card", lambda run: run)
    for name in ("base_methods", "stage_method"):
        monkeypatch.setattr(demo, name, lambda *_: {})
    monkeypatch.setattr(demo, "write", lambda out, *_: out)
    monkeypatch.setattr(demo, "table", lambda _: "")
    return seen


def test_all_that_is_trained_with_stands_in_the_file(
    tmp_path: Path, trained: dict[str, list[Config]]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(changed(yaml.safe_load(SHIPPED.read_text()))))
    for place, file in enumerate((SHIPPED, other)):
        out = tmp_path / f"demo{place}"
        assert main(["demo", "--config", str(file), "--output_dir", str(out)]) == 0
        for stage, name in (("sft", "prepare"), ("sft", "sft"), ("grpo", "grpo")):
            config, keys = trained[name][place], keys_of(file, stage)
            flat = dict(flat_of(resolved(config)))
            own = {"output_dir"} | ({"model_name_or_path"} if stage == "grpo" else set())
            assert {k: flat[k] for k in keys if k not in own} == {
                k: v for k, v in keys.items() if k not in own
            }
            assert config.trainer.keys() - keys.keys() == {"output_dir"}
        sft, grpo = trained["sft"][place], trained["grpo"][place]
        assert sft.train_file == str(out / "prepare" / "sft.jsonl")
        assert grpo.model_name_or_path == sft.output_dir == str(out / "stage1")
        assert grpo.output_dir == str(out / "stage2")
    assert trained["sft"][0].seed == 42 and trained["sft"][1].seed == 43


def flat_of(value: dict[str, Any]) -> Any:
    for name, one in value.items():
        if isinstance(one, dict):
            yield from ((f"{name}.{k}", v) for k, v in one.items())
        else:
            yield name, one


def test_no_default_of_ours_stands_in_for_a_key_of_the_file() -> None:
    assert stage1.DEFAULTS.keys() <= keys_of(SHIPPED, "sft").keys()
    of_servers = {"vllm_importance_sampling_mode"}  # no part of a demo
    assert stage2.DEFAULTS.keys() - of_servers <= keys_of(SHIPPED, "grpo").keys()


def test_the_command_line_changes_a_section(
    tmp_path: Path, trained: dict[str, list[Config]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["demo", "--output_dir", str(tmp_path / "demo"), "--seed", "7", "--heldout", "8"]
    words += ["--sft.learning_rate", "1e-4", "--grpo.max_steps=3", "--sft.confidence.target"]
    assert main([*words, "self_consistency"]) == 0
    sft, grpo = trained["sft"][0], trained["grpo"][0]
    assert (sft.trainer["learning_rate"], grpo.trainer["learning_rate"]) == (1e-4, 3e-5)
    assert sft.confidence.target == trained["prepare"][0].confidence.target == "self_consistency"
    assert (sft.seed, grpo.seed, grpo.trainer["max_steps"]) == (7, 7, 3)
    # Done parts are not done again, and a demo of other settings does not mix with this one.
    assert main([*words, "self_consistency"]) == 0 and len(trained["sft"]) == 1
    assert main([*words, "probe"]) == 2
    assert "its run had another sft.confidence.target;" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--sft.learning_rat 1", "unknown key learning_rat; did you mean learning_rate?"),
        ("--grpo.num_generations two", "num_generations: 'two' is not a whole number"),
        ("--lora_r 8", "command line: --lora_r: write --sft.KEY value or --grpo.KEY value"),
        ("--sft.lora_r", "command line: --sft.lora_r: write --sft.KEY value"),
        ("--sft.output_dir other", "the demo's files are in the folder that --output_dir names"),
        ("--grpo.resume_from_checkpoint x", "leave these keys out"),
        ("--grpo.model_name_or_path gpt2", "stage 2 starts from the model of stage 1"),
        ("--sft.questions.path none.jsonl", "none.jsonl: cannot be read"),
        ("--config configs/grpo_train_config.yaml", "no sections sft and grpo"),
    ],
)
def test_what_a_stage_would_refuse_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    out = tmp_path / "demo"
    given = words.replace("configs/", f"{ROOT}/configs/").split()
    assert main(["demo", "--output_dir", str(out), *given]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_counts_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "demo.yaml"
    path.write_text("heldout: 0\nsft: {}\ngrpo: {}\n")
    with pytest.raises(UserError, match=r":1: heldout: 0 is too small"):
        demo.read(path)
    with pytest.raises(UserError, match=r"out_of_domain: None is not a whole number"):
        demo.read(path, heldout=1)


def test_the_file_ships_in_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert packed == {"configs": "metaconf/configs"}
    assert values.shipped("demo.yaml") == SHIPPED
    monkeypatch.setattr(metaconf, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/demo.yaml").touch()
    assert values.shipped("demo.yaml") == tmp_path / "configs/demo.yaml"
    with pytest.raises(UserError, match=r"a file of this name ships: .*configs/demo.yaml"):
        demo.read(tmp_path / "none/demo.yaml")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("real", [False, True], ids=["tiny", "embedded"])
def test_the_whole_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, real: bool
) -> None:
    out, file = tmp_path / "demo", SHIPPED
    if not real:
        file = tmp_path / "demo.yaml"
        own = f"model_name_or_path: {tiny_model(tmp_path / 'model')}"
        file.write_text(SHIPPED.read_text().replace("model_name_or_path: embedded", own))
    small = ["--sft.questions.limit=24", "--sft.save_steps=1"]
    small += ["--sft.confidence.full_reply_fraction=1.0"]  # four steps
    small += ["--grpo.max_steps=1", "--grpo.warmup_steps=0"]
    few = demo.read(file, small, seed=0, heldout=6, out_of_domain=2)
    # So few rows teach no format, and then no reply is rewarded: nothing is learnt in stage 2.
    monkeypatch.setattr(saving, "check_learned", lambda *_: None)
    monkeypatch.setattr(stage2, "check_format", lambda *_: None)
    taken: list[int] = []
    step = ConfidenceSFTTrainer.training_step

    def killed(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        taken.append(trainer.state.global_step)
        if taken == [0, 1]:
            raise KeyboardInterrupt
        return step(trainer, *args, **kwargs)

    monkeypatch.setattr(ConfidenceSFTTrainer, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        demo.run(out, few)
    assert [path.name for path in checkpoints(out / "stage1")] == ["checkpoint-1"]
    report = demo.run(out, few)
    assert taken == [0, 1, *range(1, taken[-1] + 1)] and taken[-1] >= 2  # none was taken again
    assert not checkpoints(out / "stage1") and not checkpoints(out / "stage2")

    rows = [row for _, row in read_jsonl(out / "prepare" / "sft.jsonl")]
    assert 20 <= len(rows) <= 24
    for row in rows:
        parsed = parse_reply(row["conversations"][1]["value"])
        assert parsed.well_formed, row
        assert 0 <= row["target"] <= 1
        # The level that is written is one of the two beside the target.
        assert parsed.confidence == pytest.approx(row["target"], abs=0.1)

    paid = [row for _, row in read_jsonl(out / "stage2" / "replies.jsonl")]
    assert len(paid) == 32
    assert {row["step"] for row in paid} == {0}
    assert all(
        set(row["parts"]) == {"calibration", "reflection", "accuracy", "format"} for row in paid
    )

    methods = json.loads((out / "metrics.json").read_text())["methods"]
    assert [method["key"] for method in methods] == list(demo.METHODS)
    base, sampled = methods[1]["figures"], methods[2]["figures"]
    assert (
        base["accuracy"]["value"] == sampled["accuracy"]["value"]
    )  # one greedy answer, two confidences
    curves = json.loads((out / "curves.json").read_text())
    assert curves["stage 1"] and "reward" in curves["stage 2"][0]
    assert report == out / "report.html" and report.stat().st_size > 100_000

    shown = capsys.readouterr().out
    assert "after stage 2" in shown and str(report) in shown

    # Done parts are not done again, and give the same figures.
    before = (out / "metrics.json").read_text()
    demo.run(out, few)
    assert (out / "metrics.json").read_text() == before
