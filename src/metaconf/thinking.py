"""Where a reply thinks, and where it answers.

A draft holds answers and confidences that were thought better of: one that is taken for the reply
is paid as if it were meant. So whatever may be a draft is taken for one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from metaconf.thinking_marks import Mark, closing_of, marks

Span = tuple[int, int]
_LABEL = re.compile(r"(?:answer|reflection|confidence)[ \t*_]*+:", re.IGNORECASE)
_ANSWER = re.compile(r"answer[ \t*_]*+:", re.IGNORECASE)
_VISIBLE = re.compile(r"\S")


class Region(NamedTuple):
    """Thinking: text[start:end] with its markers, text[inner:close] without them."""

    start: int
    inner: int
    close: int
    end: int


class Drafts(NamedTuple):
    """What of a text is thinking."""

    mask: str
    """The text, as long as it was, with line ends for what is thinking and blanks for markers."""
    regions: tuple[Region, ...] = ()
    stray: tuple[int, ...] = ()
    """Where markers stand that a well-formed reply does not have."""
    unclosed: int | None = None
    """Where thinking begins that does not end."""

    def pieces(self) -> list[Span]:
        """The stretches outside of regions, in order: one more than there are regions."""
        if not self.regions:
            return [(0, len(self.mask))]
        edges = [0, *(edge for r in self.regions for edge in (r.start, r.end)), len(self.mask)]
        return list(zip(edges[::2], edges[1::2], strict=True))


def find_drafts(text: str) -> Drafts:
    """The thinking in `text`; linear in its length.

    A block ends with the marker that its own convention has for that. What stands within another
    belongs to it, and what is never closed reaches to the end. A closing marker without an opening
    one (which the prompt may have held) makes thinking of all before it, and so does one that says
    that the reply proper begins, if a label follows. Tags whose word has other uses count only
    where they hold a label.
    """
    found = list(marks(text))
    if not found:
        return Drafts(text)
    return _Scan(text, found).drafts()


def closing_of_prompt(text: str) -> str | None:
    """What closes the thinking that is open at the end of `text`, the end of a prompt.

    "" where none is open; None where it is not known how its convention closes it.
    """
    scan = _Scan(text, marks(text))
    if not scan.stack:
        return ""
    opened = scan.stack[0]
    closing = closing_of(text[opened.start : opened.end])
    if closing is None or not text.endswith("\n") or closing.endswith("\n"):
        return closing
    # The empty block that templates write where thinking is off: <think>\n\n</think>\n\n.
    return f"\n{closing}\n\n"


class _Scan:
    """One pass over the markers of a text. `stack` holds what is open, the outermost first."""

    def __init__(self, text: str, found: Iterable[Mark]) -> None:
        self.text = text
        self.stack: list[Mark] = []
        self.keys: Counter[str] = Counter()
        self.regions: list[Region] = []
        self.blanked: list[Span] = []
        self.stray: list[int] = []
        self.lead = self.visible(0)
        """Where the first text stands that is neither thinking nor a marker."""
        for mark in found:
            self.take(mark)

    @cached_property
    def labels(self) -> list[int]:
        """Where something stands that may be a label, at the start of a line or not."""
        return [match.start() for match in _LABEL.finditer(self.text)]

    @cached_property
    def last_answer(self) -> int:
        return max((match.start() for match in _ANSWER.finditer(self.text)), default=-1)

    def take(self, mark: Mark) -> None:
        if mark.kind == "open":
            self.open(mark)
        elif mark.kind == "close":
            self.close(mark)
        elif mark.kind == "final":
            self.final(mark)
        else:
            self.message_end(mark)

    def open(self, mark: Mark) -> None:
        since = self.regions[-1].end if self.regions else 0
        if mark.key == "process" and self.labelled(since, mark.start):
            return  # a turn of phrase in a reflection
        if self.stack and self.stack[-1].key == mark.key:
            if mark.key == "channel":
                return
            if self.visible(self.stack[-1].end) >= mark.start:
                # The template had opened it already.
                self.stack[-1] = replace(self.stack[-1], end=mark.end)
                return
        if (self.stack or self.regions) and not mark.plain:
            self.stray.append(mark.start)
        self.stack.append(mark)
        self.keys[mark.key] += 1

    def close(self, mark: Mark) -> None:
        if self.keys[mark.key]:
            depth = len(self.stack) - 1
            while self.stack[depth].key != mark.key:
                depth -= 1
            self.shut(depth, mark)
        elif not mark.plain:
            if self.stack or self.regions:
                self.stray.append(mark.start)
            if not self.stack:
                self.all_before(mark)
        elif not self.stack and self.answered(mark.end):
            self.all_before(mark)

    def final(self, mark: Mark) -> None:
        if self.stack:
            first = self.stack[0]
            if first.key == mark.key or (first.loose and mark.key in ("channel", "message")):
                self.shut(0, mark)
        elif self.lead < mark.start and (
            mark.key == "channel" or self.labelled(mark.end, len(self.text))
        ):
            self.all_before(mark)
        else:
            self.blank(mark)

    def message_end(self, mark: Mark) -> None:
        if not self.stack and mark.key == "channel" and self.lead < mark.start:
            self.all_before(mark) if self.answered(mark.end) else self.blank(mark)
        elif not self.stack:
            self.blank(mark)
        elif mark.key and self.stack[0].loose:
            self.shut(0, mark)

    def shut(self, depth: int, mark: Mark) -> None:
        """Close what was opened at `depth`, and all within it."""
        opened = self.stack[depth]
        self.keys.subtract(inner.key for inner in self.stack[depth:])
        del self.stack[depth:]
        region = Region(opened.start, opened.end, mark.start, mark.end)
        if not self.stack and self.counts(opened, mark.start):
            self.regions.append(region)
            self.pass_over(region.start, region.end)

    def all_before(self, mark: Mark) -> None:
        """Thinking that the prompt had opened: what was found in it belongs to it."""
        first = self.regions[0] if self.regions else None
        inner = first.inner if first and first.start <= self.visible(0) else 0
        self.regions = [Region(0, inner, mark.start, mark.end)]
        self.lead = self.visible(mark.end)

    def blank(self, mark: Mark) -> None:
        self.blanked.append((mark.start, mark.end))
        self.pass_over(mark.start, mark.end)

    def pass_over(self, start: int, end: int) -> None:
        if start <= self.lead:
            self.lead = max(self.lead, self.visible(end))

    def counts(self, opened: Mark, end: int) -> bool:
        return not opened.plain or self.labelled(opened.end, end)

    def reaches_on(self, opened: Mark) -> bool:
        """Whether what is never closed is thinking: in the middle of a line, a plain word is prose
        unless an answer follows."""
        if not opened.plain or self.answered(opened.end):
            return True
        before = self.text[max(0, opened.start - 40) : opened.start].rstrip(" \t")
        return before[-1:] in ("", "\n") and self.labelled(opened.end, len(self.text))

    def labelled(self, start: int, end: int) -> bool:
        place = bisect_left(self.labels, start)
        return place < len(self.labels) and self.labels[place] < end

    def answered(self, start: int) -> bool:
        """Whether an answer may stand after `start`."""
        return self.last_answer >= start

    def visible(self, start: int) -> int:
        found = _VISIBLE.search(self.text, start)
        return found.start() if found else len(self.text)

    def drafts(self) -> Drafts:
        size = len(self.text)
        opened = next((mark for mark in self.stack if self.reaches_on(mark)), None)
        if opened is not None:
            self.regions.append(Region(opened.start, opened.end, size, size))
        if self.regions and self.text[: self.regions[0].start].strip():
            self.stray.append(self.regions[0].start)
        return Drafts(self.mask(), tuple(self.regions), tuple(self.stray), opened and opened.start)

    def mask(self) -> str:
        """Line ends for thinking, so that a label after it starts a line; blanks for markers, so
        that none makes a line of the prose after it."""
        fills = [(r.start, r.end, "\n") for r in self.regions]
        fills += [(start, end, " ") for start, end in self.blanked]
        parts, at = [], 0
        for start, end, fill in sorted(fills):
            if start >= at:
                parts += [self.text[at:start], fill * (end - start)]
                at = end
        return "".join([*parts, self.text[at:]])
