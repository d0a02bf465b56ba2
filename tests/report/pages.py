"""What the reports of the tests are made from: hostile texts among plain ones."""

from __future__ import annotations

from typing import Any

HOSTILE_NAME = 'm" onclick="document.title=1'
HOSTILE_REPLY = (
    "<reflection>I doubt it</reflection></script><!--<script><img src=x "
    "onerror=\"document.title='ran'\"> \U0001f98a </textarea><svg onload=alert(1)>"
)


JUDGED = "<i>what a judge said</i>"


def figure(value: float | None, low: float = 0.0, high: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": 40, **more}


def reply(**fields: Any) -> dict[str, Any]:
    row = {"question_id": "q0", "method": "stage2", "prompt": "Which country?", "family": "city"}
    row |= {"cause": "reasoning", "answer": "Chad", "reflection": "I doubt it", "confidence": 0.5}
    row |= {
        "correctness": 0.0,
        "truth": "Mali",
        "text": "Answer: Chad\nSelf-reflection: I doubt it",
    }
    return row | {"problems": [], "why": "Chad is not Mali"} | fields


def metrics() -> dict[str, Any]:
    bins = [
        {"low": 0, "high": 0.5, "n": 20, "confidence": 0.2, "accuracy": 0.3}
        | {"accuracy_low": 0.1, "accuracy_high": 0.5},
        {"low": 0.5, "high": 1, "n": 0, "confidence": None, "accuracy": None},
    ]
    auroc = {"value": None, "reason": "all answers are right"}
    after = {
        "key": "stage2",
        "name": HOSTILE_NAME,
        "figures": {"ece": figure(0.04, 0.02, 0.06), "auroc": auroc, "accuracy": figure(0.4)},
        "reliability": bins,
        "risk_coverage": [[0.5, 0.1], [1.0, 0.6]],
        "groups": {"family=a$^{<b>": {"accuracy": figure(0.4), "mean_confidence": figure(0.5)}},
    }
    before = {"key": "base", "name": "base", "figures": {"ece": figure(0.4, 0.3, 0.5)}}
    return {"title": "A <b>run</b>", "methods": [before, after]}


def rows() -> list[dict[str, Any]]:
    """2,000 plain replies of `base`, and five of `stage2` that are special."""
    plain = [
        reply(
            method="base", question_id=f"q{i}", confidence=i / 4000, correctness=i % 2, why="plain"
        )
        for i in range(2000)
    ]
    special = [
        reply(text=HOSTILE_REPLY, answer="<reflection>", reflection="\U0001f98a", confidence=0.99),
        reply(question_id="q3001", answer="=1+1", text="Answer: =1+1", confidence=0.3),
        reply(question_id="q3002", answer="-3", truth="-3", correctness=1.0, confidence=0.7),
        reply(question_id="q3003", answer=None, confidence=None, problems=["confidence: none"]),
        reply(
            question_id="q3004",
            correctness=None,
            confidence=0.9,
            why="judge did not answer",
            judged=JUDGED,
        ),
    ]
    return plain + special
