"""What the recipes' benchmark measures beside the replies to the held-out questions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import default
import numpy as np
import shipped
from recipes_plan import Plan

from metaconf.data import embedded_heldout
from metaconf.evaluation.rows import EvaluatedReply

SAMPLES = 20
"""Answers drawn to a question, of which a reflection may name some."""
ASKED = 400
"""Questions to which they are drawn."""


def start_folder(out: Path, seed: int) -> Path:
    """Where the start of a seed is: `model`, and what `prepare` wrote."""
    return out / "stage1" / f"seed{seed}"


def stage1_start(out: Path, plan: Plan, seed: int) -> Path:
    """The demo's stage 1 from the base with `plan.labels` graded answers. A finished model is
    reused."""
    folder = start_folder(out, seed)
    model, keys = folder / "model", {"model_name_or_path": plan.base, "seed": seed}
    if not shipped.is_whole(model):
        some = {"questions.limit": plan.stage1_questions, "confidence.num_labeled": plan.labels}
        rows = shipped.prepared(folder / "prepare", **keys, **some)
        shipped.trained("sft", model, **keys, train_file=rows)
    return model


@cache
def asked(plan: Plan) -> list[Any]:
    """The held-out questions, the same for all."""
    return embedded_heldout(plan.heldout, plan.out_of_domain)


def base_rows(out: Path, plan: Plan) -> dict[str, list[EvaluatedReply]]:
    """What the untrained model's own signals say of the held-out questions, and of the curve's;
    `calibrated` is its answer's probability after an isotonic map."""
    from metaconf.data import load_questions, pick
    from metaconf.evaluation.generate import evaluate
    from metaconf.generation.local import load_local

    base, folder = load_local(plan.base), out / "base"
    known = load_questions("embedded:calibration")
    recalibrated = default.recalibration(
        base, pick(known, default.CALIBRATION, 0), folder / "calibration.jsonl"
    )
    sampled = evaluate(base, asked(plan), "samples8", folder / "answers.jsonl")
    probability = evaluate(base, asked(plan), "probability", folder / "answers.jsonl")
    return {
        "samples8": sampled,
        "probability": probability,
        "calibrated": recalibrated(probability),
        "curve": evaluate(base, pick(known, plan.curve, 0), "probability", folder / "curve.jsonl"),
    }


def named_answers(
    local: Any, rows: Sequence[EvaluatedReply], path: Path, plan: Plan
) -> dict[str, tuple[float | None, float | None]]:
    """By question id, of the other answers that a reply's reflection names the share that the
    model itself gives in SAMPLES, and of those samples that differ from its answer the share that
    is named (`evaluation.reflections.grounded`); None where there are none. `path` keeps them."""
    from metaconf.evaluation.generate import short_answers
    from metaconf.evaluation.reflections import grounded

    some = [q for q in asked(plan) if q.split != "ood"][:ASKED]
    name = f"{SAMPLES} answers"
    drawn = short_answers(local, some, range(SAMPLES), path, name, trained=True)
    samples = {q.id: [drawn[q.id, i].text for i in range(SAMPLES)] for q in some}
    questions = {q.id: q for q in some}
    told = [r for r in rows if r.question_id in questions and r.reflection is not None]
    return {row.question_id: grounded(row, questions, samples) for row in told}


def probe(out: Path, plan: Plan, seed: int) -> dict[str, tuple[float, float]]:
    """By held-out question id, what a linear probe on the base's hidden state says of the base's
    answer, fitted on the graded answers that give the start its targets; and whether it is right.
    """
    from metaconf.data import embedded_questions, pick
    from metaconf.evaluation.generate import evaluate
    from metaconf.generation.local import load_local
    from metaconf.generation.store import read_replies
    from metaconf.training.prepare import collect
    from metaconf.training.probe import fit

    base, held = load_local(plan.base), out / "base" / "answers.jsonl"
    # With their samples, as `base_rows` asks: in bfloat16 a greedy answer, and its probability,
    # depends on what it shares a batch with.
    evaluate(base, asked(plan), "samples8", held)
    chosen = pick(embedded_questions("stage1"), plan.stage1_questions, seed)
    taught = read_replies(start_folder(out, seed) / "prepare" / "answers.jsonl")
    train = [r for r in collect(chosen, taught, 0) if r.right is not None][: plan.labels]
    inside = [q for q in asked(plan) if q.split != "ood"]
    test = [r for r in collect(inside, read_replies(held), 0) if r.right is not None]
    labels = np.array([r.right for r in train], float)
    said = fit(default.states(base, train), labels)(default.states(base, test))
    pairs = zip(test, said, strict=True)
    return {r.question.id: (round(float(c), 4), float(r.right or 0)) for r, c in pairs}
