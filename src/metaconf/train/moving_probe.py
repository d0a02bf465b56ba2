"""Stage 2's probe: what the policy's own hidden state says of its answers, fitted as it moves.

Logistic regression as in stage 1 (`probe`) on hidden state and the answer's own probability, on
the batches before and never on the one that it is asked about, so that no target carries its
reply's own label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metaconf.rewards.targets import Array
from metaconf.train.probe import beside, chance_columns, fit, last_states, probe_layer

ENOUGH, KEPT = 128, 2048
"""Graded replies that the probe must know before it teaches, and the last ones that it is fitted
on: older ones were another policy's."""


@dataclass
class MovingProbe:
    """What is known of the replies so far, kept in `path`: a resumed run goes on from `step`."""

    path: Path
    step: int = 0
    steps: Array = field(init=False)
    states: np.ndarray = field(init=False)
    right: Array = field(init=False)

    def __post_init__(self) -> None:
        self.steps, self.right, self.states = np.zeros(0), np.zeros(0), np.zeros((0, 0), np.float32)
        if self.step and self.path.exists():
            with np.load(self.path) as kept:
                before = kept["steps"] < self.step
                self.steps, self.right = kept["steps"][before], kept["right"][before]
                self.states = kept["states"][before]

    def targets(self, states: np.ndarray, outcome: Array, step: int) -> Array:
        """(n,) the chance in [0, 1] that each answer of a batch is right, by its features (n, F);
        NaN where the `outcome` is, and while too little is known. Then learns the batch."""
        found = np.full(len(outcome), np.nan)
        if len(self.right) >= ENOUGH:
            found = np.where(np.isnan(outcome), np.nan, fit(self.states, self.right)(states))
        self._learn(states, outcome, step)
        return found

    def _learn(self, states: np.ndarray, outcome: Array, step: int) -> None:
        graded = ~np.isnan(outcome)
        now = np.full(int(graded.sum()), float(step))
        # The first batch decides how wide the states are.
        before = self.states.reshape(len(self.right), states.shape[1])
        self.states = np.concatenate([before, states[graded]])[-KEPT:]
        self.right = np.concatenate([self.right, outcome[graded]])[-KEPT:]
        self.steps = np.concatenate([self.steps, now])[-KEPT:]
        partial = self.path.with_name(f".{self.path.name}.new")
        with partial.open("wb") as out:
            np.savez(out, steps=self.steps, right=self.right, states=self.states)
        partial.replace(self.path)


def answer_features(
    model: Any, rows: Sequence[Sequence[int]], chance: Sequence[float]
) -> np.ndarray:
    """(n, D + 2·COPIES): a policy's hidden states at the ends of its answers, `rows` the tokens of
    prompt and reply until there, and the `chance` in [0, 1] with which it gave them."""
    states = last_states(model, rows, probe_layer(model.config.num_hidden_layers))
    return beside(states, chance_columns(np.asarray(chance))).astype(np.float32)
