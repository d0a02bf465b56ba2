"""The rows of others' trouble with what was graded: each with its inputs and some of its kind."""

from __future__ import annotations

import pytest
from cases_hard import ALL, PICK, TWELVE

from metaconf.data import load_questions
from metaconf.grading import grade_answer, group_answers, same_answer
from metaconf.records import Question, Target
from metaconf.reply import parse_reply

WRONG, RIGHT = False, True


def grade(task: str, gold: str, answer: str, prompt: str = "Work it out.") -> bool:
    return grade_answer(Question("q", prompt, (Target((gold,)),), task), answer)[0] == 1.0


def check(task: str, rows: list[tuple[str, str, bool]], prompt: str = "Work it out.") -> None:
    """Every row of (gold, answer, right?) at once, so that a failure shows all that differ."""
    graded = [(gold, answer, grade(task, gold, answer, prompt)) for gold, answer, _ in rows]
    assert [row for row in graded if row not in rows] == []


@pytest.mark.parametrize("task", ["math", "short"])
def test_b1_a_scale_word_is_part_of_the_number(task: str) -> None:
    check(
        task,
        [
            ("5", "5 million", WRONG),
            ("5", "5 thousand", WRONG),
            ("7", "The population is 7 billion.", WRONG),
            ("5 million", "5", WRONG),
            ("1500000", "$1.5 million", RIGHT),
            ("5", "5 hundred", WRONG),
            ("3", "3 trillion", WRONG),
            ("2", "2 lakh", WRONG),
            ("8", "about 8 millions", WRONG),
            ("2.5 thousand", "2,500", RIGHT),
            ("2.5 billion", "2,500 million", RIGHT),
            ("2.5 billion", "2.5 million", WRONG),
            ("7000", "7k", RIGHT),
            ("7000000", "It is 7 million.", RIGHT),
        ],
    )


@pytest.mark.parametrize("task", ["math", "short"])
def test_b2_scientific_notation_is_one_number(task: str) -> None:
    check(
        task,
        [
            ("1.5", "1.5e3", WRONG),
            ("5", "It is 5e6 watts.", WRONG),
            ("1500", "1.5e3", RIGHT),
            ("1500", "1.5 x 10^3", RIGHT),
            ("1500", "1.5×10³", RIGHT),
            ("2.5e-4", "0.00025", RIGHT),
            ("2.5e-4", "2.5", WRONG),
            ("1500", "1.5E3", RIGHT),
            ("1500", "1.5×10^{3}", RIGHT),
            ("1500", "1.5×10⁴", WRONG),
            ("3", "1.5×10^3", WRONG),
            ("1.5 × 10^3", "1500", RIGHT),
        ],
    )


def test_b3_vulgar_fractions() -> None:
    check(
        "math",
        [
            ("1", "1½", WRONG),
            ("1/2", "½", RIGHT),
            ("½", "1/2", RIGHT),
            ("7/4", "1¾", RIGHT),
            ("1¾", "7/4", RIGHT),
            ("2", "2⅓", WRONG),
            ("21/3", "2⅓", WRONG),
            ("7/3", "2⅓", RIGHT),
            ("0.625", "⅝", RIGHT),
            ("-1.5", "-1½", RIGHT),
            ("1.5", "-1½", WRONG),
            ("3/2", "1 ½", RIGHT),
        ],
    )
    check(
        "short",
        [
            ("21/2", "2½", WRONG),
            ("1/2", "½", RIGHT),
            ("7/4", "1¾", RIGHT),
            ("½", "0.5", RIGHT),
            ("31/4", "3¼", WRONG),
            ("3¼", "3.25", RIGHT),
            ("3¼ hours", "3 hours", WRONG),
        ],
    )


@pytest.mark.parametrize("task", ["math", "short"])
def test_b4_blanks_group_digits(task: str) -> None:
    written = [f"1{blank}000{blank}000" for blank in (" ", "\u00a0", "\u202f", "\u2009", "\\,")]
    check(task, [("1000000", answer, RIGHT) for answer in written])
    check(task, [(gold, "1000000", RIGHT) for gold in written])
    check(task, [(gold, answer, WRONG) for gold in ("0", "1", "1000") for answer in written])
    check(
        task,
        [
            ("10000", "10\\,000", RIGHT),
            ("10\\,000", "10,000", RIGHT),
            ("25 000", "It is 25 000.", RIGHT),
            ("25 000", "25", WRONG),
            ("345", "12 345", WRONG),
            ("12 345.5", "12345.5", RIGHT),
        ],
    )


