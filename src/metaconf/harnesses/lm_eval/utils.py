"""What metaconf.yaml names: the questions, and figures of replies by MetaConf's own graders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from metaconf import harnesses
from metaconf.evaluation.rows import EvaluatedReply, reply_row, truth
from metaconf.records import Question, Reply

KEPT = ("question_id", "split", "answer", "confidence", "correctness", "problems", "formatted")


def dataset(questions: str = "embedded", **_: Any) -> dict[str, Any]:
    """The questions as the split "test": `questions` is a source as for `metaconf evaluate
    --questions`, from --metadata; what else stands there is not ours. Raises UserError."""
    from datasets import Dataset

    rows = [
        {"prompt": one.prompt, "target": truth(one), "question": json.dumps(one.to_json())}
        for one in harnesses.questions(questions)
    ]
    return {"test": Dataset.from_list(rows)}


def process_results(doc: Mapping[str, str], results: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The parsed and graded reply under the name of each figure, for its aggregation."""
    question = Question.from_json(json.loads(doc["question"]))
    row = reply_row(question, Reply(question.id, 0, results[0]), "reply").to_json()
    return {figure: {name: row[name] for name in KEPT} for figure in harnesses.FIGURES}


def _figure(name: str, rows: Sequence[dict[str, Any]]) -> float:
    return harnesses.figures([EvaluatedReply.from_json(row) for row in rows])[name]


accuracy = partial(_figure, "accuracy")
brier = partial(_figure, "brier")
auroc = partial(_figure, "auroc")
ece = partial(_figure, "ece")
format_rate = partial(_figure, "format_rate")
parse_rate = partial(_figure, "parse_rate")
