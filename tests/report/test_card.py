"""The model card: facts of the training, measured figures, and nothing that breaks out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors.numpy import save_file

from metaconf.cli import main
from metaconf.config.blocks import Client, Config, Judge, Questions, Teacher
from metaconf.errors import UserError
from metaconf.report import write_report
from metaconf.report.card import code, fenced, write_card
from metaconf.runs import note
from metaconf.training.dataset import write_set


def trained(folder: Path, start: str = "embedded", **more: Any) -> Path:
    """A folder with weights and the facts of one more stage from `start`."""
    folder.mkdir()
    save_file({"weight": np.zeros(1)}, folder / "model.safetensors")
    stage = "sft" if start == "embedded" else "grpo"
    config = Config(stage, {"learning_rate": 1e-4, "hub_token": "hf_secret"}, start, **more)
    note(folder, config, str(folder.parent / "mine.jsonl"), 24)
    return folder


def results(folder: Path) -> Path:
    figures = {
        "accuracy": {"value": 0.4, "low": 0.3, "high": 0.5, "n": 90, "reason": None},
        "ece": {"value": 0.05, "low": 0.04, "high": 0.07, "n": 88, "reason": None},
        "auroc_within": {"value": 0.61, "low": 0.5, "high": 0.7, "n": 88, "reason": None},
        "auroc": {"value": None, "low": None, "high": None, "n": 88, "reason": "one class"},
    }
    bins = [{"low": 0.0, "high": 1.0, "n": 88, "confidence": 0.4, "accuracy": 0.45}]
    method = {"key": "own_reply", "name": "reply", "figures": figures, "reliability": bins}
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"methods": [method]}))
    write_report(folder)
    return folder


def test_a_card_tells_both_stages_and_no_path_or_secret(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").touch()
    one = trained(tmp_path / "one")
    two = trained(tmp_path / "two", str(one), questions=Questions(str(tmp_path / "mine.jsonl")))
    text = write_card(two).read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert head["pipeline_tag"] == "text-generation" and "model-index" not in head
    assert text.index("stage 1, supervised") < text.index("stage 2, GRPO")
    assert "24 rows of `mine.jsonl`" in text and "Not measured yet" in text
    assert str(tmp_path) not in text and "hf_secret" not in text
    assert '"learning_rate": 0.0001' in text
    assert "Teacher of the reflections: not noted. Judge of the reflections: the offline" in text
    assert "Intended use and limits" in text


def test_a_card_names_the_models_that_taught_and_judged(tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    write_set(prepared, [], Teacher("llm", client=Client("http://10.1.2.3/v1", model="t`|x")))
    one = tmp_path / "one"
    one.mkdir()
    save_file({"weight": np.zeros(1)}, one / "model.safetensors")
    note(one, Config("sft", {}, "embedded"), str(prepared / "sft.jsonl"), 24)
    two = trained(
        tmp_path / "two", str(one), judge=Judge("llm", client=Client("http://10.4.5.6/v1"))
    )
    text = write_card(two).read_text()
    assert "Teacher of the reflections: the model `t'|x`." in text
    assert "Judge of the reflections: the model `deepseek-chat`." in text
    assert "http://10." not in text and "DEEPSEEK_API_KEY" not in text


def test_measured_figures_stand_in_text_and_front_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, run = trained(tmp_path / "model"), results(tmp_path / "run")
    assert main(["card", str(model), "--results", str(run)]) == 0
    path = Path(capsys.readouterr().out.strip())
    text = path.read_text()
    assert "| ECE (15 bins) | 0.050 | 0.040 to 0.070 | 88 |" in text
    assert "| AUROC |" not in text  # what is not known is not 0
    assert "| AUROC within kinds of question | 0.610 | 0.500 to 0.700 | 88 |" in text
    assert (model / "reliability.png").read_bytes().startswith(b"\x89PNG")
    data: Any = ModelCard.load(path).data
    assert [(r.metric_type, r.metric_value) for r in data.eval_results] == [
        ("accuracy", 0.4),
        ("ece", 0.05),
        ("auroc_within", 0.61),
    ]
    # A run without the model's figures is refused, and the card stays.
    with pytest.raises(UserError, match="there are: own_reply"):
        write_card(model, run, "stage9")
    assert path.read_text() == text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    assert code("a`b\n# <script>") == "`a'b # <script>`"
    assert fenced("x\n```\ny").startswith("````json\n")
    model = trained(tmp_path / "model")
    facts = json.loads((model / "metaconf.json").read_text())
    facts["base_model"] = "evil\n---\n# `pwned`"
    facts["stages"][0]["data"] = "{count}\n\n# pwned"
    (model / "metaconf.json").write_text(json.dumps(facts))
    text = write_card(model).read_text()
    assert "\n# pwned" not in text and "\n# `pwned`" not in text
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(head)["base_model"] == facts["base_model"]
    assert body.lstrip().startswith("# `evil --- # 'pwned'`")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a model that MetaConf trained"):
        write_card(tmp_path)
    (tmp_path / "metaconf.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        write_card(tmp_path)
    assert main(["card", str(tmp_path / "none")]) == 2
