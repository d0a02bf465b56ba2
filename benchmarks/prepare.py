"""`metaconf prepare` on real questions, with a model behind a server as the teacher.

    python benchmarks/prepare.py --gsm8k gsm8k_test.jsonl --nq nq_open_dev.jsonl

Writes benchmarks/results/prepare.json. The embedded model is both the policy, which is sampled, and
the teacher, which writes the reflections: a weak one, so that all that can go wrong with a teacher
does. Prices are those of DeepSeek's API, to show what the same tokens would cost there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import record
from model_server import ROWS, serving

from metaconf.cli import main as metaconf
from metaconf.data import load_questions, pick
from metaconf.generation.local import load_local
from metaconf.metrics import wilson
from metaconf.records import Question, read_jsonl, write_jsonl

COMMAND = "python benchmarks/prepare.py --gsm8k gsm8k_test.jsonl --nq nq_open_dev.jsonl"
EACH = 300
BANDS = (0, 0.3, 0.65, 1)
NOTES = (
    "As many GSM8K as NQ-open questions; SmolLM2-135M-Instruct is the policy (short answers) and, "
    "behind a server on loopback, the teacher. A first version that leaks is written once more; a "
    "second one that does is dropped. cost: what these tokens cost at 0.28 and 0.42 a million. "
    "confidences_N: rows whose target lies in [N/10, (N+1)/10)."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gsm8k", required=True)
    parser.add_argument("--nq", required=True)
    parser.add_argument("--each", type=int, default=EACH, help="questions of each set")
    args = parser.parse_args()
    questions = [q for p in (args.gsm8k, args.nq) for q in pick(load_questions(p), args.each, 0)]
    with tempfile.TemporaryDirectory() as folder, serving(load_local("embedded")) as url:
        seconds = _prepare(Path(folder), questions, url)
        figures = _figures(Path(folder) / "run", len(questions), seconds)
    more = "" if args.each == EACH else f" --each {args.each}"
    record.write("prepare", COMMAND + more, figures, [42], NOTES, ["torch", "transformers"])


def _prepare(folder: Path, questions: list[Question], url: str) -> float:
    """Run the command; returns its seconds."""
    source, config = folder / "questions.jsonl", folder / "prepare.yaml"
    write_jsonl(source, ({**_row(q), "task": q.task} for q in questions))
    config.write_text(
        "teacher: {kind: llm, max_dropped: 1.0}\n"
        f"client: {{base_url: '{url}', model: embedded, api_key_env: NO_KEY, concurrency: {ROWS}, "
        "timeout: 600, input_price: 0.28, output_price: 0.42}\n"
    )
    start = time.monotonic()
    words = ["--questions", str(source), "--config", str(config), "--output_dir"]
    if metaconf(["prepare", *words, str(folder / "run")]) != 0:
        raise SystemExit("prepare failed")
    print((folder / "run" / "README.md").read_text())
    return time.monotonic() - start


def _row(question: Question) -> dict[str, object]:
    answers = [text for target in question.targets for text in target.texts]
    return {"id": question.id, "question": question.prompt, "answer": answers}


def _figures(run: Path, asked: int, seconds: float) -> dict[str, record.Figure]:
    rows = [row for _, row in read_jsonl(run / "sft.jsonl")]
    output = json.loads((run / "metaconf.json").read_text())["teacher_output"]
    wanted = output["asked"]
    figures = {
        "questions": record.figure(asked),
        "seconds": record.figure(round(seconds, 1), unit="s"),
        "rows": record.figure(len(rows)),
        "calls": record.figure(output["calls"]),
        "failed_calls": record.figure(output["failed"]),
        "tokens": record.figure(output["tokens"]),
        "cost": record.figure(round(output["cost"], 4), unit="$"),
    }
    for name, count in (
        ("leak_rate_first", output["leaking"]),
        ("mended_share", output["rewritten"]),
        ("dropped_share", wanted - output["reflections"]),
    ):
        share = count / wanted
        figures[name] = record.figure(round(share, 4), wilson(share, wanted))
    targets = [row["target"] for row in rows]
    for name, number in zip(
        ("low", "middle", "high"), np.histogram(targets, BANDS)[0], strict=True
    ):
        figures[f"share_{name}"] = record.figure(round(number / max(len(targets), 1), 4))
    for i in range(10):
        number = sum(min(int(target * 10), 9) == i for target in targets)
        figures[f"confidences_{i}"] = record.figure(number)
    return figures


if __name__ == "__main__":
    main()
