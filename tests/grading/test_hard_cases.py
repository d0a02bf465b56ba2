"""Both hand-labelled tables together: nearly all right, and every miss is listed."""

from __future__ import annotations

import unicodedata

from cases import CASES, MISSES
from cases_hard import CASES_HARD, HARD_MISSES

from metaconf.grading import grade_answer
from metaconf.records import Question, Target

TABLE = [*CASES, *CASES_HARD]


def test_the_table_is_right_and_every_miss_is_listed() -> None:
    misses = {(texts[0], answer): right for _, texts, answer, right, _ in _missed()}
    listed = MISSES | HARD_MISSES
    assert {pair: misses[pair] for pair in misses.keys() - listed} == {}
    assert listed - misses.keys() == set()
    assert len(misses) <= 0.01 * len(TABLE)


def test_the_table_is_large_balanced_and_in_many_scripts() -> None:
    assert len(CASES_HARD) >= 200 and len(set(TABLE)) == len(TABLE)
    right = sum(row[3] for row in CASES_HARD) / len(CASES_HARD)
    assert 0.4 <= right <= 0.6
    assert len(_scripts()) >= 15, _scripts()


def test_no_pair_of_the_table_is_labelled_twice() -> None:
    labels: dict[tuple[str, tuple[str, ...], str, str], bool] = {}
    for task, texts, answer, right, prompt in TABLE:
        assert labels.setdefault((task, texts, answer, prompt), right) == right


def _missed() -> list[tuple[str, tuple[str, ...], str, bool, str]]:
    return [
        (task, texts, answer, right, prompt)
        for task, texts, answer, right, prompt in TABLE
        if grade_answer(Question("q", prompt, (Target(texts),), task), answer)[0] != float(right)
    ]


def _scripts() -> set[str]:
    """The first words of the names of all letters: LATIN, THAI, …"""
    letters = {sign for _, texts, answer, _, _ in CASES_HARD for sign in "".join(texts) + answer}
    return {unicodedata.name(sign).split()[0] for sign in letters if sign.isalpha()}
