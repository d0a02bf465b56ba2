"""Stage 1's rows and its learning rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from metaconf.errors import UserError
from metaconf.prompts.chat import INSTRUCTION
from metaconf.reply import format_reply
from metaconf.training.curriculum import evenly
from metaconf.training.rows import STANCE_WEIGHT, collate, for_confidence, train_rows, within
from metaconf.training.schedule import rate


def row(target: float, reply: str | None = None) -> dict[str, Any]:
    said = reply or format_reply("Ecuador", "I know Quito well.", round(target, 1))
    turns = [
        {"from": "human", "value": "In which country is Quito?"},
        {"from": "gpt", "value": said},
    ]
    return {"id": "q", "system": INSTRUCTION, "target": target, "conversations": turns}


def test_the_first_rows_leave_the_reflection_out(local_of: Callable[..., Any]) -> None:
    local = local_of()
    asked = [row(0.2), row(0.75), row(1.0)]
    short, *whole = train_rows(local, asked, alone=0.3, whole=0.7)
    assert local.decode(short.reply) == "Answer: Ecuador\n" and short.level_at is None
    assert short.reply == whole[0].reply[: short.continuations[0].at + 1]
    assert [c.without_reflection for c in short.continuations] == [True]
    whole.sort(key=lambda made: made.continuations[0].target)
    for made, target in zip(whole, (0.75, 1.0), strict=True):
        told, direct = made.continuations
        assert (told.without_reflection, direct.without_reflection) == (False, True)
        assert told.at == made.level_at and told.target == direct.target == target
        assert "I know Quito well." in local.decode(made.reply[: told.at])
        way = made.reply[: direct.at] + direct.tokens
        assert local.decode(way).strip() == "Answer: Ecuador\nConfidence:"


def test_every_row_alone_and_the_last_whole_after_them(local_of: Callable[..., Any]) -> None:
    made = train_rows(local_of(), [row(0.2), row(0.75), row(1.0)], alone=1.0, whole=0.4)
    assert [one.level_at is None for one in made] == [True, True, True, False]
    assert [one.continuations[0].target for one in made] == [0.2, 0.75, 1.0, 1.0]
    (only,) = train_rows(local_of(), [row(0.2)], whole=1.0)
    assert only.level_at is not None
    assert train_rows(local_of(), [row(0.2)], whole=0.0) == []


@pytest.mark.parametrize(
    ("kinds", "count", "places"),
    [
        ("aaaa", 2, [2, 3]),
        ("abacab", 3, [3, 4, 5]),  # one of each, the last ones
        ("baaaaaac", 5, [0, 4, 5, 6, 7]),  # all that are rare, and the last of the others
        ("bbaaaabb", 6, [1, 3, 4, 5, 6, 7]),
        ("ab", 2, [0, 1]),
        ("ab", 0, []),
    ],
)
def test_whole_replies_are_spread_evenly_over_the_causes(
    kinds: str, count: int, places: list[int]
) -> None:
    assert sorted(evenly(list(kinds), count)) == places


def test_no_cause_is_taught_first() -> None:
    made = evenly("a" * 900 + "b" * 100, 200)
    for start in range(0, 200, 50):
        assert 15 <= sum(place >= 900 for place in made[start : start + 50]) <= 35
    assert made == evenly("a" * 900 + "b" * 100, 200)


def test_the_rare_cause_is_taught_whole(local_of: Callable[..., Any]) -> None:
    sum_row = row(0.4, format_reply("5", "I worked out 2 + 3.", 0.4)) | {"cause": "reasoning"}
    rows = train_rows(local_of(), [sum_row, *(row(0.1) for _ in range(9))], alone=0, whole=0.3)
    told = [c.target for made in rows for c in made.continuations if not c.without_reflection]
    assert sorted(told) == [0.1, 0.1, 0.4]


WORDINGS = [(0.1, "I am guessing."), (0.5, "I am in two minds."), (0.9, "I know Quito well.")]


def test_a_whole_row_has_a_reply_for_each_wording(local_of: Callable[..., Any]) -> None:
    local = local_of()
    (made,) = train_rows(local, [row(0.75) | {"reflections": WORDINGS}])
    assert local.decode(made.reply) == "Answer: Ecuador\n" and made.level_at is None
    assert [c for c, _ in made.wordings] == [c for c, _ in WORDINGS]
    for (_, whole), (_, text) in zip(made.wordings, WORDINGS, strict=True):
        (plain,) = train_rows(local, [row(0.75, format_reply("Ecuador", text, 0.8))])
        assert replace(whole, stance=(0, 0)) == plain
        assert local.decode(whole.reply[slice(*whole.stance)]).strip() == text[1:].strip(" .")
    weights = collate([made.wordings[1][1].columns()], 0, 1)["weights"][0]
    start, end = made.wordings[1][1].stance
    assert (weights == STANCE_WEIGHT).sum() == end - start and (weights == 1).sum() > 0
    assert within([made], len(made.prompt) + len(made.reply) + 3) == []
    chosen = [for_confidence(made.columns(), c)["reply"] for c in (0.0, 0.31, 0.69, 0.71)]
    assert chosen == [made.wordings[k][1].reply for k in (0, 1, 1, 2)]


def test_an_opening_ends_where_the_wordings_are_the_same_again(
    local_of: Callable[..., Any],
) -> None:
    local = local_of()
    rows = [row(0.75) | {"reflections": [(c, f"{text} So be it.") for c, text in WORDINGS]}]
    (made,) = train_rows(local, rows, opening=1.0, whole=0.0)
    (whole,) = train_rows(local, rows)
    for (_, short), (_, text) in zip(made.wordings, WORDINGS, strict=True):
        said = local.decode(short.reply)
        assert said.endswith(text.rstrip(".")) or said.endswith(text)
        assert short.level_at is None and short.stance[1] == len(short.reply)
        assert [c.without_reflection for c in short.continuations] == [True]
    assert replace(made, wordings=()) == replace(whole, wordings=())
    assert train_rows(local, [row(0.2)], opening=1.0, whole=0.0) == []  # nothing to choose from


def test_a_row_without_a_confidence_is_refused_by_its_id(local_of: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"row q: .*no confidence"):
        train_rows(local_of(), [row(0.2, "Answer: Peru\nSelf-reflection: So.\nConfidence: high")])


def test_the_rate_is_even_in_each_part_and_falls_at_its_end() -> None:
    rates = [rate(step, first=60, total=100, warmup=10) for step in range(100)]
    assert rates[9:55] == [1.0] * 46 and rates[69:95] == [1.0] * 26
    assert rates[59] == rates[99] == 1 / 6 and rates[0] == rates[60] == 0.1
    assert all(0 < r <= 1 for r in rates)


@pytest.mark.parametrize(("first", "total"), [(0, 3), (3, 3), (1, 2), (0, 1)])
def test_the_rate_of_a_short_training_is_never_zero(first: int, total: int) -> None:
    assert all(0 < rate(s, first, total, warmup=10) <= 1 for s in range(total))
