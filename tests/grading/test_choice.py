"""Rows B8, C3 and C4 of others' trouble, for multiple choice, with what is near them."""

import pytest

from metaconf.grading import grade_answer, same_answer
from metaconf.grading.choice import choices
from metaconf.records import Question, Target

NAMES_IN_ORDER = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma"
    " tau upsilon phi chi psi omega digamma koppa"
)
NAMES = NAMES_IN_ORDER.split()


def prompt(count: int) -> str:
    lines = (f"{chr(65 + i)}. {name}" for i, name in enumerate(NAMES[:count]))
    return "\n".join(["Which?", *lines])


def correct(gold: str, answer: str, count: int = 4, asked: str = "") -> float | None:
    question = Question("q", asked or prompt(count), (Target((gold,)),), "choice")
    return grade_answer(question, answer)[0]


@pytest.mark.parametrize(
    ("gold", "answer", "count"),
    [("K", "K. lambda", 12), ("K", "lambda", 12), ("K", "k", 12), ("K", "(K)", 12),
     ("K", "The answer is K.", 12), ("K", "K, since it is the eleventh", 12),
     ("K", "Option K", 12), ("Z", "The answer is Z", 26), ("Z", "koppa", 26),
     ("I", "I", 12), ("I", "I. iota", 12), ("I", "(I)", 12), ("I", "The answer is I.", 12),
     ("C", "I think C", 12), ("C", "I'd go with C", 12), ("J", "I choose option J.", 12)],
)  # fmt: skip
def test_B8_as_many_letters_as_the_question_has(gold: str, answer: str, count: int) -> None:
    assert correct(gold, answer, count) == 1.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("K", "K or L"), ("K", "L. lambda"), ("K", "K. mu"), ("K", "K and L are correct"),
     ("K", "lambda or mu"), ("K", "not K"), ("I", "I think C"), ("I", "I do not know"),
     ("A", "A lambda"), ("L", "The answer is K."), ("K", "K, L")],
)  # fmt: skip
def test_B8_hedges_and_words_among_many_letters(gold: str, answer: str) -> None:
    assert correct(gold, answer, 12) == 0.0


def test_B8_a_question_has_no_other_letters_than_it_lists() -> None:
    assert correct("B", "K", 4) == correct("D", "K. delta is out", 4) == 0.0
    assert same_answer("K", "K. lambda", "choice") and not same_answer("K", "L", "choice")


def test_B8_choices_in_numbers_small_letters_and_other_marks() -> None:
    numbered = "Q?\n" + "\n".join(f"{i + 1}. {name}" for i, name in enumerate(NAMES[:12]))
    for answer in ("11", "11. lambda", "lambda", "(11)", "Option 11"):
        assert correct("11", answer, asked=numbered) == 1.0, answer
    for answer in ("11 or 12", "The answer is 11 or 12", "11. mu", "1"):
        assert correct("11", answer, asked=numbered) == 0.0, answer
    small = "Q?\na) alpha\nb) beta\nc) gamma"
    for answer in ("b", "B", "b) beta", "beta", "The answer is b."):
        assert correct("b", answer, asked=small) == 1.0, answer
    for answer in ("a or b", "c", "b) gamma", "The answer is b or c"):
        assert correct("b", answer, asked=small) == 0.0, answer


@pytest.mark.parametrize(
    ("asked", "listed"),
    [("Q A. x B. y C. z", {"A": "x", "B": "y", "C": "z"}),
     ("Who?\nA. J. Tolkien\nB. C. Lewis", {"A": "J. Tolkien", "B": "C. Lewis"}),
     ("Q (A) x; (B) y", {"A": "x", "B": "y"}),
     ("问?\nA、北京\nB、上海", {"A": "北京", "B": "上海"}),
     ("Q\nF. a\nG. b\nH. c\nJ. d", {"F": "a", "G": "b", "H": "c", "J": "d"}),
     ("No choices here.", {})],
)  # fmt: skip
def test_lists_of_choices(asked: str, listed: dict[str, str]) -> None:
    assert choices(asked) == listed


