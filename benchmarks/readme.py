"""Write the measured figures into README.md and docs/*.md, from benchmarks/results/*.json.

    python benchmarks/readme.py [--check]

The text between `<!-- figures:NAME -->` and `<!-- end -->` is replaced; --check only compares and
fails where a page says something else than the results.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- figures:(\w+) -->\n).*?(<!-- end -->)", re.S)
SYSTEMS = {
    "asked": "base, asked for a number in words",
    "probability": "base, its answer's probability (recalibrated)",
    "samples8": "base, agreement of 8 samples",
    "probe": "linear probe on the base's hidden state",
    "probe_samples": "probe with probability and agreement (the target of stage 1)",
    "stage1": "**MetaConf, stage 1** (one reply, in words)",
    "stage2": "**MetaConf, stage 2** (one reply, in words)",
}


def shown(figure: dict[str, Any] | None) -> str:
    """A figure with its interval, a dash where it was not measured."""
    if figure is None:
        return "–"
    low, high = figure.get("interval", (None, None))
    between = "" if low is None else f" ({low:.3f}–{high:.3f})"
    return f"{figure['value']:.3f}{between}"


def _source(record: dict[str, Any]) -> str:
    """The command that gives the figures, and of which day and commit they are."""
    return f"`{record['command']}` ({record['date']}, {record['commit']})"


HEADLINE = {
    "asked": "the base model, asked for a number in words",
    "samples8": "the base model, agreement of eight samples",
    "probability": "the base model, its answer's probability (recalibrated)",
}


def headline(record: dict[str, Any]) -> str:
    """The rows of the README: of the base, and of the method as it is now (`reflection`)."""
    path = ROOT / "benchmarks" / "results" / "reflection.json"
    own = json.loads(path.read_text(encoding="utf-8"))["figures"]
    cells = " | ".join(shown(own.get(f"{score}_stated")) for score in ("auroc", "brier", "ece"))
    return _systems(record, HEADLINE) + f"| **MetaConf, one reply in words** | {cells} |\n"


def systems(record: dict[str, Any]) -> str:
    """Every source of a confidence."""
    return _systems(record, SYSTEMS) + f"\n{_source(record)}\n"


def _systems(record: dict[str, Any], names: dict[str, str]) -> str:
    """AUROC, Brier score and ECE of some systems."""
    figures = record["figures"]
    lines = ["| confidence from | AUROC | Brier | ECE-15 |", "|---|---|---|---|"]
    for key, name in names.items():
        cells = [shown(figures.get(f"{metric}_{key}")) for metric in ("auroc", "brier", "ece")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def targets(record: dict[str, Any]) -> str:
    """Every figure that has a target, and whether it was reached."""
    return "\n".join([*_aimed(record["figures"]), "", _source(record)]) + "\n"


def _aimed(figures: dict[str, Any]) -> list[str]:
    lines = ["| figure | measured | target |", "|---|---|---|"]
    for name, figure in figures.items():
        if "target" in figure:
            value = (
                shown(figure) if figure["unit"] == "" else f"{figure['value']:.4g} {figure['unit']}"
            )
            lines.append(f"| {name} | {value} | {figure['target']} |")
    return lines


METHODS = {
    "asked": "asked in words",
    "cot": "asked after thinking",
    "refine": "asked to review",
    "verbal2": "two replies in words",
    "verbal8": "mean of 8 in words",
    "samples8": "agreement of 8 samples",
    "entropy": "semantic entropy",
    "probability": "probability of the answer",
    "token_mean": "mean token probability",
    "p_true": "P(True)",
    "probe": "linear probe",
    "replies8": "mean of 8 replies",
    "expected": "expectation of its own reply",
    "reply": "reply",
}


def baselines(record: dict[str, Any]) -> str:
    """Every source of a confidence: of the base, and of the trained model."""
    figures = record["figures"]
    columns = ("accuracy", "auroc", "brier_recalibrated", "tokens")
    lines = [
        "| confidence from | base: accuracy | AUROC | Brier, recalibrated | tokens"
        " | trained: accuracy | AUROC | Brier, recalibrated | tokens |",
        "|---|" + "---|" * 2 * len(columns),
    ]
    for key, label in METHODS.items():
        names = [f"{column}_{model}_{key}" for model in ("base", "trained") for column in columns]
        cells = [_short(name, figures.get(name)) for name in names]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _source(record)]) + "\n"


def _short(name: str, figure: dict[str, Any] | None) -> str:
    """A cell: tokens in whole numbers, the interval beside AUROC and Brier."""
    if figure is None:
        return "–"
    if name.startswith("tokens"):
        return f"{figure['value']:.0f}"
    low, high = figure.get("interval", (None, None))
    between = "" if low is None or name.startswith("acc") else f" ({low:.2f}–{high:.2f})"
    return f"{figure['value']:.3f}{between}"


PREPARED = {
    "questions": "questions",
    "leak_rate_first": "first reflections refused (not first person, too long, or a leak)",
    "mended_share": "corrected on the second request",
    "dropped_share": "dropped, with their rows",
    "rows": "rows written",
    "seconds": "seconds",
    "cost": "cost at DeepSeek's prices, $",
}


def prepared(record: dict[str, Any]) -> str:
    """What became of the reflections that a weak teacher wrote."""
    lines = ["| `prepare` with a weak teacher | measured |", "|---|---|"]
    for name, meaning in PREPARED.items():
        figure = record["figures"][name]
        whole = name in ("questions", "rows", "seconds")
        cell = f"{figure['value']:.0f}" if whole else shown(figure)
        lines.append(f"| {meaning} | {cell} |")
    return "\n".join([*lines, "", _source(record)]) + "\n"


def labels(record: dict[str, Any]) -> str:
    """What a probe and the answer's probability reach with so many graded answers."""
    figures = record["figures"]
    counts = sorted(int(name[len("auroc_probe_") :]) for name in figures if _is_count(name))
    lines = [
        "| graded answers | probe: AUROC | Brier | answer's probability: AUROC | Brier |",
        "|---|---|---|---|---|",
    ]
    for count in counts:
        names = [f"{score}_{way}_{count}" for way in WAYS_OF_LABELS for score in ("auroc", "brier")]
        cells = [shown(figures.get(name)) for name in names]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _source(record)]) + "\n"


