"""What the embedded default reaches: the demo, three seeds, more held-out questions.

    python benchmarks/default.py --seeds 42 0 1 [--unknowable nq_open_dev.jsonl]

Goes on where it was interrupted (runs/bench-default). Writes benchmarks/results/default.json.
Values are means over the seeds; intervals are 95 % by resampling questions and seeds together.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import forced
import numpy as np
import record
import shipped
from default_figures import STAGES, figures
from scoring import in_domain, pairs, slim

from metaconf import metrics
from metaconf.data import embedded_heldout, embedded_questions, load_questions, pick
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.metrics.figures import figures_to_json
from metaconf.records import Question
from metaconf.training.evidence import Answered, features
from metaconf.training.prepare import SAMPLES
from metaconf.training.probe import fit

HELDOUT, OUT_OF_DOMAIN = 1500, 300
"""Questions that are asked instead of the demo's: figures with narrower intervals."""


def seed_run(folder: Path, seed: int, unknowable: Path | None) -> dict[str, Any]:
    """Everything measured with one seed; its results are kept in `folder`/bench.json."""
    kept = folder / "bench.json"
    if not kept.exists():
        found = _measure(folder, seed, unknowable)
        kept.write_text(json.dumps(found, allow_nan=False))
    return json.loads(kept.read_text())


def _measure(folder: Path, seed: int, unknowable: Path | None) -> dict[str, Any]:
    from metaconf.evaluation.generate import evaluate
    from metaconf.generation.local import load_local

    rows = measured(folder, seed)
    model = load_local(str(folder / "stage2"))
    own = in_domain(rows["stage2"])
    rows["without_reflection"] = forced.without_reflection(model, own)
    rows["swapped_reflection"] = forced.with_other_reflection(model, own)
    others = {"invented": embedded_questions("unknowable")}
    if unknowable is not None:
        others["unknowable"] = pick(load_questions(str(unknowable)), 200, 0)
    for name, questions in others.items():
        rows[name] = evaluate(model, questions, "reply", folder / f"{name}.jsonl")
    rows["probability_calibrated"] = _recalibrated(folder)(rows["probability"])
    found = {"reflections": _reflections(folder, model, rows), "probes": _probes(folder)}
    return {"rows": {key: slim(value) for key, value in rows.items()}, **found}


def asked() -> list[Question]:
    """The held-out questions."""
    return embedded_heldout(HELDOUT, OUT_OF_DOMAIN)


def asked_in_domain() -> list[Question]:
    """Those of the families that are trained on."""
    return [question for question in asked() if question.split != "ood"]


def measured(folder: Path, seed: int) -> shipped.Rows:
    """The demo's replies to the held-out questions; `folder` has its models."""
    counts = ("--heldout", str(HELDOUT), "--out_of_domain", str(OUT_OF_DOMAIN))
    return shipped.demo(folder, seed, *counts)


def _recalibrated(folder: Path) -> Callable[[list[EvaluatedReply]], list[EvaluatedReply]]:
    from metaconf.generation.local import load_local

    known = pick(embedded_questions("calibration"), CALIBRATION, 0)
    return recalibration(load_local("embedded"), known, folder / "base" / "calibration.jsonl")


def recalibration(
    base: Any, asked: Sequence[Any], path: Path
) -> Callable[[list[EvaluatedReply]], list[EvaluatedReply]]:
    """The isotonic map of the base's answer probability, fitted on the questions `asked`; `path`
    keeps its answers."""
    from metaconf.evaluation.generate import evaluate

    known = pairs(evaluate(base, asked, "probability", path)).values()
    fitted = metrics.fit_isotonic(*map(np.array, zip(*known, strict=True)))

    def apply(rows: list[EvaluatedReply]) -> list[EvaluatedReply]:
        stated = [row for row in rows if row.confidence is not None]
        said = np.array([row.confidence for row in stated], float)
        mapped = metrics.apply_isotonic(fitted, said)
        return [replace(row, confidence=float(c)) for row, c in zip(stated, mapped, strict=True)]

    return apply


CALIBRATION = 500
"""Calibration questions that the isotonic map of the answer's probability is fitted on."""


def _reflections(folder: Path, model: Any, rows: shipped.Rows) -> dict[str, Any]:
    """Figures of stage 2's reflections, against 20 answers sampled from the same model, and what
    those of both stages tell a reader."""
    from metaconf.evaluation.generate import short_answers
    from metaconf.evaluation.reader import reader_figures
    from metaconf.evaluation.reflections import reflection_figures

    questions = asked()
    some = asked_in_domain()[:SAMPLED]
    path = folder / "stage2" / "policy.jsonl"
    drawn = short_answers(model, some, range(20), path, "20 answers", trained=True)
    samples = {q.id: [drawn[q.id, i].text for i in range(20)] for q in some}
    agreement = {row.question_id: row.agreement for row in rows["samples8"]}
    found = reflection_figures(rows["stage2"], questions, samples, agreement)
    for stage in STAGES:
        for name, figure in reader_figures(rows[stage]).items():
            # In the records the gain has a shorter name.
            found[f"{name.replace('reflection_brier_gain', 'reader_gain')}_{stage}"] = figure
    return figures_to_json(found)


