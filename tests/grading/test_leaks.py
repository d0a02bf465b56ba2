"""What a teacher's reflection must not hold, and what it may."""

from __future__ import annotations

import pytest

from metaconf.grading.leaks import leaks
from metaconf.prompts.slots import stated

ASKED = ("In which country is Timbuktu?", "Niger", ("Chad",), ("Mali",))


@pytest.mark.parametrize(
    "text",
    [
        "I know Timbuktu only by name; I might also say Chad.",
        "I am not sure whether the city lies there, and I may mix it up with others in Niger.",
        "The right way to settle this would be a map; I have none in mind.",
        "I recall 3 rivers near it, and a mosque of 1327.",
        "My memory may be wrong here.",
        "I'm confident about the continent, less so about the country.",
    ],
)
def test_a_truthful_reflection_passes(text: str) -> None:
    assert leaks(text, *ASKED) == []


@pytest.mark.parametrize(
    ("text", "amiss"),
    [
        ("I think this is wrong.", "whether the answer is right"),
        ("My answer is actually incorrect.", "whether the answer is right"),
        ("I was mistaken about it.", "whether the answer is right"),
        ("I know that the correct answer is another one.", "whether the answer is right"),
        ("I am 70% sure of it.", "a number for the confidence"),
        ("I would rate my confidence at 7.", "a number for the confidence"),
        ("I would give it 7 out of 10.", "a number for the confidence"),
        ("I might also think of Mali.", "never gave"),
        ("I was asked again and said Chad.", "the data it was written from"),
        ("I see in other_answers that Chad came up.", "the data it was written from"),
        ("I know it.\nConfidence: high", "a label"),
        ("Answer: I know it", "a label"),
        ("The model hardly knows the city.", "does not speak as I"),
        ("", "empty"),
        ("I doubt it. " * 90, "longer than three sentences"),
    ],
)
def test_a_leak_is_found(text: str, amiss: str) -> None:
    assert any(amiss in one for one in leaks(text, *ASKED)), leaks(text, *ASKED)


def test_a_truth_that_the_model_said_itself_is_no_leak() -> None:
    for said in (
        ("Where is Mali?", "Chad", ()),
        ("Where?", "Mali", ()),
        ("Where?", "X", ("Mali",)),
    ):
        assert leaks("I also think of Mali.", *said, ("Mali",)) == []


def test_a_percentage_of_the_question_is_no_confidence() -> None:
    question = "Tom spends 50% of 80 dollars. How much is left?"
    assert leaks("I took 50% of it and may have slipped.", question, "40", (), ("40",)) == []
    assert stated("50% and 9/10") == ["50%", "9/10"]
