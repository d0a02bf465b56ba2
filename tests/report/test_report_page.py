"""The report in a real browser: what it shows, that nothing in it runs, and that it can be used."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest
from pages import HOSTILE_REPLY, JUDGED

COUNT = "document.getElementById('count').textContent"
FIRST = "document.querySelector('.row').textContent"
DETAIL = "document.getElementById('detail').textContent"


def test_page_opens_without_a_complaint_and_loads_nothing(page: Any) -> None:
    assert page.problems == []
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0
    assert page.evaluate(COUNT).startswith("2,005 of 2,005 replies")


def test_default_order_puts_confident_wrong_first_and_unknown_last(page: Any) -> None:
    assert "0.99" in page.evaluate(FIRST)
    page.evaluate("document.getElementById('list').focus()")
    page.press("End")
    assert page.evaluate("document.querySelector('[aria-selected=true]').ariaPosInSet") == "2005"
    assert "judge did not answer" in page.evaluate(DETAIL)
    assert JUDGED in page.evaluate(DETAIL)
    assert "Not graded" in page.evaluate(DETAIL)


def test_hostile_reply_is_seen_as_text_and_runs_nothing(page: Any) -> None:
    assert page.evaluate("document.querySelector('#detail pre').textContent") == HOSTILE_REPLY
    assert "<reflection>" in page.evaluate("document.querySelector('.row .reply').textContent")
    assert page.evaluate("document.title").startswith("A <b>run</b>")
    assert page.evaluate("document.querySelectorAll('img, [onclick], #detail svg').length") == 0


def test_answer_is_cut_from_text_with_emoji_where_it_stands(page: Any) -> None:
    said = page.evaluate("[...document.querySelectorAll('.said')].map(e => e.textContent)")
    assert said[:3] == ["<reflection>", "Mali", "\U0001f98a"]


@pytest.mark.parametrize(
    ("fragment", "count"),
    [
        ("#method=stage2", 5),
        ("#method=stage2&outcome=wrong", 3),
        ("#outcome=ungraded", 1),
        ("#method=base&min=0.25&max=0.2510", 5),
        ("#method=stage2&min=0", 4),
        ("#format=silent", 1),
        ("#format=broken", 1),
        ("#q=JUDGE%20answer", 1),
        ("#q=%22did%20answer%22", 0),
        ("#family=nowhere", 2005),
    ],
)
def test_address_filters(browser: Any, report: Path, fragment: str, count: int) -> None:
    browser.open(report, fragment)
    assert browser.evaluate(COUNT).startswith(f"{count:,} of 2,005 replies")


def test_link_to_a_reply_opens_it(browser: Any, report: Path) -> None:
    browser.open(report, "#method=base&reply=7")
    assert "line 7" in browser.evaluate(DETAIL)


def test_form_filters_and_remembers_in_the_address(page: Any) -> None:
    page.evaluate("document.getElementById('f-q').focus()")
    page.type("Judge")
    page.evaluate("document.getElementById('f-method').value = 'stage2'")
    page.evaluate(
        "document.getElementById('f-method').dispatchEvent(new Event('input', {bubbles: true}))"
    )
    page.until("location.hash.includes('q=Judge') && location.hash.includes('method=stage2')")
    assert page.evaluate(COUNT).startswith("1 of 2,005")
    page.evaluate("document.getElementById('clear').click()")
    assert page.evaluate(COUNT).startswith("2,005 of")


def test_unstated_confidence_is_a_dash(browser: Any, report: Path) -> None:
    browser.open(report, "#format=silent")
    assert "–" in browser.evaluate("document.querySelector('.row .confidence').textContent")
    assert "no confidence stated" in browser.evaluate(DETAIL)
    assert "confidence: none" in browser.evaluate(DETAIL)
    assert "mean confidence –" in browser.evaluate(COUNT)


def test_csv_is_inert_and_keeps_negative_numbers(browser: Any, report: Path) -> None:
    browser.open(report, "#method=stage2")
    browser.evaluate("document.getElementById('csv').click()")
    table = {row["question_id"]: row for row in csv.DictReader(io.StringIO(_download(browser)))}
    assert len(table) == 5
    assert table["q3001"]["answer"] == "'=1+1"
    assert table["q3002"]["answer"] == "-3"
    assert table["q3003"]["confidence"] == ""
    assert table["q0"]["text"] == HOSTILE_REPLY


def _download(browser: Any) -> str:
    path = browser.folder / "replies.csv"
    end = time.monotonic() + 20
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return path.read_text(encoding="utf-8-sig")


def test_list_is_virtual_and_works_from_the_keyboard(page: Any) -> None:
    page.evaluate("document.getElementById('list').focus()")
    page.press("ArrowDown")
    page.press("ArrowDown")
    assert (
        page.evaluate("document.getElementById('list').getAttribute('aria-activedescendant')")
        == "row-2"
    )
    assert page.evaluate("document.getElementById('row-2').ariaSelected") == "true"
    assert page.evaluate("document.querySelectorAll('.row').length") < 40
    page.press("Enter")
    assert page.evaluate("document.activeElement.id") == "detail"
    page.press("Escape")
    assert page.evaluate("document.activeElement.id") == "list"


def test_every_field_has_a_name_and_every_table_its_headings(page: Any) -> None:
    fields = "[...document.querySelectorAll('input, select')]"
    assert page.evaluate(f"{fields}.filter(e => !e.labels.length && !e.ariaLabel).length") == 0
    assert page.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    assert page.evaluate("document.querySelectorAll('svg:not([aria-label])').length") == 0
    assert page.evaluate("document.getElementById('count').ariaLive") == "polite"


def test_light_dark_narrow_and_print(page: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.view(360, 800, dark=True)
    assert page.evaluate(paper) != light
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.view(800, 1000, dark=True, paper=True)
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.getElementById('list')).display") == "none"
    # What is folded on the screen is on paper.
    hidden = "[...document.querySelectorAll('details:not([open]) table')].map(t => t.offsetHeight)"
    heights = page.evaluate(hidden)
    assert heights and min(heights) > 0