@pytest.mark.parametrize("task", ["math", "short"])
def test_b5_a_unit_that_changes_the_value_changes_the_verdict(task: str) -> None:
    check(
        task,
        [
            ("20 °C", "20 °F", WRONG),
            ("5 MW", "5 mW", WRONG),
            ("5 Ω", "5 \u2126", RIGHT),
            ("5 \u2126", "5 \u03a9", RIGHT),
            ("5 \u00b5m", "5 \u03bcm", RIGHT),
            ("5", "5 Ω", RIGHT),
            ("5", "5 V", RIGHT),
            ("5 MHz", "5 mHz", WRONG),
            ("5 kW", "5 MW", WRONG),
            ("5 g", "5 kg", WRONG),
            ("5 \u00b5s", "5 ms", WRONG),
            ("20 °C", "20", RIGHT),
            ("3 hours", "3 days", WRONG),
        ],
    )


def test_b6_marks_of_scripts_that_write_vowels_with_them() -> None:
    check(
        "short",
        [
            ("ปู่", "ปู", WRONG),
            ("ไก่", "ไก", WRONG),
            ("ปู่", "ปู่", RIGHT),
            ("ปา", "ป้า", WRONG),
            ("কাল", "কুল", WRONG),
            ("দিন", "দিন।", RIGHT),
            ("বিষ", "বিশ", WRONG),
            ("ਦਿਨ", "ਦੀਨ", WRONG),
            ("કુલ", "કૂલ", WRONG),
            ("ត្រី", "ត្រា", WRONG),
            ("កូន", "កុន", WRONG),
            ("ငါး", "ငါ", WRONG),
            ("မိ", "မီ", WRONG),
            ("ສີ", "ສີ່", WRONG),
            ("कल", "कुल", WRONG),
            ("பல்", "பல", WRONG),
            ("ບ້ານ", "ບານ", WRONG),
        ],
        "What is it called?",
    )
    assert not same_answer("ปู่", "ปู") and len(group_answers(["ไก่", "ไก", "ไก่"])) == 2


def test_b7_signs_that_make_the_name() -> None:
    check(
        "short",
        [
            ("C", "C++", WRONG),
            ("C#", "C", WRONG),
            ("C++", "C#", WRONG),
            ("A-", "A+", WRONG),
            ("B-", "B", WRONG),
            ("C++", "It is C++.", RIGHT),
            ("C#", "**C#**", RIGHT),
            ("A+", "A+", RIGHT),
            ("A+", "A", WRONG),
            ("J#", "J", WRONG),
            ("Objective-C", "Objective-C++", WRONG),
            ("Canal+", "Canal+", RIGHT),
            ("Rh+", "Rh-", WRONG),
            ("B\u2212", "B-", RIGHT),
        ],
        "What is it called?",
    )
    assert not same_answer("C", "C++") and not same_answer("C#", "C++")
    assert len(group_answers(["C", "C++", "C#", "c++", "A+", "A-"])) == 5


def test_b8_as_many_letters_as_the_question_has() -> None:
    check(
        "choice",
        [
            ("K", "K. lambda", RIGHT),
            ("K", "lambda", RIGHT),
            ("K", "K", RIGHT),
            ("K", "(K)", RIGHT),
            ("K", "L. mu", WRONG),
            ("K", "K or L", WRONG),
            ("K", "lambda or mu", WRONG),
            ("lambda", "K", RIGHT),
        ],
        TWELVE,
    )
    check("choice", [("Z", f"{letter}.", letter == "Z") for letter in "KLMNOPQRSTUVWXYZ"], ALL)
    assert same_answer("(K)", "K. lambda", "choice") and not same_answer("K", "L", "choice")


def test_b8_the_loader_and_the_grader_agree_on_the_letters(tmp_path) -> None:
    choices = ", ".join(f'"word{place}"' for place in range(26))
    row = '{"question": "Which?", "choices": [%s], "answer": "%s", "task": "choice"}'
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(row % (choices, letter) for letter in "AKZ"))
    loaded = load_questions(str(path))
    for asked, letter, place in zip(loaded, "AKZ", (0, 10, 25), strict=True):
        for answer in (letter, f"{letter}. word{place}", f"word{place}"):
            assert grade_answer(asked, answer)[0] == 1.0, answer
        assert grade_answer(asked, "B or K")[0] == grade_answer(asked, "word5")[0] == 0.0


def test_c1_digits_of_other_scripts() -> None:
    check(
        "math",
        [
            ("12345", "١٢٬٣٤٥", RIGHT),
            ("3.5", "٣٫٥", RIGHT),
            ("12345", "١٢٣٤٥", RIGHT),
            ("12346", "١٢٬٣٤٥", WRONG),
            ("3.5", "٣٫٦", WRONG),
            ("-12", "−۱۲", RIGHT),
            ("2.5", "২.৫", RIGHT),
        ],
    )
    check(
        "short",
        [
            ("12", "١٢", RIGHT),
            ("12", "المجموع هو ١٢", RIGHT),
            ("12", "答えは12です", RIGHT),
            ("12", "答えは13です", WRONG),
            ("12", "المجموع هو ١٣", WRONG),
            ("١٢", "12", RIGHT),
            ("12", "१२", RIGHT),
            ("12", "１２", RIGHT),
            ("12", "๑๒", RIGHT),
            ("12", "答案是12。", RIGHT),
            ("12", "Ответ: 12", RIGHT),
        ],
    )


