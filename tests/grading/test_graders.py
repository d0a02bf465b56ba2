"""The graders against hand-labelled hard cases, the rows of others' trouble, and hostile text."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cases import CASES, CITY, MISSES, PICK
from hypothesis import given, settings
from hypothesis import strategies as st

from metaconf.errors import UserError
from metaconf.grading import grade_answer, group_answers, normalise, same_answer
from metaconf.grading.abstained import abstains
from metaconf.grading.bounds import _bounds
from metaconf.grading.math_process import WORKER
from metaconf.grading.numbers import plain_numbers
from metaconf.grading.tables import table
from metaconf.grading.units import unit_name
from metaconf.records import Question, Target


def question(*texts: str, task: str = "short", prompt: str = "") -> Question:
    return Question("q", prompt, (Target(texts),), task)


def correct(gold: str, answer: str | None, task: str = "short", prompt: str = "") -> float | None:
    return grade_answer(question(gold, task=task, prompt=prompt), answer)[0]


def test_hand_labelled_cases_and_every_miss_is_listed() -> None:
    misses = {
        (texts[0], answer)
        for task, texts, answer, right, prompt in CASES
        if grade_answer(question(*texts, task=task, prompt=prompt), answer)[0] != float(right)
    }
    assert misses == MISSES
    assert len(CASES) >= 120 and len(set(CASES)) == len(CASES)
    assert len(misses) <= 0.02 * len(CASES)


@pytest.mark.parametrize("task", ["short", "math", "choice"])
def test_a_reference_answers_its_own_question(task: str) -> None:
    for kind, texts, _, _, prompt in CASES:
        if kind == task:
            asked = question(*texts, task=task, prompt=prompt)
            assert all(grade_answer(asked, text)[0] == 1.0 for text in texts), texts


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("4a-2b+9=0", "5a+7b-1=0", 0.0),
        ("512 and 729", "729", 0.0),
        ("D=(2,5)", "D=(2,5.5)", 0.0),
        ("7/4", "1 3/4", 1.0),
        ("3/4", "1 3/4", 0.0),
        ("58", "**58**", 1.0),
        ("35%", "35 percent", 1.0),
        ("2,5", "25", 0.0),
        ("2,5", "(2, 5)", 1.0),
        ("61,400", "61400", 1.0),
        ("58", "It is 58, altogether.", 1.0),
        ("-3", "3", 0.0),
        ("-3", "−3", 1.0),
        ("10", "10\n\nNotes", 1.0),
    ],
)
def test_math_rows_G1_to_G4(gold: str, answer: str, right: float) -> None:
    assert correct(gold, answer, "math") == right


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [("35%", "35", 1.0), ("35", "35%", 1.0), ("35%", "0.35", 1.0), ("35%", "0.36", 0.0)],
)
def test_a_percent_sign_may_be_missing(gold: str, answer: str, right: float) -> None:
    assert correct(gold, answer, "math") == right


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("1¹⁄₂", "1 1/2"),
        ("¹⁄₂", "1/2"),
        ("1½", "1 1/2"),
        ("3⅟", "3⅟"),
        ("m 5²", "m 5^2"),
        ("2⁻ 3", "2^{-} 3"),
        ("10⁻³", "0.001"),
        ("〇〇七", "007"),
        ("十二", "12"),
        ("三点五", "3.5"),
        ("half", "1/2"),
        ("a dozen", "12"),
        ("ten to the twelfth", "ten to the twelfth"),
        ("2 times 10 to the twelfth", "2000000000000"),
        ("three tenths", "3/10"),
        ("minus twelve", "-12"),
    ],
)
def test_numbers_in_plain_ascii(written: str, plain: str) -> None:
    assert plain_numbers(written) == plain


@pytest.mark.parametrize(
    ("said", "form"),
    [
        ("minus five", "-5"),
        ("7 minus five", "7 minus 5"),
        ("twenty tenth", "20 10th"),
        ("twenty-first", "21st"),
        ("one hundred and five", "105"),
        ("one hundred and", "100 and"),
        ("5 million", "5000000"),
        ("million 5", "1000000 5"),
    ],
)
def test_spelled_numbers(said: str, form: str) -> None:
    assert normalise(said) == form


@pytest.mark.parametrize(
    ("said", "bounds"),
    [
        ("at least 50", {("atleast", "50")}),
        ("50 or more", {("atleast", "50")}),
        ("50+", {("atleast", "50")}),
        ("≥ 50", {("atleast", "50")}),
        ("50 people or fewer", {("atmost", "50")}),
        ("mehr als 50", {("morethan", "50")}),
        ("50未満", {("lessthan", "50")}),
        ("before May 1969", {("lessthan", "1969")}),
        ("≠ 50", {("not", "50")}),
        ("half of 50", {("operated", "50")}),
        ("50", set()),
    ],
)
def test_a_bound_is_no_number_and_the_same_bound_in_other_words_agrees(
    said: str, bounds: set[tuple[str, str]]
) -> None:
    assert _bounds(said) == bounds
    number = "1969" if "1969" in said else "50"
    assert correct(number, said) == float(not bounds)


@pytest.mark.parametrize("mark", ["text", "textbf", "mathrm", "mbox", "bf", "rm", "boxed"])
def test_latex_around_an_answer_says_nothing(mark: str) -> None:
    assert correct("Quito", rf"\{mark}{{Quito}}") == 1.0
    assert correct("B", rf"\{mark}{{B}}", "choice", PICK) == 1.0


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("It is 5 factorial.", 1.0),
        ("It is 4 factorial.", 0.0),
        ("the square root of 14400", 1.0),
        ("the square root of 14401", 0.0),
        ("the square root of 36/49", 0.0),
        ("twice 60", 1.0),
        ("half of 240", 1.0),
        ("triple 40", 1.0),
        ("not 12, but half of 240", 1.0),
    ],
)
def test_an_operation_in_words_is_done(answer: str, right: float) -> None:
    assert correct("120", answer, "math") == right


def test_a_root_may_be_a_fraction() -> None:
    assert correct("0.5", "the square root of 0.25", "math") == 1.0
    assert correct("0.5", "the square root of 0.26", "math") == 0.0


@pytest.mark.parametrize(("gold", "answer"), [("x^2+1", "x²+1"), ("x^{-2}", "x⁻²")])
def test_superscripts_are_powers(gold: str, answer: str) -> None:
    assert correct(gold, answer, "math") == 1.0


@pytest.mark.parametrize("task", ["short", "math"])
def test_a_unit_that_pint_cannot_read_is_another_one(task: str) -> None:
    assert correct("5 km", "5 ₀₁", task) == 0.0


def test_threads_give_the_verdict_of_the_main_thread() -> None:
    pairs = [("1/3", r"\frac{1}{3}"), (r"\sqrt{50}", r"5\sqrt{2}"), (r"\sqrt{50}", r"4\sqrt{3}")]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda p: correct(p[0], p[1], "math"), pairs * 4))
    assert (
        threaded
        == [correct(gold, answer, "math") for gold, answer in pairs] * 4
        == [1.0, 1.0, 0.0] * 4
    )


@pytest.mark.parametrize("tower", ["9^(9^(9^9))", "9**(9**(9**9))", "9^{9^{9^{9}}}", "(10^8)!"])
def test_a_tower_of_powers_is_wrong_within_seconds(
    tower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metaconf.grading.math_process.SECONDS", 2.0)
    correct("x", "y+1", "math")  # the start of the child is not what is measured
    start = time.monotonic()
    assert correct("12", tower, "math") == 0.0
    assert time.monotonic() - start < 20
    assert correct(r"\sqrt{18}", r"3\sqrt{2}", "math") == 1.0


def test_a_dead_child_is_replaced() -> None:
    assert correct("x+1", "1+x", "math") == 1.0
    assert WORKER.process
    WORKER.process.kill()
    WORKER.process.wait()
    assert correct("y+1", "1+y", "math") == 1.0
    assert WORKER.owner == os.getpid()


def test_missing_answers_and_references() -> None:
    assert grade_answer(question("Mali"), None) == (0.0, "no answer")
    assert grade_answer(question("Mali"), " \n") == (0.0, "no answer")
    for empty in (Question("q", "", ()), question(), question(""), question(" ")):
        credit, why = grade_answer(empty, "Mali")
        assert credit is None and "no reference" in why
    assert grade_answer(question("..."), "...")[0] is None
    assert grade_answer(question("no letter", task="choice", prompt=""), "B")[0] == 0.0


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(UserError, match="no grader for task 'essay'"):
        grade_answer(question("x", task="essay"), "x")


def test_graded_credit_is_that_of_the_target_named() -> None:
    juan = Question(
        "q",
        "In which country is San Juan?",
        (Target(("Puerto Rico",), 0.6), Target(("Argentina",), 0.3), Target(("Puerto Rico",), 0.1)),
    )
    assert grade_answer(juan, "Puerto Rico")[0] == 0.6
    assert grade_answer(juan, "It is in Argentina.")[0] == 0.3
    for hedge in (
        "Puerto Rico or Argentina",
        "Puerto Rico, Argentina",
        "Argentina and Puerto Rico",
    ):
        assert grade_answer(juan, hedge)[0] == 0.0, hedge


def test_several_aliases_of_one_target_are_no_hedge() -> None:
    asked = question("Bobby Scott", "Bob Russell", prompt="who wrote it")
    assert grade_answer(asked, "Bobby Scott and Bob Russell")[0] == 1.0


def test_choice_takes_letter_text_or_both_as_reference() -> None:
    for texts in (("B",), ("neck",), ("B", "neck")):
        asked = question(*texts, task="choice", prompt=PICK)
        assert [grade_answer(asked, a)[0] for a in ("B", "neck", "C")] == [1.0, 1.0, 0.0]
    inline = question("B", task="choice", prompt="Pick: (A) ignore (B) neck (C) dog")
    assert [grade_answer(inline, a)[0] for a in ("neck", "dog")] == [1.0, 0.0]


def test_normal_forms() -> None:
    assert normalise("The U.S.A.") == "united states"
    assert normalise("two thousand and ten") == normalise("2,010") == "2010"
    assert normalise("twenty-first") == normalise("21st")
    assert normalise("a") == "a"
    assert normalise("hundred " * 500)


def test_groups_and_sameness() -> None:
    answers = ["Mali", "Niger", "It is in Mali.", "mali, West Africa", "niger", "Chad", "MALI"]
    assert group_answers(answers) == [[0, 2, 3, 6], [1, 4], [5]]
    assert same_answer("14 December 1972", "December 14, 1972")
    assert not same_answer("Paris, France", "Paris, Texas")
    assert same_answer("0.5", r"\frac{1}{2}", "math") and not same_answer("1/2", "0.6", "math")
    assert same_answer("(B)", "B. neck", "choice") and not same_answer("A", "B", "choice")


def test_normalise_is_fast() -> None:
    texts = [f"It is in the town number {i}." for i in range(3000)]
    start = time.process_time()
    for text in texts:
        normalise(text)
    assert time.process_time() - start < 0.5


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_graded_in_range(gold: str, answer: str) -> None:
    for task in ("short", "choice"):
        credit = correct(gold, answer, task, CITY)
        assert credit is None or 0.0 <= credit <= 1.0
    assert normalise(normalise(answer)) is not None


WORD = st.sampled_from(
    ["Mali", "Niger", "not", "or", "and", ",", ".", "is", "it", "but", "in", "Africa", "\n", "7"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORD, max_size=9), st.sampled_from(["or Niger", ", Niger", "and Niger", "/ Niger"]))
def test_naming_a_second_country_never_pays(before: list[str], hedge: str) -> None:
    assume = {"not", "but", "Niger", "\n", ".", ","}
    words = [word for word in before if word not in assume]
    assert correct("Mali", " ".join([*words, "Mali", hedge]), prompt=CITY) == 0.0


@pytest.mark.parametrize(
    "hostile",
    [
        "or " * 6000,
        "Mali, " * 3000,
        "(" * 19000,
        "1 " * 9000,
        "not " * 4000,
        "**" * 9000,
        " " * 19999 + "x",
        "1/1/2001 " * 2000,
        "9" * 19000,
        "hundred " * 2400,
        "\ue000" * 9000,
        "\\boxed{" * 2500,
    ],
)
def test_hostile_answers_cost_little(hostile: str) -> None:
    start = time.monotonic()
    for task in ("short", "choice", "math"):
        assert correct("12", hostile, task, CITY) in (0.0, None)
        group_answers([hostile])
    assert time.monotonic() - start < 5


def test_answers_of_sentences_need_a_judge() -> None:
    asked = question("They pass through you", task="long")
    assert grade_answer(asked, "They pass through you") == (
        None,
        "not graded: a long answer needs a judge",
    )
    assert grade_answer(asked, None) == (0.0, "no answer")
    assert same_answer("They pass.", "they pass", "long") and not same_answer("a", "b", "long")


def test_hedges_between_numbers_with_a_two_or_a_three_do_not_pay() -> None:
    for hedge in ("5 or 3", "5 and 2", "5 to 3"):
        assert correct("5", hedge, "math") == 0.0, hedge
    assert correct("5 m^2", "5 m2", "math") == correct("5 m²", "5 m^2", "math") == 1.0


@pytest.mark.parametrize(
    "text",
    ["I don't know", "I do not know.", "Unknown", "N/A", "Not sure", "I’m not sure.", "no idea",
     "Sorry, I can't answer that", "It cannot be determined", "IDK", "  i DON’T know the answer "],
)  # fmt: skip
def test_declining_is_seen(text: str) -> None:
    assert abstains(text)


@pytest.mark.parametrize(
    "text",
    [None, "", "Mali", "I am not sure, perhaps Mali", "The Unknown Soldier", "Not known as Mali",
     "Nauru", "No", "None", "I don't know " * 20, "Paso"],
)  # fmt: skip
def test_answers_and_silence_are_no_declining(text: str | None) -> None:
    assert not abstains(text)


@pytest.mark.parametrize("word", ["a", "pH", "ph", "sq"])
def test_words_that_pint_would_take_for_units_are_none(word: str) -> None:
    assert unit_name(word) is None


@pytest.mark.parametrize("name", ["units", "scales", "currencies"])
def test_each_word_of_a_table_stands_once_and_without_blanks_around_it(name: str) -> None:
    said = [word for words in table(name).values() for word in words]
    assert len(said) > 100 and len(set(said)) == len(said)
    assert all(word and word == word.strip() for word in said)
