"""Which tokens of a served reply make up a part of its text."""

from __future__ import annotations

import math
from typing import Any

import pytest

from metaconf.generation.logprobs import span_probability


def listed(*pieces: tuple[str | bytes, float]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for piece, probability in pieces:
        entry: dict[str, Any] = {"logprob": math.log(probability)}
        if isinstance(piece, bytes):
            entry |= {"token": "\\x" + piece.hex(), "bytes": list(piece)}
        else:
            entry |= {"token": piece, "bytes": None}
        content.append(entry)
    return {"content": content}


WHOLE = listed(("Pa", 0.5), ("ris", 0.4), ("\n", 0.3), ("so", 0.2))


@pytest.mark.parametrize(
    ("logprobs", "text", "span", "wanted"),
    [
        (WHOLE, "Paris\nso", (0, 5), (0.2, 2)),
        (WHOLE, "Paris", (0, 5), (0.2, 2)),  # the rest was stripped, or ended the turn
        (WHOLE, "Paris\nso", (3, 7), (0.4 * 0.3 * 0.2, 3)),  # a token counts that only reaches in
        (listed((" ", 0.1), ("4", 0.5)), "4", (0, 1), (0.5, 1)),
        (listed((" ", 0.1), ("4", 0.5)), " 4", (1, 2), (0.5, 1)),
        (listed((b"\xc3", 0.5), (b"\xa9", 0.5), ("!", 0.1)), "é!", (0, 1), (0.25, 2)),
        (listed(("\ufffd", 0.5), ("\ufffd", 0.5)), "é", (0, 1), None),
        (listed(("Rome", 0.5)), "Paris", (0, 5), None),
        (listed(("Par", 0.5)), "Paris", (0, 5), None),
        (WHOLE, "Paris", (2, 2), None),
        (None, "Paris", (0, 5), None),
        ({}, "Paris", (0, 5), None),
        ({"content": None}, "Paris", (0, 5), None),
        ({"content": [{"token": "Paris"}]}, "Paris", (0, 5), None),
        ({"content": [{"token": "Paris", "logprob": math.nan}]}, "Paris", (0, 5), None),
    ],
)
def test_span_probability(
    logprobs: Any, text: str, span: tuple[int, int], wanted: tuple[float, int] | None
) -> None:
    found = span_probability(logprobs, text, span)
    assert found == (None if wanted is None else (pytest.approx(wanted[0]), wanted[1]))
