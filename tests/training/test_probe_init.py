"""A probe written into one unit of the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metaconf.config.blocks import Confidence, Config
from metaconf.errors import UserError
from metaconf.prompts.chat import INSTRUCTION
from metaconf.reply import format_reply
from metaconf.training import probe_init
from metaconf.training.probe_init import (
    _expected,
    _next_words,
    _pushed,
    _way,
    gate_direction,
    write_probe,
)
from metaconf.training.rows import train_rows
from metaconf.training.stage1 import train

ANSWERS = {"Mali": 0.9, "Peru": 0.1, "Chad": 0.7, "Cuba": 0.3}


def prepared() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for i in range(160):
        answer, target = list(ANSWERS.items())[i % 4]
        reply = format_reply(answer, "I know it well.", 0.5)
        turns = [{"from": "human", "value": f"Where is Q{i}?"}, {"from": "gpt", "value": reply}]
        rows.append({"id": str(i), "system": INSTRUCTION, "target": target, "conversations": turns})
    return rows


def rows_of(local: Any) -> list[Any]:
    return train_rows(local, prepared(), alone=1.0, whole=0.0)


def test_what_the_state_tells_is_said_before_anything_is_trained(
    local_of: Callable[..., Any],
) -> None:
    local = deepcopy(local_of())
    rows, before = rows_of(local), deepcopy(local.model.state_dict())
    found = write_probe(local, rows)
    assert found.strength > 0 and found.before - found.after > 0.003
    changed = [k for k, v in local.model.state_dict().items() if not torch.equal(v, before[k])]
    assert [name.rsplit(".", 2)[1] for name in changed] == ["gate_proj", "up_proj", "down_proj"]
    assert len({name.split("mlp")[0] for name in changed}) == 1
    for name in changed:
        apart = (local.model.state_dict()[name] != before[name]).any(int("down" not in name))
        assert apart.sum() == 1, "one unit alone"

    now = deepcopy(local.model.state_dict())
    with found.disabled():
        assert all(torch.equal(v, before[k]) for k, v in local.model.state_dict().items())
    assert all(torch.equal(v, now[k]) for k, v in local.model.state_dict().items())

    again = write_probe(local, rows)  # what is said already leaves less to say
    assert again.before == pytest.approx(found.after, abs=0.005)


def test_the_gate_is_open_at_the_ends_of_answers_alone() -> None:
    rng = np.random.default_rng(0)
    opened, shut = (10 * rng.standard_normal((n, 24)) for n in (200, 900))
    opened[:, 0], shut[:, 0], shut[:, 1] = 8.0, 0.5, 6.0  # what tells them apart
    opened[:, 1] = 0.0
    way = gate_direction(opened, shut)
    assert np.all(opened @ way > 0.5) and np.all(shut @ way < -0.5)


def test_noise_is_not_written(local_of: Callable[..., Any]) -> None:
    local = deepcopy(local_of())
    rows = rows_of(local)
    drawn = np.random.default_rng(0).permutation([r.continuations[0].target for r in rows])
    for row, target in zip(rows, drawn, strict=True):
        object.__setattr__(row.continuations[0], "target", float(target))
    found = write_probe(local, rows)
    assert found.before - found.after < 0.002


def test_the_words_after_an_answer_stay_as_likely(
    local_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = deepcopy(local_of())
    pairs = [(row, row.continuations[0]) for row in rows_of(local)[:96]]
    layer = local.model.model.layers[0]

    def moved(left: float) -> tuple[float, float]:
        """How far a push along the way moves the next words' log-probabilities, and confidence."""
        monkeypatch.setattr(probe_init, "LEFT", left)
        way, changes = _way(local, layer, pairs), list[float]()
        for says in (_next_words, _expected):
            with _pushed(layer, pairs, len(way)) as pushed, torch.no_grad():
                before = says(local, pairs)
                pushed += 0.1 * way
                changes.append(float((says(local, pairs) - before).abs().mean()))
        return changes[0], changes[1]

    words, confidence = moved(0.0)
    words_left, confidence_left = moved(0.5)
    assert words_left < 0.5 * words
    assert confidence_left > 0.3 * confidence


def test_an_mlp_without_a_gate_is_refused(local_of: Callable[..., Any]) -> None:
    local = deepcopy(local_of())
    rows = rows_of(local)
    for layer in local.model.model.layers:
        layer.mlp = torch.nn.Identity()
    with pytest.raises(UserError, match=r"init_probe_neuron: the MLPs of llama have no gate"):
        write_probe(local, rows)


def test_stage_1_trains_what_was_written(
    local_of: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = deepcopy(local_of())
    how = Confidence(init_probe_neuron=True, text_loss="kl", full_reply_fraction=0.0)
    once = {"max_steps": 1, "logging_steps": 1}
    config = Config("sft", once, confidence=how, lora_r=4, lora_layers_from=0.5)
    made = train(local, prepared(), config, tmp_path)
    assert "probe written; confidence from its targets, mean square: 0.0" in capsys.readouterr().err
    now, never = (m.model.model.layers[0].mlp.gate_proj.weight for m in (made, local_of()))
    assert (now != never).any(1).sum() == 1, "what is below the adapter has the unit alone"
    first = json.loads((tmp_path / "curve.json").read_text())[0]
    assert first["loss_text"] > 1e-6, "held to what was said before anything was written"
