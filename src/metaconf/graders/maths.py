"""The grader for mathematics: plain numbers and lists here, all else by math-verify.

Plain numbers are most of the traffic and where math-verify errs (it reads "1 3/4" as 1, takes a
part of a list for the whole), so they are compared exactly as fractions. Expressions go to a child
process (math_worker.py) under limits of time and memory; it works from any thread.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import threading
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from metaconf.errors import UserError
from metaconf.graders.short import affirm, answer_key
from metaconf.questions.extract import last_box
from metaconf.records import Question

SECONDS = 5.0
"""Limit of one comparison; past it the answer counts as wrong."""
_MAX_CHARS = 1000
_MAX_BRACKETS = 50

_UNSIGNED = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_MIXED = re.compile(r"(-?)\s*(\d+)\s+(\d+)\s*/\s*(\d+)")
_RATIO = re.compile(rf"(-?)\s*[$€£]?\s*({_UNSIGNED})(?:\s*/\s*(\d+))?")
_FRAC = re.compile(r"(\d*)\s*\\[dt]?frac\s*\{?\s*(\d+)\s*\}?\s*\{?\s*(\d+)\s*\}?")
_PERCENT = re.compile(r"\s*(?:\\?%|per\s?cent\b|percent\b)\s*$", re.IGNORECASE)
_LAST = re.compile(
    rf"(?<![\w.])-?[$€£]?(?:\d+\s+\d+/\d+|(?:{_UNSIGNED})(?:/\d+)?)(?:\s*(?:%|per\s?cent))?", re.I
)
_NAME = re.compile(r"\s*([A-Za-z]\w{0,2}|[A-Za-z]\([a-z]\))\s*(?:=|\\in\b)(?!=)\s*")
_UNIT = re.compile(
    r"\s*(?:\\text\s*\{([^{}]*)\}|\^?\\?circ\b|°"
    r"|([A-Za-z](?:[A-Za-z ./^²³]|(?<=[A-Za-z^])[23])*))\s*$"
)
_LIST = re.compile(r"\s*(?:[,;]|\band\b|\bor\b)\s*(?:\b(?:and|or)\b)?\s*")
_OR = re.compile(r"[\s,]*(?:or|/)\s*(?:maybe |perhaps )?")
_PLURAL = {"feet": "foot", "inches": "inch", "metre": "meter", "km": "kilometer"}
_PLURAL |= {"cm": "centimeter", "kilometre": "kilometer", "centimetre": "centimeter"}
_PLURAL |= {"m": "meter", "kg": "kilogram", "g": "gram", "h": "hour", "hr": "hour", "min": "minute"}
_PLURAL |= {"s": "second", "sec": "second", "dollars": "dollar", "ft": "foot", "mi": "mile"}

Value = tuple[Fraction, bool]
"""A number and whether a percent sign followed it (the number is not divided by 100)."""


def grade_math(
    question: Question, answer: str, bare_percent: bool = True
) -> tuple[float | None, str]:
    """1.0 if the answer equals a target's text in value (times its credit), else 0.0.

    Of the answer counts the last `\\boxed{…}`, else all of it if it is one expression, else (for a
    numeric reference) its last number, clauses that deny left out; two numbers joined by "or" are
    wrong. Numbers compare exactly, decimals within 5e-7; "(2, 5)" and "2,5" are the same list,
    bracketed lists keep their order, a list is not right by its part; a leading "x =" is dropped;
    units may be missing but not differ. `bare_percent`: whether 35 answers 35 % and 35 % answers
    35. Expressions, equations, sets and intervals are compared by math-verify within `SECONDS` and
    2 GiB, beyond which the answer is wrong. None if no reference can be read.
    """
    verdicts = [
        (_compare(text, answer, bare_percent), target.credit)
        for target in question.targets
        for text in target.texts
        if text.strip()
    ]
    right = [credit for equal, credit in verdicts if equal]
    if right:
        return max(right), "equal"
    if all(equal is None for equal, _ in verdicts):
        return None, "not graded: math-verify cannot read the reference"
    return 0.0, "not equal"


def same_math(a: str, b: str) -> bool:
    """Whether two answers have the same value; text that is no mathematics must be the same."""
    return a.strip() == b.strip() or bool(_compare(a, b, True))


@lru_cache(maxsize=65536)
def _compare(gold: str, answer: str, bare_percent: bool) -> bool | None:
    """True or False, or None if the gold cannot be read."""
    gold, answer = _clean(gold.rpartition("####")[2]), _clean(answer)
    if len(answer) > _MAX_CHARS:
        answer = answer[-_MAX_CHARS:]
    (gold_name, gold), (name, answer) = _unname(gold), _unname(answer)
    if gold_name and name and gold_name != name:
        return False
    if gold == answer:
        return True
    number, unit = _with_unit(gold)
    if number is not None:
        found, found_unit = _with_unit(answer)
        if found is not None:
            same_unit = not unit or not found_unit or unit == found_unit
            return same_unit and _equal(number, found, bare_percent)
        if not _is_expression(answer):
            last = _last_number(answer) or _value(answer_key(answer))  # the key of "five" is 5
            return last is not None and _equal(number, last, bare_percent)
    return _compare_lists(gold, answer, bare_percent)


def _compare_lists(gold: str, answer: str, bare_percent: bool) -> bool | None:
    golds, answers = _items(gold), _items(answer)
    if golds is None or (answers is None and not _is_expression(answer)):
        return False if golds else _ask(gold, answer)
    if answers is None:
        return _ask(gold, answer)
    if len(golds[1]) != len(answers[1]) or (golds[0] and answers[0] and golds[0] != answers[0]):
        return False
    ordered = golds[0] == answers[0] == "()" or "[" in golds[0] + answers[0]
    pairs = zip(
        golds[1] if ordered else sorted(golds[1]),
        answers[1] if ordered else sorted(answers[1]),
        strict=True,
    )
    return all(_equal(g, a, bare_percent) for g, a in pairs)


def _equal(gold: Value, answer: Value, bare_percent: bool) -> bool:
    (a, a_percent), (b, b_percent) = gold, answer
    if a_percent == b_percent:
        return abs(a - b) <= Fraction(1, 2_000_000)
    if bare_percent and a == b:
        return True
    return a * (1 if b_percent else Fraction(1, 100)) == b * (1 if a_percent else Fraction(1, 100))


def _clean(text: str) -> str:
    """Drop wrappers: the box, dollars, bold stars around all, spacing commands, a final stop."""
    text = last_box(text) or text
    for wrapper in (r"\(", r"\)", r"\[", r"\]", "$$", r"\left", r"\right", r"\!", "`"):
        text = text.replace(wrapper, "")
    text = text.replace(r"\,", " ").replace(r"\;", " ")
    text = text.replace("−", "-").replace("–", "-").replace(r"\$", "$").strip()
    # Bold, not powers: stars that touch a blank or an end on their outer side.
    text = re.sub(r"(?<!\S)\*\*(?=\S)|(?<=\S)\*\*(?=[\s.,;:!?]|$)", "", text)
    if text.count("$") == 2 or text.endswith("$"):
        text = text.replace("$", "")
    return text.strip().rstrip(".").strip()


def _unname(text: str) -> tuple[str, str]:
    """Split "x = 5" into name and value; equations in more than a name stay whole."""
    match = _NAME.match(text)
    if match and "=" not in text[match.end() :]:
        return match[1], text[match.end() :]
    return "", text


def _value(text: str) -> Value | None:
    bare = _PERCENT.sub("", text)
    percent = bare != text
    bare = bare.strip()
    sign = -1 if bare.startswith("-") else 1
    fraction = _FRAC.fullmatch(bare.lstrip("- "))
    if fraction and len(bare) < 60 and int(fraction[3]):
        whole = Fraction(int(fraction[1] or 0))
        return sign * (whole + Fraction(int(fraction[2]), int(fraction[3]))), percent
    mixed = _MIXED.fullmatch(bare)
    if mixed and len(bare) < 60 and int(mixed[4]):
        return sign * (int(mixed[2]) + Fraction(int(mixed[3]), int(mixed[4]))), percent
    ratio = _RATIO.fullmatch(bare)
    if ratio is None or len(bare) > 400 or (ratio[3] and not int(ratio[3])):
        return None
    return sign * Fraction(ratio[2].replace(",", "")) / int(ratio[3] or 1), percent


def _with_unit(text: str) -> tuple[Value | None, str]:
    value = _value(text)
    match = _UNIT.search(text) if value is None else None
    if match is None or not match.start():
        return value, ""
    unit = (match[1] or match[2] or "degree").strip().lower().rstrip(".")
    unit = unit.replace("^", "").replace("²", "2").replace("³", "3")
    unit = _PLURAL.get(unit, unit)
    unit = unit.removesuffix("s") if len(unit) > 3 else unit
    return _value(text[: match.start()]), _PLURAL.get(unit, unit)


def _is_expression(text: str) -> bool:
    """Whether text is mathematics rather than prose: LaTeX or operators, and no longer words."""
    prose = re.sub(r"\\[a-zA-Z]+(?:\{[a-zA-Z ]*\})?", "", text)
    return not re.search(r"[A-Za-z]{3,}", re.sub(r"sqrt|sin|cos|tan|log|infty", "", prose))


def _last_number(text: str) -> Value | None:
    """The last number of prose, or None if two different ones are offered with "or"."""
    text = affirm(text)
    found = list(_LAST.finditer(text))
    if not found:
        return None
    last = _value(found[-1][0])
    for before, after in pairwise(found):
        if _OR.fullmatch(text[before.end() : after.start()]):
            return None
    return last


def _items(text: str) -> tuple[str, list[Value]] | None:
    """Brackets ("" for none or braces) and members of a list of at least two plain numbers."""
    text, brackets = text.strip(), ""
    text = text.replace(r"\{", "{").replace(r"\}", "}")
    if text[:1] + text[-1:] in ("()", "[]", "(]", "[)", "{}"):
        brackets, text = text[0] + text[-1], text[1:-1]
    values = [_value(item) for item in _LIST.split(text.strip())]
    plain = [value for value in values if value is not None]
    return (brackets.replace("{}", ""), plain) if len(plain) == len(values) > 1 else None


class _Worker:
    """One child process; calls wait for each other, the child is replaced after a time-out."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        self.owner = 0

    def ask(self, gold: str, answer: str) -> dict[str, object] | None:
        """The verdict, or None if it took too long or too much memory."""
        with self.lock:
            process = self._running()
            request = {"gold": gold, "answer": answer, "seconds": SECONDS}
            line = _exchange(process, json.dumps(request))
            if not line:
                self.stop()
            return json.loads(line) if line else None

    def _running(self) -> subprocess.Popen[str]:
        # A forked child of ours must not share the pipes of its parent.
        gone = self.process is None or self.process.poll() is not None
        if gone or self.owner != os.getpid():
            self.owner = os.getpid()
            self.process = _start()
        assert self.process
        return self.process

    def stop(self) -> None:
        if self.process is not None and self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    pipe.close()
        self.process = None


def _exchange(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin and process.stdout
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process.stdout.readline()
    except BrokenPipeError:
        return ""


def _start() -> subprocess.Popen[str]:
    script = Path(__file__).with_name("math_worker.py")
    process = subprocess.Popen(
        [sys.executable, "-P", str(script)],  # -P: modules beside the script hide no others
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout
    if process.stdout.readline() != "ready\n":
        process.kill()
        process.wait()
        raise UserError(
            "math grader: math-verify cannot be started; pip install 'math-verify[antlr4_13_2]'"
        )
    return process


_WORKER = _Worker()
atexit.register(_WORKER.stop)


def _ask(gold: str, answer: str) -> bool | None:
    """Compare by math-verify: True, False, or None if it cannot read the gold."""
    if not re.search(r"\w", answer) or len(re.findall(r"[({[]", answer)) > _MAX_BRACKETS:
        answer = "?"  # unreadable, and slow to find out
    if "=" in answer and "=" not in gold:
        answer = answer.rpartition("=")[2]
    verdict = _WORKER.ask(gold, answer)
    if verdict is None:
        # The answer is to blame unless the gold alone is too much.
        own = _WORKER.ask(gold, gold)
        return None if own is None else False
    return None if not verdict["gold"] else bool(verdict["equal"])
