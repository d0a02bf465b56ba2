"""The stage-1 models that the recipes' benchmark starts from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recipes_plan import Plan

from metaconf import demo
from metaconf.config_blocks import Confidence, Config
from metaconf.records import Question

TEACHING = Confidence(text="held", direct=4.0, weight=2.0, blur=0.05)
"""How the start is taught: it knows the replies' format already, so that the confidence may weigh
more beside the text, and beside answers alone they need no teaching (docs/lab-notebook.md)."""
Rows = Sequence[dict[str, Any]]


def share_start(out: Path, plan: Plan, seed: int) -> Path:
    """A stage-1 model of this seed that has learnt format and reflection, and whose confidence was
    taught the share of samples that agree: no label has taught it when it is right."""
    from metaconf.train.prepare import prepare

    how = Confidence(target="share")

    def rows(base: Any, questions: Sequence[Question], into: Path) -> Rows:
        return prepare(base, questions, into, how, seed=seed)

    return _stage1(out / "share" / f"seed{seed}", plan, plan.base, how, seed, rows)


def taught(out: Path, plan: Plan, seed: int, start: Path) -> Path:
    """The start, taught the confidences that a probe on `plan.labels` graded answers predicts for
    its own answers to all the stage-1 questions; what the base's answers say of them was sampled
    for the start, and no further label is read."""
    folder, how = taught_folder(out, seed), replace(TEACHING, labels=plan.labels)
    sampled = out / "share" / f"seed{seed}" / "prepare" / "answers.jsonl"
    kept = folder / "prepare" / "answers.jsonl"
    if sampled.exists() and not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sampled, kept)

    def rows(base: Any, questions: Sequence[Question], into: Path) -> Rows:
        from metaconf.train import prepare

        answers = own_answers(base, start, questions, into, seed)
        made = prepare.build_rows(base, answers, how, seed)
        prepare.write_set(into, made, how=how, seed=seed)
        return made

    return _stage1(folder, plan, str(start), how, seed, rows)


def own_answers(
    base: Any, start: Path, questions: Sequence[Question], into: Path, seed: int
) -> list[Any]:
    """The start's own answers to the questions, and what the base's say of them; the files in
    `into` keep both."""
    from metaconf.engines.local import load_local
    from metaconf.engines.sampler import GREEDY
    from metaconf.evaluation.systems import short_answers
    from metaconf.train.evidence import answered_later, speakable
    from metaconf.train.prepare import SAMPLES, sample

    before = sample(base, questions, into / "answers.jsonl", SAMPLES, seed)
    label, path = "the start's answers", into / "own.jsonl"
    own = short_answers(load_local(str(start)), questions, (GREEDY,), path, label, trained=True)
    each = (GREEDY, *range(SAMPLES))
    rows = [
        answered_later(q, own[q.id, GREEDY], [before[q.id, i] for i in each]) for q in questions
    ]
    return [row for row in rows if row.answer and speakable(row.answer)]


def _stage1(
    folder: Path, plan: Plan, start: str, how: Confidence, seed: int, rows: Callable[..., Rows]
) -> Path:
    """The demo's stage 1 from `start`, taught as `how` says what `rows` makes of base, questions
    and folder, timed as "stage1"; what is there is taken as it is."""
    from metaconf.engines.local import load_local
    from metaconf.questions import embedded_questions, pick
    from metaconf.train import stage1

    model = folder / "stage1"
    if not (model / "tokenizer_config.json").exists():
        questions = pick(embedded_questions("stage1"), plan.stage1_questions, seed)
        base, into = load_local(plan.base), folder / "prepare"
        folder.mkdir(parents=True, exist_ok=True)
        with demo.Clock.of(folder / "clock.json").part("stage1"):
            lessons = rows(base, questions, into)
            config = Config("sft", demo.STAGE1, seed=seed, confidence=how)
            stage1.train(load_local(start), lessons, config, model)
    return model


def taught_folder(out: Path, seed: int) -> Path:
    """Where the model of `taught` is, and the clock of what it took."""
    return out / "taught" / f"seed{seed}"
