"""Stage 2 warns of a policy that plays the reward, once, and stops where it is told to."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from metaconf.config.blocks import Watch as Limits
from metaconf.training.watch import StopOnRequest, Watch


def logged(watch: Watch, step: int, **logs: float) -> None:
    named = {name.replace("__", "/"): value for name, value in logs.items()}
    watch.on_log(None, SimpleNamespace(global_step=step), None, logs=named)


def watching(**limits: Any) -> tuple[Watch, Any]:
    rewards: Any = SimpleNamespace(stop_reason="")
    return Watch(Limits(**limits), rewards), rewards


def test_each_sign_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    watch, rewards = watching()
    with caplog.at_level(logging.WARNING, "metaconf"):
        for step in (3, 4):
            logged(watch, step, confidence__mode_fraction=0.95, confidence__effective_levels=1.1)
        logged(watch, 5, confidence__right_at_0=0.8)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith("step 3: 95% of the replies state the same confidence (1.1 levels")
    assert "80% of the replies that state 0 are right" in told[1]
    assert rewards.stop_reason == ""


def test_what_is_within_the_limits_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    watch, _ = watching()
    with caplog.at_level(logging.WARNING, "metaconf"):
        logged(watch, 1, confidence__mode_fraction=0.5, confidence__right_at_0=0.1)
        logged(watch, 2, completions__mean_length=40, frac_reward_zero_std=0.5)
    assert not caplog.records


@pytest.mark.parametrize("length", [90.0, 15.0])
def test_length_drift(length: float, caplog: pytest.LogCaptureFixture) -> None:
    watch, _ = watching()
    with caplog.at_level(logging.WARNING, "metaconf"):
        for step in range(5):
            logged(watch, step, completions__mean_length=40.0 + step)
        logged(watch, 5, completions__mean_length=45.0)
        assert not caplog.records
        logged(watch, 6, completions__mean_length=length)
    assert f"replies have {length:.0f} tokens, 42 at first" in caplog.text


def test_steps_that_teach_nothing_are_told_each_time(caplog: pytest.LogCaptureFixture) -> None:
    watch, rewards = watching(stop=True)
    with caplog.at_level(logging.WARNING, "metaconf"):
        for step in (1, 2):
            logged(watch, step, frac_reward_zero_std=1, completions__clipped_ratio=1)
    assert len(caplog.records) == 4 and rewards.stop_reason == ""


def test_a_run_that_is_to_stop_stops_with_a_checkpoint_where_it_can_go_on() -> None:
    watch, rewards = watching(stop=True)
    args = SimpleNamespace(steps_per_generation=2, num_iterations=1, gradient_accumulation_steps=1)
    stop = StopOnRequest(rewards)
    logged(watch, 3, confidence__mode_fraction=0.95)
    assert "95% of the replies state the same" in rewards.stop_reason
    asked = []
    for step in (3, 4):
        control = SimpleNamespace(should_save=False, should_training_stop=False)
        stop.on_step_end(args, SimpleNamespace(global_step=step), control)
        asked.append((control.should_save, control.should_training_stop))
    assert asked == [(False, False), (True, True)]
