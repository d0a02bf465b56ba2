"""The grader for mathematics: plain numbers and lists here, all else by math-verify.

Plain numbers are most of the traffic and where math-verify errs (it reads "1 3/4" as 1, takes a
part of a list for the whole), so they are compared exactly as fractions. Expressions go to a child
process (math_worker.py) under limits of time and memory; it works from any thread.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from metaconf.data.extract import last_box
from metaconf.grading.carriers import carried
from metaconf.grading.claims import affirmed, altered, computed, hedged, offers_two
from metaconf.grading.digits import SUPER, as_power
from metaconf.grading.math_process import WORKER
from metaconf.grading.measures import (
    Value,
    bare_amount,
    equal_values,
    in_one_currency,
    may_name_currency,
    other_currency,
    read_value,
    same_measure,
    with_unit,
)
from metaconf.grading.numbers import (
    DIGITS_ALONE,
    NUMBER,
    in_asked_scale,
    join_groups,
    plain_numbers,
)
from metaconf.grading.short import answer_key
from metaconf.grading.spelled import is_spelled_number
from metaconf.grading.text import visible
from metaconf.grading.units import stated_unit, unit_name
from metaconf.records import Question

_MAX_CHARS = 1000
_MAX_BRACKETS = 50

_LAST = re.compile(
    rf"(?<![\w.])-?[$€£¥₹]?(?:\d+\s+\d+/\d+|(?:{NUMBER})(?:/\d+)?)(?:\s*(?:\\?%|per\s?cent))?", re.I
)
_SPELLED = re.compile(r"[A-Za-z][A-Za-z -]+")
_OTHER_LETTERS = re.compile(r"[^\W\d_a-zA-Z\u0370-\u03ff\u2100-\u214f]")
_CALCULATED = re.compile(r"<<[^<>]{0,200}>>")
"""A calculator's annotation, as in GSM8K: "12 + 6 = <<12+6=18>>18"."""
_WRAPPED = re.compile(r"[\\$`*]")
_NAME = re.compile(r"\s*([A-Za-z]\w{0,2}|[A-Za-z]\([a-z]\))\s*(?:=|\\in\b)(?!=)\s*")
_KELVIN = re.compile(r"(?<=\d)K\b")
_LIST = re.compile(r"\s*(?:[,;]|\band\b|\bor\b)\s*(?:\b(?:and|or)\b)?\s*")
_COUNTED = re.compile(r"^(?:[一总總]?共有?|一共有?|[约約]|計|总计|约为|共计)\s*(?=\d)")
_GLUED_BEFORE = re.compile(
    r"(?:[\w)}\]]|[-+*/^({√]\s*|(?<![^\W_a])[b-zB-Z]\s|\\(?:cdot|times|pi|div|pm|sqrt|sin|cos|tan"
    r"|log|ln|gt?|geq?|lt?|leq?)\s*)$"
)
_GLUED_AFTER = re.compile(
    r"[\w({^_!√π]|\s*[-+*/^]\s*(?:[\d\\(]|[a-zA-Z]\b)|\s*\\(?!text|mathrm|mbox)[a-zA-Z({]|\s[b-zB-Z]\b"
)
_ONE_LETTER = re.compile(rf"(-?(?:{NUMBER}))\s*([A-Za-z])")
_SIGN_FIRST = re.compile(r"^(?:%\s?(\d+(?:\.\d+)?)$|[–—⁻]\s?(?=\d))")
_SCALE_BEHIND = re.compile(r"[\s$)\\]*[^\W\d_]+")
# As in Pandoc: an amount ("$45 - $7") opens or closes no expression.
_SEGMENT = re.compile(
    r"\$\$?(?=\S)([^$]*?[^$\s])\$\$?(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL
)
_WORD_BEFORE = re.compile(r"([^\W\d_]+)\s*(?:,\s*)?\b(?:or|oder|или)\s*$", re.IGNORECASE)
_WORD_BEHIND = re.compile(r"\s*(?:(?:,\s*)?(?:or|oder|или|或)|[;|])\s*([^\W\d_]+)", re.IGNORECASE)
_BARE_LATEX = re.compile(
    r"-?\d*\s*\\(?:[dt]?frac|sqrt|binom)\s*(?:\[[^\]]*\])?(?:\{[^{}]*\}|\d){1,2}(?:\s*\\?%)?"
)
_PROSE = re.compile(r"(?<![\\A-Za-z])(?!(?:sqrt|sin|cos|tan|log|ln|pi|infty|and|or)\b)[^\W\d_]{2,}")
_SUPERSCRIPTS = re.compile(f"[{SUPER}]+")


