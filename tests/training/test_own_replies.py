"""The look at a trained model's own replies: what is said, and when nothing is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from metaconf.records import Parsed, Reply
from metaconf.reply import format_reply, parse_reply
from metaconf.training import own_replies
from metaconf.training.own_replies import check_replies, faults

SURE, UNSURE = "I am certain of it.", "I am only guessing."


def replies(*stated: tuple[str, float]) -> list[Parsed]:
    return [parse_reply(format_reply("Quito", text, c)) for text, c in stated]


def row(question: str, target: float, kind: str = "sum") -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": question}], "target": target, "kind": kind}


def test_sound_replies_are_left_alone() -> None:
    sound = replies((SURE, 0.9), (UNSURE, 0.1), (SURE, 0.8), (UNSURE, 0.0))
    assert list(faults(sound)) == [] == list(faults([]))


def test_words_that_contradict_the_number_are_shown() -> None:
    (said,) = faults(replies((UNSURE, 0.9), (SURE, 0.9), (UNSURE, 0.1)))
    assert "contradict" in said and "1 of 3" in said and UNSURE in said


def test_one_confidence_for_all_was_not_learnt() -> None:
    (said,) = faults(replies(*[("Quito is a city.", 0.3)] * 20))
    assert said.startswith("20 of 20 state the confidence 0.3")
    assert list(faults(replies(("Quito is a city.", 0.3)))) == []


def test_replies_out_of_the_format_are_counted_with_their_commonest_fault() -> None:
    broken = [parse_reply("Answer: Quito"), parse_reply("Answer: Lima"), parse_reply("")]
    (said,) = faults([*broken, *replies((SURE, 0.9), (UNSURE, 0.1))])
    assert said.startswith("3 are not in the format (most often: no reflection)")


def test_the_models_own_replies_are_read(
    taught: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="metaconf"):
        check_replies(taught(), [row("What is 1 + 2?", 0.5)] * 3, max_new_tokens=2)
    assert "3 replies of the trained model were read: 3 are not in the format" in caplog.text


def test_a_confidence_that_follows_the_kind_alone_is_said() -> None:
    """Against the targets of the rows, which rise from 0 to .4 in one kind, from .6 to 1 in one."""
    targets = [i % 20 / 50 + 0.6 * (i >= 20) for i in range(40)]
    rows = [row("?", t, "easy" if i >= 20 else "hard") for i, t in enumerate(targets)]
    follows = replies(*(("It is a city.", round(target, 1)) for target in targets))
    by_kind = replies(*(("It is a city.", 0.8 if i >= 20 else 0.2) for i in range(40)))
    assert list(faults(follows, rows)) == [] == list(faults(by_kind))
    (said,) = faults(by_kind, rows)
    assert "beside the targets of their rows, the confidence is shown to tell only the" in said
    assert "AUROC within kinds 0.50 over 40 replies" in said
    backwards = replies(*(("It is a city.", round(1 - target, 1)) for target in targets))
    (said,) = faults(backwards, rows)
    assert "not shown to tell right answers from wrong ones" in said
    # Rows that others prepared name no kind.
    assert list(faults(by_kind, [{**one, "kind": None} for one in rows])) == []


def test_each_reply_is_read_beside_its_own_row(
    taught: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The engine answers in an order of its own."""
    targets = [i % 20 / 50 + 0.6 * (i >= 20) for i in range(40)]

    def answer(_: Any, asked: Any, *__: Any) -> None:
        drawn = [
            Reply(q.id, -1, format_reply("Quito", "It is a city.", round(float(q.prompt), 1)))
            for q in reversed(asked)
        ]
        __[-1](drawn)

    monkeypatch.setattr(own_replies, "sample_replies", answer)
    rows = [row(str(target), target, str(i >= 20)) for i, target in enumerate(targets)]
    with caplog.at_level(logging.WARNING, logger="metaconf"):
        check_replies(taught(), rows, max_new_tokens=2)
    assert caplog.text == ""
