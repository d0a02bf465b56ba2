"""Warnings while stage 2 trains, and the callback that stops it where something must be fixed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import TrainerCallback

from metaconf.config import blocks as config_blocks
from metaconf.training.checkpoints import can_resume_here
from metaconf.training.processes import any_rank
from metaconf.training.reward_computer import RewardComputer

log = logging.getLogger("metaconf")
MAX_MODE_FRACTION = 0.9
"""A larger share of replies that state the same confidence is a sign of collapse."""
MAX_ACCURACY_AT_ZERO = 0.5
"""Replies that state 0 and are right more often than this: the number ignores the answer."""
MAX_LENGTH_RATIO = 2.0
"""Replies that are so many times longer or shorter than at first."""
FIRST = 5
"""Logged steps whose mean length later ones are compared with."""


class Watch(TrainerCallback):
    """Warns when a step cannot teach anything, each time; and once of each sign that the policy
    games the reward, which stops the run (through `rewards`) where `limits` says so."""

    def __init__(self, limits: config_blocks.Watch, rewards: RewardComputer):
        self.limits, self.rewards = limits, rewards
        self.lengths: list[float] = []
        self.warned: set[str] = set()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        logs = logs or {}
        for sentence in teaches_nothing(logs):
            log.warning("step %d: %s", state.global_step, sentence)
        for name, sentence in self._signs(logs):
            if name not in self.warned:
                self.warned.add(name)
                log.warning("step %d: %s", state.global_step, sentence)
                if self.limits.stop:
                    self.rewards.stop_reason = self.rewards.stop_reason or sentence

    def _signs(self, logs: Mapping[str, float]) -> Iterator[tuple[str, str]]:
        yield from signs(logs)
        length = logs.get("completions/mean_length")
        if length is None:
            return
        if len(self.lengths) < FIRST:
            self.lengths.append(length)
            return
        first = max(sum(self.lengths) / FIRST, 1.0)
        if not 1 / MAX_LENGTH_RATIO <= length / first <= MAX_LENGTH_RATIO:
            yield "length", f"replies have {length:.0f} tokens, {first:.0f} at first: read some"


def teaches_nothing(logs: Mapping[str, float]) -> Iterator[str]:
    """Sentences on a step whose rewards are all equal, or whose replies were all cut."""
    if logs.get("frac_reward_zero_std") == 1:
        yield (
            "the rewards are equal within every group (zero-variance share 100 %): nothing is"
            " learnt from them; raise num_generations or temperature"
        )
    if logs.get("completions/clipped_ratio") == 1:
        yield (
            "every reply was cut at max_completion_length (cut share 100 %): raise"
            " max_completion_length"
        )


def signs(logs: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """(sign, sentence) for each limit that the confidences of a logged step are beyond."""
    common = logs.get("confidence/mode_fraction", 0.0)
    if common > MAX_MODE_FRACTION:
        levels = logs.get("confidence/effective_levels", 1.0)
        yield (
            "mode_fraction",
            f"{common:.0%} of the replies state the same confidence ({levels:.1f} levels in use):"
            " it has collapsed, or never was learnt",
        )
    right = logs.get("confidence/right_at_0", 0.0)
    if right > MAX_ACCURACY_AT_ZERO:
        yield (
            "right_at_0",
            f"{right:.0%} of the replies that state 0 are right: the confidence does not speak of"
            " the answer",
        )


class StopOnRequest(TrainerCallback):
    """Stops with a checkpoint once `rewards.stop_reason` says why (the judge fails too often, or a
    sign for which the run is to stop), at a step that can be resumed. All processes stop together.
    """

    def __init__(self, rewards: RewardComputer):
        self.rewards = rewards

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if can_resume_here(args, state) and any_rank(bool(self.rewards.stop_reason)):
            reason = self.rewards.stop_reason or "another process stopped: it says why"
            self.rewards.stop_reason = reason
            control.should_save = control.should_training_stop = True
