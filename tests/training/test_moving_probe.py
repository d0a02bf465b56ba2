"""Stage 2's probe: fitted on the batches before, never on what it teaches, kept for a resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training import QUESTIONS, SMALL, config_of

from metaconf.config.blocks import Confidence
from metaconf.generation.local import LocalModel
from metaconf.records import read_jsonl
from metaconf.reply import format_reply
from metaconf.training import grpo, moving_probe, stage2
from metaconf.training.encode import encode_reply
from metaconf.training.moving_probe import ENOUGH, KEPT, MovingProbe, answer_features
from metaconf.training.probe import probe_layer


def batch(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States whose first number decides whether the answer is right."""
    states = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return states, (states[:, 0] > 0).astype(float)


def test_it_teaches_what_the_batches_before_say(tmp_path: Path) -> None:
    probe = MovingProbe(tmp_path / "probe")
    first, early = batch(ENOUGH - 1)
    assert np.isnan(probe.targets(first, early, 0)).all()
    assert np.isnan(probe.targets(*batch(1, 1), 1)).all()  # one short before this batch
    states, right = batch(64, 2)
    taught = probe.targets(states, 1 - right, 2)  # its own labels, all of them wrong, do not count
    assert np.corrcoef(taught, right)[0, 1] > 0.7
    assert ((taught > 0) & (taught < 1)).all()


def test_what_was_not_graded_is_not_taught_and_not_learnt(tmp_path: Path) -> None:
    probe = MovingProbe(tmp_path / "probe")
    probe.targets(*batch(ENOUGH), 0)
    states, right = batch(4, 1)
    right[2] = np.nan
    assert np.isnan(probe.targets(states, right, 1)).tolist() == [False, False, True, False]
    assert len(probe.right) == ENOUGH + 3 and not np.isnan(probe.right).any()


def test_old_replies_are_forgotten(tmp_path: Path) -> None:
    probe = MovingProbe(tmp_path / "probe")
    for step in range(3):
        probe.targets(*batch(KEPT // 2, step), step)
    _, second = batch(KEPT // 2, 1)
    _, third = batch(KEPT // 2, 2)
    assert probe.right.tolist() == [*second, *third]


def test_a_resumed_run_knows_what_it_knew_at_its_checkpoint(tmp_path: Path) -> None:
    whole = MovingProbe(tmp_path / "whole")
    half = KEPT // 2
    for step in range(4):  # the first two are forgotten by its end
        whole.targets(*batch(half, step), step)
    known = MovingProbe(tmp_path / "whole", step=2)
    again = MovingProbe(tmp_path / "again")
    for step in range(2):
        again.targets(*batch(half, step), step)
    states, right = batch(16, 9)
    assert (known.targets(states, right, 2) == again.targets(states, right, 2)).all()
    # What it drew after the checkpoint is gone: a second resume finds what it has drawn again.
    assert (MovingProbe(tmp_path / "whole", step=4).right == known.right).all()


def test_a_new_run_knows_nothing_of_an_old_one_in_its_folder(tmp_path: Path) -> None:
    MovingProbe(tmp_path / "probe").targets(*batch(ENOUGH), 0)
    assert len(MovingProbe(tmp_path / "probe").right) == 0
    assert not list((tmp_path / "probe").iterdir())


def test_features_are_the_state_at_the_end_of_the_answer_and_its_chance(
    taught: Callable[[], LocalModel],
) -> None:
    model = taught().model
    layer = probe_layer(model.config.num_hidden_layers)
    kept: list[torch.Tensor] = []
    hook = model.model.layers[layer - 1].register_forward_hook(
        lambda _module, _inputs, out: kept.append(out if isinstance(out, torch.Tensor) else out[0])
    )
    rows = [[5, 6, 7], [5, 6, 8, 9]]
    for row in rows:
        with torch.no_grad():
            model(torch.tensor([row]))
    hook.remove()
    found = answer_features(model, rows, [0.25, 0.0])
    width = model.config.hidden_size
    for place, states in enumerate(kept):
        assert found[place, :width] == pytest.approx(states[0, -1].float().numpy(), abs=1e-4)
    assert sorted(set(found[0, width:].tolist())) == pytest.approx(
        [math.log(0.25), math.log(0.25 / 0.75)]
    )
    assert np.isfinite(found).all()  # a reply without an answer has none to be sure of


def test_a_reply_is_read_until_its_answer_ends(taught: Callable[[], LocalModel]) -> None:
    tokenizer = taught().tokenizer
    reply = encode_reply(tokenizer, format_reply("3 4", "I know it.", 0.5))
    logprobs = [-0.125] * len(reply.tokens)
    told = grpo._told(reply, logprobs)
    assert tokenizer.decode(told.until) == "Answer: 3 4"
    start, end = reply.spans["answer"]
    assert told.chance == pytest.approx(math.exp(-0.125 * (end - start)))
    assert grpo._told(encode_reply(tokenizer, "no reply"), logprobs) == ([], 0.0)


def test_stage_2_teaches_the_probes_prediction(
    taught: Callable[[], LocalModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving_probe, "ENOUGH", 8)
    given: list[tuple[Any, Any]] = []
    told = MovingProbe.targets

    def watched(probe: Any, states: Any, outcome: Any, step: int) -> Any:
        found = told(probe, states, outcome, step)
        given.append((outcome, found))
        return found

    monkeypatch.setattr(MovingProbe, "targets", watched)
    losses = grpo.exact_losses
    held: list[Any] = []

    def lost(levels: Any, target: Any, exact: Any) -> Any:
        held.append(target.numpy())
        return losses(levels, target, exact)

    monkeypatch.setattr(grpo, "exact_losses", lost)
    trainer = {**SMALL, "max_steps": 3}
    config = config_of(trainer=trainer, confidence=Confidence(goal="probe"))
    stage2.train(taught(), QUESTIONS * 4, config, tmp_path)
    replies = [row for _, row in read_jsonl(tmp_path / "replies.jsonl")]
    kept = [np.load(path) for path in sorted((tmp_path / "probe-0").iterdir())]
    assert [int(one["step"]) for one in kept] == [0, 1, 2]
    assert len(np.unique(np.concatenate([one["states"] for one in kept])[:, -1])) > 1  # own chance
    right = np.concatenate([one["right"] for one in kept])
    assert right.tolist() == [row["correctness"] for row in replies]
    (_, first), *later = given
    assert len(given) == 3 and np.isnan(first).all()  # nothing is taught yet
    assert all(((found > 0) & (found < 1)).all() for _, found in later)
    for (_, found), target in zip(later, held, strict=True):
        assert len(target) and all(np.isclose(found, one).any() for one in target)
