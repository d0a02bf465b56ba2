"""Row C2 of others' trouble: dates as people write them, found before numbers are."""

import pytest

from metaconf.grading import grade_answer, same_answer
from metaconf.grading.dates import find_dates
from metaconf.grading.text import fold
from metaconf.records import Question, Target


def correct(gold: str, answer: str) -> float | None:
    question = Question("q", "When did it happen?", (Target((gold,)),), "short")
    return grade_answer(question, answer)[0]


WRITTEN = [
    "12.03.2025", "12.3.2025", "12. 03. 2025", "2025-03-12", "2025/3/12", "2025.03.12",
    "2025年3月12日", "二〇二五年三月十二日", "2025년 3월 12일", "12-Mar-2025", "12 March 2025",
    "March 12, 2025", "Mar 12th, '25", "the 12th of March, 2025", "Wednesday, 12 March 2025",
    "12.03.25", "2025 Mar 12", "١٢.٠٣.٢٠٢٥", "１２.０３.２０２５", "12 de marzo de 2025",
    "12. März 2025", "12 mars 2025", "12 марта 2025 года", "12 марта 2025 г.", "12 marca 2025",
    "12 Mart 2025", "12 maart 2025", "12 मार्च 2025", "12 مارس 2025", "2025. március 12.",
    "ngày 12 tháng 3 năm 2025", "12 Μαρτίου 2025", "12 de març de 2025", "2025-03-12T14:30:00Z",
    "12.03.2025 14:30", "Mittwoch, 12. März 2025", "March twelfth, 2025", "12\u200b.03.2025",
    "12. Mrz. 2025", "12 במרץ 2025", "12.III.2025", "12 III 2025",
]  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
def test_C2_a_date_in_many_styles_both_ways(written: str) -> None:
    assert correct("12 March 2025", written) == 1.0
    assert correct("12 March 2025", f"It was on {written}.") == 1.0
    for other in ("13 March 2025", "12 May 2025", "12 March 2024", "12.03", "12.3", "2025.03"):
        assert correct(other, written) == 0.0, other


@pytest.mark.parametrize("written", [w for w in WRITTEN if ":" not in w])
def test_C2_as_the_reference_too(written: str) -> None:
    assert correct(written, "12 March 2025") == correct(written, "12.03.2025") == 1.0
    for other in ("13.03.2025", "12 April 2025", "12.03.2024", "March 2025", "2025", "12.03"):
        assert correct(written, other) == 0.0, other


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [("5.3.2024", "5 March 2024", 1.0), ("5.3.2024", "2024-03-05", 1.0),
     ("5.3.2024", "3 May 2024", 0.0), ("3 May 2024", "5.3.2024", 0.0),  # dots: the day comes first
     ("4 July 1776", "04/07/1776", 1.0), ("4 July 1776", "07/04/1776", 1.0),
     ("04/07/1776", "4 July 1776", 1.0), ("04/07/1776", "April 7, 1776", 1.0),
     ("04/07/1776", "04/07/1776", 1.0), ("04/07/1776", "07/04/1776", 0.0),  # as they are written
     ("13 July 2020", "13/07/2020", 1.0), ("13 July 2020", "07/13/2020", 1.0),
     ("March 2025", "12.03.2025", 1.0), ("12.03.2025", "12.03.2025 or 13.03.2025", 0.0),
     ("12.3.2025", "12.30.2025", 0.0), ("2025", "12.03.2025", 1.0), ("2024", "12.03.2025", 0.0),
     ("14 December 1972", "14.12.72", 1.0), ("12 March 1925", "12 March '25", 0.0),
     ("12 March 2025, 14:30", "2025-03-12 2:30 pm", 1.0),
     ("12 March 2025, 14:30", "2025-03-12 15:30", 0.0),
     ("12 March 2025", "12 to 14 March 2025", 0.0), ("14 March 2025", "12-14 March 2025", 0.0),
     ("14 March 2025", "12 to 14 March 2025", 0.0), ("March 2020", "Mars 2020", 0.0),
     ("15 March 44 BC", "March 15, 44 BCE", 1.0), ("15 March 44 BC", "15 March 44", 0.0)],
)  # fmt: skip
def test_C2_the_rule_for_dates_in_numbers(gold: str, answer: str, right: float) -> None:
    assert correct(gold, answer) == right


@pytest.mark.parametrize(
    "text",
    ["31.02.2025", "12.xiii.2025", "13/13/2020",
     "30 February 2024", "29.02.2023", "2025-13-01", "12.03", "3/4",
     "1.2.3.4", "3.11.2", "12 apples 2020", "10 out of 2020", "32 March 2025", "Mars 2020"],
)  # fmt: skip
def test_C2_what_no_calendar_holds_is_no_date(text: str) -> None:
    assert find_dates(fold(text))[0] == []
    for gold in ("3 March 2025", "1 March 2023", "February 2024", "31.02", "2 March 2025"):
        assert correct(gold, text) == 0.0, gold


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("15 March 44 BC", "15 марта 44 г. до н. э."), ("15 March 44 BC", "公元前44年3月15日"),
     ("44 BC", "BC 44"), ("10:30 am", "10:30 a.m.")],
)  # fmt: skip
def test_eras_and_halves_of_the_day(gold: str, answer: str) -> None:
    assert correct(gold, answer) == correct(answer, gold) == 1.0
    assert correct(gold.replace("BC", "AD").replace("am", "pm"), answer) == 0.0


def test_dates_group() -> None:
    assert same_answer("12.03.2025", "March 12, 2025") and same_answer("2025-03-12", "12 mars 2025")
    assert not same_answer("12.03.2025", "12.03.2024") and not same_answer("12.03.2025", "12.03")


def test_names_of_months_are_those_of_babel() -> None:
    babel = pytest.importorskip("babel")
    from metaconf.grading.dates import _months

    for language in ("es", "fr", "de", "ru", "pl", "tr", "ar", "hi", "el", "fi", "hu", "vi"):
        names = babel.Locale(language).months["format"]["wide"]
        for number, name in names.items():
            if " " not in name:
                assert _months()[fold(name)][0] == number, name


@pytest.mark.parametrize(("day", "right"), [("31", 1.0), ("30", 0.0), ("1", 0.0)])
def test_a_day_that_is_spelled_is_a_day_up_to_the_31st(day: str, right: float) -> None:
    assert correct(f"{day} December 1999", "the thirty-first of December 1999") == right
