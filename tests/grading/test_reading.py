"""The reader of reflections: people's scale, negation, labelled texts, hostile ones."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from metaconf.grading.reading import LONGEST, by_cues, reading
from metaconf.grading.reading.fitted import weights
from metaconf.grading.reading.lexicon import lexicon, words_of
from metaconf.judging.contradictions import contradiction_warning
from metaconf.metrics import rank_correlation
from metaconf.prompts.frames import FRAMES, STANCES

HERE = Path(__file__).parent
ADJECTIVE = (
    "It is {} that this is right.",
    "That this is the right answer is {}.",
    "I would call it {} that the answer is correct.",
    "To me it seems {}, going by what I recall.",
)
ADVERB = (
    "This is {} right.",
    "The answer is {} correct.",
    "That is {} so.",
    "{}, this is the answer.",
)
VERB = (
    "{} this is right.",
    "{} that this is the right answer.",
    "{} the answer is correct.",
    "After some thought, {} that it is so.",
)
CHANCE = (
    "There is {} that this is right.",
    "I see {} of this answer being correct.",
    "I'd say there is {} that I have it right.",
    "This has {} of being correct.",
)
EVEN = (
    "The chance is {} that this is right.",
    "The odds that this is right are {}.",
    "It is {} that this is the answer.",
    "I put the chances at {}.",
)
CHANCES = (
    "The {} that this is right.",
    "I think the {} that the answer is correct.",
    "The {} here.",
    "The {} of this being correct.",
)
WORDS = (
    ("almost certain", 90, 98, ADJECTIVE),
    ("highly likely", 80, 95, ADJECTIVE),
    ("a very good chance", 75, 90, CHANCE),
    ("probable", 60, 75, ADJECTIVE),
    ("likely", 65, 75, ADJECTIVE),
    ("we believe", 65, 85, VERB),
    ("probably", 60, 75, ADVERB),
    ("better than even", 55, 60, EVEN),
    ("about even", 50, 50, EVEN),
    ("probably not", 15, 30, ADVERB),
    ("we doubt", 10, 30, VERB),
    ("unlikely", 10, 30, ADJECTIVE),
    ("improbable", 5, 25, ADJECTIVE),
    ("little chance", 5, 15, CHANCE),
    ("chances are slight", 10, 20, CHANCES),
    ("highly unlikely", 5, 10, ADJECTIVE),
    ("almost no chance", 1, 5, CHANCE),
)
"""Quartiles, in per cent, of what 123 people read into the words (wadefagen/datasets)."""


def test_probability_words_read_as_people_read_them() -> None:
    within = [
        low <= 100 * median(read(carrier.format(word)) for carrier in carriers) <= high
        for word, low, high, carriers in WORDS
    ]
    assert sum(within) >= 16  # of 17; the aim is 14


def read(text: str) -> float:
    found = reading(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("surer", "less_sure"),
    [
        ("I am certain.", "I am not certain."),
        ("I am not entirely certain.", "I am not at all certain."),
        ("I have no doubt.", "I have some doubt."),
        ("I don't doubt it.", "I doubt it."),
        ("I have little doubt about it.", "I have serious doubts about it."),
        ("I am far from unsure.", "I am far from certain."),
        ("I can't be wrong about this.", "I could be wrong about this."),
        ("I am sure that this is right.", "I am sure that this is wrong."),
        ("It is unlikely that I am mistaken.", "It is likely that I am mistaken."),
        ("Another answer is unlikely.", "Another answer is likely."),
        ("Nothing else comes to mind.", "Nothing comes to mind."),
        ("I know little about Peru, but I know this lake well.", "I know Peru well, but not this."),
        ("Although I know little of opera, I am sure.", "Although I am sure of it, I know little."),
        ("I am very sure.", "I am fairly sure."),
        ("I am fairly sure.", "I am somewhat sure."),
        ("Nine of my ten attempts agree.", "Two of my ten attempts agree."),
        ("There is a 90% chance that I have this.", "There is a 10% chance that I have this."),
        ("I'm 80 percent sure.", "I'm 80 percent sure that it is wrong."),
        ("I checked each step.", "I did not check each step."),
        ("Every time I tried, it was the same.", "Every time I tried, it was a different one."),
        ("I'm sure unless I misread the question.", "I'm unsure, and I misread the question."),
        ("I know this well.", "He was certain of victory, but I know nothing of him."),
        ("I remember it vividly.", "I vaguely remember it."),
        ("I wouldn't say that I doubt it.", "I wouldn't say that I trust it."),
    ],
)
def test_negation_degree_and_contrast(surer: str, less_sure: str) -> None:
    assert read(surer) > read(less_sure) + 0.05


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        # how much of it is known, and how well
        ("I know nothing of this port.", 0, 0.12),
        ("I know this port a little.", 0.25, 0.5),
        ("I know this port in part.", 0.3, 0.5),
        ("I know this port only by name.", 0.15, 0.35),
        ("I know this port fairly well.", 0.65, 0.85),
        ("I know this port very well.", 0.88, 1),
        ("I do not know this port at all.", 0, 0.15),
        # what the writer has of it, with degrees
        ("My grasp of the statute is very thin.", 0, 0.2),
        ("My grasp of the statute is rather thin.", 0.2, 0.4),
        ("My memory of the recipe is half clear.", 0.35, 0.55),
        ("My memory of the recipe is perfectly clear.", 0.9, 1),
        ("My memory of the recipe is barely clear.", 0.15, 0.4),
        ("My command of the dialect is nothing but a guess.", 0, 0.25),
        ("My knowledge of the guild is close to nothing.", 0, 0.2),
        ("I have hardly any recollection of the guild.", 0, 0.2),
        # no rival supports, a rival tints
        ("I am certain of it; Lisbon came to mind as well.", 0.75, 0.95),
        ("I see no other answer.", 0.75, 1),
        # even chances
        ("It is an even bet.", 0.45, 0.55),
        ("The argument is as likely sound as not.", 0.45, 0.55),
        ("It could go either way.", 0.45, 0.55),
        ("The steps are half sound.", 0.4, 0.55),
        ("I cannot tell which of them is meant.", 0.4, 0.55),
        # of what it is said
        ("My pick is doubtful.", 0.1, 0.3),
        ("Of the two, mine is the likelier.", 0.6, 0.75),
        ("The reading I took is probably meant.", 0.6, 0.8),
        ("A mistake is unlikely.", 0.7, 0.95),
        ("A mistake is likely.", 0.1, 0.4),
        # negation behind the cue, and one "not" before two cues
        ("It agrees with neither.", 0, 0.35),
        ("I do not think that I misread it.", 0.7, 0.95),
        # after a concession without a cue in the main clause
        ("Though it looks hard, one line of algebra will do.", 0.45, 0.8),
        # shares of attempts, and a stated chance
        ("Half of my drafts say the same.", 0.45, 0.55),
        ("Each time I try, I get another name.", 0, 0.25),
        ("I would put it at 75%, though my memory is old.", 0.6, 0.8),
    ],
)
def test_degree_object_and_even_chances(text: str, low: float, high: float) -> None:
    assert low <= read(text) <= high


def test_a_quality_tells_only_of_what_it_is_said_of() -> None:
    assert reading("The soup is thin and the king weak.") is None
    assert reading("Iron is a hard metal.") is None
    assert reading("The river splits into two steps.") is None


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " \n",
        "The question asks about a river in Asia.",
        "Thank you for asking.",
        "42",
        "?",
    ],
)
def test_nothing_is_read_into_what_says_nothing(text: str | None) -> None:
    assert reading(text) is None


def test_what_others_think_and_what_is_quoted_is_not_the_writers() -> None:
    assert reading('He called it "certainly the largest city".') is None
    assert reading("She was sure of her plan.") is None
    assert reading("It lies in a certain valley.") is None


@pytest.mark.parametrize(
    "text",
    ["not " * 5000, "is not sure " * 3000, "1 in 10 chance " * 2000, '"' * 9000, "\u202e" * 9000],
)
def test_hostile_texts_take_no_time(text: str) -> None:
    start = time.process_time()
    found = reading(text)
    assert found is None or 0 <= found <= 1
    assert time.process_time() - start < 2
    assert reading(text + "x" * LONGEST) == reading((text + "x" * LONGEST)[:LONGEST])


def test_marks_of_other_scripts_change_nothing() -> None:
    assert reading("I can\u2019t be sure\u200b.") == reading("I can't be sure.")
    assert reading("\uff29 am sure.") == reading("I am sure.")


def labelled(name: str = "labelled") -> list[dict[str, object]]:
    lines = (HERE / f"reflections_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("name", "least"), [("labelled", 0.9), ("fresh", 0.85), ("final", 0.66)])
def test_it_agrees_with_the_labels(name: str, least: float) -> None:
    """Measured: benchmarks/reading.py; slightly less is demanded here. Only the final set is one
    that the reader was neither written nor fitted with."""
    rows = [row for row in labelled(name) if row["sureness_a"] is not None]
    read_as = [reading(str(row["text"])) for row in rows]
    known = [
        (one, (float(str(row["sureness_a"])) + float(str(row["sureness_b"]))) / 2)
        for one, row in zip(read_as, rows, strict=True)
        if one is not None
    ]
    assert len(known) >= 0.85 * len(rows)
    found, labels = zip(*known, strict=True)
    assert rank_correlation(found, labels) >= least


def test_weights_read_what_follows_from_what_is_told() -> None:
    """The cue "ruled out" alone sounds sure."""
    excluded = (
        "The option that I marked is ruled out by the second sentence of the passage, which I "
        "only saw afterwards."
    )
    assert by_cues(words_of(excluded)) == pytest.approx(0.8)
    assert read(excluded) < 0.55
    assert (
        read("The passage states what the option says word for word and rules out the rest.") > 0.8
    )


@pytest.mark.parametrize("added", ["", "; I also think of Peru", "; Peru and Chad are next"])
def test_the_teachers_wordings_are_read_in_their_order(added: str) -> None:
    """Nothing was written for them or fitted on them; what names other answers changes little."""
    frames = [frame for of_cause in FRAMES.values() for frame in of_cause]
    stated = STANCES * len(frames)
    found = [
        read(f"{lead.format(s='Gomel')}{wording}{added}.")
        for lead, wordings in frames
        for wording in wordings
    ]
    assert rank_correlation(stated, found) >= 0.92
    assert sum(abs(r - c) for r, c in zip(found, stated, strict=True)) / len(stated) <= 0.1


def test_the_weights_are_small_whole_numbers() -> None:
    path = files("metaconf.grading.reading").joinpath("weights.json.gz")
    assert len(path.read_bytes()) <= 200_000
    assert all(weight and abs(weight) <= 127 for weight in weights().of.values())


def test_ten_thousand_reflections_take_seconds() -> None:
    texts = [str(row["text"]) for row in labelled()]
    reading(texts[0])  # the lexicon is read once
    start = time.process_time()
    for text in texts:
        reading(text)
    assert (time.process_time() - start) / len(texts) * 10_000 < 6  # two seconds on an idle core


def test_the_lexicon_is_well_formed() -> None:
    found = lexicon()
    for cues in found.cues.values():
        for pattern, cue in cues:
            assert pattern[0] and pattern[-1] and all(all(words) for words in pattern)
            assert cue.value is None or 0 <= cue.value <= 1
            assert 0 <= cue.negated <= 1
    text = files("metaconf.grading.reading").joinpath("cues.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100


class Stated(NamedTuple):
    reflection: str | None
    confidence: float | None


def test_a_warning_where_words_and_number_contradict_each_other() -> None:
    fine = [Stated("I am sure.", 0.9), Stated("I have no idea.", 0.0), Stated(None, 0.9)] * 10
    assert contradiction_warning(fine) is None
    assert contradiction_warning([]) is None
    assert (
        contradiction_warning([Stated("I have no idea.", None), Stated("It is blue.", 1.0)]) is None
    )
    said = contradiction_warning([*fine, *[Stated("I have no idea\x1b[2J.", 0.9)] * 2])
    assert said is not None and "2 of 22 replies" in said and "states 0.9" in said
    assert "I have no idea" in said and "\x1b" not in said
    assert contradiction_warning([Stated("x", 0.9)], [0.1]) is not None
