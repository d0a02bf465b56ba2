"""The model card: README.md in a trained model's folder, in the form that the hub reads.

Made from what training noted (`records.FACTS`) and, where they are at hand, from the figures of an
evaluation. It is meant to be shared: no path of this machine stands in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metaconf.errors import UserError
from metaconf.files import write_text
from metaconf.metrics import Figure, MethodResult
from metaconf.records import FACTS
from metaconf.report.load import Run, load_run
from metaconf.safe_text import loads_bounded

DIAGRAM = "reliability.png"
MEASURES = {
    "accuracy": "accuracy",
    "mean_confidence": "mean confidence",
    "ece": "ECE (15 bins)",
    "brier": "Brier score",
    "auroc": "AUROC",
    "auroc_within": "AUROC within kinds of question",
    "format_rate": "well-formed replies",
    "contradiction_rate": "reflections that contradict the confidence",
    "cmfg_star": "faithfulness of the reflection to the confidence (cMFG*)",
    "reading_rank_correlation": "rank correlation of reflection and confidence",
}
STAGES = {
    "sft": "stage 1, supervised fine-tuning on {count} rows of {data}",
    "grpo": "stage 2, GRPO on replies to questions of {data} ({count} at hand)",
}
FORMAT = """```
Answer: …
Self-reflection: …
Confidence: 0 to 10
```"""
INTENDED = """It is meant for questions like those it was trained on, where the confidence helps to
decide whether to use an answer, to check it or to abstain. The confidence is the chance that the
answer is right, over many questions of that kind; for a single answer it promises nothing.

On other kinds of questions it is worse calibrated, often too sure: measure it on labelled replies
of your own (`metaconf evaluate`, `metaconf calibrate`) before you rely on it. The reflection says
what the model found in itself when it was trained to; it is no proof of how the answer came about.
"""


def write_card(model: Path, results: Path | None = None, method: str | None = None) -> Path:
    """Write `model`/README.md, with the figures of the run `results` where it is given; `method`
    is the model's key in it (default: the last one). Returns the card's path.

    Raises UserError where `model` was not trained by us, or the run holds no such method.
    """
    facts = _facts(model)
    run = load_run(results) if results is not None else None
    measured = _result(run, method, results) if run is not None else None
    diagram = bool(results and measured and _copy_diagram(results, measured, model))
    text = "\n\n".join(_parts(facts, measured, diagram)).rstrip() + "\n"
    card = f"---\n{_front_matter(model.resolve().name, facts, measured)}\n---\n\n{text}"
    path = model / "README.md"
    write_text(path, card)
    return path


def _facts(model: Path) -> dict[str, Any]:
    path = model / FACTS
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the folder of a model that MetaConf trained")
    try:
        return loads_bounded(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); train the model again") from error


def _result(run: Run, key: str | None, results: Path | None) -> MethodResult:
    found = [s for s in run.methods if key is None or s.key == key]
    if not found:
        known = ", ".join(s.key for s in run.methods) or "none"
        raise UserError(f"{results}: holds no method {key!r}; there are: {known}")
    return found[-1]


def _copy_diagram(results: Path, method: MethodResult, model: Path) -> bool:
    from metaconf.report.write import file_stem  # matplotlib is loaded with it

    drawn = results / "figures" / f"reliability-{file_stem(method.key)}.png"
    if drawn.is_file():
        shutil.copyfile(drawn, model / DIAGRAM)
    return drawn.is_file()


def _front_matter(name: str, facts: dict[str, Any], method: MethodResult | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    known = _known(method.figures) if method else []
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="questions",
            dataset_name=f"{figure.n:.0f} held-out questions" if figure.n else "held-out questions",
            metric_type=key,
            metric_name=MEASURES[key],
            metric_value=round(figure.value or 0.0, 4),
        )
        for key, figure in known
    ]
    data = ModelCardData(
        base_model=facts["base_model"],
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["metaconf", "calibration", "confidence", "self-reflection"],
        model_name=name,
        eval_results=[*results] or None,
    )
    return data.to_yaml().strip()


def _known(figures: Mapping[str, Figure]) -> list[tuple[str, Figure]]:
    return [(key, figures[key]) for key in MEASURES if key in figures and _has_value(figures[key])]


def _has_value(figure: Figure) -> bool:
    return figure.value is not None


def _parts(facts: dict[str, Any], method: MethodResult | None, diagram: bool) -> Iterator[str]:
    stages: Sequence[dict[str, Any]] = facts["stages"]
    yield f"# {code(facts['base_model'])} that says how sure it is"
    yield f"It replies with an answer, a first-person self-reflection and a confidence:\n\n{FORMAT}"
    yield "## Figures"
    yield _figures(method) if method else "Not measured yet: `metaconf evaluate`, `metaconf card`."
    if diagram:
        yield f"![Reliability diagram: share right against stated confidence]({DIAGRAM})"
    yield "## How it was made"
    yield "\n".join(f"- {_stage(stage)}" for stage in stages)
    yield " ".join(_who(stages))
    yield "\n\n".join(_settings(stage) for stage in stages)
    yield "## Intended use and limits"
    yield INTENDED
    yield f"Made with MetaConf {facts['metaconf']}."


OFFLINE = {
    "Teacher": "the offline one, which writes them from the model's own sampled answers",
    "Judge": "the offline scorer (names the cause, the model's other answers, fits the confidence)",
}


def _who(stages: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Who wrote the reflections of stage 1 and who judged those of stage 2, as noted there."""
    for stage in stages:
        role = "Teacher" if stage["stage"] == "sft" else "Judge"
        one = stage.get("teacher") if role == "Teacher" else stage["settings"].get("judge")
        told = "not noted" if not one else OFFLINE[role]
        if one and one["kind"] == "llm":
            told = f"the model {code(one['model'])}"
        yield f"{role} of the reflections: {told}."


def _figures(method: MethodResult) -> str:
    lines = ["| figure | value | 95 % interval | replies |", "|---|---|---|---|"]
    for key, figure in _known(method.figures):
        ends = "–" if figure.low is None else f"{figure.low:.3f} to {figure.high:.3f}"
        n = "–" if figure.n is None else f"{figure.n:.0f}"
        lines.append(f"| {MEASURES[key]} | {figure.value:.3f} | {ends} | {n} |")
    return "\n".join(lines)


def _stage(stage: dict[str, Any]) -> str:
    data = "the embedded questions" if stage["data"] == "embedded" else code(stage["data"])
    return STAGES[stage["stage"]].replace("{count}", str(stage["count"])).replace("{data}", data)


def _settings(stage: dict[str, Any]) -> str:
    text = json.dumps(stage["settings"], ensure_ascii=False, indent=1, default=str)
    name = "stage 1" if stage["stage"] == "sft" else "stage 2"
    return f"<details><summary>Settings of {name}</summary>\n\n{fenced(text)}\n\n</details>"


def code(text: str) -> str:
    """Text as a Markdown code span that it cannot leave: one line, without back-ticks."""
    return f"`{' '.join(str(text).replace('`', chr(39)).split())}`"


def fenced(text: str) -> str:
    """Text as a Markdown code block, its fence longer than any in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}json\n{text}\n{fence}"
