"""MetaConf's questions and figures in other evaluation programs: Inspect and lm-eval.

Replies are read, graded and counted by the functions of `metaconf evaluate`, so that the same
replies give the same figures in all three. The programs themselves are extras.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from metaconf.config.blocks import EMBEDDED
from metaconf.data import load_questions
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.evaluation.tables import tables
from metaconf.records import Question

FIGURES = ("accuracy", "brier", "auroc", "ece", "format_rate", "parse_rate")


def questions(source: str) -> list[Question]:
    """The questions of a source, as for `load_questions`; plain "embedded" means what `evaluate`
    asks by it, the held-out and the out-of-domain ones. Raises UserError."""
    found = load_questions(source)
    return [q for q in found if source != EMBEDDED or q.split in ("heldout", "ood")]


def figures(rows: Sequence[EvaluatedReply]) -> dict[str, float]:
    """FIGURES of the rows, as metrics.json of `metaconf evaluate` has them; NaN: not known."""
    found = tables({"reply": rows}, replicates=0)[0].figures
    values = {name: found[name].value if name in found else None for name in FIGURES}
    return {name: nan if value is None else value for name, value in values.items()}