def test_a_choice_that_stands_twice_is_right_by_both_letters() -> None:
    question = Question("q", prompt(4), (Target(("B", "D", "beta")),), "choice")
    assert [grade_answer(question, a)[0] for a in ("B", "D", "beta", "C")] == [1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "answer",
    [
        r"\boxed{\text{B}}",
        r"\boxed{\text{(B)}}",
        r"\boxed{\mathrm{B}}",
        r"\boxed{\textbf{(B)}}",
        "$B$",
        r"\(B\)",
        r"$\boxed{B}$",
        r"\textbf{(B) }beta",
        "`B`",
        '"B"',
        "'B'",
        "“B”",
        "„B“",
        "«B»",
        "‘B’",
        "「B」",
        "（B）",
        "【B】",
        "［B］",
        "{B}",
        "B。",
        "Ｂ",
        "Ｂ．",
        "**B**",
        "**B.**",
        "**B) beta**",
        "__B__",
        "*B*",
        "𝐁",
        "Ⓑ",
        "B、beta",
        "B.beta",
        "(B)beta",
        "beta (B)",
        "Answer seems to be B.",
        "The answer might be B",
        "I'd go with B",
        "Option (B) is correct",
        "B is the right answer",
        "B is correct because of beta",
        "choice B seems right",
        "B it is",
        "So, the correct option is: B",
        "correct answer: B",
        "**Answer:** B",
        "The answer is:\n\nB",
        "the answer is b",
        "My final answer is (B).",
        "Definitely B.",
        "Probably B",
        "not A but B",
        "A is wrong, so B",
        "The answer is B, beta.",
        "Therefore, the letter is **B**.",
    ],
)
def test_C3_a_letter_however_it_is_dressed(answer: str) -> None:
    assert correct("B", answer) == 1.0
    assert correct("C", answer) == 0.0


@pytest.mark.parametrize(
    "answer",
    [
        "答案是B",
        "答案选 B。",
        "正解はB",
        "正解はBです",
        "정답은 B입니다",
        "Ответ: B",
        "La respuesta es B",
        "La respuesta correcta es la opción B.",
        "Die Antwort ist B",
        "La réponse est B.",
        "A resposta é B",
        "La risposta è B",
        "Het antwoord is B",
        "الجواب هو B",
        "उत्तर B है",
        "Cevap B'dir",
        "Odpowiedź to B",
    ],
)
def test_C3_letters_in_sentences_of_other_languages(answer: str) -> None:
    assert correct("B", answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    ["not B but C", "B or C", "The answer is B or A", "(B), (C)", "(B) (C) (D)", "B/C", "B and C",
     "A. alpha\nB. beta", "B. beta\nC. gamma", "B is not correct", "It isn't B", "B is wrong",
     "B, beta or gamma", "B. gamma", "The answer is B, gamma", "the answer is b or c", "B? C?",
     "Not B", "C, not B", "The answer is not B.", r"\boxed{B, C}", "`B` or `C`", "B; C", "B & C",
     "B. Wrong. The answer is C.", "La respuesta no es B", "答案不是B", "正解はBではありません",
     "Die Antwort ist nicht B", "La respuesta es B o C", "答案是B或C", "B и C", "Both B and D",
     "I rule out B", "Maybe B, maybe C", "Bee", "b y"],
)  # fmt: skip
def test_C3_hedges_and_denials_stay_wrong(answer: str) -> None:
    assert correct("B", answer) == 0.0


@pytest.mark.parametrize(
    "sign", ["\u200b", "\u2066", "\u2069", "\ufeff", "\u00ad", "\u200e", "\u202b"]
)
def test_C4_what_cannot_be_seen_makes_no_difference(sign: str) -> None:
    for answer in (
        f"{sign}B",
        f"B{sign}",
        f"({sign}B)",
        f"The answer{sign} is {sign}B.",
        f"be{sign}ta",
    ):
        assert correct("B", answer) == 1.0, ascii(answer)
    assert correct("B", f"B{sign} or{sign} C") == 0.0