def grade_math(question: Question, answer: str) -> tuple[float | None, str]:
    """1.0 if the answer equals a target's text in value (times its credit), else 0.0.

    Of the answer counts the last `\\boxed{…}`, else all of it if it is one expression, else (for a
    numeric reference) its last number, clauses that deny left out; two numbers joined by "or" are
    wrong. Numbers compare exactly, decimals within 5e-7; "(2, 5)" and "2,5" are the same list,
    bracketed lists keep their order, a list is not right by its part; a leading "x =" is dropped;
    units may be missing but not differ, and so a percent sign; a scale that the prompt asks in
    ("how many dozen") may be named or not. Expressions, equations, sets and intervals are compared
    by math-verify within `math_process.SECONDS` and 2 GiB, beyond which the answer is wrong. None
    if no reference can be read.
    """
    answer = in_asked_scale(answer, question.prompt)
    verdicts = [
        (_compare(text, answer), target.credit)
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
    return a.strip() == b.strip() or bool(_compare(a, b))


@lru_cache(maxsize=65536)
def _compare(gold: str, answer: str) -> bool | None:
    """True or False, or None if the gold cannot be read."""
    gold = gold.rpartition("####")[2]
    if (
        DIGITS_ALONE.fullmatch(gold)
        and DIGITS_ALONE.fullmatch(answer)
        and len(gold + answer) < _MAX_CHARS
    ):
        return equal_values((Fraction(gold), False), (Fraction(answer), False), True)
    said = () if answer.isascii() else carried(answer)
    answer = said[-1] if said and re.search(r"\d", said[-1]) else answer
    gold, answer = _clean(_kelvin(gold, answer)), _clean(_kelvin(answer, gold))
    answer = answer[-_MAX_CHARS:]
    (gold_name, gold), (name, answer) = _unname(gold), _unname(answer)
    if gold_name and name and gold_name != name:
        return False
    if _list_form(gold) == _list_form(answer):
        return True
    if (amounts := _bare_amounts(gold, answer)) is None:
        return False
    gold, answer = amounts
    number, unit = with_unit(gold)
    if number is None and _SPELLED.fullmatch(gold):
        number = read_value(answer_key(gold))
    if number is not None:
        verdict = _compare_number(number, unit, answer)
        if verdict is not None:
            return verdict
    elif not _is_expression(answer):
        last = _last_expression(answer)
        answer = (_tail_expression(answer) or affirmed(answer)) if last is None else last
        if not answer.strip():
            return False
    return _compare_lists(gold, answer)


def _bare_amounts(gold: str, answer: str) -> tuple[str, str] | None:
    """Both without their currencies; None where these differ, or where one is an amount of money
    and the other a quantity."""
    if not (may_name_currency(gold) or may_name_currency(answer)):
        return gold, answer
    gold, answer = in_one_currency(gold, answer), in_one_currency(answer, gold)
    if other_currency(gold, answer):
        return None
    (gold, money), (answer, paid) = bare_amount(gold), bare_amount(answer)
    if {money, paid} == {True, False}:
        number, unit = with_unit(gold)
        if number is not None and unit_name(unit if paid else with_unit(answer)[1]):
            return None
    return gold, answer


def _compare_number(number: Value, unit: str, answer: str) -> bool | None:
    """Whether an answer states a number (in its unit, if any); None if it is an expression."""
    answer = computed(answer)
    found, found_unit = with_unit(answer)
    if found_unit and (altered("", f" {found_unit}") or not affirmed(answer)):
        return False
    letter = _ONE_LETTER.fullmatch(answer) if found is None else None
    if letter and not unit:
        return False
    if letter:  # beside a unit, "5 t" is 5 tonnes
        found, found_unit = read_value(letter[1]), letter[2]
    if found is None and _is_expression(answer) and hedged(answer):
        return False
    if found is None and not _is_expression(answer):
        last = _last_expression(answer)
        if last is not None:
            found, found_unit = with_unit(last)
            if found is None:
                return not hedged(last) and bool(last) and bool(_ask(str(number[0]), last))
        else:
            found, found_unit = _last_number(answer)
            if found is None:
                return False
    if found is None:
        return None
    return same_measure(number, unit, found, found_unit, True)


def _kelvin(text: str, other: str) -> str:
    """ "300K" is 300 kelvin beside "300 K", and 300 thousand elsewhere."""
    return _KELVIN.sub(" K", text) if re.search(r"\d\s+K\b", other) else text


def _list_form(text: str) -> str:
    return re.sub(r"(?<=[,;])\s+", "", text)


def _compare_lists(gold: str, answer: str) -> bool | None:
    golds, answers = _items(gold), _items(answer)
    if golds is None or (answers is None and not _is_expression(answer)):
        return False if golds else _ask(gold, answer)
    if answers is None:
        return _ask(gold, answer)
    if golds[0] == "=" and not answers[0]:
        golds = ("", golds[1])
    if len(golds[1]) != len(answers[1]) or (golds[0] and answers[0] and golds[0] != answers[0]):
        return False
    ordered = golds[0] == answers[0] == "()" or "[" in golds[0] + answers[0]
    pairs = zip(
        golds[1] if ordered else sorted(golds[1]),
        answers[1] if ordered else sorted(answers[1]),
        strict=True,
    )
    return all(equal_values(g, a, True) for g, a in pairs)


def _clean(text: str) -> str:
    """Drop wrappers (box, dollars, bold stars around all, spacing commands, a final stop), and
    write numbers in plain ASCII."""
    text = _CALCULATED.sub("", visible(last_box(text) or text)).replace("º", "°")
    if _WRAPPED.search(text):
        text = _unwrap(join_groups(text))
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _SUPERSCRIPTS.sub(as_power, plain_numbers(text)))
        text = text.replace("−", "-").replace("–", "-").replace("∞", r"\infty")
    text = plain_numbers(text).strip().rstrip(".").strip()
    return _SIGN_FIRST.sub(lambda m: f"{m[1]}%" if m[1] else "-", _COUNTED.sub("", text))


