"""The page in a real browser: ask, read, slide, judge; and that nothing a model writes runs."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import ok
from front import GOOD, UNSURE, Running, cascaded, in_front, said

from metaconf.serving.calibration import Calibration
from metaconf.serving.guard import Limits

HOSTILE = (
    "Answer: <img src=x onerror=\"document.title='ran'\"></script><script>document.title=1</script>"
    "\nSelf-reflection: </blockquote><svg onload=alert(1)>\u202e \U0001f98a\nConfidence: 9"
)
REPLIES = {
    "sure?": GOOD,
    "unsure?": "Answer: Chad\nSelf-reflection: A guess.\nConfidence: 2",
    "silent?": "It is Mali, I believe.",
    "hostile?": HOSTILE,
}

OUTSIDE = """(() => {
  const { x, y, width, height } = document.getElementById("diagram").viewBox.baseVal;
  const cut = (b) => b.x < x || b.y < y || b.x + b.width > x + width || b.y + b.height > y + height;
  return [...document.querySelectorAll("#diagram text")]
    .filter((text) => cut(text.getBBox())).map((text) => text.textContent);
})()"""
"""Labels of the diagram that stand out of it, and are cut."""


async def by_question(_: Any, sent: Any, __: int) -> Any:
    return ok(REPLIES[sent["messages"][1]["content"]])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, calibration: Calibration) -> Iterator[Running]:
    with in_front(by_question, tmp_path_factory.mktemp("page"), calibration) as found:
        yield found


@pytest.fixture
def page(browser: Any, server: Running) -> Any:
    browser.problems.clear()
    browser.view(1100, 900)
    return opened(browser, server)


def opened(browser: Any, server: Running) -> Any:
    browser.open(server.url)
    browser.until("'ready' in document.documentElement.dataset")
    return browser


def text(page: Any, name: str) -> str:
    return page.evaluate(f"document.getElementById('{name}').innerText")


def ask(page: Any, question: str) -> None:
    """From the keyboard alone."""
    page.evaluate("document.getElementById('question').value = ''")
    page.evaluate("document.getElementById('question').focus()")
    page.type(question)
    page.evaluate(
        "document.getElementById('question').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true}))"
    )
    page.until("document.activeElement.id === 'reply'")


def test_the_policy_holds_and_nothing_comes_from_elsewhere(page: Any, server: Running) -> None:
    ask(page, "sure?")
    assert page.problems == []
    asked = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert asked and all(name.startswith(server.url) for name in asked)
    with urllib.request.urlopen(server.url) as reply:
        policy = reply.headers.get_all("content-security-policy")
    assert len(policy) == 1 and "default-src 'none'" in policy[0] and "unsafe" not in policy[0]


def test_an_answer_with_its_confidence_and_why(page: Any) -> None:
    ask(page, "sure?")
    assert text(page, "answer") == "Mali" and text(page, "action") == "Answered"
    assert "at least 0." in text(page, "reason")
    assert text(page, "reflection") == "I know it well."
    sure = page.evaluate("percent(reply.confidence.value)")
    more = "" if sure == "80 %" else ", recalibrated from 80 %"
    assert text(page, "number") == f"{sure} sure{more}"
    assert page.evaluate("document.querySelectorAll('#bar .on').length") in (4, 5)
    assert text(page, "often").startswith("Of 100 replies this sure, about ")
    assert page.evaluate("document.querySelectorAll('#diagram .here').length") == 1
    assert page.evaluate(OUTSIDE) == []


def test_an_answer_that_is_held_back_is_there_for_who_asks(page: Any) -> None:
    ask(page, "unsure?")
    assert text(page, "answer") == "I am not sure enough to answer this."
    assert text(page, "action") == "Held back" and "Chad" not in text(page, "reply")
    page.evaluate("document.querySelector('#more summary').click()")
    assert "Chad" in text(page, "kept")


def test_unknown_is_said_and_no_step_is_lit(page: Any) -> None:
    ask(page, "silent?")
    assert text(page, "action") == "Not decided"
    assert text(page, "number") == "Confidence unknown"
    assert page.evaluate("document.querySelectorAll('#bar .on').length") == 0


def test_a_hostile_reply_is_text(page: Any) -> None:
    before = page.evaluate("document.title")
    ask(page, "hostile?")
    assert "<img src=x" in text(page, "answer")
    assert "</blockquote><svg" in text(page, "reflection")
    assert page.evaluate("document.title") == before
    assert page.evaluate("document.querySelectorAll('#reply img, #reply svg').length") == 0
    assert page.problems == []


def test_the_slider_says_what_is_left(page: Any) -> None:
    ask(page, "sure?")
    assert page.evaluate("document.getElementById('alpha').value") == "20"
    assert "would be answered" in text(page, "offer") and "be given" in text(page, "would")
    slide = "$('alpha').value = %d; $('alpha').dispatchEvent(new Event('input'))"
    page.evaluate(slide % 1)
    assert "nothing would be answered" in text(page, "offer")
    assert "held back" in text(page, "would")
    page.evaluate(slide % 45)
    assert text(page, "alpha-shown") == "45 %" and "be given" in text(page, "would")


DEAR = "<img src=x onerror=\"document.title='ran'\">"
"""A model's name."""


