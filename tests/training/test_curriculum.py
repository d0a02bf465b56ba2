"""The order in which stage 1 teaches, and the same written out for a trainer of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metaconf.config.blocks import Confidence
from metaconf.prompts.chat import DIRECT, INSTRUCTION
from metaconf.records import read_jsonl
from metaconf.reply import format_reply, parse_reply
from metaconf.training.curriculum import curriculum, ordered, shuffled
from metaconf.training.dataset import write_set


def row(number: int, cause: str) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": f"In which country is Quito {number}?"},
        {"from": "gpt", "value": format_reply(f"Ecuador {number}", "I know it.", 0.7)},
    ]
    made = {"id": str(number), "system": INSTRUCTION, "target": 0.66, "conversations": turns}
    return made | {"cause": cause}


ROWS = [row(i, "reasoning" if i == 0 else "knowledge boundary") for i in range(10)]


def test_answers_alone_come_first_then_whole_replies_evenly_by_cause() -> None:
    alone, opening, whole = ordered(ROWS, 0.5, 0.3, 0.2)
    assert sorted(one["id"] for one in opening) == ["0", "8", "9"]
    assert [one["id"] for one in alone] == ["0", "1", "2", "3", "4"]
    assert sorted(one["id"] for one in whole) == ["0", "9"]


def test_a_second_epoch_of_answers_alone_has_another_order() -> None:
    alone, _, _ = ordered(ROWS, 1.5, 0.0, 0.0)
    ids = [one["id"] for one in alone]
    assert ids[:10] == [row["id"] for row in ROWS] and len(ids) == 15
    assert len(set(ids[10:])) == 5 and ids[10:] != ids[:5]


def test_for_a_trainer_of_text_they_are_two_kinds_of_replies() -> None:
    how = Confidence(confidence_only_epochs=1.0, opening_fraction=0.3, full_reply_fraction=0.1)
    made = curriculum(ROWS, how, 7)
    assert len(made) == 14
    assert [one["id"] for one in made[:10]] == [one["id"] for one in shuffled(ROWS, 7)]
    assert {one["system"] for one in made[:10]} == {DIRECT}
    for one in made[:10]:
        reply = parse_reply(one["conversations"][1]["value"])
        assert (reply.answer, reply.confidence) == (f"Ecuador {one['id']}", 0.7)
        assert reply.reflection is None
    assert all(one in ROWS for one in made[10:])
    assert curriculum(ROWS, Confidence(), 7) == curriculum(ROWS, Confidence(), 7)
    assert curriculum(ROWS, Confidence(), 7) != curriculum(ROWS, Confidence(), 8)


def test_an_answer_of_several_lines_keeps_them() -> None:
    long = row(1, "reasoning")
    long["conversations"][1]["value"] = "Answer: one\ntwo\nSelf-reflection: So.\nConfidence: 3"
    (made, _) = curriculum([long], Confidence(opening_fraction=0.0, full_reply_fraction=0.0), 0)
    assert made["conversations"][1]["value"] == "Answer: one\ntwo\nConfidence: 3"


def test_prepare_writes_both(tmp_path: Path) -> None:
    write_set(
        tmp_path,
        ROWS,
        how=Confidence(confidence_only_epochs=0.0, full_reply_fraction=1.0),
        seed=3,
    )
    assert [one for _, one in read_jsonl(tmp_path / "sft.jsonl")] == ROWS
    made = [one for _, one in read_jsonl(tmp_path / "curriculum.jsonl")]
    assert sorted(one["id"] for one in made) == [one["id"] for one in ROWS]
