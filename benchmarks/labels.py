"""How many graded answers does the probe of stage 1 need, and which target is right for which cause
of uncertainty?

    python benchmarks/labels.py [--run runs/bench-default/seed42]

The probe of stage 1 (hidden state, answer's probability, agreement of samples) and one of the
hidden state alone, fitted on ever more of the graded stage-1 answers, several draws of each size,
and held against the answer's own probability on the held-out questions. Then each target of
`confidence.target` on the stage-1 questions, by true cause. Needs what benchmarks/default.py left
of a seed. Writes benchmarks/results/labels.json; an interval spans the draws, or is 95 % by
question.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import default
import numpy as np
import record

from metaconf import metrics
from metaconf.config.values import read_yaml
from metaconf.training.evidence import Answered, features, targets
from metaconf.training.probe import fit

SIZES = (40, 80, 160, 320, 640, 1280, 2400)
DRAWS = 10
COMMAND = "python benchmarks/labels.py"
NOTES = (
    "Embedded model, 1,500 held-out questions in domain; one graded answer a question. probe_N: on"
    f" N labels, mean of {DRAWS} draws of them. Isotonic recalibration of the answer's probability"
    " is fitted on the same labels (probability_N). target_…: a target of stage 1 less the answer's"
    " correctness, and squared, on the stage-1 questions of a cause; share: samples that agree,"
    " probe: cross-fitted."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", type=Path, default=Path("runs/bench-default/seed42"))
    run: Path = parser.parse_args().run
    seed = read_yaml(run / "prepare" / "config.yaml")[0]["seed"]
    (train, x), (test, z) = default.probed(run)
    labels, right = (np.array([row.right for row in part], float) for part in (train, test))
    chances, held = (np.array([r.probability or 0.0 for r in p]) for p in (train, test))
    sides = {"hidden": (x, z), "probe": (features(train, x), features(test, z))}
    found: dict[str, record.Figure] = {}
    rng = np.random.default_rng(0)
    for size in (size for size in SIZES if size <= len(labels)):
        draws = [rng.permutation(len(labels))[:size] for _ in range(DRAWS)]
        said = {
            name: [fit(fitted[some], labels[some])(read) for some in draws]
            for name, (fitted, read) in sides.items()
        }
        said["probability"] = [
            metrics.apply_isotonic(metrics.fit_isotonic(chances[some], labels[some]), held)
            for some in draws
        ]
        for name, each in said.items():
            for score, of in (("auroc", metrics.auroc), ("brier", metrics.brier)):
                values = [of(confidence, right) for confidence in each]
                found[f"{score}_{name}_{size}"] = record.figure(
                    round(float(np.mean(values)), 4), (min(values), max(values))
                )
    found |= by_cause(train, x)
    found["auroc_probability"] = record.figure(round(metrics.auroc(held, right), 4))
    packages = ["torch", "transformers", "scikit-learn"]
    record.write("labels", COMMAND, found, [seed], NOTES, packages)


def by_cause(rows: Sequence[Answered], states: np.ndarray) -> dict[str, record.Figure]:
    """Of each target and cause: its mean less the share right (bias), and its Brier score against
    the answer's own correctness."""
    found: dict[str, record.Figure] = {}
    right = np.array([row.right for row in rows], float)
    for kind in TARGETS:
        taught = targets(rows, kind, states)
        for cause in sorted({row.question.cause for row in rows if row.question.cause}):
            of = np.array([row.question.cause == cause for row in rows])
            apart = taught[of] - right[of]
            for name, each in (("bias", apart), ("brier", apart**2)):
                mean, far = each.mean(), 1.96 * each.std() / len(each) ** 0.5
                key = f"target_{name}_{kind}_{cause.replace(' ', '_')}"
                found[key] = record.figure(round(float(mean), 4), (mean - far, mean + far))
    return found


TARGETS = ("self_consistency", "probe")


if __name__ == "__main__":
    main()
