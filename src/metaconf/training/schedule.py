"""The learning rate of stage 1, where none is chosen: each of its two parts has a schedule."""

from __future__ import annotations


def rate(step: int, first: int, total: int, warmup: int) -> float:
    """The share of the learning rate, in [0, 1], at a step of `total`, of which the `first` are on
    answers and confidences alone; 0 behind the last.

    In each part it rises over `warmup` steps, is constant, so that rows at the end are learnt as
    well as those at the start, and falls over a sixteenth of all steps. Without the fall in
    between, the model's own confidences are read in a state that moves from step to step, and the
    words are taught for where it happens to be (docs/lab-notebook.md).
    """
    start, end = (0, first) if step < first else (first, total)
    rises = (step - start + 1) / max(warmup, 1)
    falls = (end - step) / max(total // 16, 1)
    return max(min(rises, falls, 1.0), 0.0)
