"""The stage-1 models that the recipes' benchmark starts from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from recipes_plan import Plan

from metaconf.cli import demo
from metaconf.config.blocks import Confidence, Config

TEACHING = Confidence(
    text_loss="kl",
    confidence_loss_weight=2.0,
    certainty_noise_std=0.05,
    init_probe_neuron=True,
    target_logit_scale=1.2,
)
"""How the start is trained: it knows the reply format already, so the confidence may weigh more
than the text, the answers need no cross-entropy, and the probe can be written in the direction that
raises its confidence (docs/lab-notebook.md)."""
LAYERS_FROM = 0.47
"""The layers above the neuron with the probe are trained."""


def share_start(out: Path, plan: Plan, seed: int) -> Path:
    """A stage-1 model of this seed that has learnt format and reflection. Its confidence target is
    the share of samples that agree, so no label was used."""
    folder = out / "share" / f"seed{seed}"
    return _stage1(folder, plan, plan.base, Confidence(target="self_consistency"), seed, 0.0)


def taught(out: Path, plan: Plan, seed: int, start: Path) -> Path:
    """The start, trained on the confidences that a probe on `plan.labels` graded answers predicts
    for its own answers to all stage-1 questions. The base's samples are those of the start, and no
    further label is read."""
    folder = taught_folder(out, seed)
    how = replace(TEACHING, num_labeled=plan.labels, answer_model=str(start))
    sampled = out / "share" / f"seed{seed}" / "prepare" / "answers.jsonl"
    kept = folder / "prepare" / "answers.jsonl"
    if sampled.exists() and not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sampled, kept)
    return _stage1(folder, plan, str(start), how, seed, LAYERS_FROM)


def _stage1(
    folder: Path, plan: Plan, start: str, how: Confidence, seed: int, layers_from: float
) -> Path:
    """The demo's stage 1 from `start`, as `how` says, on what the base sampled, timed as "stage1".
    A finished model is reused."""
    from metaconf.data import embedded_questions, pick
    from metaconf.generation.local import load_local
    from metaconf.training import stage1
    from metaconf.training.prepare import prepare

    model = folder / "stage1"
    if not (model / "tokenizer_config.json").exists():
        questions = pick(embedded_questions("stage1"), plan.stage1_questions, seed)
        base, into = load_local(plan.base), folder / "prepare"
        folder.mkdir(parents=True, exist_ok=True)
        with demo.Clock.of(folder / "clock.json").part("stage1"):
            config = Config(
                "sft", demo.STAGE1, plan.base, seed=seed, confidence=how,
                lora_layers_from=layers_from,
            )  # fmt: skip
            rows = prepare(replace(config, output_dir=str(into)), questions, base)
            stage1.train(load_local(start), rows, config, model)
    return model


def taught_folder(out: Path, seed: int) -> Path:
    """Where the model of `taught` is, and the clock of what it took."""
    return out / "taught" / f"seed{seed}"