def test_c2_dates_with_dots() -> None:
    check(
        "short",
        [
            ("12 March 2025", "12.03.2025", RIGHT),
            ("12.03.2025", "12 March 2025", RIGHT),
            ("5 March 2024", "5.3.2024", RIGHT),
            ("5.3.2024", "2024-03-05", RIGHT),
            ("5.3.2024", "05.03.2024", RIGHT),
            ("12.03.2025", "13.03.2025", WRONG),
            ("12.03.2025", "3 December 2025", WRONG),
            ("28 February 2025", "31.02.2025", WRONG),
            ("31 December 1999", "31.12.1999", RIGHT),
            ("2025", "12.03.2025", RIGHT),
        ],
        "When did it happen?",
    )


def test_c3_letters_in_wrappings() -> None:
    wrappings = (
        "\\boxed{\\text{%s}}", "\\boxed{\\text{(%s)}}", "`%s`", '"%s"', "“%s”", "‘%s’", "（%s）",
        "【%s】", "%s。", "\\boxed{\\mathrm{%s}}", "\\boxed{\\textbf{(%s)}}", "「%s」", "《%s》",
        "Answer seems to be %s.", "$\\boxed{%s}$", "```%s```", "<%s>", "%s．", "__%s__", "«%s»",
    )  # fmt: skip
    check(
        "choice",
        [(gold, w % said, gold == said) for w in wrappings for gold in "BD" for said in "BD"],
        PICK,
    )
    check("choice", [("A", "Answer seems to be A.", RIGHT)], PICK)


def test_c4_what_cannot_be_seen_changes_nothing() -> None:
    for sign in ("\u200b", "\u2066", "\ufeff", "\u2060", "\u200e", "\u200f", "\u00ad", "\u2069"):
        assert grade("short", "Quito", f"{sign}Qui{sign}to{sign}"), ascii(sign)
        assert grade("short", f"Qui{sign}to", "Quito"), ascii(sign)
        assert grade("math", "12", f"{sign}1{sign}2"), ascii(sign)
        assert grade("choice", "B", f"{sign}B{sign}", PICK), ascii(sign)
        assert not grade("short", "Quito", f"{sign}Lima"), ascii(sign)
        assert not grade("math", "1", f"1{sign}2"), ascii(sign)
        assert not grade("choice", "B", f"{sign}C", PICK), ascii(sign)
        parsed = parse_reply(
            f"{sign}Answer: Quito\nSelf-{sign}reflection: I know it.\n{sign}Confidence: 7"
        )
        assert (parsed.answer or "").strip(sign) == "Quito", ascii(sign)
        assert parsed.confidence == 0.7, ascii(sign)


def test_c5_carriers_in_other_languages() -> None:
    said = [
        ("Quito", "Es %s.", "Lima"),
        ("Paris", "C'est %s.", "Lyon"),
        ("東京", "答えは%sです。", "大阪"),
        ("Москва", "Это %s.", "Киев"),
        ("Quito", "La respuesta es %s.", "Lima"),
        ("Berlin", "Die Antwort lautet %s.", "Bonn"),
        ("Berlin", "Es ist %s.", "Bonn"),
        ("Paris", "La réponse est %s.", "Lyon"),
        ("Roma", "La risposta è %s.", "Milano"),
        ("Lisboa", "A resposta é %s.", "Porto"),
        ("北京", "答案是%s。", "上海"),
        ("서울", "정답은 %s입니다.", "부산"),
    ]
    place = "Which city is it?"
    check("short", [(gold, carrier % gold, RIGHT) for gold, carrier, _ in said], place)
    check("short", [(gold, carrier % other, WRONG) for gold, carrier, other in said], place)


def test_c6_the_last_expression_of_a_sentence() -> None:
    check(
        "math",
        [
            ("\\frac{16}{5}", "The maximum value of $e$ is $\\frac{16}{5}$.", RIGHT),
            ("\\frac{16}{5}", "The maximum value of $e$ is $\\frac{15}{5}$.", WRONG),
            ("\\frac{16}{5}", "$\\frac{16}{5}$ is too much, so it is $\\frac{8}{5}$.", WRONG),
            ("\\frac{8}{5}", "For $x=2$ the least value is $\\frac{8}{5}$.", RIGHT),
            ("2\\sqrt{3}", "The side is \\(2\\sqrt{3}\\).", RIGHT),
            ("2\\sqrt{3}", "The side is \\(3\\sqrt{2}\\).", WRONG),
            ("x^2-1", "Hence $f(x)$ equals $x^2-1$", RIGHT),
            ("\\pi", "Its area is $\\pi$ square units.", RIGHT),
            ("-\\frac12", "The slope is $-\\frac{1}{2}$.", RIGHT),
            ("\\frac12", "The slope is $-\\frac{1}{2}$.", WRONG),
        ],
    )
