"""Lists in a single text, as programs print them: JSON, Python's repr and numpy's.

A table that went through pandas holds "['Lima', 'Ciudad de los Reyes']" or "['Lima' 'Ciudad']"
where a list was: taken as one answer, no reply would ever be right. Nothing is evaluated.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from metaconf.errors import UserError
from metaconf.safe_text import loads_bounded

DEPTH = 8
"""Deepest nesting that is read; what people put into a cell has two or three levels."""
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>[uU]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<name>[A-Za-z_][\w.]*)
    | (?P<sign>[\[\](){},:=])
    )""",
    re.VERBOSE,
)
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_NAMES = {"None": None, "nan": None, "NaN": None, "null": None}
_NAMES |= {"True": True, "true": True, "False": False, "false": False}
_LIKE_A_LIST = re.compile(r"\s*\[[\[(\s]*(?:[uU]?['\"]|np\.str_\()")
_BEGINS = re.compile(r"\s*(?:[\[({]|(?:np\.|numpy\.)?array\()")


def read(text: str) -> Any:
    """The list, tuple, object or array that `text` is: lists and dicts of texts, numbers, None.

    Raises ValueError with the reason where it is none.
    """
    try:
        return loads_bounded(text)
    except ValueError:
        pass
    reader = _Reader(text)
    value = reader.value(0)
    reader.end()
    return value


def listed(value: Any, where: str) -> Any:
    """The list or object in a text, all else as it is. A text that begins as a list of texts and
    is none is refused; `where` opens the UserError."""
    if not isinstance(value, str) or not _BEGINS.match(value):
        return value
    try:
        found = read(value)
    except ValueError as error:
        if not _LIKE_A_LIST.match(value):
            return value
        raise UserError(
            f"{where} {shown(value)} begins like a list but is none ({error}); write a list as in"
            ' JSON: ["…", "…"]'
        ) from error
    return found if isinstance(found, list | dict) else value


def shown(value: Any) -> str:
    """A value for a message, cut."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


class _Reader:
    """One pass over the tokens of a text."""

    def __init__(self, text: str):
        self.text, self.at = text, 0

    def peek(self) -> re.Match[str]:
        if found := _TOKEN.match(self.text, self.at):
            return found
        raise ValueError(f"at character {self.at + 1}")

    def take(self, sign: str = "") -> re.Match[str]:
        found = self.peek()
        if sign and found["sign"] != sign:
            raise ValueError(f"no {sign!r} at character {found.start() + 1}")
        self.at = found.end()
        return found

    def took(self, sign: str) -> bool:
        """Whether `sign` stands next; it is then passed."""
        found = _TOKEN.match(self.text, self.at)
        if found is None or found["sign"] != sign:
            return False
        self.at = found.end()
        return True

    def end(self) -> None:
        if self.text[self.at :].strip():
            raise ValueError(f"more behind its end, at character {self.at + 1}")

    def value(self, depth: int) -> Any:
        if depth > DEPTH:
            raise ValueError(f"brackets nested more than {DEPTH} deep")
        found = self.take()
        if found["text"]:
            return _text(found["text"])
        if found["number"]:
            return _number(found["number"])
        if found["name"]:
            return self._named(found["name"], depth)
        if found["sign"] not in _CLOSING:
            raise ValueError(f"{found['sign']!r} at character {found.start() + 1}")
        return self._items(found["sign"], depth)

    def _named(self, name: str, depth: int) -> Any:
        """None, a truth value, or what stands first in `array([…], dtype=object)`."""
        if name in _NAMES:
            return _NAMES[name]
        self.take("(")
        value = self.value(depth + 1)
        while self.took(","):
            if self.peek()["sign"] == ")":
                break
            self.take()  # dtype
            self.take("=")
            self.take()
        self.take(")")
        return value

    def _items(self, opening: str, depth: int) -> Any:
        items: list[Any] = []
        pairs: dict[Any, Any] = {}
        while not self.took(_CLOSING[opening]):
            item = self.value(depth + 1)
            if opening == "{" and self.took(":"):
                if isinstance(item, list | dict):
                    raise ValueError("a key that is no text")
                pairs[item] = self.value(depth + 1)
            else:
                items.append(item)
            self.took(",")
        if pairs and items:
            raise ValueError("some items have a key, others have none")
        return pairs or items


def _text(token: str) -> str:
    try:
        return ast.literal_eval(token)
    except SyntaxError as error:
        raise ValueError("a text with a broken escape") from error


def _number(token: str) -> int | float:
    return int(token) if re.fullmatch(r"[-+]?\d+", token) else float(token)
