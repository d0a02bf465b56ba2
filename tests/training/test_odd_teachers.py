"""A teacher that thinks aloud, is cut, refuses, or writes what no reply can hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chat_server import completion, serving

from metaconf.clients import Endpoint
from metaconf.config.blocks import Client
from metaconf.errors import UserError
from metaconf.records import Question, Target
from metaconf.reply import format_reply, parse_reply
from metaconf.training.evidence import Answered
from metaconf.training.teacher import TeacherOutput, write_reflections

GOOD = "I know little of this and may mix it up."


def taught(body: Any, folder: Path, *names: str) -> TeacherOutput:
    """The output of a teacher that replies GOOD, but `body` of what is called B."""

    async def handler(request: web.Request, sent: Any, n: int) -> web.Response:
        odd = "Where is B?" in json.dumps(sent["messages"])
        return web.json_response(body if odd else completion(GOOD))

    target = (Target(("Mali",)),)
    rows = [
        Answered(Question(n, f"Where is {n}?", target), "Chad", 0.5, 0.0, 0.5, ("Niger",))
        for n in names
    ]
    with serving(handler) as server:
        limits = Client(server.url, input_price=1.0, output_price=10.0, max_retries=1)
        where = Endpoint(f"{server.url}/v1/chat/completions", "m", None, limits)
        return write_reflections(rows, where, folder / "t.sqlite")


@pytest.mark.parametrize(
    "text",
    [
        f"<think>perhaps {{x}}, 90% sure</think>\n{GOOD}",
        f"[THINK]I am right.[/THINK]{GOOD}",
        [{"type": "thinking", "thinking": "9/10"}, {"type": "text", "text": GOOD}],
        f"\u200b{GOOD}\ud800",
    ],
    ids=["tag", "bracket", "parts", "unseen"],
)
def test_e4_e7_what_a_teacher_thought_is_not_taught(text: Any, tmp_path: Path) -> None:
    output = taught(completion(text), tmp_path, "A", "B")
    assert output.reflections["A"] == GOOD
    assert output.reflections["B"].rstrip(" \ufffd") == GOOD
    for reflection in output.reflections.values():
        assert parse_reply(format_reply("Chad", reflection, 0.5)).well_formed


@pytest.mark.parametrize(
    "body",
    [
        completion(GOOD, finish="length"),
        completion(None, refusal="I cannot."),
        completion("\u200b"),
        completion(f"<think>{GOOD}"),
        completion("", finish="length"),
        {**completion(None), "choices": [{"message": None, "finish_reason": "content_filter"}]},
    ],
    ids=["cut", "refusal", "unseen", "only thought", "cut in thought", "filtered"],
)
def test_a1_e1_e6_what_cannot_be_taught_fails_alone_and_counts(body: Any, tmp_path: Path) -> None:
    output = taught(body, tmp_path, "A", "B")
    assert output.reflections == {"A": GOOD}
    assert (output.calls, output.failed) == (2, 1)
    assert output.tokens == 220 and output.cost == pytest.approx(2 * 200 / 1e6)


def test_e8_a_teacher_that_wrote_nothing_is_refused_however_much_may_be_dropped(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match="1 of 1 reflections of m came to nothing"):
        taught(completion(None, refusal="I cannot."), tmp_path, "B")
