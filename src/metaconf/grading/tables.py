"""Tables of words beside this module: data that would hide the code which uses it.

A line of NAME.txt is `head: one|two`; one that begins with two blanks goes on with the line above,
and "#" begins a comment.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def lines(name: str) -> list[tuple[str, str]]:
    """(head, what stands behind it) of each line of NAME.txt, in order."""
    text = files("metaconf.grading").joinpath(f"{name}.txt").read_text(encoding="utf-8")
    said = (line for line in text.replace("\n  ", "|").splitlines() if line and line[0] != "#")
    return [(head, rest) for head, _, rest in (line.partition(": ") for line in said)]


@cache
def table(name: str) -> dict[str, list[str]]:
    """Head → its words, of a file in which every head stands once."""
    return {head: rest.split("|") for head, rest in lines(name)}


@cache
def heads(name: str) -> dict[str, str]:
    """Word → its head."""
    return {word: head for head, words in table(name).items() for word in words}


@cache
def matcher(head: str, flags: int = 0) -> re.Pattern[str]:
    """The patterns behind this head in carriers.txt, as one."""
    return re.compile("|".join(rest for one, rest in lines("carriers") if one == head), flags)
