"""The plan of the recipes' benchmark: how much of everything it does."""

from __future__ import annotations

from dataclasses import dataclass

from metaconf.cli import demo


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the figures: kept with the run, which goes on with the same alone."""

    base: str = "embedded"
    steps: int = 48
    labels: int = 640
    heldout: int = 1000
    out_of_domain: int = 200
    every: int = 8
    curve: int = 250
    stage1_questions: int = demo.Plan().stage1_questions


QUICK = Plan(steps=4, labels=32, heldout=8, out_of_domain=2, every=2, curve=6, stage1_questions=40)
