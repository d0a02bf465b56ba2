"""The benchmark of the recipes on a tiny model: that it runs, resumes, and makes nothing up."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
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
from metaconf.training import checkpoints, prepare, probe, stage2

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import recipes  # pyright: ignore[reportMissingImports]
    import record  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(recipes.recipes_figures.scoring, "REPLICATES", 20)
    # A random model earns nothing by most recipes and hardly writes the format: refused, both.
    monkeypatch.setattr(checkpoints, "check_learned", lambda *_: None)
    monkeypatch.setattr(stage2, "check_format", lambda *_: None)
    # They are read anew for each piece: half a second each time.
    monkeypatch.setattr(questions, "embedded_questions", cache(questions.embedded_questions))
    yield recipes
    for name in (
        "recipes",
        "shipped",
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


@pytest.mark.slow
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
    trained = bench.shipped.trained

    def train(stage: str, folder: Path, **keys: Any) -> Any:
        if stage == "grpo":
            begun[keys["recipe"]] = str(keys["model_name_or_path"].relative_to(out))
        return trained(stage, folder, **keys)

    monkeypatch.setattr(bench.shipped, "trained", train)
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
        assert measured["plan"] == measured_plan(bench, tiny, recipe, tmp_path / "keep")
    assert begun == dict.fromkeys(("metaconf", "rlcr"), "stage1/seed0/model")
    of_ours = json.loads(gzip.decompress((tmp_path / "keep/start/metaconf-0.json.gz").read_bytes()))
    assert len(of_ours["probe"]) == 8  # those in the domain
    assert of_ours["named"].keys() <= of_ours["probe"].keys()
    folder = out / "stage1" / "seed0"
    assert 32 < len([*read_jsonl(folder / "prepare" / "sft.jsonl")]) <= 40

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


def measured_plan(bench: Any, base: str, recipe: str, keep: Path) -> dict[str, Any]:
    plan = bench.Plan(**{**asdict(bench.QUICK), "base": base})
    return bench.decided(bench.Piece(recipe, 0), keep, plan)


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


@pytest.fixture
def tiny(taught: Callable[[], Any], tmp_path: Path) -> Path:
    start = taught()
    for part in (start.model, start.tokenizer):
        part.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.slow
def test_each_change_to_ours_trains_on_as_many_replies(
    bench: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, keep = bench.Plan(**{**asdict(bench.QUICK), "base": str(tiny)}), tmp_path / "keep"
    monkeypatch.setattr(bench, "stage1_start", lambda *_: tiny)
    for name in ("ours-few-large-updates", "ours-groups"):
        piece = bench.Piece(name, 0)
        bench.do(piece, tmp_path / "run", keep, plan)
        replies = (piece.folder(tmp_path / "run") / "replies.jsonl").read_text().splitlines()
        assert len(replies) == 64, name
    longer = bench.changes("rlcr-longer", plan)
    assert (longer["recipe"], longer["max_steps"], longer["eval_steps"]) == ("rlcr", 40, 20)
    names = ["metaconf", *bench.ABLATIONS]
    assert len({repr(bench.changes(n, plan)) for n in names}) == len(names)


@pytest.mark.slow
def test_the_sweep_gives_each_published_recipe_its_learning_rate(
    bench: Any,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keep, out = tmp_path / "keep", tmp_path / "run"
    monkeypatch.setattr(bench, "RATES", (1e-5, 1e-2))
    monkeypatch.setattr(bench, "stage1_start", lambda *_: tiny)
    words = ["--quick", "--base", str(tiny), "--output_dir", str(out), "--keep", str(keep)]
    words += ["--seeds", "3", "--recipes", "metaconf", "rlcr", "rlcr-longer", "--sweep"]
    bench.main([*words, "--minutes", "0"])
    assert "4 pieces left" in capsys.readouterr().out and not bench.sweep_file(keep).exists()
    bench.main(words)
    table = json.loads(bench.sweep_file(keep).read_text())
    assert table.keys() == {"metaconf", "rlcr"} and not bench.record.RESULTS.exists()
    for row in table.values():
        assert row["brier"].keys() == {"1e-05", "0.01"}
        assert row["best"] == float(min(row["brier"], key=row["brier"].get))
    curve = json.loads((out / "sweep" / "rlcr" / "0.01" / "seed3" / "curve.json").read_text())
    looks = [row for row in curve if "heldout_brier" in row]  # before, and at the end
    assert [row["step"] for row in looks] == [0, 4]
    assert table["rlcr"]["brier"]["0.01"] == round(looks[-1]["heldout_brier"], 4)
    log = [row["learning_rate"] for row in curve if "learning_rate" in row]
    assert max(log) == 1e-2 * 3 / 4  # four steps of warm-up

    # Later runs read it, but ours keeps the rate that ships; nothing is done twice.
    plan, best = bench.Plan(**asdict(bench.QUICK)), table["rlcr"]["best"]
    of = {name: bench._changes(bench.Piece(name, 0), keep, plan) for name in bench.RECIPES}
    assert of["rlcr"]["learning_rate"] == of["rlcr-longer"]["learning_rate"] == best
    assert "learning_rate" not in of["metaconf"] and "learning_rate" not in of["coca"]
    monkeypatch.setattr(bench, "do", lambda *_: pytest.fail("a piece was done twice"))
    bench.main(words)
    found = bench.rates({"accuracy_rlcr": {}, "accuracy_metaconf": {}}, keep, plan)
    ships = bench.shipped.config("grpo").trainer["learning_rate"]
    assert {name: figure["value"] for name, figure in found.items()} == {
        "learning_rate_metaconf": ships,
        "learning_rate_rlcr": best,
    }


def test_what_decides_a_piece(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decided(recipe: str) -> Any:
        return bench.decided(bench.Piece(recipe, 0), tmp_path, bench.QUICK)

    before = {name: decided(name) for name in ("start", "metaconf", "rlcr")}
    bench.sweep_file(tmp_path).write_text(json.dumps({"rlcr": {"best": 0.5}}))
    assert [name for name in before if decided(name) != before[name]] == ["rlcr"]
    file = tmp_path / "demo.yaml"
    text = bench.shipped.DEMO.read_text()
    monkeypatch.setattr(bench.shipped, "DEMO", file)
    for old, new, apart in (
        ("learning_rate: 3e-5", "learning_rate: 4e-5", ["metaconf", "rlcr"]),
        ("learning_rate: 4e-4", "learning_rate: 5e-4", ["start", "metaconf", "rlcr"]),
        ("lora_r: 64", "lora_r: 32", ["start", "metaconf", "rlcr"]),
        ("save_steps: 8", "save_steps: 4", []),
    ):
        assert text.count(old) == 1
        bench.sweep_file(tmp_path).unlink(missing_ok=True)
        file.write_text(text.replace(old, new))
        assert [name for name in before if decided(name) != before[name]] == apart


def test_a_piece_that_something_else_decided_does_not_mix(bench: Any, tmp_path: Path) -> None:
    figures = bench.recipes_figures
    figures.write(figures.kept(tmp_path, "start", "rlcr", 0), {"plan": {"steps": 2}, "rows": []})
    found = figures.read_seeds(tmp_path, lambda *_: {"steps": 2}, "rlcr", [0, 1])
    assert found.keys() == {0}
    with pytest.raises(UserError, match=r"rlcr-0\.json\.gz: was measured by another plan"):
        figures.read_seeds(tmp_path, lambda *_: {"steps": 2, "labels": 3}, "rlcr", [0])


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
