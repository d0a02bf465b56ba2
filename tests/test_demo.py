"""The main job on the real model, small: every part runs and leaves what it promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metaconf.cli import demo
from metaconf.config.load import load_config
from metaconf.errors import UserError
from metaconf.records import read_jsonl
from metaconf.reply import parse_reply
from metaconf.runs import checkpoints
from metaconf.training.sft import ConfidenceSFTTrainer

PLAN = demo.Plan(stage1_questions=24, stage2_steps=1, heldout=6, out_of_domain=2, samples=3)

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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_stages_of_the_real_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "demo"
    monkeypatch.setattr(demo, "SAVE_STEPS", {"stage1": 1, "stage2": 2})
    taken: list[int] = []
    step = ConfidenceSFTTrainer.training_step

    def killed(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        taken.append(trainer.state.global_step)
        if taken == [0, 1]:
            raise KeyboardInterrupt
        return step(trainer, *args, **kwargs)

    monkeypatch.setattr(ConfidenceSFTTrainer, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        demo.run(out, seed=0, plan=PLAN)
    assert [path.name for path in checkpoints(out / "stage1")] == ["checkpoint-1"]
    report = demo.run(out, seed=0, plan=PLAN)
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
    demo.run(out, seed=0, plan=PLAN)
    assert (out / "metrics.json").read_text() == before
