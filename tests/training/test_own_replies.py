"""The look at a trained model's own replies: what is said, and when nothing is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from metaconf.records import Parsed
from metaconf.reply import format_reply, parse_reply
from metaconf.training.own_replies import check_replies, faults

SURE, UNSURE = "I am certain of it.", "I am only guessing."


def replies(*stated: tuple[str, float]) -> list[Parsed]:
    return [parse_reply(format_reply("Quito", text, c)) for text, c in stated]


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
        check_replies(taught(), ["What is 1 + 2?"] * 3, max_new_tokens=2)
    assert "3 replies of the trained model were read: 3 are not in the format" in caplog.text
