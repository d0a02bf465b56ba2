"""The offline teacher: varied, grounded, blind; and the words by which its causes are known."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from metaconf.grading.reflection import decisiveness
from metaconf.prompts.causes import (
    CAUSES,
    COMPLEXITY,
    KNOWLEDGE,
    REASONING,
    named_answers,
    named_causes,
)
from metaconf.prompts.teacher import Evidence, likely_cause, reflect, subject

QUESTIONS = {
    KNOWLEDGE: ("In which country is the city of Timbuktu?", "Mali"),
    COMPLEXITY: ("In which US state is Springfield?", "Illinois"),
    REASONING: ("What is 47 + 38?", "85"),
}
ALTERNATIVES: tuple[tuple[str, ...], ...] = ((), ("Kenya",), ("Kenya", "91"), ("A", "B", "C"))


def all_reflections() -> Iterator[tuple[Evidence, str]]:
    for cause, (question, answer) in QUESTIONS.items():
        for certainty in (0.1, 0.5, 0.9):
            for others in ALTERNATIVES:
                for seed in range(25):
                    evidence = Evidence(question, answer, certainty, others, cause)
                    yield evidence, reflect(evidence, random.Random(seed))


GRADE = re.compile(
    r"\b(in)?correct(ly)?\b|\bright\b|\bwrong(ly)?\b|\btrue\b|\bfalse\b|\berror\b|\bmistaken?\b"
    r"|\bconfiden|\bpercent|%|\bscore|\bout of\b|\bsamples?\b|\bprobab",
    re.IGNORECASE,
)


def test_it_is_a_clean_first_person_sentence() -> None:
    for _, text in all_reflections():
        assert re.search(r"\b(I|My|me)\b", text), text
        assert text[0].isupper() and text.endswith(".") and not text.endswith(".."), text
        assert not re.search(r"[{}\n]|  |\s[,;.]|;\.|, ;", text), text


def test_it_leaks_neither_grade_nor_number() -> None:
    for evidence, text in all_reflections():
        assert not GRADE.search(text), text
        told = subject(evidence.question) + " ".join(evidence.alternatives)
        assert set(re.findall(r"\d+", text)) <= set(re.findall(r"\d+", told)), text


def test_it_names_the_other_answers_and_the_subject() -> None:
    for evidence, text in all_reflections():
        assert subject(evidence.question) in text
        for other in evidence.alternatives[:2]:
            assert re.search(rf"\b{re.escape(other)}\b", text), text
        assert not re.search(r"\bC\b", text)  # no more than two
        if not evidence.alternatives:
            assert "might also say" not in text


def test_it_names_its_cause_and_no_other() -> None:
    for evidence, text in all_reflections():
        assert named_causes(text) == {evidence.cause}, text


def test_wording_follows_the_certainty() -> None:
    for evidence, text in all_reflections():
        firm = decisiveness(text.split(";")[0])
        if evidence.certainty == 0.9:
            assert firm >= 0.5, text
        if evidence.certainty == 0.1:
            assert firm <= 0.5, text


def test_it_is_varied_and_the_same_for_the_same_seed() -> None:
    for cause, (question, answer) in QUESTIONS.items():
        for certainty in (0.1, 0.5, 0.9):
            evidence = Evidence(question, answer, certainty, ("Kenya",), cause)
            assert len({reflect(evidence, random.Random(s)) for s in range(60)}) >= 9
            first, again = (reflect(evidence, random.Random(7)) for _ in range(2))
            assert first == again


@pytest.mark.parametrize("hostile", ["{b}", "{a}", "{s}", "{", "}{", r"\1 \g<0>", "a {b} {0} %s"])
def test_braces_in_answers_stay_as_they_are(hostile: str) -> None:
    for seed in range(12):
        for others in ((hostile,), (hostile, "Kenya"), ("Kenya", hostile)):
            evidence = Evidence(
                f"Where is the city of X{hostile}?", hostile, 0.5, others, KNOWLEDGE
            )
            text = reflect(evidence, random.Random(seed))
            tail = text.split(";", 1)[1]
            assert tail.count(hostile) == 1
            assert ("Kenya" in tail) == ("Kenya" in others)


def test_an_answer_with_a_full_stop_ends_in_one() -> None:
    evidence = Evidence("Where is the city of X?", "Ohio", 0.2, ("Washington, D.C.",), KNOWLEDGE)
    texts = {reflect(evidence, random.Random(seed)) for seed in range(30)}
    assert all(t.endswith(".") and not t.endswith("..") for t in texts)
    assert any(t.endswith("Washington, D.C.") for t in texts)


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("What is 47 + 38?", "47 + 38"),
        ("What is 12 × 3?", "12 × 3"),
        ("In which country is the city of Timbuktu?", "Timbuktu"),
        ("In which US state is Santa Cruz County?", "Santa Cruz County"),
        ("What is the capital of the Isle of Man?", "Isle of Man"),
        ("In which country is the city of Łódź?", "Łódź"),
        ("who sang the song first?", "this"),
        ("", "this"),
    ],
)
def test_subject(question: str, about: str) -> None:
    assert subject(question) == about


def test_likely_cause() -> None:
    assert likely_cause("math", None) == REASONING
    assert likely_cause("short", None) == KNOWLEDGE
    assert likely_cause("math", COMPLEXITY) == COMPLEXITY


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        ("I do not know this town.", {KNOWLEDGE}),
        ("The name is ambiguous: several places share the name.", {COMPLEXITY}),
        ("I may have slipped in one step.", {REASONING}),
        ("I know little, and my calculation is shaky.", {KNOWLEDGE, REASONING}),
        ("It is a city.", set()),
        ("Knowles and Stepney are names.", set()),
    ],
)
def test_named_causes(text: str, causes: set[str]) -> None:
    assert named_causes(text) == causes <= set(CAUSES)


@pytest.mark.parametrize(
    ("reflection", "question", "answer", "named"),
    [
        (
            "I know Quito; I might also say Lima or Peru.",
            "Where is Quito?",
            "Ecuador",
            ["Lima", "Peru"],
        ),
        ("Kenya comes to mind, or Kenya, or Mali.", "Where?", "Chad", ["Kenya", "Mali"]),
        ("Perhaps it is Chad. Some say otherwise.", "Where?", "Chad", []),
        ("it could be 12 or 120 too", "What is 112 + 5?", "117", ["12", "120"]),
        ("it could be -3 or 1,200.5 too", "What is 2 - 6?", "-4", ["-3", "1,200.5"]),
        ("12 × 3 is easy; it could be 35", "What is 12 * 3?", "36", ["35"]),
        ("I would also consider Łódź or Šabac", "Where?", "Gdynia", ["Łódź", "Šabac"]),
        ("it could be Bosnia and Herzegovina", "Where?", "Chad", ["Bosnia and Herzegovina"]),
        ("it could be the dollar", "Which currency?", "euro", []),
        ("{b} {a} it could be <b>Mali</b>", "Where?", "Chad", ["Mali"]),
        ("I think I'd say so, and I know I've said it.", "Where?", "Chad", []),
        ("", "", "", []),
    ],
)
def test_named_answers(reflection: str, question: str, answer: str, named: list[str]) -> None:
    assert named_answers(reflection, question, answer) == named


def test_named_answers_stays_fast_on_hostile_text() -> None:
    for text in ("A of " * 4000, "1," * 8000, "A " * 8000, "'" * 20000, "-1." * 6000):
        named_answers("it is " + text, "Where?", "Chad")
