"""The offline teacher: varied, grounded, blind; and the words by which its causes are known."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from metaconf.grading.leaks import leaks
from metaconf.prompts.causes import (
    CAUSES,
    COMPLEXITY,
    KNOWLEDGE,
    REASONING,
    named_answers,
    named_causes,
)
from metaconf.prompts.frames import FRAMES, STANCES
from metaconf.prompts.teacher import Evidence, likely_cause, reflections, stance, subject

QUESTIONS = {
    KNOWLEDGE: "In which country is the city of Timbuktu?",
    COMPLEXITY: "In which US state is Springfield?",
    REASONING: "What is 47 + 38?",
}
ALTERNATIVES: tuple[tuple[str, ...], ...] = ((), ("Kenya",), ("Kenya", "91"), ("A", "B", "C"))


def all_reflections() -> Iterator[tuple[Evidence, int, str]]:
    """(evidence, index of the stance, text)."""
    for cause, question in QUESTIONS.items():
        for others in ALTERNATIVES:
            for seed in range(25):
                evidence = Evidence(question, others, seed % 2 == 0, cause)
                for k, text in enumerate(reflections(evidence, random.Random(seed))):
                    yield evidence, k, text


def test_it_is_a_clean_first_person_sentence() -> None:
    for _, _, text in all_reflections():
        assert re.search(r"\b(I|My|my|me|mine)\b", text), text
        assert text[0].isupper() and text.endswith(".") and not text.endswith(".."), text
        assert not re.search(r"[{}\n]|  |\s[,;.]|;\.|, ;", text), text


def test_it_leaks_neither_grade_nor_number() -> None:
    for evidence, _, text in all_reflections():
        if "91" not in evidence.alternatives:  # a number beside "confident" would be one
            assert not leaks(text, evidence.question, "X", evidence.alternatives, ()), text
        told = subject(evidence.question) + " ".join(evidence.alternatives)
        assert set(re.findall(r"\d+", text)) <= set(re.findall(r"\d+", told)), text


def test_it_names_the_other_answers_and_the_subject() -> None:
    for evidence, _, text in all_reflections():
        assert subject(evidence.question) in text
        for other in evidence.alternatives[:2]:
            assert re.search(rf"\b{re.escape(other)}\b", text), text
        assert not re.search(r"\bC\b", text)  # no more than two
        assert (bool(re.search("as (often|frequent)", text))) == (
            evidence.often and bool(evidence.alternatives)
        ), text


def test_it_names_its_cause_and_no_other() -> None:
    for evidence, _, text in all_reflections():
        assert named_causes(text) == {evidence.cause}, text


def test_each_stance_has_a_wording_that_begins_with_a_word_of_its_own() -> None:
    """How sure it sounds is decided at one word, wherever the lead-in is the same."""
    leads = [lead for frames in FRAMES.values() for lead, _ in frames]
    assert len(set(leads)) == len(leads)
    for frames in FRAMES.values():
        for lead, wordings in frames:
            assert len(wordings) == len(STANCES) and "{s}" in lead
            assert "{s}" in lead.split()[:4], lead  # so that few reflections begin alike
            first = [" ".join(w.split()[:2]) for w in wordings]
            assert len(set(first)) == len(first), wordings


def test_the_nearest_stance() -> None:
    assert list(STANCES) == sorted(STANCES)
    assert [stance(c) for c in STANCES] == list(range(len(STANCES)))
    assert (stance(0.0), stance(0.1), stance(0.55), stance(1.0)) == (0, 1, 3, 6)


def test_it_is_varied_and_the_same_for_the_same_seed() -> None:
    for cause, question in QUESTIONS.items():
        evidence = Evidence(question, ("Kenya",), False, cause)
        assert len({reflections(evidence, random.Random(s))[3] for s in range(60)}) >= 6
        first, again = (reflections(evidence, random.Random(7)) for _ in range(2))
        assert first == again


@pytest.mark.parametrize("hostile", ["{b}", "{a}", "{s}", "{", "}{", r"\1 \g<0>", "a {b} {0} %s"])
def test_braces_in_answers_stay_as_they_are(hostile: str) -> None:
    for seed in range(12):
        for others in ((hostile,), (hostile, "Kenya"), ("Kenya", hostile)):
            evidence = Evidence(f"Where is the city of X{hostile}?", others, False, KNOWLEDGE)
            text = reflections(evidence, random.Random(seed))[seed % 7]
            tail = text.split(";", 1)[1]
            assert tail.count(hostile) == 1
            assert ("Kenya" in tail) == ("Kenya" in others)


def test_an_answer_with_a_full_stop_ends_in_one() -> None:
    evidence = Evidence("Where is the city of X?", ("Washington, D.C.",), False, KNOWLEDGE)
    texts = {reflections(evidence, random.Random(seed))[2] for seed in range(30)}
    assert all(t.endswith(".") and not t.endswith("..") for t in texts)
    assert any(t.endswith("Washington, D.C.") for t in texts)


def test_a_number_loses_the_stop_that_ended_its_sentence() -> None:
    evidence = Evidence("What is 16 - 6?", ("6.", "17"), False, REASONING)
    assert all(" 6 " in text for text in reflections(evidence, random.Random(1)))


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("What is 47 + 38?", "47 + 38"),
        ("What is 12 × 3?", "12 × 3"),
        ("In which country is the city of Timbuktu?", "Timbuktu"),
        ("In which US state is Santa Cruz County?", "Santa Cruz County"),
        ("What is the capital of the Isle of Man?", "Isle of Man"),
        ("In which country is the city of Łódź?", "Łódź"),
        ("In which country is the city of Bánovce nad Bebravou?", "Bánovce nad Bebravou"),
        ("On which continent is Saint Pierre and Miquelon?", "Saint Pierre and Miquelon"),
        ("who sang the song first?", "this"),
        ("", "this"),
    ],
)
def test_subject(question: str, about: str) -> None:
    assert subject(question) == about


def test_a_problem_in_words_and_a_choice_are_about_no_name_inside_them() -> None:
    assert subject("In a shop, Janet buys 3 eggs. How many are left?", REASONING) == "this"
    assert subject("which of these is a river?\nA. the Nile\nB. in Paris") == "this"
    assert subject("Who wrote the Pride and Prejudice?\nA. by Jane Austen") == "Pride and Prejudice"


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
