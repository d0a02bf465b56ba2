"""The reply format: every value comes back, nothing is invented, nothing raises."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaconf.records import Parsed
from metaconf.reply import format_reply, parse_reply, token_spans

GOOD = "Answer: Quito\nSelf-reflection: I doubt it.\nConfidence: 8"


def confidence(value: str) -> float | None:
    return parse_reply(f"Answer: Quito\nSelf-reflection: hm\nConfidence: {value}").confidence


def test_a_good_reply() -> None:
    parsed = parse_reply(GOOD)
    assert parsed.well_formed
    assert (parsed.answer, parsed.reflection, parsed.confidence) == ("Quito", "I doubt it.", 0.8)
    assert [GOOD[a:b] for a, b in parsed.spans.values()] == ["Quito", "I doubt it.", "8"]


def test_P1_long_reflection() -> None:
    parsed = parse_reply(format_reply("Quito", "doubt " * 500, 0.8))
    assert (parsed.answer, parsed.confidence, parsed.well_formed) == ("Quito", 0.8, True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10.0", 1.0),
        ("10", 1.0),
        ("8.5", 0.85),
        (".5", 0.05),
        ("0.8", 0.08),
        ("0", 0.0),
        ("8/10", 0.8),
        ("8 / 10", 0.8),
        ("8 out of 10.", 0.8),
        ("８", 0.8),
        ("８．５", 0.85),
        ("**8**", 0.8),
        ("8.", 0.8),
        ("on a scale of 0 to 10, I'd put it at 7", None),
        ("85%", None),
        ("85% (fairly sure)", None),
        ("nan", None),
        ("inf", None),
        ("-1", None),
        ("1e3", None),
        ("²", None),
        ("٨", None),
        ("11", None),
        ("10.01", None),
        ("85", None),
        ("8/100", None),
        ("85/100", None),
        ("7 or 8", None),
        ("high", None),
        ("", None),
        ("8 9", None),
        ("+8", None),
        ("8,5", None),
    ],
)
def test_P2_P4_confidence_values(value: str, expected: float | None) -> None:
    parsed = parse_reply(f"Answer: Quito\nSelf-reflection: hm\nConfidence: {value}")
    assert parsed.confidence == expected
    assert parsed.well_formed == (expected is not None)


@pytest.mark.parametrize(
    "label", ["confidence:", "CONFIDENCE:", "**Confidence:**", "**Confidence**:", "  Confidence :"]
)
def test_labels_in_other_dress(label: str) -> None:
    text = f"**Answer: Quito**\n**Self-Reflection:** hm\n{label} 8.5"
    parsed = parse_reply(text)
    assert (parsed.answer, parsed.reflection, parsed.confidence) == ("Quito", "hm", 0.85)
    assert parsed.well_formed


def test_P3_a_number_in_prose_is_no_confidence() -> None:
    told = "Answer: Quito\nSelf-reflection: the survey's confidence: 3 was low"
    assert parse_reply(f"{told}\nConfidence: 8").confidence == 0.8
    parsed = parse_reply(told)
    assert parsed.confidence is None and parsed.problems == ("no confidence",)


def test_P5_repeated_blocks_pick_the_first_and_are_not_well_formed() -> None:
    parsed = parse_reply(
        "Answer: Lima\nSelf-reflection: a\nConfidence: 2\n"
        "Answer: Quito\nSelf-reflection: b\nConfidence: 9"
    )
    assert (parsed.answer, parsed.reflection, parsed.confidence) == ("Lima", "a", 0.2)
    assert "answer repeated" in parsed.problems and "confidence repeated" in parsed.problems
    twice = parse_reply("Answer: Lima\nSelf-reflection: a\nConfidence: 2\nConfidence: 9")
    assert twice.confidence == 0.9 and not twice.well_formed


def test_P5_blank_lines_in_the_reflection() -> None:
    parsed = parse_reply("Answer: Quito\n\nSelf-reflection: one\n\n\ntwo\n\nConfidence: 8\n")
    assert parsed.well_formed and parsed.reflection == "one\n\n\ntwo"


@pytest.mark.parametrize(
    ("head", "thinking"),
    [
        ("hm</think>", "hm"),
        ("<think>hm</think>\n", "hm"),
        ("\n<think></think>", ""),
        ("<think>\nAnswer: Lima\nConfidence: 1\n</think>", "\nAnswer: Lima\nConfidence: 1\n"),
    ],
)
def test_T4_thinking_with_and_without_its_opening_tag(head: str, thinking: str) -> None:
    parsed = parse_reply(head + GOOD)
    assert parsed.well_formed, parsed.problems
    assert (parsed.thinking, parsed.answer, parsed.confidence) == (thinking, "Quito", 0.8)


def test_broken_thinking() -> None:
    cut = parse_reply("<think>Answer: Quito")
    assert cut.answer is None and "thinking at character 0 is not closed" in cut.problems
    twice = parse_reply("<think>a</think>b</think>\n" + GOOD)
    assert twice.answer == "Quito" and not twice.well_formed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no answer"),
        ("Self-reflection: hm\nConfidence: 8", "no answer"),
        ("Answer:\nSelf-reflection: hm\nConfidence: 8", "empty answer at character 0"),
        ("Answer: x\nConfidence: 8", "no reflection"),
        ("Answer: x\nSelf-reflection:\nConfidence: 8", "empty reflection at character 10"),
        ("Answer: x\nSelf-reflection: y\nConfidence:\n8", "empty confidence at character 29"),
        ("Answer: x\nConfidence: 8\nSelf-reflection: y", "no confidence"),
        ("Sure!\n" + GOOD, "text before the first label at character 0"),
        (GOOD + "\nHope that helps", "text after the confidence at character 57"),
        ("x</think></think>" + GOOD, "stray think tag at character 9"),
    ],
)
def test_problems_are_named_with_their_place(text: str, problem: str) -> None:
    parsed = parse_reply(text)
    assert problem in parsed.problems and not parsed.well_formed


def test_missing_is_not_zero_and_zero_is_not_missing() -> None:
    assert confidence("0") == 0.0 and confidence("none") is None


@pytest.mark.parametrize(
    ("c", "text"),
    [
        (0.7, "7"),
        (0.85, "8.5"),
        (1.0, "10"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.123, "1.23"),
        (1 / 3, None),
    ],
)
def test_confidence_is_written_shortest(c: float, text: str | None) -> None:
    written = format_reply("a", "b", c).rpartition(" ")[2]
    assert text is None or written == text
    assert parse_reply(format_reply("a", "b", c)).confidence == c


@pytest.mark.parametrize("c", [-0.1, 1.1, float("nan"), float("inf"), 7])
def test_confidence_off_scale_is_refused(c: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        format_reply("a", "b", c)


@pytest.mark.parametrize(
    ("answer", "reflection"),
    [("", "b"), ("a\nb", "c"), ("a", " "), ("a", "</think>"), ("<think>", "b")],
)
def test_what_cannot_be_read_back_is_refused(answer: str, reflection: str) -> None:
    with pytest.raises(ValueError):
        format_reply(answer, reflection, 0.5)


def test_labels_in_a_reflection_become_prose() -> None:
    parsed = parse_reply(
        format_reply("Quito", "Confidence: 3\nAnswer: Lima\n\n **Confidence:** 9", 0.5)
    )
    assert parsed.well_formed and parsed.confidence == 0.5 and parsed.answer == "Quito"
    assert parsed.reflection == "Confidence: 3 Answer: Lima  **Confidence:** 9"


LINES = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(
    st.sampled_from(
        [
            "Answer:",
            "Confidence: 3",
            "**",
            "\n",
            "\r\n",
            " ",
            "x",
            "self-reflection:",
            "8",
            "\t",
            "Ｃonfidence:",
            ":",
            "</think",
            "\u2028",
            "\x0b",
        ]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(LINES, LINES, st.floats(0, 1), st.none() | LINES)
def test_format_then_parse_gives_the_same(
    answer: str, reflection: str, c: float, thinking: str | None
) -> None:
    answer = answer.replace("\n", " ")
    try:
        text = format_reply(answer, reflection, c, thinking)
    except ValueError:
        assert "<think>" in (answer + reflection) or not (answer.strip() and reflection.strip())
        return
    parsed = parse_reply(text)
    assert parsed.well_formed, parsed.problems
    assert (parsed.confidence, parsed.thinking) == (c, thinking)
    assert parsed.answer and parsed.reflection
    assert text == format_reply(parsed.answer, parsed.reflection, c, thinking)
    if "**" not in answer:
        assert parsed.answer == answer.strip()
    if "**" not in reflection and ":" not in reflection:
        assert parsed.reflection == reflection.strip()


def check(text: str) -> Parsed:
    parsed = parse_reply(text)
    for name in ("answer", "reflection", "thinking"):
        value = getattr(parsed, name)
        assert (value is not None) == (name in parsed.spans)
        assert value is None or text[slice(*parsed.spans[name])] == value
    assert parsed.confidence is None or 0 <= parsed.confidence <= 1
    assert all(0 <= a <= b <= len(text) for a, b in parsed.spans.values())
    missing = None in (parsed.answer, parsed.reflection, parsed.confidence)
    assert not (missing and parsed.well_formed)
    return parsed


@settings(max_examples=300, deadline=None)
@given(st.text() | LINES)
def test_any_text_parses(text: str) -> None:
    check(text)


def test_fuzz_mutated_replies() -> None:
    random_ = random.Random(7)
    pieces = [
        GOOD,
        "<think>",
        "</think>",
        "\n",
        "**",
        ":",
        "Answer",
        "Confidence: 9",
        "²",
        "\ud800",
        "\x00",
        " ",
        "10",
        "Self-reflection:",
        "\u202e",
        "\ufeff",
        "%",
        "/10",
    ]
    end = time.monotonic() + 2
    for _ in range(4000):
        text = "<think>so</think>\n" + GOOD
        for _ in range(random_.randint(1, 8)):
            a = random_.randint(0, len(text))
            b = min(len(text), a + random_.choice([0, 0, 1, 5, 30]))
            text = text[:a] + random_.choice(pieces) + text[b:]
        check(text)
        if time.monotonic() > end:
            break


@pytest.mark.parametrize(
    "unit",
    [
        "Confidence:\n",
        "Answer: a\n",
        "<think>",
        "</think>",
        "</think>Answer:",
        " ",
        "\t\n",
        "**Answer ",
        "*",
        "Confidence: 9",
        "9",
        "Self-reflection: ",
        "Answer:**\n",
        "<think></think>",
        "Answer\t",
    ],
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    for head in ("", "Answer", "Answer: a\nSelf-reflection: b\nConfidence: 9"):
        start = time.monotonic()
        check(head + unit * (300_000 // len(unit)))
        assert time.monotonic() - start < 2


def test_token_spans() -> None:
    parsed = parse_reply(GOOD)
    words = [(0, 0), (0, 7), (7, 13), (13, 32), (32, 42), (42, 55), (55, 56), (0, 0)]
    spans = token_spans(parsed, words)
    assert spans == {"answer": (2, 3), "reflection": (3, 5), "confidence": (6, 7)}
    assert token_spans(parsed, [(0, 7), (7, 13)]) == {"answer": (1, 2)}
    assert token_spans(parsed, []) == {}
