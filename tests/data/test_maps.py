"""Column maps: ten published layouts, a user's own, and what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from layouts import LAYOUTS

from metaconf.config.blocks import AS_IS, ReadyMap
from metaconf.config.load import load_config
from metaconf.data import load_questions
from metaconf.data.columns import ready_maps
from metaconf.data.extract import boxed, final_number, index_letter, json_list, semicolons
from metaconf.data.load import map_name
from metaconf.data.rows import TASKS
from metaconf.errors import UserError
from metaconf.grading import GRADERS
from metaconf.records import Question, write_jsonl

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def written(tmp_path: Path, rows: list[dict[str, Any]], name: str = "set.jsonl") -> str:
    write_jsonl(tmp_path / name, rows)
    return str(tmp_path / name)


def mapped(tmp_path: Path, columns: dict[str, Any], *rows: dict[str, Any]) -> list[Question]:
    return load_questions(written(tmp_path, list(rows)), replace(AS_IS, columns=columns))


def test_the_names_of_the_maps_are_what_the_configuration_takes() -> None:
    assert set(ready_maps()) == set(get_args(ReadyMap)) == set(LAYOUTS)


def test_every_task_has_a_grader() -> None:
    assert set(TASKS) == set(GRADERS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_ready_map(tmp_path: Path, name: str) -> None:
    rows, expected, by_columns = LAYOUTS[name]
    path = written(tmp_path, rows)
    found = load_questions(path, replace(AS_IS, map=name))
    assert found == [replace(expected, id=expected.id.replace("?", "set:1"))]
    assert load_questions(path) == found
    assert map_name(path) == (name if by_columns else "")


def test_sets_that_only_look_like_a_published_one_keep_their_own_keys(tmp_path: Path) -> None:
    quiz = {"question": "2+2?", "subject": "sums", "choices": ["2", "4"], "answer": "4"}
    path = written(tmp_path, [quiz])
    assert map_name(path) == "" and load_questions(path)[0].targets[0].texts == ("B", "4")
    sums = {"problem": "2+2?", "answer": "4", "metadata": "{}", "difficulty": 1}
    with pytest.raises(UserError, match="no 'question'"):
        load_questions(written(tmp_path, [sums]))


def test_the_map_that_was_found_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, LAYOUTS["popqa"][0])
    load_questions(path)
    load_questions(path)
    assert capsys.readouterr().err.count("read by the ready map popqa") == 1


def test_other_forms_of_the_sets(tmp_path: Path) -> None:
    trivia = {"QuestionId": "q", "Question": "Who?", "Answer": {"Value": "I", "Aliases": ["Me"]}}
    (tmp_path / "web.json").write_text(json.dumps({"Data": [trivia], "Domain": "Web"}))
    (one,) = load_questions(str(tmp_path / "web.json"))
    assert (one.id, one.targets[0].texts) == ("q", ("I", "Me"))
    choices = [{"label": "A", "text": "iron"}, {"label": "B", "text": "gold"}]
    stem = {"id": "c", "answerKey": "B", "question": {"stem": "What is Au?", "choices": choices}}
    (one,) = load_questions(written(tmp_path, [stem]))
    assert (one.prompt, one.task) == ("What is Au?\nA. iron\nB. gold", "choice")
    row = {"problem": "2+2?", "solution": "So $4$.", "answer": "4", "unique_id": "t/1.json"}
    (one,) = load_questions(written(tmp_path, [row]))
    assert (one.targets[0].texts, one.id, one.task) == (("4",), "t/1.json", "math")


def test_truthfulqa_as_csv(tmp_path: Path) -> None:
    names = ["Type", "Category", "Question", "Best Answer", "Correct Answers", "Incorrect Answers"]
    cells = ["Adversarial", "Health", "Why, then?", "Because", "Because; It is so", "No; Never"]
    with (tmp_path / "TruthfulQA.csv").open("w", newline="") as out:
        csv.writer(out).writerows([names, cells])
    (one,) = load_questions(str(tmp_path / "TruthfulQA.csv"))
    assert (one.prompt, one.task, one.family) == ("Why, then?", "long", "Health")
    assert one.targets[0].texts == ("Because", "It is so")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published sets are not beside the checkout")
@pytest.mark.parametrize(
    ("name", "file", "count", "task", "first"),
    [
        ("gsm8k", "gsm8k_test.jsonl", 1319, "math", ("18",)),
        ("nq-open", "nq_open_dev.jsonl", 3610, "short", ("14 December 1972 UTC", "December 1972")),
        ("commonsenseqa", "commonsense_qa.jsonl", 3000, "choice", ("A", "ignore")),
        ("truthfulqa", "truthful_qa.json", 817, "long", None),
    ],
)
def test_published_sets(
    name: str, file: str, count: int, task: str, first: tuple[str, ...] | None
) -> None:
    found = load_questions(str(SHARED / file), replace(AS_IS, map=name))
    assert len(found) == count
    assert {one.task for one in found} == {task}
    assert first is None or found[0].targets[0].texts == first
    assert load_questions(str(SHARED / file)) == found


def test_a_map_of_ones_own(tmp_path: Path) -> None:
    columns = {"question": "q.text", "answer": "gold", "id": "n", "cause": "why", "task": "math"}
    row = {"q": {"text": "2+2?"}, "gold": 4.0, "n": 7, "why": None, "answer": "no", "task2": "x"}
    late = {**row, "n": 8, "why": "reasoning"}
    first, second = mapped(tmp_path, columns, row, late)
    assert (first.id, first.prompt, first.task, first.cause) == ("7", "2+2?", "math", None)
    assert first.targets[0].texts == ("4",)
    assert second.cause == "reasoning"


def test_a_task_column_wins_over_the_task_of_its_name(tmp_path: Path) -> None:
    columns = {"question": "q", "answer": "a", "task": "short"}
    assert mapped(tmp_path, columns, {"q": "2?", "a": "2", "short": "math"})[0].task == "math"


def test_columns_in_the_yaml_and_on_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("questions:\n  map: popqa\n  columns: {question: q, answer: a}\n")
    assert load_config(config, "sft").questions.columns == {"question": "q", "answer": "a"}
    words = ["--questions.columns", "{question: b, answer: c | json_list}"]
    columns = load_config(config, "sft", words).questions.columns
    assert columns == {"question": "b", "answer": "c | json_list"}
    with pytest.raises(UserError, match=r"c.yaml:2: questions.map: 'pop_qa'.*mean 'popqa'"):
        config.write_text("questions:\n  map: pop_qa\n")
        load_config(config, "sft")


ROW = {"prompt": "When?", "reply": {"value": "now", "others": ["at once"]}}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"question": "prompt"}, ["no column for answer", "both question and answer"]),
        ({"answer": "reply.value"}, ["no column for question"]),
        ({}, ["no column for question"]),
        ({"qestion": "prompt", "answer": "reply"}, ["unknown key qestion", "mean question?"]),
        ({"question": "promt", "answer": "reply.value"}, ["set.jsonl:1", "'promt'", "'prompt'?"]),
        ({"question": "prompt", "answer": "reply.valeu"}, ["reply.others", "mean 'reply.value'?"]),
        (
            {"question": "prompt", "answer": "reply.value", "aliases": "reply.alias"},
            ["no column 'reply.alias' for aliases", "no row has it"],
        ),
        ({"question": "prompt", "answer": 3}, ["questions.columns.answer: 3"]),
        ({"question": "prompt", "answer": "reply.value | boxd"}, ["'boxd'", "mean boxed?"]),
        ({"question": "prompt", "answer": "reply.value | boxed"}, ["'now' has no \\boxed{…}"]),
        ({"question": "prompt", "answer": "reply"}, ["is a dict"]),
        ({"question": "prompt", "answer": "reply.value", "task": "essay"}, ["'essay' for task"]),
    ],
)
def test_maps_that_are_refused(tmp_path: Path, columns: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        mapped(tmp_path, columns, ROW)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_ready_maps_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [ROW])
    with pytest.raises(UserError, match=r"set.jsonl:1: .*mmlu needs .*there are prompt, reply"):
        load_questions(path, replace(AS_IS, map="mmlu"))
    with pytest.raises(UserError, match="leave one of them out"):
        load_questions(path, replace(AS_IS, map="mmlu", columns={"question": "prompt"}))


def test_a_broken_row_behind_a_map_names_its_line(tmp_path: Path) -> None:
    rows = [LAYOUTS["popqa"][0][0], {**LAYOUTS["popqa"][0][0], "id": 2, "possible_answers": "["}]
    with pytest.raises(UserError, match=r"set.jsonl:2: aliases '\[' is no list in JSON"):
        load_questions(written(tmp_path, rows))
    rows[1]["possible_answers"], rows[1]["obj"] = "[]", None
    with pytest.raises(UserError, match=r"set.jsonl:2: answer is null"):
        load_questions(written(tmp_path, rows))


def test_an_unknown_task_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set.jsonl:1: no grader for task 'maths'; .*mean math\?"):
        load_questions(written(tmp_path, [{"question": "2?", "answer": 2, "task": "maths"}]))


def test_extractors() -> None:
    assert final_number("#### 1\nso\n#### $1,200.50 ") == "$1200.50"
    assert boxed(r"\boxed{1} and \boxed{\text{a {b}} c}.") == r"\text{a {b}} c"
    assert boxed(r"It is $\boxed 5$.") == "5"
    assert boxed(r"\fbox{7}") == "7"
    assert [index_letter(value) for value in (0, "3", "C")] == ["A", "D", "C"]
    assert json_list('["a", 1]') == ["a", 1] == json_list(["a", 1])
    assert semicolons("Yes; it is;") == ["Yes", "it is"]
    for function, bad in (
        (final_number, "72"),
        (final_number, None),
        (boxed, r"\boxed{1"),
        (boxed, "72"),
        (index_letter, -1),
        (index_letter, 26),
        (index_letter, True),
        (index_letter, "26"),
        (json_list, '{"a": 1}'),
        (json_list, "a, b"),
        (semicolons, ["a"]),
    ):
        with pytest.raises(ValueError):
            function(bad)
