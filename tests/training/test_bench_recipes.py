"""The benchmark of the recipes on a tiny model: that it runs, resumes, and makes nothing up."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from metaconf import data as questions
from metaconf.config.blocks import Confidence
from metaconf.errors import UserError
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.records import read_jsonl
from metaconf.training import prepare, probe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import recipes  # pyright: ignore[reportMissingImports]
    import record  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(recipes.recipes_figures.scoring, "REPLICATES", 20)
    # They are read anew for each piece: half a second each time.
    monkeypatch.setattr(questions, "embedded_questions", cache(questions.embedded_questions))
    yield recipes
    for name in (
        "recipes",
        "recipes_starts",
        "recipes_figures",
        "recipes_measured",
        "recipes_plan",
        "recipes_reached",
        "record",
        "default",
        "default_figures",
        "scoring",
    ):
        sys.modules.pop(name, None)


def test_a_quick_run_and_its_figures(
    bench: Any, taught: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = taught()
    for part in (start.model, start.tokenizer):
        part.save_pretrained(tmp_path / "tiny")
    tiny, out = str(tmp_path / "tiny"), tmp_path / "run"
    words = ["--quick", "--base", tiny, "--output_dir", str(out)]
    words += ["--recipes", "metaconf", "rlcr"]
    words += ["--seeds", "0", "--keep", str(tmp_path / "keep")]

    labelled: list[int] = []  # labels: of the lesson, and of the probe that stands beside ours
    fitted, made = probe.fit, prepare.prepare

    def prepare_rows(config: Any, *args: Any) -> Any:
        labelled.append(config.confidence.num_labeled)
        assert config.confidence == Confidence(num_labeled=32)
        return made(config, *args)

    def fit(states: Any, labels: Any) -> Any:
        labelled.append(len(labels))
        return fitted(states, labels)

    begun: dict[str, str] = {}
    trained = bench._train

    def train(piece: Any, start: Path, *args: Any) -> Any:
        begun[piece.recipe] = str(start.relative_to(out))
        return trained(piece, start, *args)

    monkeypatch.setattr(bench, "_train", train)
    monkeypatch.setattr(prepare, "prepare", prepare_rows)
    monkeypatch.setattr(probe, "fit", fit)
    # Cut short after the first piece, as by --minutes.
    bench.main([*words, "--minutes", "0"])
    assert not (out / "start" / "rlcr").exists()
    bench.main(words)
    assert labelled == [32, 32]
    found = json.loads((tmp_path / "results" / "recipes.json").read_text())
    assert {"accuracy_metaconf", "accuracy_rlcr", "format_start", "tokens_samples8"} <= set(
        found["figures"]
    )
    assert found["seeds"] == [0] and found["command"].endswith("--recipes metaconf rlcr")
    assert not any(value["value"] is None for value in found["figures"].values())
    for recipe in ("metaconf", "rlcr"):
        folder = out / "start" / recipe / "seed0"
        kept = gzip.decompress((tmp_path / "keep" / "start" / f"{recipe}-0.json.gz").read_bytes())
        assert len(json.loads(kept)["rows"]) == 10 and json.loads(kept)["tokens"] > 0
        assert not (folder / "model.safetensors").exists()
        replies = (folder / "replies.jsonl").read_text().splitlines()
        assert len(replies) == 64
        counted = [row["replies"] for row in json.loads(kept)["curve"] if "replies" in row]
        assert (counted[0], counted[-1]) == (0, 64)
        measured = json.loads(kept)
        assert ("named" in measured) == ("probe" in measured) == (recipe == "metaconf")
        assert measured["plan"] | {"times": bench.TIMES} == measured_plan(bench, tiny)
    assert begun == dict.fromkeys(("metaconf", "rlcr"), "stage1/seed0/model")
    of_ours = json.loads(gzip.decompress((tmp_path / "keep/start/metaconf-0.json.gz").read_bytes()))
    assert len(of_ours["probe"]) == 8  # those in the domain
    assert of_ours["named"].keys() <= of_ours["probe"].keys()
    folder = out / "stage1" / "seed0"
    assert 32 < len([*read_jsonl(folder / "prepare" / "sft.jsonl")]) <= 40
    assert bench.demo.Clock.of(folder / "clock.json").parts["stage1"] > 0

    # Nothing is left to be done, and a run of other settings does not mix with this one.
    def again(*_: Any) -> None:
        raise AssertionError("a piece was done twice")

    monkeypatch.setattr(bench, "do", again)
    bench.main(words)
    with pytest.raises(UserError, match=r"plan\.steps"):
        bench.main([*words, "--steps", "6"])

    # On another machine, what was kept is all that is needed; another plan's pieces do not mix.
    elsewhere = [str(tmp_path / "other") if word == str(out) else word for word in words]
    bench.main(elsewhere)
    same = json.loads((tmp_path / "results" / "recipes.json").read_text())
    assert same["figures"] == found["figures"]
    with pytest.raises(UserError, match="was measured by another plan"):
        bench.main(
            [*elsewhere[:-1], f"{tmp_path}/keep", "--output_dir", f"{tmp_path}/new", "--steps", "6"]
        )


def measured_plan(bench: Any, base: str) -> dict[str, Any]:
    plan = bench.Plan(**{**asdict(bench.QUICK), "base": base})
    return json.loads(json.dumps(bench.deciding(plan)))


def rows(shift: float, n: int = 60) -> list[EvaluatedReply]:
    made = []
    for i in range(n):
        right = float(i % 3 == 0)
        confidence = (0.8 if right else 0.2) + shift * (-1 if right else 1)
        made.append(
            EvaluatedReply(
                str(i),
                confidence=None if i == 5 else confidence,
                correctness=right,
                split="heldout",
            )
        )
    return made


def test_each_change_to_ours_trains_on_as_many_replies(
    bench: Any, taught: Callable[[], Any], tmp_path: Path
) -> None:
    start = taught()
    for part in (start.model, start.tokenizer):
        part.save_pretrained(tmp_path / "tiny")
    plan = bench.Plan(
        **{**asdict(bench.QUICK), "base": str(tmp_path / "tiny"), "steps": 4, "labels": 32}
    )
    for name in ("ours-few-large-updates", "ours-groups"):
        piece = bench.Piece(name, 0)
        bench.do(piece, tmp_path / "tiny", tmp_path / "run", tmp_path / "keep", plan)
        replies = (piece.folder(tmp_path / "run") / "replies.jsonl").read_text().splitlines()
        assert len(replies) == 64, name
    longer = bench.config(bench.Piece("rlcr-longer", 0), plan)
    assert (longer.recipe, longer.trainer["max_steps"], longer.eval_steps) == ("rlcr", 40, 20)
    names = ["metaconf", *bench.ABLATIONS]
    configs = [repr(bench.config(bench.Piece(n, 0), plan)) for n in names]
    assert len(set(configs)) == len(names)  # no two are the same run


def test_a_longer_run_says_how_much_longer(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    longer, rlcr = (bench.Piece(name, 0) for name in ("rlcr-longer", "rlcr"))
    before = [bench.decided(piece, bench.QUICK) for piece in (longer, rlcr)]
    monkeypatch.setattr(bench, "TIMES", 2 * bench.TIMES)
    now = [bench.decided(piece, bench.QUICK) for piece in (longer, rlcr)]
    assert now[0] != before[0] and now[1] == before[1]


def test_a_piece_without_part_of_the_plan_does_not_mix(bench: Any, tmp_path: Path) -> None:
    figures, plan = bench.recipes_figures, {"steps": 2, "labels": 32, "times": 10}
    for kept, fits in (({"steps": 2, "labels": 32}, True), ({"steps": 2}, False)):
        figures.write(figures.kept(tmp_path, "start", "rlcr", 0), {"plan": kept, "rows": []})
        with nullcontext() if fits else pytest.raises(UserError, match="another plan"):
            assert figures.read(tmp_path, plan, "start", "rlcr", [0]).keys() == {0}


def test_which_recipe_is_run_with_how_many_seeds(bench: Any) -> None:
    recipes = ["metaconf", "dcpo", "ours-groups"]
    pieces = bench.pieces(recipes, [7, 8, 9])
    count = {"start": 3, "metaconf": 3, "dcpo": 2, "ours-groups": 1}
    assert {name: [p.recipe for p in pieces].count(name) for name in count} == count
    assert {p.seed for p in pieces if p.recipe == "ours-groups"} == {7}


def test_a_difference_is_paired_by_question(bench: Any) -> None:
    found = bench.recipes_figures._difference({0: rows(0.2)}, {0: rows(0.0), 1: rows(0.5)}, "rlcr")
    figure = found["brier_difference_rlcr"]
    assert figure["value"] == pytest.approx(0.4**2 - 0.2**2)
    assert figure["interval"] == pytest.approx([0.12, 0.12])  # the same for every question
    assert bench.recipes_figures._difference({}, {0: rows(0.0)}, "rlcr") == {}


def test_named_answers_are_compared_where_a_reflection_names_some(bench: Any) -> None:
    start = {"named": {str(i): [0.25 if i % 2 else None, 0.0] for i in range(60)}}
    ours = {"named": {str(i): [None if i % 3 else 0.5, i % 2] for i in range(60)}}
    found = bench.recipes_figures._named_more({0: ours, 1: ours}, {0: start})
    assert found["alternatives_precision_metaconf"]["value"] == pytest.approx(0.5)
    assert found["alternatives_precision_difference"]["value"] == pytest.approx(0.25)
    assert found["alternatives_covered_difference"]["value"] == pytest.approx(0.5)
    assert bench.recipes_figures._named_more({0: ours}, {0: {}}) == {}  # an old piece


def test_our_brier_score_beside_the_probability_and_the_probe(bench: Any) -> None:
    ours = {0: {"rows": rows(0.1), "probe": {r.question_id: [0.5, 0.0] for r in rows(0)}}}
    beside = bench.recipes_figures._beside
    found = beside(ours, rows(0.0))
    assert found["brier_ratio_calibrated"]["value"] == pytest.approx(0.09 / 0.04)
    assert "brier_ratio_probe" not in found  # no right answer among its resamples
    right = {r.question_id: [0.5, r.correctness] for r in rows(0)}
    found = beside({0: ours[0] | {"probe": right}}, rows(0.0))
    assert found["brier_ratio_probe"]["value"] == pytest.approx(0.09 / 0.25)
    assert found["brier_probe"]["value"] == pytest.approx(0.25)


def test_targets_are_held_against_what_was_measured(bench: Any, tmp_path: Path) -> None:
    values = {"auroc_metaconf": 0.84, "auroc_probability": 0.81, "auroc_samples8": 0.80}
    values |= {"ece_metaconf": 0.03, "seconds_to_calibrated_metaconf": 100.0}
    found = {name: {"value": value, "unit": ""} for name, value in values.items()}
    found["seconds_to_calibrated_rlcr"] = {"value": 400.0, "unit": "seconds (lower bound)"}
    trl = tmp_path / "trl_plain.json"
    trl.write_text(json.dumps({"figures": {"step_ratio_rlcr": {"value": 0.5}}}))
    aimed = bench.recipes_reached.aims(found, trl)
    assert aimed["auroc_metaconf"]["target"] == ">= 0.85"
    ratio = aimed["seconds_to_calibrated_ratio_trl"]
    assert ratio == {"value": 0.125, "unit": "x (upper bound)", "target": "<= 0.25"}
    assert not {"accuracy_metaconf", "confidence_levels"} & set(aimed)  # neither was measured
    assert bench.recipes_reached.aims(found, tmp_path / "none").keys() == found.keys()
    found["replies_to_calibrated_metaconf"] = {"value": 640.0, "unit": "replies"}
    longer = {"value": 4000.0, "unit": "replies"}
    told = found | {"replies_to_calibrated_rlcr-longer": longer}
    aimed = bench.recipes_reached.aims(told, tmp_path / "none")
    assert aimed["replies_to_calibrated_metaconf"]["target"] == "<= 800"
    found["seconds_to_calibrated_metaconf"]["unit"] = "seconds (lower bound)"  # not reached
    assert "seconds_to_calibrated_ratio_trl" not in bench.recipes_reached.aims(found, trl)


def test_a_seed_that_is_never_calibrated_makes_a_lower_bound(bench: Any) -> None:
    probability = bench.recipes_reached.inside(rows(0.3))  # ranks all: AUROC 1
    good = {"heldout_auroc": 1.0, "heldout_ece": 0.05}
    bad = {"heldout_auroc": 1.0, "heldout_ece": 0.07}
    steps = [{"replies": 16.0 * i, "seconds": 2.0 * i} for i in range(4)]
    curve = [{**s, **(good if i >= 2 else bad)} for i, s in enumerate(steps)]
    curve.append({"loss": 0.1, "step": 4.0})  # a line of the trainer's own
    soon = {"curve": curve, "rows": rows(0.3)}
    lines = [*({**s, **bad} for s in steps), curve[-1]]
    never = {"curve": lines, "rows": rows(0.3)}  # its ECE is .5 at the end

    def reached(*pieces: Any) -> Any:
        return bench.recipes_reached.reached(pieces, probability, probability, "rlcr")

    assert reached(soon)["replies_to_calibrated_rlcr"] == {"value": 32.0, "unit": "replies"}
    found = reached(soon, never)
    assert found["seconds_to_calibrated_rlcr"] == {"value": 5.0, "unit": "seconds (lower bound)"}
    # At the end all the held-out questions count.
    late = never | {"rows": rows(-0.15)}
    assert reached(soon, late)["seconds_to_calibrated_rlcr"] == {"value": 5.0, "unit": "seconds"}
    assert (
        "bound"
        in reached(never | {"rows": rows(-0.15)[:50] + rows(0.5)[50:]})[
            "replies_to_calibrated_rlcr"
        ]["unit"]
    )


def test_pieces_of_the_first_seed_come_first(bench: Any) -> None:
    made = bench.pieces(["metaconf", "rlcr"], [0, 1])
    firsts = [("start", 0), ("metaconf", 0), ("rlcr", 0), ("start", 1)]
    assert [(p.recipe, p.seed) for p in made[:4]] == firsts
    assert [p.seed for p in made] == [0] * 3 + [1] * 3 and len(set(made)) == 6