WAYS_OF_LABELS = ("probe", "probability")
RIVALS = ("Base", "RLVR", "RLVR-Classifier", "Answer-Prob", "RLCR")
PUBLISHED_SETS = {
    "commonsenseqa": "CommonsenseQA",
    "math-500": "MATH-500, their labels",
    "math-500-regraded": "MATH-500, graded anew",
}
OF_RIVALS = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "auroc_within": "within subjects",
    "ece": "ECE-15",
    "brier": "Brier",
    "brier_after50": "after 50 labels",
    "brier_after100": "100",
    "brier_after200": "200",
    "coverage_alpha10": "answered at α .1",
    "coverage_alpha20": "α .2",
}


def published(record: dict[str, Any]) -> str:
    """Published systems by set: their scores; what recalibration and abstention make of them."""
    figures = record["figures"]
    lines = ["| set | system | " + " | ".join(OF_RIVALS.values()) + " |"]
    lines.append("|---" * (len(OF_RIVALS) + 2) + "|")
    for key, name in PUBLISHED_SETS.items():
        for system in RIVALS:
            found = [figures.get(f"{score}_{key}_{system.lower()}") for score in OF_RIVALS]
            if any(found):
                lines.append(f"| {name} | {system} | " + " | ".join(map(shown, found)) + " |")
    return "\n".join([*lines, "", *_aimed(_worst(figures)), "", _source(record)]) + "\n"


def _worst(figures: dict[str, Any]) -> dict[str, Any]:
    """The difference to the published figures, and the greatest violation of each kind."""
    kinds = {
        f"{kind}_{alpha}": [f for name, f in figures.items() if name.startswith(f"{kind}_{alpha}_")]
        for kind in ("violated", "violated_cascade")
        for alpha in ("alpha5", "alpha10", "alpha20")
    }
    worst = {f"{k} (greatest)": max(v, key=lambda f: f["value"]) for k, v in kinds.items() if v}
    return {"max_difference": figures["max_difference"], **worst}


def _is_count(name: str) -> bool:
    return name.startswith("auroc_probe_") and name[len("auroc_probe_") :].isdecimal()


STAGES = ("stage1", "stage2")


