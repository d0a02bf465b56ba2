"""Rows C5 and C1 of others' trouble: sentences of other languages that carry an answer."""

import pytest

from metaconf.grading import grade_answer, group_answers
from metaconf.grading.abstained import abstains
from metaconf.records import Question, Target


def correct(gold: str, answer: str, prompt: str = "Which one is it?") -> float | None:
    return grade_answer(Question("q", prompt, (Target((gold,)),), "short"), answer)[0]


CARRIED = [
    ("Quito", "Es Quito."),
    ("Quito", "La respuesta es Quito."),
    ("Lima", "La capital es Lima"),
    ("Quito", "La capital de Ecuador es Quito."),
    ("Quito", "Respuesta: Quito"),
    ("Quito", "Creo que es Quito."),
    ("India", "Es la India."),
    ("Paris", "C'est Paris."),
    ("Paris", "C’est Paris."),
    ("France", "C'est la France"),
    ("Paris", "La réponse est Paris."),
    ("Paris", "Réponse : Paris"),
    ("Paris", "C'est à Paris."),
    ("Paris", "Je pense que c'est Paris."),
    ("Roma", "È Roma"),
    ("Roma", "La risposta è Roma."),
    ("Lisboa", "É Lisboa"),
    ("Lisboa", "A capital de Portugal é Lisboa."),
    ("Berlin", "Das ist Berlin"),
    ("Berlin", "Es ist Berlin."),
    ("Berlin", "Die Antwort lautet Berlin."),
    ("Berlin", "Die Hauptstadt von Deutschland ist Berlin."),
    ("Amsterdam", "Het is Amsterdam"),
    ("Amsterdam", "Het antwoord is Amsterdam."),
    ("Warszawa", "To jest Warszawa"),
    ("Warszawa", "Odpowiedź: Warszawa"),
    ("Praha", "Je to Praha."),
    ("Stockholm", "Det är Stockholm."),
    ("Oslo", "Svaret er Oslo."),
    ("Helsinki", "Vastaus on Helsinki."),
    ("Budapest", "A válasz Budapest."),
    ("București", "Este București."),
    ("Москва", "Это Москва."),
    ("Москва", "Ответ: Москва"),
    ("Москва", "Столица России — Москва."),
    ("Київ", "Це Київ."),
    ("Αθήνα", "Είναι η Αθήνα."),
    ("東京", "答えは東京です。"),
    ("東京", "東京です"),
    ("東京", "首都は東京です。"),
    ("東京", "東京だと思います。"),
    ("北京", "答案是北京。"),
    ("北京", "中国的首都是北京"),
    ("北京", "正确答案是：北京"),
    ("北京", "是北京。"),
    ("서울", "정답은 서울입니다."),
    ("서울", "서울입니다."),
    ("القاهرة", "الجواب هو القاهرة"),
    ("القاهرة", "عاصمة مصر هي القاهرة."),
    ("दिल्ली", "उत्तर दिल्ली है"),
    ("दिल्ली", "भारत की राजधानी दिल्ली है।"),
    ("Ankara", "Cevap Ankara'dır"),
    ("Ankara", "Ankara'dır."),
    ("תל אביב", "התשובה היא תל אביב"),
    ("تهران", "پاسخ تهران است"),
    ("กรุงเทพ", "คำตอบคือกรุงเทพ"),
    ("Hà Nội", "Đó là Hà Nội."),
    ("Jakarta", "Jawabannya adalah Jakarta."),
]


@pytest.mark.parametrize(("gold", "answer"), CARRIED)
def test_C5_sentences_of_other_languages(gold: str, answer: str) -> None:
    assert correct(gold, answer) == 1.0
    for other in ("Accra", "大阪", "Минск", "Lagos"):
        assert correct(other, answer) == 0.0, other
    assert len(group_answers([gold, answer])) == 1


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("Quito", "No es Quito"),
        ("Quito", "La respuesta no es Quito."),
        ("Quito", "Es Quito o Lima"),
        ("Quito", "No creo que es Quito"),
        ("Quito", "Es Lima, no Quito"),
        ("Quito", "Es Quito y Lima."),
        ("Paris", "ce n'est pas Paris"),
        ("Paris", "Ce n’est pas Paris."),
        ("Paris", "C'est pas Paris"),
        ("Paris", "C'est Paris ou Lyon"),
        ("Berlin", "Das ist nicht Berlin"),
        ("Berlin", "Nicht Berlin"),
        ("Berlin", "Die Antwort ist nicht Berlin."),
        ("Berlin", "Das ist Berlin oder Bonn"),
        ("Berlin", "Die falsche Antwort ist Berlin"),
        ("Berlin", "Es ist kein Berlin"),
        ("Roma", "Non è Roma"),
        ("Lisboa", "Não é Lisboa"),
        ("Amsterdam", "Het is niet Amsterdam"),
        ("Warszawa", "To nie jest Warszawa"),
        ("Warszawa", "nie jest to Warszawa"),
        ("Москва", "Это не Москва."),
        ("Москва", "Столица — не Москва"),
        ("Москва", "Это Москва или Тверь"),
        ("東京", "答えは東京ではありません"),
        ("東京", "東京じゃないです"),
        ("東京", "東京か大阪です"),
        ("北京", "答案不是北京"),
        ("北京", "不是北京"),
        ("北京", "答案是北京或上海"),
        ("서울", "정답은 서울이 아닙니다"),
        ("القاهرة", "الجواب ليس القاهرة"),
        ("القاهرة", "ليست القاهرة"),
        ("दिल्ली", "उत्तर दिल्ली नहीं है"),
        ("Ankara", "Cevap Ankara değil"),
        ("Ankara", "Ankara değildir"),
        ("Hà Nội", "Đó không phải là Hà Nội"),
        ("Jakarta", "Bukan Jakarta"),
        ("Stockholm", "Det är inte Stockholm"),
        ("مصر", "عاصمة مصر"),
        ("Россия", "Столица России"),
        ("France", "La capitale de la France"),
    ],
)
def test_C5_denials_and_hedges_of_other_languages_stay_wrong(gold: str, answer: str) -> None:
    assert correct(gold, answer) == 0.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("12", "المجموع هو ١٢"),
        ("12", "答えは12です"),
        ("12", "정답은 12입니다."),
        ("12", "उत्तर १२ है"),
        ("12", "La suma es 12."),
        ("12", "Ответ: 12"),
        ("3.5", "الجواب هو ٣٫٥"),
        ("12", "答案是12。"),
        ("12 March 2025", "Es war am 12. März 2025"),
        ("12 March 2025", "Fue el 12 de marzo de 2025."),
        ("no", "La respuesta es no."),
        ("不丹", "答案是不丹"),
    ],
)
def test_C1_numbers_and_dates_in_such_sentences(gold: str, answer: str) -> None:
    assert correct(gold, answer) == 1.0
    assert correct("13", answer) == 0.0


