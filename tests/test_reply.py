"""The reply format: every value comes back, nothing is invented, nothing raises."""

import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaconf.records import Parsed
from metaconf.reply import format_reply, parse_reply, token_spans
from metaconf.safe_text import as_seen, finite, loads_bounded

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


DRAFT = "Answer: Lima\nSelf-reflection: a draft\nConfidence: 2\n"
HARMONY = "<|start|>assistant<|channel|>final<|message|>"
CONVENTIONS = [  # what opens thinking, and what closes it: as chat templates in use have it
    ("<think>", "</think>"),
    ("<THINK>", "</THINK>"),
    ("< think >", "< / think >"),
    ('<think effort="high">', "</think>"),
    ("<think>\n<think>\n", "</think>"),
    ("<think>one<think>two</think>", "</think>"),
    ("<think>one</think><think>", "</think>"),
    ("<think>\n", "\n</think>\n<answer>\n"),
    ("<think>\n", "\n</think>\n\n<response>\n"),
    ("<Thought>\n", "\n</Thought>\n<Output>\n"),
    ("<thought>", "</thought>"),
    ("<thought>I close with </think>", "</thought>"),
    ("<thinking>", "</thinking>"),
    ("<antThinking>", "</antThinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<analysis>", "</analysis>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<chain_of_thought>", "</chain_of_thought>"),
    ('<details type="reasoning">', "</details>"),
    ("<思考>", "</思考>"),
    ("【思考】\n", "【/思考】"),
    ("<denken>", "</denken>"),
    ("<pensée>", "</pensée>"),
    ("‹pensée›\n", "‹/pensée›"),
    ("<rationale>", "</rationale>"),
    ("<Contemplation>", "</Contemplation>"),
    ("<|introspection|>", "<|/introspection|>"),
    ("[analyze]", "[/analyze]"),
    ("◁ponder▷", "◁/ponder▷"),
    ("<|begin_of_cot|>", "<|end_of_cot|>"),
    ("<|cot_start|>", "<|cot_end|>"),
    ("Thinking...\n", "\n...done thinking.\n\n"),
    ("Thought:\n", "\nFinal:\n"),
    ("<think>", "</think><|begin_of_box|>"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("\\<think\\>", "\\</think\\>"),
    ("＜think＞", "＜/think＞"),
    ("<th\u200bink>", "</think\u2066>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<think:opensource>", "</think:opensource>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<ifm|think_fast>", "</ifm|think_fast>"),
    ("[THINK]", "[/THINK]"),
    ("[unused16]", "[unused17]"),
    ("◁think▷", "◁/think▷"),
    ("<|think_start|>", "<|think_end|>"),
    ("<|think:start|>", "<|think:end|>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|think|>", "<|end|><|begin|>assistant<|content|>"),
    ("<|begin_of_thought|>\n", "\n<|end_of_thought|>\n<|begin_of_solution|>\n"),
    ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<|channel|>analysis<|message|>", "<|end|>" + HARMONY),
    ("<|start|>assistant<|channel|>analysis<|message|>", "<|end|>\n" + HARMONY),
    ("<|channel|>commentary to=functions.f <|constrain|>json<|message|>", "<|end|>" + HARMONY),
    ("analysis", "assistantfinal"),
    ("<|content_thinking|>", "<|end_message|><|content_text|>"),
    (" to=self<|message|>", "<|eom|><|start|>assistant to=user<|message|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|><|open|>response<|sep|>"),
    ("/think\n", "<|im_end|>\n<|im_start|>assistant\n"),
    ("<|im_start|>think\n", "\n<|im_start|>answer\n"),
    ("<｜begin▁of▁thinking｜>", "<｜end▁of▁thinking｜>"),
    ("## Thinking\n\n", "\n\n## Final Response\n\n"),
    ("**Reasoning:**\n", "\n**Final answer**\n"),
    ("Here is my thought process:\n", "\nHere is my response:\n"),
    ("Here are my reasoning steps:\n", "[BEGIN FINAL RESPONSE]\n"),
]


@pytest.mark.parametrize(("opening", "closing"), CONVENTIONS)
def test_d1_a_draft_is_never_taken(opening: str, closing: str) -> None:
    for draft in (DRAFT, "\n" + DRAFT, "Lima?\n" + DRAFT):
        parsed = check(opening + draft + closing + GOOD)
        assert (parsed.answer, parsed.reflection) == ("Quito", "I doubt it.")
        assert parsed.confidence == 0.8 and parsed.thinking and "Lima" in parsed.thinking
        said = ("Quito", 0.8), ("Quito", None), (None, None), (None, 0.8)
        for text in (
            opening + draft,  # cut off
            opening + draft + closing,
            draft + closing + GOOD,  # opened by the prompt
            GOOD + "\n" + opening + draft + closing,
            GOOD + "\n" + opening + draft,
            opening + closing + opening + draft + closing + GOOD,
            f"Sure. {opening}\n{draft}{closing}{GOOD}",
            f"Answer: Quito\nSelf-reflection: so {opening}{draft}{closing}\nConfidence: 8",
            f"Answer: Quito\nSelf-reflection: so {opening}{draft}",
        ):
            parsed = check(text)
            assert (parsed.answer, parsed.confidence) in said, text


@pytest.mark.parametrize(
    ("opening", "closing"), [("<think>", "</think>"), ("<thought>", "</thought>")]
)
def test_d1_answer_and_confidence_come_from_one_block(opening: str, closing: str) -> None:
    between = f"Answer: Lima\n{opening}no{closing}\nSelf-reflection: hm\nConfidence: 9"
    assert check(between).confidence is None
    assert check(f"Answer: {opening}Lima?{closing}Quito\nConfidence: 9").answer is None
    twice = "Answer: Lima\nSelf-reflection: a\nConfidence: 2\nSelf-reflection: b\nConfidence: 9"
    assert check(twice).confidence == 0.2 and not check(twice).well_formed


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "<|im_end|>",
        GOOD + "<|return|>",
        GOOD + "\n</answer>",
        HARMONY + GOOD,
        f"<answer>\n{GOOD}\n</answer>",
        GOOD.replace("Quito", "<answer>Quito</answer>"),
        f"<|begin_of_box|>{GOOD}<|end_of_box|>",
        GOOD.replace("Quito", "<|begin_of_box|>Quito<|end_of_box|>"),
        f"<think>hm</think>{GOOD}</s>",
    ],
)
def test_wrappers_and_ends_of_a_message_are_passed_over(text: str) -> None:
    parsed = check(text)
    assert parsed.well_formed, parsed.problems
    assert (parsed.answer, parsed.confidence) == ("Quito", 0.8)


