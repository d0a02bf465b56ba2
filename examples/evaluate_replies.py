"""Measure replies from anywhere: a JSONL with a question, a confidence and a correctness a line.

python examples/evaluate_replies.py
"""

import json
import random
import tempfile
from pathlib import Path

from metaconf import evaluate


def write_replies(path: Path, count: int = 400) -> None:
    """Replies of an overconfident model: it is right less often than it says."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as out:
        for number in range(count):
            confidence = draw.randint(0, 10) / 10
            right = draw.random() < 0.8 * confidence
            row = {"question_id": f"q{number}", "confidence": confidence, "correctness": int(right)}
            out.write(json.dumps(row) + "\n")


def main(folder: Path) -> dict[str, float]:
    """Write replies into `folder`, measure them; returns the figures by name."""
    write_replies(folder / "replies.jsonl")
    results = evaluate(replies=folder / "replies.jsonl", output_dir=folder / "evaluation")
    figures = {name: found["value"] for name, found in results["methods"][0]["figures"].items()}
    for name in ("accuracy", "mean_confidence", "ece", "brier", "auroc"):
        print(f"{name:<16} {figures[name]:.3f}")
    print(f"report: {folder / 'evaluation' / 'report.html'}")
    return figures


if __name__ == "__main__":
    main(Path(tempfile.mkdtemp()))  # stays, so that the report can be opened