def _unwrap(text: str) -> str:
    inline = _is_expression(text)  # in prose, dollars show where the expressions are
    for wrapper in (r"\(", r"\)", r"\[", r"\]", "$$", r"\left", r"\right", r"\!", "`"):
        if inline or wrapper[-1] not in "()[]$":
            text = text.replace(wrapper, "")
    text = text.replace(r"\$", "$").replace(r"\;", " ")
    text = re.sub(r"\\,(?!\d)", " ", text)
    # Bold, not powers: stars that touch a blank or an end on their outer side.
    text = re.sub(r"(?<!\S)\*\*(?=\S)|(?<=\S)\*\*(?=[\s.,;:!?]|$)", "", text)
    if inline and text.count("$") == 2:
        return text.replace("$", "")
    return re.sub(r"\$(?!\s?[\d.])", "", text) if inline else text  # "$5" is an amount


def _unname(text: str) -> tuple[str, str]:
    """Split "x = 5" into name and value; equations in more than a name stay whole."""
    match = _NAME.match(text)
    if match and "=" not in text[match.end() :]:
        return match[1], text[match.end() :]
    return "", text


def _is_expression(text: str) -> bool:
    """Whether text is mathematics rather than prose: LaTeX or operators, and no longer words."""
    prose = re.sub(r"\\[a-zA-Z]+(?:\{[a-zA-Z ]*\})?", "", text)
    words = re.sub(r"sqrt|sin|cos|tan|log|infty", "", prose)
    return not re.search(r"[^\W\d_]{3,}|\b(?:it|is|so|we|of|to|be|es)\b", words, re.IGNORECASE)


def _last_number(text: str) -> tuple[Value | None, str]:
    """The last number of prose with its known unit; None where two are joined by "or" or "and", and
    for a bound ("at least 5")."""
    text = computed(affirmed(text))
    result = text.rpartition("=")[2]  # what is behind the last "=" is the number of a calculation
    text = result if re.search(r"\d", result) else text
    found = list(_LAST.finditer(text))
    if not found:  # the key of "five" is 5
        return with_unit(answer_key(text))
    if offers_two([text[a.end() : b.start()] for a, b in pairwise(found)]):
        return None, ""
    before, after = text[: found[-1].start()], text[found[-1].end() :]
    if altered(before, after) or _or_spelled(before, after):
        return None, ""
    return read_value(found[-1][0]), stated_unit(after)


