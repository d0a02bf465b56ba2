"""What is sent while a reply is being written: all of the answer, and nothing that is not of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaconf.reply import format_reply, parse_reply
from metaconf.serving.live import LiveAnswer

CASES = (
    "Answer: Mali\nSelf-reflection: I know it.\nConfidence: 8",
    "<think>Answer: Chad\n</think>Answer: Mali\nSelf-reflection: I know.\nConfidence: 8",
    "**Answer:** Mali\n**Self-reflection:** I know it.\n**Confidence:** 8",
    "Answer: **Mali**\nSelf-reflection: x\nConfidence: 8",
    "Answer: line one\nline two\nSelf-reflection: x\nConfidence: 8",
    "Answer: Mali\nConfidence: 8",
    "Answer: Mali",
    "no format at all",
    "",
)


def sent(text: str, step: int) -> list[str]:
    live = LiveAnswer()
    pieces = [live.more(text[:end]) for end in range(0, len(text) + step, step)]
    content = parse_reply(text).answer
    return [*pieces, live.rest(text if content is None else content)]


@pytest.mark.parametrize("text", CASES)
@pytest.mark.parametrize("step", [1, 3, 7])
def test_the_pieces_are_the_answer(text: str, step: int) -> None:
    answer = parse_reply(text).answer
    assert "".join(sent(text, step)) == (text if answer is None else answer)


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30), st.integers(1, 9))
def test_no_part_of_a_well_formed_reply_is_taken_for_its_answer(
    answer: str, reflection: str, step: int
) -> None:
    try:
        text = format_reply(answer, reflection, 0.7)
    except ValueError:
        return
    pieces = "".join(sent(text, step))
    assert pieces == parse_reply(text).answer or parse_reply(text).answer.startswith(pieces)  # pyright: ignore


def test_a_long_text_is_not_read_again_with_each_piece() -> None:
    live, long = LiveAnswer(), "Answer: " + "x" * 30_000
    assert live.more(long) == "" and live.rest("x" * 30_000) == "x" * 30_000


def test_a_draft_is_not_sent() -> None:
    live = LiveAnswer()
    assert not live.more("<think>Answer: Chad\nSelf-reflection: no\nConfidence: 3")
    assert live.more("<think>Answer: Chad</think>\nAnswer: Ma") == "Ma"


def test_nothing_is_added_to_an_answer_that_became_another() -> None:
    live = LiveAnswer()
    assert live.more("Answer: Chad and") == "Chad and"
    assert live.rest("Mali") == "" and live.more("Answer: Mali x") == ""
