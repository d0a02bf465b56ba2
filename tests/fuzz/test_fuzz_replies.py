"""Replies as a model may write them, or a policy that looks for a hole in the parser."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaconf.decisions.replies import read_reply
from metaconf.errors import UserError
from metaconf.records import Parsed, read_jsonl, write_jsonl
from metaconf.reply import format_reply, parse_reply
from metaconf.safe_text import clean_text, loads_bounded

FINAL = "<|start|>assistant<|channel|>final<|message|>"
BLOCKS = [
    ("<think>", "</think>"),
    ("<THINKING>", "</THINKING>"),
    ("< thought >", "</ thought>"),
    ("<reasoning x='1'>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<unused94>thought", "<unused95>"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel|>analysis<|message|>", f"<|end|>{FINAL}"),
    ("<analysis>", "</analysis>"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("<|begin_of_cot|>", "<|end_of_cot|>"),
    ("<rationale>", "</rationale>"),
    ("\n```thinking\n", "\n```\n"),
    ("\nThinking...\n", "\n...done thinking.\n"),
]
INVISIBLE = "\u200b\u200e\u202e\u2060\u2066\u2069\ufeff\u00ad\u061c\ufe0f\U000e0041"
ANY = st.text(st.characters(), max_size=30)  # surrogates too
PIECES = st.sampled_from(
    [tag for block in BLOCKS for tag in block]
    + [FINAL, "<|end|>", "<|im_end|>", "</s>", "<answer>\n", "</answer>", "<|im_start|>assistant"]
    + [
        "Answer: ",
        "\nAnswer: ",
        "\nSelf-reflection: ",
        "\nSelf\u2011reflection： ",
        "\n**Confidence",
    ]
    + ["\nConfidence: ", "\nConfidence: 7", "**", ":", "\n", "\r", " ", "９", "/10", "x", "\ud83d"]
    + [
        "\nHere is my response:",
        "Here is my thought process:",
        "assistantfinal",
        "analysis",
        "&lt;",
    ]
    + [
        "\nThought:\n",
        "\nFinal:\n",
        "```",
        "\n- **Answer:** ",
        "\n> Confidence: 3",
        "\x85",
        "【思考】",
    ]
    + [*INVISIBLE, "<", ">", "[", "|", "\\", "\x00", "\u2028", "²"]
)
HOSTILE = st.lists(PIECES | ANY, max_size=25).map("".join)
PROSE = st.text(
    st.characters(categories=["L", "N", "Zs"], include_characters=".,;!?'\"()-\n"), max_size=60
).filter(lambda text: not any(w in text.lower() for w in ("answer", "confid", "reflec", "here")))
WORDS = PROSE.map(lambda text: " ".join(text.split()) or "x")
LEVELS = st.integers(0, 10)


def draft(level: int, answer: str = "Lima") -> str:
    return f"Answer: {answer}\nSelf-reflection: a draft\nConfidence: {level}\n"


def check(text: str) -> Parsed:
    parsed = parse_reply(text)
    for name in ("answer", "reflection", "thinking"):
        value = getattr(parsed, name)
        assert (value is not None) == (name in parsed.spans)
        assert value is None or text[slice(*parsed.spans[name])] == value
    assert all(0 <= a <= b <= len(text) for a, b in parsed.spans.values())
    assert parsed.confidence is None or 0 <= parsed.confidence <= 1
    assert not parsed.well_formed or None not in (parsed.answer, parsed.confidence)
    return parsed


@given(HOSTILE)
def test_no_text_raises_and_spans_are_places_in_it(text: str) -> None:
    parsed = check(text)
    places = parsed.spans
    told = [places[name] for name in ("answer", "reflection", "confidence") if name in places]
    assert told == sorted(told) and all(a[1] <= b[0] for a, b in pairwise(told))


@given(HOSTILE)
def test_no_value_lies_in_thinking(text: str) -> None:
    places = check(text).spans
    if (thinking := places.pop("thinking", None)) is not None:
        assert all(end <= thinking[0] or thinking[1] <= start for start, end in places.values())


@given(
    st.data(), st.lists(st.tuples(st.sampled_from(BLOCKS), WORDS, WORDS), min_size=1, max_size=3)
)
def test_a_draft_is_never_taken(data: st.DataObject, blocks: list[Any]) -> None:
    """Drafts say 2 and Lima, the reply 9 and Quito; at most the last block is cut off."""
    thought = ""
    for (opening, closing), before, after in blocks:
        inner = "".join(
            data.draw(st.lists(st.sampled_from(["<plan>", "\n", "x", "</i>"]), max_size=3))
        )
        thought += f"{opening}{inner}{before}\n{draft(2)}{after}{closing}"
    good = draft(9, "Quito")
    start = data.draw(st.sampled_from(["", "Sure. ", "\n"]))
    whole = check(f"{start}{thought}\n{good}")
    assert (whole.answer, whole.confidence) == ("Quito", 0.9)
    cut = data.draw(st.integers(0, len(thought)))
    for text in (thought[:cut], start + thought[:cut], f"{good}\n{thought[:cut]}"):
        parsed = check(text)
        if cut < len(blocks[0][0][0]):
            continue  # the tag itself is cut: there is no draft yet
        assert parsed.answer in ("Quito", None)
        assert parsed.confidence in (0.9, None)


@given(st.lists(st.tuples(LEVELS, st.sampled_from(["", *sum(BLOCKS, ())])), min_size=1, max_size=4))
def test_answer_and_confidence_come_from_one_block(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{tag}\n" + draft(level, f"City {level}") for level, tag in parts)
    parsed = check(text)
    if parsed.answer is not None and parsed.confidence is not None:
        assert parsed.answer == f"City {round(parsed.confidence * 10)}"


@given(WORDS, WORDS, LEVELS, st.data())
def test_a_clean_reply_with_invisible_characters_reads_the_same(
    answer: str, reflection: str, level: int, data: st.DataObject
) -> None:
    clean = format_reply(answer, reflection, level / 10)
    marks = data.draw(st.lists(st.tuples(st.integers(0, len(clean)), st.sampled_from(INVISIBLE))))
    text = clean
    for place, mark in sorted(marks, reverse=True):
        text = text[:place] + mark + text[place:]
    was, parsed = check(clean), check(text)
    assert parsed.well_formed and parsed.confidence == was.confidence
    for name in ("answer", "reflection"):
        seen = getattr(parsed, name).translate(dict.fromkeys(map(ord, INVISIBLE)))
        assert seen.strip() == getattr(was, name).translate(dict.fromkeys(map(ord, INVISIBLE)))


@given(HOSTILE, HOSTILE, st.floats(0, 1), st.none() | HOSTILE)
def test_what_is_written_is_read_back(
    answer: str, reflection: str, confidence: float, thinking: str | None
) -> None:
    try:
        text = format_reply(answer, reflection, confidence, thinking)
    except ValueError:
        return
    parsed = check(text)
    assert parsed.well_formed and parsed.confidence == confidence and parsed.thinking == thinking
    assert format_reply(parsed.answer or "", parsed.reflection or "", confidence, thinking) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | ANY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(ANY | st.sampled_from(["question", "reply", "confidence"]), JSON | HOSTILE))
def test_a_line_of_replies_is_read_and_written_again_or_refused(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    path, again = tmp_path / "r.jsonl", tmp_path / "w.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="ascii")
    try:
        rows = [read_reply(f"{path}:{line}", raw) for line, raw in read_jsonl(path)]
    except UserError as error:
        assert f"{path}:1" in str(error) and len(str(error)) < 500
        return
    write_jsonl(again, rows)
    assert [read for _, read in read_jsonl(again)] == rows


@given(st.text(st.characters()) | st.binary())
def test_json_is_read_or_refused_by_one_error(text: str | bytes) -> None:
    try:
        value = loads_bounded(text)
    except ValueError:
        return
    json.dumps(value, ensure_ascii=False).encode()


@given(st.text(st.characters() | st.characters(categories=["Cs"])))
def test_clean_text_can_be_encoded_and_is_left_alone_after(text: str) -> None:
    clean = clean_text(text)
    assert clean.encode().decode() == clean == clean_text(clean)
    assert clean == text or any("\ud800" <= c <= "\udfff" for c in text)


@pytest.mark.parametrize("unit", ["[", '{"a":', "[[1],", '{"a":[', "9", "-9"])
def test_json_without_end_is_refused(unit: str) -> None:
    for text in (unit * 100_000, (unit * 100_000).encode()):
        with pytest.raises(ValueError):
            loads_bounded(text)