def _or_spelled(before: str, after: str) -> bool:
    """Whether a number that is spelled out is offered beside the last one in digits."""
    beside = [_WORD_BEFORE.search(before), _WORD_BEHIND.match(after)]
    return any(match and is_spelled_number(match[1]) for match in beside)


def _last_expression(text: str) -> str | None:
    """The last expression in prose (between dollars, or LaTeX among words), None without any.

    None too where a plain number stands behind it, which is then the last. "" where it counts for
    nothing: denied, one of two, a bound, or a part of something larger.
    """
    if _is_expression(text):
        return None
    said = affirmed(text)
    segments = [(*m.span(), m[1] or m[2] or m[3]) for m in _SEGMENT.finditer(said)]
    found = segments or [(*m.span(), m[0]) for m in _BARE_LATEX.finditer(said)]
    if not found:
        denied = _SEGMENT.search(text) or _BARE_LATEX.search(text)
        return "" if denied and not re.search(r"\d", said) else None
    if said.count("$") % 2 or offers_two([said[a[1] : b[0]] for a, b in pairwise(found)][:-1]):
        return ""
    last = [found.pop()]
    if found and offers_two([said[found[-1][1] : last[0][0]].replace("and", ",")]):
        return ""
    while found and re.fullmatch(r"\s*(?:,|,?\s*and)\s*", said[found[-1][1] : last[0][0]]):
        last.insert(0, found.pop())
    before, after = said[: last[0][0]], said[last[-1][1] :]
    if re.search(r"\d", after):
        return None
    if altered(before, after) or _scaled(after):
        return ""
    if not segments and (_GLUED_BEFORE.search(before) or _GLUED_AFTER.match(after)):
        return _tail_expression(said) or ""
    return ", ".join(expression.strip().rstrip(".,") for _, _, expression in last)


def _scaled(after: str) -> bool:
    """Whether a scale word stands behind an expression: "$\\frac{16}{5}$ million"."""
    word = _SCALE_BEHIND.match(after)
    return bool(word) and plain_numbers(f"1 {word[0].strip(' $)')}") != f"1 {word[0].strip(' $)')}"


def _tail_expression(text: str) -> str | None:
    """What follows the last word of prose ("the answer is x^2 + 1"), None where nothing does."""
    words = list(_PROSE.finditer(text))
    if not words or _is_expression(text) or affirmed(text) != text:
        return None
    tail = text[words[-1].end() :].strip(" :.,")
    return tail if re.search(r"\w", tail) and text[: words[-1].end()].count("$") % 2 == 0 else None


def _items(text: str) -> tuple[str, list[Value]] | None:
    """Brackets ("" for none or braces) and members of a list of at least two plain numbers."""
    text, brackets = text.strip(), ""
    text = text.replace(r"\{", "{").replace(r"\}", "}")
    if text[:1] + text[-1:] in ("()", "[]", "(]", "[)", "{}"):
        brackets, text = text[0] + text[-1], text[1:-1]
    named = [_unname(item) for item in _LIST.split(text.strip())]
    if len({name for name, _ in named}) > 1:
        return None
    if named[0][0] and not brackets:
        brackets = "{}" if len(named) < 2 else "="  # the roots of an equation, no point
    values = [read_value(item) for _, item in named]
    plain = [value for value in values if value is not None]
    return (brackets.replace("{}", ""), plain) if len(plain) == len(values) > 1 else None


def _ask(gold: str, answer: str) -> bool | None:
    """Compare by math-verify: True, False, or None if it cannot read the gold."""
    gold, answer = (t.replace(">=", r"\ge ").replace("<=", r"\le ") for t in (gold, answer))
    if not re.search(r"\w", answer) or len(re.findall(r"[({[]", answer)) > _MAX_BRACKETS:
        answer = "?"  # unreadable, and slow to find out
    if (" | " in answer and " | " not in gold) or _OTHER_LETTERS.search(answer):
        answer = "?"  # one or the other, in signs or words; math-verify would take a part
    if "=" in answer and "=" not in gold:
        answer = answer.rpartition("=")[2]
    verdict = WORKER.ask(gold, answer)
    if verdict is None:
        # The answer is to blame unless the gold alone is too much.
        own = WORKER.ask(gold, gold)
        return None if own is None else False
    return None if not verdict["gold"] else bool(verdict["equal"])
