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
from metaconf.training.probe import append_features, fit, last_states, logprob_features, probe_layer

ENOUGH, KEPT = 128, 2048
"""Graded replies that the probe must know before it teaches, and the last ones that it is fitted
on: older ones were another policy's."""


@dataclass
class MovingProbe:
    """What is known of the replies so far, a file a batch in `folder`: a run resumed at `step` goes
    on with what it knew there, also where it has forgotten some of that since."""

    folder: Path
    step: int = 0
    batches: int = field(init=False, default=0)
    states: np.ndarray = field(init=False)
    right: Array = field(init=False)

    def __post_init__(self) -> None:
        self.right, self.states = np.zeros(0), np.zeros((0, 0), np.float32)
        for path in sorted(self.folder.glob("*.npz")):
            with np.load(path) as kept:
                if kept["step"] < self.step:
                    self._learn(kept["states"], kept["right"])
                    continue
            path.unlink()  # drawn after the checkpoint, or by another run: drawn again

    def targets(self, states: np.ndarray, outcome: Array, step: int) -> Array:
        """(n,) the chance in [0, 1] that each answer of a batch is right, by its features (n, F);
        NaN where the `outcome` is, and while too little is known. Then learns the batch."""
        found = np.full(len(outcome), np.nan)
        if len(self.right) >= ENOUGH:
            found = np.where(np.isnan(outcome), np.nan, fit(self.states, self.right)(states))
        graded = ~np.isnan(outcome)
        self._keep(states[graded], outcome[graded], step)
        self._learn(states[graded], outcome[graded])
        return found

    def _learn(self, states: np.ndarray, right: Array) -> None:
        # The first batch decides how wide the states are.
        before = self.states.reshape(len(self.right), states.shape[1])
        self.states = np.concatenate([before, states])[-KEPT:]
        self.right = np.concatenate([self.right, right])[-KEPT:]
        self.batches += 1

    def _keep(self, states: np.ndarray, right: Array, step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.batches:08d}.npz"
        partial = path.with_suffix(".new")
        with partial.open("wb") as out:
            np.savez(out, step=step, states=states, right=right)
        partial.replace(path)


def answer_features(
    model: Any, rows: Sequence[Sequence[int]], chance: Sequence[float]
) -> np.ndarray:
    """(n, D + 2·FEATURE_REPEAT): a policy's hidden states at the ends of its answers, `rows` the
    tokens of prompt and reply until there, and the `chance` in [0, 1] with which it gave them."""
    states = last_states(model, rows, probe_layer(model.config.num_hidden_layers))
    return append_features(states, logprob_features(np.asarray(chance))).astype(np.float32)
