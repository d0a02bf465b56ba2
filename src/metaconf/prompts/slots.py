"""Text that a model wrote, as data in a request to another model: it cannot leave its slot.

All of it goes into one JSON object, whose strings close nothing: a tag, a quote, a brace or a new
"system" line inside a value stays text. Characters that nobody sees are taken out, so that what a
judge reads is what a person sees. And every request carries a ticket made from all that is in it;
a verdict counts only with that ticket, which the text inside cannot know: a judge that repeats a
verdict forged by the policy does not repeat the ticket beside it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import regex

from metaconf.safe_text import INVISIBLE, changed

TICKET = "ticket"
_UNSEEN = regex.compile(rf"[[\p{{Other}}{INVISIBLE}]--[\n\t]]", regex.VERSION1)
"""Controls, formats (zero width, direction), surrogates, private and unassigned characters, and
what else draws nothing."""
_LINE_ENDS = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_STATED = re.compile(
    r"(?P<label>\bconfiden\w*\W{0,4}(?:\w+\W+){0,3}?)\d+(?:[.,]\d+)?(?:\s*(?:%|/\s*\d+|percent\b))?"
    r"|\d+(?:[.,]\d+)?\s*(?:%|percent\b|/\s*10\b|out of (?:10|100|ten)\b)",
    re.I,
)


def clean(text: str) -> str:
    """`text` in composed form (NFC) without characters that nobody sees; line ends are "\\n"."""
    return unicodedata.normalize("NFC", _UNSEEN.sub("", _LINE_ENDS.sub("\n", text)))


def stated(text: str) -> list[str]:
    """The confidences that stand in `text`, as written: "90 %", "9/10", "confidence: 8"."""
    return [found.group() for found in _STATED.finditer(text)]


def ticket_of(data: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that follow from all of `data`: the same data, the same request."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]


def sealed(data: Mapping[str, Any]) -> tuple[str, str]:
    """(content of a message, its ticket): a JSON object that holds cleaned `data` and the ticket.

    `data` maps names to texts, lists of texts or None.
    """
    cleaned = changed(dict(data), lambda one: clean(one) if isinstance(one, str) else one)
    ticket = ticket_of(cleaned)
    return json.dumps({TICKET: ticket, "data": cleaned}, ensure_ascii=False), ticket