@pytest.mark.parametrize(
    "words",
    [
        "<reflection>I doubt it</reflection>",
        "my <plan> was good",
        "a < b and c > d",
        "[Thinking, Fast and Slow] says so",
        "[a] and <b>bold</b>, see <https://example.org>",
        "Here is my reasoning: I know it",
        "analysis of thought, assistant",
        "so:\n## Reasoning\nI know it",
        "so:\nThought:\nI know it\nThinking...\n...done thinking.\nFinal:\nyes",
        "【思考】 and 【1】 and ‹pensée›, [analyze] and <rationale>",
        "as a list:\n- Answer: Lima\n> Self-reflection: hm\n## Confidence: 3",
    ],
)
def test_mark_up_and_turns_of_phrase_stay_in_the_reflection(words: str) -> None:
    parsed = check(GOOD.replace("I doubt it.", words))
    assert parsed.well_formed, parsed.problems
    assert (parsed.reflection, parsed.confidence) == (words, 0.8)


@pytest.mark.parametrize("dash", "-‐‑‒–—−﹣－­ _")
@pytest.mark.parametrize("colon", ":：﹕∶")
def test_d2_labels_with_any_dash_and_colon(dash: str, colon: str) -> None:
    text = f"Answer{colon} Quito\n**Self{dash}reflection{colon}** hm\nＣonfidence {colon} ８／１０"
    parsed = check(text)
    assert (parsed.answer, parsed.reflection, parsed.confidence) == ("Quito", "hm", 0.8)
    assert parsed.well_formed


@pytest.mark.parametrize("opening", ["```thinking\n", "```think\n```json\n{}\n```\n"])
def test_d1_a_fenced_draft_is_never_taken(opening: str) -> None:
    fenced = f"{opening}{DRAFT}```\n"
    for text in (fenced + GOOD, GOOD + "\n" + fenced, GOOD + "\n" + opening + DRAFT):
        parsed = check(text)
        assert (parsed.answer, parsed.confidence) == ("Quito", 0.8), text
    for text in (fenced, opening + DRAFT, fenced + "hm"):
        parsed = check(text)
        assert (parsed.answer, parsed.confidence) == (None, None), text
    assert check(f"```\n{GOOD}\n```").answer == "Quito"


@pytest.mark.parametrize(
    "label",
    ["- **{}:**", "* {}:", "• {}:", "### {}:", "## **{}:**", "> {}:", "1. {}:", "__{}:__", "*{}:*",
     "***{}:***", "_{}_:"],
)  # fmt: skip
def test_d2_labels_as_items_headings_and_quotations(label: str) -> None:
    values = (("Answer", "Quito"), ("Self-reflection", "I doubt it."), ("Confidence", "8"))
    parsed = check("\n".join(f"{label.format(name)} {value}" for name, value in values))
    assert parsed.well_formed, parsed.problems
    assert (parsed.answer, parsed.reflection, parsed.confidence) == ("Quito", "I doubt it.", 0.8)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("head", ["", "<think>\né</think>\n", f"<think>\n{DRAFT}</think>\n"])