SAMPLED = 500
"""Questions of which 20 answers are drawn for the alternatives' figures."""


def _probes(folder: Path) -> dict[str, Any]:
    """Confidences of a linear probe on the base, fitted on the stage-1 labels of this seed."""
    (train, x), (test, z) = probed(folder)
    labels = np.array([r.right for r in train], float)
    right = [r.right for r in test]
    hidden = fit(x, labels)(z)
    both = fit(features(train, x), labels)(features(test, z))
    ids = [r.question.id for r in test]
    return {
        name: [[i, float(c), y] for i, c, y in zip(ids, found, right, strict=True)]
        for name, found in (("probe", hidden), ("probe_samples", both))
    }


Probed = tuple[list[Answered], np.ndarray]


def probed(folder: Path) -> tuple[Probed, Probed]:
    """The base's answers in training and held out, with its hidden states at their ends (n, D)."""
    from metaconf.generation.local import load_local
    from metaconf.generation.store import read_replies
    from metaconf.training.prepare import collect

    base = load_local("embedded")
    taught = read_replies(folder / "prepare" / "answers.jsonl")
    known = {key[0] for key in taught}
    questions = [q for q in embedded_questions("stage1") if q.id in known]
    train = collect(questions, taught, SAMPLES)
    test = collect(asked_in_domain(), read_replies(folder / "base" / "answers.jsonl"), SAMPLES)
    return (train, states(base, train)), (test, states(base, test))


def states(base: Any, answers: Sequence[Answered]) -> np.ndarray:
    """(n, D) hidden states at the ends of the base's answers."""
    from metaconf.training.probe import answer_states, probe_layer

    prompts = [base.answer_prompt(r.question.prompt) for r in answers]
    layer = probe_layer(base.model.config.num_hidden_layers)
    return answer_states(base, prompts, [r.answer for r in answers], layer)


PACKAGES = ("torch", "transformers", "trl", "peft", "scikit-learn")


def notes() -> str:
    """What a reader of the figures must know; kept beside them."""
    return (Path(__file__).parent / "default-notes.txt").read_text(encoding="utf-8").strip()


def _demo_figures(folder: Path) -> dict[str, record.Figure]:
    """Seconds and memory of `make demo`, if it has run; absent otherwise."""
    path = folder / "clock.json"
    if not path.exists():
        return {}
    clock = json.loads(path.read_text())
    found = {
        "demo_seconds": record.figure(
            round(sum(clock["seconds"].values()), 1), None, "s", "<= 720"
        ),
        "demo_peak_gib": record.figure(clock["peak_gib"], None, "GiB", "<= 8"),
    }
    parts = clock["seconds"].items()
    return found | {
        f"demo_seconds_{name.replace(' ', '_')}": record.figure(taken, None, "s")
        for name, taken in parts
    }


def _sampling(questions: int = 32, k: int = 8) -> dict[str, record.Figure]:
    """How many times longer `generate(num_return_sequences=k)` takes than our sampler."""
    import torch

    from metaconf.generation.local import load_local, sample_answers
    from metaconf.generation.sampler import Sampling

    local = load_local("embedded")
    some = pick(embedded_questions("stage1"), questions, 0)
    prompts = [list(local.answer_prompt(q.prompt)) for q in some]
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=local.model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    ends = sorted(local.end_tokens | local.newline_tokens)
    start = time.monotonic()
    sample_answers(local, some, range(k), Sampling(12, rows=questions * k), lambda _: None)
    middle = time.monotonic()
    with torch.inference_mode():
        local.model.generate(
            input_ids=ids,
            attention_mask=mask.to(ids.device),
            max_new_tokens=12,
            do_sample=True,
            top_k=0,
            num_return_sequences=k,
            eos_token_id=ends,
            pad_token_id=ends[0],
        )
    ratio = (time.monotonic() - middle) / (middle - start)
    return {"sampling_ratio_generate": record.figure(round(ratio, 2), None, "x")}


def _command(arguments: argparse.Namespace) -> str:
    """The command line that gives these figures again; of a file its name alone."""
    words = ["python benchmarks/default.py --seeds", *map(str, arguments.seeds)]
    if arguments.unknowable is not None:
        words += ["--unknowable", arguments.unknowable.name]
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[42, 0, 1])
    parser.add_argument("--output_dir", type=Path, default=Path("runs/bench-default"))
    parser.add_argument("--unknowable", type=Path, help="questions that the model cannot know")
    parser.add_argument(
        "--demo", type=Path, default=Path("runs/demo"), help="a finished demo: its time"
    )
    arguments = parser.parse_args()
    folder = arguments.output_dir
    runs = [seed_run(folder / f"seed{n}", n, arguments.unknowable) for n in arguments.seeds]
    found = (figures(runs) if runs else {}) | _demo_figures(arguments.demo) | _sampling()
    record.write("default", _command(arguments), found, arguments.seeds, notes(), PACKAGES)


if __name__ == "__main__":
    main()