def llama_factory(record: dict[str, Any]) -> str:
    """What stage 1 by LLaMA-Factory reaches, and how far from TRL's engine it is."""
    lines = [
        "| stage 1 by LLaMA-Factory | alone | after the pass | less TRL's | after stage 2"
        " | less TRL's |",
        "|---|---|---|---|---|---|",
    ]
    for score in ("accuracy", "auroc", "brier", "ece"):
        names = [f"{score}_llama_factory"]
        names += [f"{score}{s}_{stage}" for stage in STAGES for s in ("", "_difference")]
        cells = [shown(record["figures"].get(name)) for name in names]
        lines.append(f"| {score} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _source(record)]) + "\n"


def recipes(record: dict[str, Any]) -> str:
    """Every recipe from the same start, the best Brier score first; then parts of ours."""
    figures = record["figures"]
    every = [name[len("accuracy_") :] for name in figures if name.startswith("accuracy_")]
    every.sort(key=lambda name: figures[f"brier_{name}"]["value"])
    after = [name for name in every if name.endswith(FROM_PROBE)]
    ranked = [name for name in every if name not in after]
    published = [name for name in ranked if not name.startswith("ours")]
    changed = [name for name in ranked if name.startswith("ours")]
    lines = [*RECIPE_HEAD, *(_recipe(name, figures) for name in published), ""]
    # The differences stand in the first table.
    others = {k: v for k, v in figures.items() if not k.startswith("brier_difference")}
    lines += [*_aimed(others), ""]
    if changed:
        head = "Parts of our recipe, and our stage 2 with one change:"
        lines += [head, "", *RECIPE_HEAD]
        lines += [*(_recipe(name, figures) for name in changed), ""]
    if after:
        seed = record["seeds"][0]
        lines += [f"Stage 2 from our own stage 1 (seed {seed}):", "", *PROBE_HEAD]
        lines += [*(_from_probe(name, figures) for name in after), ""]
    return "\n".join([*lines, _source(record)]) + "\n"


RECIPE_HEAD = (
    "| recipe | accuracy | AUROC | Brier | less ours | ECE | levels | replies until calibrated |"
    " learning rate |",
    "|---|---|---|---|---|---|---|---|---|",
)


def _recipe(name: str, figures: dict[str, Any]) -> str:
    cells = _scores(name, figures, "accuracy", "auroc", "brier", "brier_difference", "ece")
    levels = figures.get("confidence_levels" if name == "metaconf" else f"levels_{name}")
    cells.append("–" if levels is None else f"{levels['value']:.1f}")
    reached = figures.get(f"replies_to_calibrated_{name}")
    bound = "> " if reached and "bound" in reached["unit"] else ""
    cells.append("–" if reached is None else f"{bound}{reached['value']:.0f}")
    rate = figures.get(f"learning_rate_{name}")
    cells.append("–" if rate is None else f"{rate['value']:g}")
    shown_name = "**metaconf**" if name == "metaconf" else RECIPE_NAMES.get(name, name)
    return f"| {shown_name} | " + " | ".join(cells) + " |"


def _scores(name: str, figures: dict[str, Any], *scores: str) -> list[str]:
    return [shown(figures.get(f"{score}_{name}")) for score in scores]


FROM_PROBE = "_probe"
PROBE_HEAD = (
    "| recipe | accuracy | AUROC | Brier | change | ECE |",
    "|---|---|---|---|---|---|",
)


def _from_probe(name: str, figures: dict[str, Any]) -> str:
    cells = _scores(name, figures, "accuracy", "auroc", "brier", "brier_change", "ece")
    recipe = name.removesuffix(FROM_PROBE)
    shown_name = "metaconf" if recipe == "ours-stage-2-alone" else recipe
    return f"| {shown_name} | " + " | ".join(cells) + " |"


RECIPE_NAMES = {
    "start": "the start: stage 1 on the share of agreeing samples",
    "rlcr-longer": "rlcr, ten times as many replies",
    "ours-stage-1-alone": "our stage 1 alone",
    "ours-stage-2-alone": "our stage 2 alone, from the start",
    "ours-by-segment": "each part credited to its own segment",
    "ours-sampled": "reward for the sampled number, no exact score",
    "ours-narrow": "exact score: cross-entropy to a narrow target",
    "ours-expectation": "exact score: Brier score of the expectation",
    "ours-group": "target: mean correctness of the group",
    "ours-probe": "target: prediction of a probe",
    "ours-reader": "reflection reward from a small reader",
    "ours-constant-rate": "a constant learning rate",
    "ours-pairs": "pairs instead of groups of four",
    "ours-few-large-updates": "a quarter of the updates, each four times as large",
}

COLUMNS_OF_STAGES = {"_before": "before", "_stage1": "stage 1", "": "stage 2"}
WORDS_AND_NUMBER = {
    "contradictions": "contradictions among those that state ≥ .6 or ≤ .2",
    "agreement": "rank correlation of words and number",
    "cmfg_words_number": "cMFG*: words against number",
    "cmfg_words_samples": "cMFG*: words against 8 samples",
    "cmfg_number_samples": "cMFG*: number against 8 samples",
    "auroc_reading": "AUROC of the words alone",
    "auroc_stated": "AUROC of the number",
    "brier_stated": "Brier score of the number",
    "ece_stated": "ECE of the number",
    "accuracy": "accuracy",
    "format_rate": "replies in the format",
    "auroc_reading_within": "AUROC of the words within kinds of question",
    "auroc_stated_within": "AUROC of the number within kinds of question",
    "reading_coverage": "reflections whose words tell how sure they are",
    "alternatives_precision": "other answers named: precision against own samples",
    "alternatives_recall": "other answers named: recall",
    "cause_named": "true cause named",
    "commonest_opening": "share of the commonest opening (four words)",
}


def words_and_number(record: dict[str, Any]) -> str:
    """Whether reflections agree with the number, before and after, and the differences."""
    figures = record["figures"]
    ends = [end for end in COLUMNS_OF_STAGES if f"agreement{end}" in figures]
    lines = [
        "| figure | " + " | ".join(COLUMNS_OF_STAGES[end] for end in ends) + " | target |",
        "|---" * (len(ends) + 2) + "|",
    ]
    for name, meaning in WORDS_AND_NUMBER.items():
        each = [figures.get(f"{name}{end}") for end in ends]
        target = next((f["target"] for f in each if f and "target" in f), "")
        lines.append(f"| {meaning} | " + " | ".join(map(shown, each)) + f" | {target} |")
    lines += ["", "| less the earlier method, paired | stage 1 | stage 2 |", "|---|---|---|"]
    for name in ("accuracy", "auroc", "brier", "ece", "format"):
        each = [figures.get(f"{name}_difference{end}") for end in ("_stage1", "")]
        lines.append(f"| {name} | " + " | ".join(map(shown, each)) + " |")
    return "\n".join([*lines, "", _source(record)]) + "\n"


def one_of_each_level(record: dict[str, Any]) -> str:
    """The first reply of each level of confidence, as the model writes it."""
    replies = {one["level"]: one for one in reversed(record["replies"])}
    return _as_text(
        [replies[level] for level in dict.fromkeys(r["level"] for r in record["replies"])]
    )


def first_replies(record: dict[str, Any]) -> str:
    """The first replies of each level of confidence."""
    return _as_text(record["replies"])


def _as_text(replies: list[dict[str, Any]]) -> str:
    """Replies as an indented block: nothing in them is markup."""
    lines: list[str] = []
    for one in replies:
        said = [
            one["prompt"],
            f"  Answer: {one['answer']}",
            f"  Self-reflection: {one['reflection']}",
            f"  Confidence: {round(10 * one['confidence'])}",
        ]
        lines += ["", *(f"    {' '.join(line.split(chr(10)))}" for line in said)]
    return "\n".join([*lines, ""]) + "\n"


BLOCKS = {
    "reflection": ("reflection", words_and_number),
    "example": ("examples", one_of_each_level),
    "examples": ("examples", first_replies),
    "recipes": ("recipes", recipes),
    "llama_factory": ("llama_factory", llama_factory),
    "trl_plain": ("trl_plain", targets),
    "scale": ("scale", targets),
    "stale": ("stale", targets),
    "plan": ("plan", targets),
    "commonsense": ("commonsense", targets),
    "prepare": ("prepare", prepared),
    "replies": ("replies", targets),
    "headline": ("default", headline),
    "systems": ("default", systems),
    "labels": ("labels", labels),
    "published": ("published", published),
    "cases": ("cases", targets),
    "runs": ("runs", targets),
    "default": ("default", targets),
    "metrics": ("metrics", targets),
    "report": ("report", targets),
    "decisions": ("decisions", targets),
    "baselines": ("baselines", baselines),
    "client": ("client", targets),
    "serve": ("serve", targets),
    "questions": ("questions", targets),
    "reading": ("reading", targets),
}


def pages() -> list[Path]:
    """The README and the pages of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(text: str) -> str:
    """The page's text with every block made anew; blocks without results stay as they are."""

    def block(match: re.Match[str]) -> str:
        source, make = BLOCKS[match[2]]
        path = ROOT / "benchmarks" / "results" / f"{source}.json"
        if not path.exists():
            return match[0]
        return match[1] + make(json.loads(path.read_text(encoding="utf-8"))) + match[3]

    return BLOCK.sub(block, text)


def main() -> None:
    differing = []
    for path in pages():
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        if before != after:
            differing.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv[1:]:
                path.write_text(after, encoding="utf-8")
    if differing and "--check" in sys.argv[1:]:
        sys.exit(f"{', '.join(differing)}: not benchmarks/results; run `make figures`")


if __name__ == "__main__":
    main()
