"""What metrics.json holds is read as it was written, and what is no such thing is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metaconf.metrics import Bin, Figure, MethodResult
from metaconf.metrics.figures import number

WHOLE = MethodResult(
    key="stage2",
    name="after stage 2",
    description="its own reply",
    figures={"ece": Figure(0.1, 0.05, 0.2, 40, null=(0.01, 0.02)), "auroc": Figure(reason="none")},
    groups={"family=a=b": {"accuracy": Figure(1.0, n=3)}, "domain=in": {}},
    reliability=(Bin(0.0, 0.5, 3, 0.2, 0.3, 0.1, 0.6), Bin(0.5, 1.0, 0, None, None, None, None)),
    risk_coverage=((0.5, 0.1), (1.0, 0.4)),
)


def test_a_result_is_read_as_it_was_written() -> None:
    text = json.dumps(WHOLE.to_json(), allow_nan=False)
    assert MethodResult.from_json(json.loads(text)) == WHOLE


@pytest.mark.parametrize(
    ("value", "figure"),
    [
        (None, Figure()),
        (0.5, Figure(0.5)),
        ({}, Figure()),
        ({"value": float("nan"), "n": "many", "low": True}, Figure()),
        ({"value": 10**400}, Figure()),
        ({"value": 1, "null": [0.1]}, Figure(1.0)),
        ({"value": 1, "null": [0.1, "x"], "reason": 5}, Figure(1.0, reason="5")),
    ],
)
def test_what_is_no_number_is_not_known(value: object, figure: Figure) -> None:
    assert Figure.from_json(value) == figure


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([], "a method is '\\[\\]' \\(list\\); a JSON object"),
        ({}, "neither key nor name"),
        ({"key": "a", "figures": {"ece": True}}, "ece, figures of a, is 'True'"),
        ({"key": "a", "figures": {"ece": {"null": 5}}}, "null of ece, figures of a,"),
        ({"key": "a", "groups": [1]}, "groups of a is"),
        ({"key": "a", "groups": {"family=x": "y"}}, "family=x of a is"),
        ({"key": "a", "reliability": {"low": 0}}, "reliability of a is"),
        ({"key": "a", "reliability": [[0, 1]]}, "a bin is"),
        ({"key": "a", "risk_coverage": [0.5]}, "risk_coverage of a is"),
        ({"key": "a", "figures": "x" * 10_000}, "figures of a is 'x{40}' "),
    ],
)
def test_another_type_is_refused_with_its_place(row: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MethodResult.from_json(row)


@pytest.mark.parametrize("value", [None, True, "1", [1], float("nan"), float("inf"), 10**400])
def test_only_finite_numbers_are_numbers(value: object) -> None:
    assert number(value) is None
    assert (number(1), number(0.5)) == (1.0, 0.5)
