"""Names in any script in the charts: with a font that has their signs, else as numbers with a key.

matplotlib draws a box for a sign that its font lacks, and warns of each. The page can show every
name, because the reader's browser has the fonts; so a name that no font here can draw stands in
the chart as "[1]", and beside it, in the page's own text, what that is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

BASE = "DejaVu Sans"
"""Comes with matplotlib."""
NO_SIGNS = ("last resort", "lastresort", "emoji", "adobe blank")
"""Fonts that have something for every sign, but not the sign, or that cannot be drawn."""
LIKED = ("noto sans", "source han sans", "wenquanyi", "ipa", "yahei", "pingfang", "hiragino")
"""Looked at first, for they are even in weight."""
SHAPES = matplotlib.__version_info__[:2] >= (3, 11)
"""Whether matplotlib joins letters and writes from right to left."""

_numbers: ContextVar[Mapping[str, str]] = ContextVar("numbers", default=MappingProxyType({}))


@contextmanager
def named(names: Iterable[str]) -> Iterator[None]:
    """Within it, charts draw these names: sets the font, and numbers what no font can draw."""
    asked = list(dict.fromkeys(names))
    families = _families(frozenset("".join(asked)))
    left = [name for name in asked if not _drawable(name, families)]
    token = _numbers.set({name: f"[{i}]" for i, name in enumerate(left, 1)})
    try:
        with matplotlib.rc_context({"font.family": list(families)}):
            yield
    finally:
        _numbers.reset(token)


def in_chart(name: str) -> str:
    """What stands for a name in a chart."""
    return _numbers.get().get(name, name)


def key(texts: Iterable[str]) -> list[tuple[str, str]]:
    """(number, name) of the numbers that stand among the texts of a chart."""
    there = set(texts)
    return [(number, name) for name, number in _numbers.get().items() if number in there]


def _families(signs: frozenset[str]) -> tuple[str, ...]:
    """The base font, and for signs that it lacks others, each with the most of what is left."""
    found = [BASE]
    left = {sign for sign in signs if sign.isprintable()} - _signs_of(_path(BASE))
    while left:
        best = max(_others(), key=lambda one: len(left & _signs_of(one[1])), default=("", ""))
        if not left & _signs_of(best[1]):
            break
        found.append(best[0])
        left -= _signs_of(best[1])
    return tuple(found)


def _drawable(name: str, families: Iterable[str]) -> bool:
    signs = {sign for sign in name if sign.isprintable()}
    if not SHAPES and any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in signs):
        return False
    return signs <= set().union(*(_signs_of(_path(family)) for family in families))


@cache
def _others() -> tuple[tuple[str, str], ...]:
    """(family, file) of the fonts of this machine, one a family, the liked ones first."""
    plain = [f for f in font_manager.fontManager.ttflist if f.style == "normal"]
    files = {f.name: f.fname for f in sorted(plain, key=lambda f: (f.weight != 400, f.fname))[::-1]}
    usable = [n for n in files if not any(word in n.lower() for word in NO_SIGNS)]
    order = sorted(usable, key=lambda n: (not any(word in n.lower() for word in LIKED), n))
    return tuple((name, files[name]) for name in order)


@cache
def _path(family: str) -> str:
    return dict(_others()).get(family, "")


@cache
def _signs_of(path: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap())) if path else frozenset()
    except (OSError, RuntimeError):  # a broken file among the fonts of a machine
        return frozenset()