def test_d2_any_line_end(end: str, head: str) -> None:
    parsed = check((head + GOOD).replace("\n", end))
    assert parsed.well_formed, parsed.problems
    assert (parsed.answer, parsed.reflection, parsed.confidence) == ("Quito", "I doubt it.", 0.8)


@pytest.mark.parametrize("mark", "\u200b\u200e\u2066\u2069\ufeff\u00ad\u2060\u061c\ufe0f\U000e0041")
def test_c4_invisible_characters_are_passed_over(mark: str) -> None:
    everywhere = mark + mark.join(GOOD) + mark
    parsed = check(everywhere)
    assert parsed.well_formed and parsed.confidence == 0.8
    assert parsed.answer and parsed.answer.replace(mark, "") == "Quito"
    assert check(GOOD.replace("Quito", mark)).answer is None
    assert check(GOOD.replace("Quito", f"**{mark}Quito**{mark}")).answer in (
        "Quito",
        f"Quito{mark}",
    )


def test_c4_what_belongs_to_a_sign_stays_with_it() -> None:
    for answer in ("❤\ufe0f", "می\u200cخواهم", "👩\u200d🔬", "🏴\U000e0067\U000e0062\U000e007f"):
        assert check(GOOD.replace("Quito", answer)).answer == answer
        assert parse_reply(format_reply(answer, "b", 0.5)).answer == answer


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


HOLDS_TAG = re.compile(r"[<\[◁&]|here|assistant").search
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
    answer = re.sub("[\n\r\x85\u2028\u2029]", " ", answer)
    try:
        text = format_reply(answer, reflection, c, thinking)
    except ValueError:
        seen = [as_seen(value)[0] for value in (answer, reflection, thinking or "")]
        assert any(map(HOLDS_TAG, seen)) or not (seen[0].strip() and seen[1].strip())
        return
    parsed = parse_reply(text)
    assert parsed.well_formed, parsed.problems
    assert (parsed.confidence, parsed.thinking) == (c, thinking)
    assert parsed.answer and parsed.reflection
    assert text == format_reply(parsed.answer, parsed.reflection, c, thinking)
    if "**" not in as_seen(answer)[0]:
        assert as_seen(parsed.answer)[0] == as_seen(answer)[0].strip()
    if "**" not in (seen := as_seen(reflection)[0]) and ":" not in seen:
        assert as_seen(parsed.reflection)[0] == seen.strip()


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
        "<thought>x</think>",
        "<think>x",
        "<plan>x</plan>",
        "x<|end|>",
        "<|channel|>analysis<|message|>x",
        "<|start|>assistant",
        "<answer>\nAnswer: x\n",
        "Here is my reasoning:\n",
        "Here is my response:\n",
        "assistantfinal",
        "<think " + "a" * 80,
        "\u200b",
        "\u200bx",
        "＜",
    ],
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    for head in ("", "Answer", "Answer: a\nSelf-reflection: b\nConfidence: 9"):
        start = time.process_time()  # of this process alone, however busy the machine is
        check(head + unit * (100_000 // len(unit)))
        assert time.process_time() - start < 1


def test_token_spans() -> None:
    parsed = parse_reply(GOOD)
    words = [(0, 0), (0, 7), (7, 13), (13, 32), (32, 42), (42, 55), (55, 56), (0, 0)]
    spans = token_spans(parsed, words)
    assert spans == {"answer": (2, 3), "reflection": (3, 5), "confidence": (6, 7)}
    assert token_spans(parsed, [(0, 7), (7, 13)]) == {"answer": (1, 2)}
    assert token_spans(parsed, []) == {}


def test_values_are_cleaned_with_their_names_and_made_finite() -> None:
    read = loads_bounded('{"a\\ud800": ["\\ud800", 1, null, {"b": "\\udc00"}]}')
    assert read == {"a\ufffd": ["\ufffd", 1, None, {"b": "\ufffd"}]}
    value = {"a": [float("inf"), float("nan"), 1.5, "inf"], "b": {"c": -float("inf"), "d": True}}
    assert finite(value) == {"a": [None, None, 1.5, "inf"], "b": {"c": None, "d": True}}


def test_thinking_that_the_template_had_opened_begins_after_the_model_s_own_tag() -> None:
    parsed = parse_reply(f"<think>\n<think>hm</think>\n{GOOD}")
    assert (parsed.thinking, parsed.well_formed) == ("hm", True)