PARTS = "Q?\nA. neck\nB. arm\nC. leg\nD. head"
NESTED = "Q?\nA. New York\nB. York\nC. New York City\nD. Yorkshire"
ROMAN = "Q?\nI. neck\nII. arm\nIII. leg\nIV. head"
RUSSIAN = "Q?\nА. шея\nБ. рука\nВ. нога\nГ. голова"


@pytest.mark.parametrize(
    "answer",
    ["<answer>B</answer>", "<b>B</b>", "- B", "• B", "# B", "> B", "B?", "B;", "B, I think.",
     "B I guess", "B for sure", "B rather than C", "B and not C", "B instead of C", "La opción B",
     "Opción B", "Réponse B", "Antwort B", "Antwort B ist richtig.", "Alternativa B", "Letra B",
     "Вариант B", "应选B", "故选B", "故选：B", "选项B", "B选项", "B项正确", "Bが正しい",
     "คำตอบคือ B", "ข้อ B", "Đáp án B", "Chọn B", "Odpowiedź B", "not C but B",
     "A is wrong. But B is right."],
)  # fmt: skip
def test_a_letter_in_more_dress(answer: str) -> None:
    assert correct("B", answer, asked=PARTS) == 1.0
    assert correct("C", answer, asked=PARTS) == 0.0


@pytest.mark.parametrize(
    "answer",
    ["A. arm", "A (B)", "A or (B)", "I think B. But C is also possible.", "C rather than B",
     "A and not B", "B项不正确", "B选项不正确", "不选B", "Antwort B ist falsch", "A, I think. B",
     "La opción B no es correcta", "选A不选B"],
)  # fmt: skip
def test_another_letter_beside_it_or_a_denial_is_wrong(answer: str) -> None:
    assert correct("B", answer, asked=PARTS) == 0.0


@pytest.mark.parametrize(
    ("asked", "gold", "answer", "right"),
    [(NESTED, "A", "It's New York City.", 0.0), (NESTED, "C", "It's New York.", 0.0),
     (NESTED, "A", "It's New York.", 1.0), (NESTED, "C", "It's New York City.", 1.0),
     (NESTED, "B", "It is New York", 0.0), (NESTED, "B", "It is York", 1.0),
     (ROMAN, "II", "II", 1.0), (ROMAN, "II", "II. arm", 1.0), (ROMAN, "II", "arm", 1.0),
     (ROMAN, "II", "I and II", 0.0), (ROMAN, "II", "III. arm", 0.0), (ROMAN, "I", "I.", 1.0),
     (RUSSIAN, "Б", "Б. рука", 1.0), (RUSSIAN, "Б", "рука", 1.0), (RUSSIAN, "Б", "Б", 1.0),
     (RUSSIAN, "Б", "В. рука", 0.0), (RUSSIAN, "Б", "Б. нога", 0.0), (RUSSIAN, "Б", "В", 0.0),
     ("Which? (a) neck (b) arm (c) leg", "b", "(b), (c)", 0.0), (prompt(26), "Z", "A. koppa", 0.0)],
)  # fmt: skip
def test_nested_texts_and_letters_of_other_kinds(
    asked: str, gold: str, answer: str, right: float
) -> None:
    assert correct(gold, answer, asked=asked) == right


@pytest.mark.parametrize("label", ["**{}.** ", "**{}**. ", "**({})** ", "{}.", "{})"])
def test_labels_in_bold_and_without_a_blank(label: str) -> None:
    names = zip("ABC", ("neck", "arm", "leg"), strict=True)
    asked = "\n".join(["Q?", *(label.format(letter) + text for letter, text in names)])
    assert choices(asked) == {"A": "neck", "B": "arm", "C": "leg"}
    for answer in ("arm", "B", "B. arm", "B.arm"):
        assert correct("B", answer, asked=asked) == 1.0, answer
    assert correct("B", "B. leg", asked=asked) == correct("B", "D", asked=asked) == 0.0