def slid(page: Any, alpha: int) -> str:
    """What would become of the reply; from the keyboard alone."""
    page.evaluate("$('alpha').focus()")
    page.press("Home")
    for _ in range(alpha - 1):
        page.press("ArrowRight")
    assert text(page, "alpha-shown") == f"{alpha} %"
    return text(page, "would")


def test_a_cascade_says_who_answered_and_the_slider_decides_anew(
    browser: Any, tmp_path: Path, fitted: Path
) -> None:
    says = {"cheap": said(UNSURE), DEAR: said(GOOD)}
    with cascaded(fitted, tmp_path, says) as (server, _):
        page, offers = opened(browser, server), server.service.offers
        alone = f"Answered by {DEAR}."
        cheap, dear = zip(*(one["thresholds"] for one in offers), strict=True)
        ask(page, "unsure?")
        assert text(page, "by") == f"Answered by {DEAR}. Asked: cheap (20 %), then {DEAR} (80 %)."
        assert slid(page, 20) == f"The reply of {DEAR} would be given."
        assert f"else by {DEAR} from" in text(page, "offer") and "costs" in text(page, "offer")
        assert slid(page, 1) == "This reply would be held back."
        says["cheap"] = said(GOOD.replace("8", "9"))
        ask(page, "sure?")
        assert text(page, "by") == "Answered by cheap."
        assert slid(page, 20) == "The reply of cheap would be given."
        strict = next(k for k, one in enumerate(dear) if one and (cheap[k] or 1) > 0.9)
        assert slid(page, strict + 1) == f"{DEAR} would be asked."
        says["cheap"] = said(GOOD.replace("8", "9"))
        assert page.evaluate("$('dearest').innerText") == f"Ask {DEAR}"
        page.evaluate("$('dearest').click()")
        page.until(f"document.getElementById('by').innerText === {json.dumps(alone)}")
        assert text(page, "action") == "Not decided" and text(page, "answer") == "Mali"
        page.until("document.getElementById('dearest').hidden")
        assert text(page, "would") == ""
        says["cheap"] = says[DEAR] = said("no format")
        ask(page, "silent?")
        assert text(page, "by") == f"Asked: cheap (no confidence), then {DEAR} (no confidence)."
        assert page.problems == [] and page.evaluate("document.title") != "ran"


def test_feedback_moves_the_diagram(page: Any, server: Running) -> None:
    ask(page, "sure?")
    before = page.evaluate("known.reliability.find(one => one.low <= .8 && .8 <= one.high).n")
    page.evaluate("document.getElementById('wrong').click()")
    page.until("document.getElementById('judged').innerText.startsWith('Kept')")
    after = page.evaluate("known.reliability.find(one => one.low <= .8 && .8 <= one.high).n")
    assert after == before + 1
    assert page.evaluate("document.getElementById('wrong').ariaPressed") == "true"
    assert [row["correctness"] for row in server.service.feedback.rows()] == [0.0]
    page.evaluate("document.getElementById('right').click()")
    page.until("document.getElementById('right').ariaPressed === 'true'")
    assert [row["correctness"] for row in server.service.feedback.rows()] == [1.0]


def test_names_for_screen_readers(page: Any) -> None:
    ask(page, "sure?")
    fields = "[...document.querySelectorAll('input, textarea')]"
    assert page.evaluate(f"{fields}.filter(e => !e.labels.length).length") == 0
    assert page.evaluate("document.querySelectorAll('svg:not([aria-label])').length") == 0
    assert page.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    assert page.evaluate("document.getElementById('bar').ariaLabel").endswith("% sure")
    assert page.evaluate("document.getElementById('status').ariaLive") == "polite"


def test_phone_and_dark(page: Any) -> None:
    ask(page, "hostile?")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.view(360, 740, dark=True)
    assert page.evaluate(paper) != light
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = "[...document.querySelectorAll('button')].filter(b => b.offsetHeight)"
    assert page.evaluate(f"{heights}.every(b => b.offsetHeight >= 44)")


def test_a_key_is_asked_for(
    browser: Any, tmp_path: Any, make_calibration: Callable[..., Calibration]
) -> None:
    with in_front(by_question, tmp_path, limits=Limits("k3y")) as server:
        opened(browser, server)
        assert not browser.evaluate("document.getElementById('locked').hidden")
        browser.evaluate("document.getElementById('key').value = 'k3y'")
        ask(browser, "sure?")
        assert text(browser, "answer") == "Mali" and "k3y" not in browser.evaluate("location.href")
        assert browser.evaluate("localStorage.length + sessionStorage.length") == 0