def test_what_is_inside_is_graded_as_any_answer() -> None:
    assert correct("Quito", "Es Quito, Ecuador.") == 1.0
    assert correct("Quito", "Es Quito, Lima.") == 0.0


def test_titles_that_look_like_sentences_are_themselves() -> None:
    for title in ("Es Vedrà", "Das ist Berlin", "C'est la vie", "To jest to"):
        assert correct(title, title) == 1.0
    assert correct("Pas de Calais", "It is Pas de Calais.") == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "No sé.",
        "Je ne sais pas",
        "Ich weiß es nicht",
        "Ich weiß nicht.",
        "Не знаю",
        "Я не знаю.",
        "不知道",
        "我不知道。",
        "わかりません",
        "分かりません。",
        "모르겠습니다",
        "لا أعرف",
        "मुझे नहीं पता",
        "Non lo so",
        "Não sei",
        "Nie wiem",
        "Weet ik niet",
        "Bilmiyorum",
        "I don\u200b't know",
    ],
)
def test_declining_in_other_languages_is_seen(text: str) -> None:
    assert abstains(text)
    assert not abstains(f"{text} Quito")


@pytest.mark.parametrize(
    "answer",
    ["No es 12", "答案不是12", "答えは12ではありません", "답은 12가 아닙니다", "ไม่ใช่ 12",
     "Nu este 12", "این ۱۲ نیست", "12 নয়", "12 இல்லை", "12 değil", "Это не 12", "Não é 12", "12 కాదు",
     "~~12~~", "No era 12", "Nuk është 12"],
)  # fmt: skip
def test_a_denied_number_is_not_the_answer(answer: str) -> None:
    assert correct("12", answer) == 0.0
    assert correct("Quito", answer.replace("12", "Quito").replace("۱۲", "Quito")) == 0.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("1", ">1"), ("1", "<1"), ("1", "≥1"), ("1", "≤ 1"), ("1", ">= 1"), ("1", "1+"),
     ("12", "≠ 12"), ("1", "at least 1"), ("1", "more than one"), ("1", "no more than 1"),
     ("1", "fewer than 1"), ("50", "50+ people"), ("50", "50 or more"), ("50", "up to 50"),
     ("50", "It is 50+."), ("50+", "50"), ("5 km", "over 5 km"), ("5 km", "5+ km"),
     ("10%", "less than 10%"), ("1969", "before 1969"), ("1969", "after 1969"),
     ("1969", "before July 1969"),
     ("12 March 2025", "after 12 March 2025"),
     ("12 March 2025", "before March 12, 2025"),
     ("12", "mindestens 12"), ("12", "12以上"), ("12", "至少12"), ("12", "au moins 12"),
     ("f", "f'"), ("f'", "f"), ("x", "It is x′."), ("C--", "C"), ("C", "C--, I think"),
     ("1990s", "1990"), ("1990", "the 1990s")],
)  # fmt: skip
def test_a_bound_or_a_sign_makes_another_answer(gold: str, answer: str) -> None:
    assert correct(gold, answer) == 0.0


@pytest.mark.parametrize(
    ("gold", "answer", "prompt"),
    [("50+", "at least 50", ""), ("over 50", "over 50", ""), ("f'", "f′", ""), ("C--", "C--", ""),
     ("x ≥ 3", "x >= 3", ""), ("1990s", "the 1990's", ""), ("50", "-> 50", ""), ("50", "=> 50", ""),
     ("before 1969", "before 1969", ""), ("4", "2+2 = 4", ""), ("Ca2+", "Ca2+", ""),
     ("12", "12 people died after 1969", "How many people died after 1969?"),
     ("5", "at least 5", "How many do you need at least?"), ("12", "No, it is 12", ""),
     ("D'Artagnan", "d’Artagnan", ""), ("A", "'A'", ""), ("Apollo 13", "Apollo 13", ""),
     ("Quito", "\\boxed{\\text{Quito}}", ""), ("Quito", "<b>Quito</b>", ""), ("<b>", "<b>", ""),
     ("Quito", "1. Quito", ""), ("A*", "**A***", ""), ("Quito", "~~Lima~~ Quito", "")],
)  # fmt: skip
def test_the_same_bound_or_sign_and_plain_dress_are_right(
    gold: str, answer: str, prompt: str
) -> None:
    assert correct(gold, answer, prompt or "Which one is it?") == 1.0
