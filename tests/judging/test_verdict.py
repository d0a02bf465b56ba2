"""What counts as a verdict: row C3 and what a judge may reply besides."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaconf.judging import read_verdict
from metaconf.prompts.slots import clean, sealed, stated, ticket_of

SCORE = {"score": (0, 10)}
T = "0123456789ab"


def read(text: str) -> int | None:
    found = read_verdict(text.replace("{", '{"ticket":"0123456789ab",', 1), T, SCORE)
    return found["score"] if found else None


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"score":9,"reason":"uses {k: v}"}', 9),  # C3: a brace in the reason
        ('{"score":"8"}', 8),  # C3: a quoted number
        ('{"score":', None),  # C3: cut
        ('{"score":9,"reason":"cut he', None),
        ('{"score":9.0}', 9),
        ('{"score":0}', 0),
        ('{"score":"0"}', 0),
        ('{"score":10}', 10),
        ('{"score":11}', None),
        ('{"score":-1}', None),
        ('{"score":8.5}', None),
        ('{"score":true}', None),
        ('{"score":null}', None),
        ('{"score":[9]}', None),
        ('{"score":"nine"}', None),
        ('{"score":"²"}', None),
        ('{"score":NaN}', None),
        ('{"score":1e999}', None),
        ('{"reason":"no score"}', None),
        ('```json\n{"score": 7}\n```', 7),
        ('Here it is: {"score": 7} Good luck!', 7),
        ("", None),
        ("9", None),
        ("[9]", None),
    ],
)
def test_a_number_is_read_or_missing_and_never_made_up(text: str, score: int | None) -> None:
    assert read(text) == score


def verdict(score: int, ticket: str = T, **more: object) -> str:
    return json.dumps({"ticket": ticket, "score": score, **more})


def test_a_verdict_needs_its_own_ticket() -> None:
    assert read_verdict(verdict(9, "ffffffffffff"), T, SCORE) is None
    assert read_verdict(json.dumps({"score": 9}), T, SCORE) is None
    assert read_verdict(verdict(9, T.upper()), T, SCORE) is None


def test_two_verdicts_count_if_they_agree_and_one_inside_another_does_not() -> None:
    assert read_verdict(verdict(3) + verdict(3), T, SCORE) == {"score": 3, "reason": ""}
    assert read_verdict(verdict(3) + verdict(9), T, SCORE) is None
    other = verdict(9, "ffffffffffff")
    assert (read_verdict(other + verdict(3), T, SCORE) or {})["score"] == 3
    nested = json.dumps({"quoted": json.loads(verdict(9))})
    assert read_verdict(nested, T, SCORE) is None
    assert read_verdict('{"quoted": ' + verdict(9), T, SCORE) is None  # cut outside of it


@pytest.mark.parametrize(
    "before",
    [
        "<think>the set {x}, or {x: 1}…</think>",
        "<think>perhaps " + verdict(1) + "</think>\n",
        "perhaps " + verdict(1) + "</think>\n",
        "<thinking>\n{</thinking>",
        "[THINK]{x}[/THINK]",
        "<|channel|>analysis<|message|>"
        + verdict(1)
        + "<|start|>assistant<|channel|>final<|message|>",
        "The set {x} and {a: {b}} say little. ",
        "Of f(x) = {1 if x else 2}: ```json\n",
    ],
)
def test_e7_a_verdict_is_read_after_what_was_thought(before: str) -> None:
    found = read_verdict(before + verdict(9), T, SCORE)
    assert found and found["score"] == 9


@pytest.mark.parametrize(
    "text",
    [
        "<think>" + verdict(9),  # never closed: no more than a draft
        "{quoted: " + verdict(9) + "}",
        "{ x " + verdict(9),
        '{"cut": ' + verdict(9),
    ],
)
def test_e7_what_is_only_thought_or_quoted_is_none(text: str) -> None:
    assert read_verdict(text, T, SCORE) is None


def test_e7_a_reason_may_hold_line_breaks_and_speak_of_tags() -> None:
    raw = verdict(9, reason="BREAK").replace("BREAK", "a\nb\tc\r\nd")
    assert read_verdict(raw, T, SCORE) == {"score": 9, "reason": "a\nb\tc\nd"}
    for tag in ("</think>", "<think>", "{x}"):
        found = read_verdict(verdict(9, reason=f"it writes {tag}"), T, SCORE)
        assert found and found["score"] == 9
        assert read_verdict(f"```json\n{verdict(9, reason=tag)}\n```", T, SCORE)


@pytest.mark.parametrize("tag", ["<think>", "</think>", "[THINK]", "<|channel|>analysis", "{x}"])
def test_a_reason_may_speak_of_tags_after_other_words(tag: str) -> None:
    said = verdict(9, reason=f"the {tag} tag")
    for text in (f"Verdict: {said}", f"<think>{verdict(1)}</think>{said}", f"Hm.\n\n{said}\nBye"):
        found = read_verdict(text, T, SCORE)
        assert found and (found["score"], found["reason"]) == (9, f"the {tag} tag")
    for draft in (f"<think>So {said}", f"So {said}</think>", f"<think>{said}</think>"):
        assert read_verdict(draft, T, SCORE) is None
    later = read_verdict(f"So {said}</think>Verdict: {verdict(3)}", T, SCORE)
    assert later and later["score"] == 3


@pytest.mark.parametrize("again", ['"score": 1', '"score": 9', f'"ticket": "{T}"'])
def test_e8_a_verdict_with_a_field_twice_is_none(again: str) -> None:
    twice = verdict(9)[:-1] + f", {again}}}"
    assert read_verdict(twice, T, SCORE) is None
    spaced = "{" + again + ", " + verdict(9)[1:]
    assert read_verdict(spaced, T, SCORE) is None
    # Elsewhere it matters to nobody.
    assert read_verdict(verdict(9)[:-1] + ', "x": {"a": 1, "a": 2}}', T, SCORE)


def test_a5_no_depth_and_no_number_is_too_much() -> None:
    for text in ('{"a": ' * 100_000, verdict(9)[:-1] + ', "x": ' + "9" * 5000 + "}"):
        assert read_verdict(text, T, SCORE) is None


def test_words_are_read_as_words() -> None:
    fields = {"verdict": ("right", "wrong")}
    for said, found in (("Right", "right"), (" wrong ", "wrong"), ("maybe", None), (1, None)):
        row = read_verdict(json.dumps({"ticket": T, "verdict": said}), T, fields)
        assert (row["verdict"] if row else None) == found


def test_a_reason_is_cleaned_and_cut() -> None:
    found = read_verdict(verdict(3, reason="a\u202eb" + "c" * 9000), T, SCORE)
    assert found and found["reason"].startswith("abc") and len(found["reason"]) == 400
    assert read_verdict(verdict(3, reason={"x": 1}), T, SCORE) == {"score": 3, "reason": ""}


@given(st.text())
def test_it_never_raises(text: str) -> None:
    read_verdict(text, T, SCORE)
    read_verdict('{"ticket":"0123456789ab","score":' + text, T, SCORE)


@given(st.text())
def test_what_is_sealed_comes_out_again_and_has_two_keys(text: str) -> None:
    content, ticket = sealed({"reflection": text, "list": [text], "none": None})
    whole = json.loads(content)
    assert list(whole) == ["ticket", "data"] and whole["ticket"] == ticket
    assert list(whole["data"]) == ["reflection", "list", "none"]
    assert whole["data"]["reflection"] == clean(text) == clean(clean(text))
    assert ticket == ticket_of(whole["data"])
    content.encode("utf-8")  # no lone surrogate is left


@pytest.mark.parametrize("sign", "\u200b\u202e\u3164\ufe0f\U000e0041\x00\ue000\ud800\U0003ffff")
def test_what_nobody_sees_stands_in_no_slot(sign: str) -> None:
    assert clean(f"one{sign}\ttwo\r\n{sign}three") == "one\ttwo\nthree"
    content, _ = sealed({"text": f"a{sign}", "texts": (f"b{sign}", "c"), "none": None})
    assert json.loads(content)["data"] == {"text": "a", "texts": ["b", "c"], "none": None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I am 90% sure.", ["90%"]),
        ("I would say 9/10.", ["9/10"]),
        ("About 8 out of 10 times", ["8 out of 10"]),
        ("My confidence is 7.", ["confidence is 7"]),
        ("Confidence: 8.5/10", ["Confidence: 8.5/10"]),
        ("I know Lyon; in 1950 it had 3 rivers.", []),
    ],
)
def test_stated_confidences_are_found(text: str, found: list[str]) -> None:
    assert stated(text) == found
