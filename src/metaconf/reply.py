"""The reply format, written and read in one place.

    <think>…</think>      (optional)
    Answer: …
    Self-reflection: …
    Confidence: 0–10, decimals allowed

Reward, evaluation and serving all read replies through `parse_reply`, so that they cannot disagree
about what a model said. The text is hostile: the parser never raises, runs in linear time and
refuses what is not plainly stated, because a guessed confidence would be paid as if it were meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import isfinite

from metaconf.records import Parsed, Span
from metaconf.safe_text import as_seen
from metaconf.thinking import Drafts, find_drafts

_OPEN, _CLOSE = "<think>", "</think>"
_NAME = r"(answer|self[ \t_-]{0,3}reflection|confidence)"
_DRESSED_NAME = (
    rf"(?:(\*{{1,3}}|__?){_NAME}[ \t]*+(?:\1[ \t]*+:|:\1)|(?P<bold>\*\*)?{_NAME}[ \t]*+:)"
)
_LABEL = re.compile(  # possessive quantifiers keep a line of a million blanks linear
    rf"^[ \t]*+(?=[*_asc]){_DRESSED_NAME}", re.IGNORECASE | re.MULTILINE | re.ASCII
)
_ITEM = re.compile(  # a label as an item of a list, a heading or a quotation
    r"^[ \t]*+(?:(?:[-+*]|\u2022|\d\d?[.)])[ \t]++|>[ \t]*+|\#{1,6}[ \t]*+){1,3}" + _DRESSED_NAME,
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)
_NUMBER = re.compile(r"(\d{1,2}(?:\.\d*)?|\.\d+)(?: *+(?:/|out of) *+10\.?)?", re.ASCII)
# Joiners, and selectors and tags of emoji and ideographs: part of the sign before them.
_ATTACHED = re.compile("[\u034f\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\U000e0020-\U000e01ef]*")


@dataclass(frozen=True, slots=True)
class _Segment:
    """A labelled value: `label` is where its label starts, text[start:end] its value."""

    name: str
    label: int
    start: int
    end: int


def format_reply(
    answer: str, reflection: str, confidence: float, thinking: str | None = None
) -> str:
    """Write a reply that `parse_reply` reads back as the same values.

    `confidence` is in [0, 1] and written on the scale 0–10 as the shortest exact decimal ("7",
    "8.5"). Values are written as the parser reads them: outer white space, invisible characters
    and one pair of enclosing `**` removed. A label at the start of a line of the reflection is
    joined to the line before, where it is prose. Raises ValueError for what cannot be read back: an
    empty answer or reflection, an answer of several lines, the tag of a thinking block (of any
    convention) inside a value, a confidence off [0, 1].
    """
    answer, reflection = _bare(answer), _bare(_without_labels(reflection.strip()))
    if not answer or "\n" in as_seen(answer)[0]:
        raise ValueError(f"answer {answer[:40]!r}: must be one line that is not empty")
    if not reflection:
        raise ValueError("the reflection is empty; write at least one word")
    for value in (answer, reflection, thinking or ""):
        if find_drafts(as_seen(value)[0]).regions:
            raise ValueError(f"{value[:40]!r}…: holds a think tag, which would end a segment")
    head = "" if thinking is None else f"{_OPEN}{thinking}{_CLOSE}\n"
    scale = _on_scale(confidence)
    text = f"{head}Answer: {answer}\nSelf-reflection: {reflection}\nConfidence: {scale}"
    read = parse_reply(text)
    if read.problems or (read.answer, read.reflection, read.thinking) != (
        answer,
        reflection,
        thinking,
    ):
        why = "; ".join(read.problems) or "a tag at the edge of a value"
        raise ValueError(f"{answer[:40]!r}: the reply would not be read back ({why})")
    return text


def parse_reply(text: str) -> Parsed:
    """Take a reply apart; total: any text gives a Parsed, whose `problems` say what is amiss.

    - Thinking is what stands between the tags of any convention that chat templates have (see
      `thinking_marks`), or before a closing tag whose opening one the template wrote. It never
      gives an answer or a confidence, and never ends without its own closing tag. One block of
      thinking before the answer is well formed; any further tag is a problem.
    - Labels stand at the start of a line or right after thinking, in any case, bold or not
      (`**Answer:** x`, `**Answer**: x`, `**Answer: x**`); a bold value is unwrapped. Where all
      are items of a list, headings or quotations ("- **Answer:** x"), these count; elsewhere such
      lines are prose. Any line end does. Any dash, and
      a full-width colon or letter, does; what is invisible is passed over. In the middle of a line
      they are prose. A value reaches to the next label; answer and reflection may span lines and
      hold blank lines.
    - Answer, reflection and confidence come from one block. Thinking ends a block: of several, the
      last that has an answer counts. In it the first answer counts, with the first reflection
      after it and the last confidence after that reflection; a second answer or reflection ends it.
      Repeated labels and labels out of order are problems, so such a reply is not well formed.
      A confidence before the reflection is not read; with no reflection at all it is.
    - A confidence is a number from 0 to 10 alone on its line: "7", "8.5", ".5", "10.0", "8/10",
      "8 out of 10", full-width digits. Anything else ("85%", "nan", "-1", "1e3", "²", "11",
      prose) is refused: None with a problem. It is divided by 10, never clamped.
    - Text before the answer (other than thinking) or after the confidence's line is a problem.

    Each span delimits the value itself in `text`, that of the confidence its number or the text
    refused. Nothing is invented: a missing value is None, named in `problems` and without a span.
    """
    return _Reading(text).parsed()


def token_spans(parsed: Parsed, offsets: Sequence[Span]) -> dict[str, Span]:
    """Give each segment of `parsed` as a half-open range of tokens.

    `offsets` holds one (start, end) of characters a token, as fast tokenizers return them; empty
    ones (special tokens) belong nowhere. A token that reaches into a segment is part of it, so one
    merged across a border is in both. A segment that no token touches (cut text) is left out.
    """
    found: dict[str, Span] = {}
    for name, (start, end) in parsed.spans.items():
        inside = [i for i, (a, b) in enumerate(offsets) if a < b and a < end and b > start]
        if inside:
            found[name] = (inside[0], inside[-1] + 1)
    return found


class _Reading:
    """One reply on the way to a Parsed. Places are counted in the text as seen, without what is
    invisible, until they are handed out."""

    def __init__(self, text: str) -> None:
        self.text = text
        seen, self.places = as_seen(text)
        self.drafts: Drafts = find_drafts(seen)
        self.seen = self.drafts.mask
        self.problems: list[str] = []
        self.spans: dict[str, Span] = {}

    def parsed(self) -> Parsed:
        body, segments = self.chosen()
        self.note_thinking(body)
        block = _block(segments, self.problems)
        answer = self.value(block.get("answer"), "answer")
        reflection = self.value(block.get("reflection"), "reflection")
        confidence = self.confidence(block.get("confidence"))
        first = segments[0].label if segments else len(self.seen)
        if self.seen[body:first].strip():
            self.problems.append(f"text before the first label at character {self.place(body)}")
        thinking = self.text[slice(*self.spans["thinking"])] if "thinking" in self.spans else None
        return Parsed(answer, reflection, confidence, thinking, tuple(self.problems), self.spans)

    def chosen(self) -> tuple[int, list[_Segment]]:
        """The piece outside of thinking that counts: where it starts, and its segments."""
        last: tuple[int, list[_Segment]] | None = None
        for start, end in reversed(self.drafts.pieces()):
            segments = _segments(self.seen, start, end)
            if any(segment.name == "answer" for segment in segments):
                return start, segments
            if last is None or (segments and not last[1]):
                last = start, segments
        return last or (0, [])

    def note_thinking(self, body: int) -> None:
        drafts = self.drafts
        if drafts.regions:
            before = [region for region in drafts.regions if region.end <= body]
            inside = before or drafts.regions
            # All between the tags, what is invisible included.
            inner = inside[0].inner
            start = self.place(inner - 1) + 1 if inner else 0
            self.spans["thinking"] = (start, self.place(inside[-1].close))
        if drafts.unclosed is not None:
            where = self.place(drafts.unclosed)
            self.problems.append(f"thinking at character {where} is not closed")
        self.problems += [f"stray think tag at character {self.place(at)}" for at in drafts.stray]

    def value(self, segment: _Segment | None, name: str) -> str | None:
        if segment is None:
            self.problems.append(f"no {name}")
            return None
        start, end = _unbold(self.seen, segment.start, segment.end)
        if start == end:
            self.problems.append(f"empty {name} at character {self.place(segment.label)}")
            return None
        self.spans[name] = self.span(start, end)
        return self.text[slice(*self.spans[name])]

    def confidence(self, segment: _Segment | None) -> float | None:
        if segment is None:
            self.problems.append("no confidence")
            return None
        label_end = self.seen.find("\n", segment.label)
        if segment.start == segment.end or -1 < label_end < segment.start:
            self.problems.append(f"empty confidence at character {self.place(segment.label)}")
            return None
        line = segment.end
        if (line_end := self.seen.find("\n", segment.start, segment.end)) >= 0:
            where = self.place(line_end + 1)
            self.problems.append(f"text after the confidence at character {where}")
            line = line_end
        return self.number(*_unbold(self.seen, *_strip(self.seen, segment.start, line)))

    def number(self, start: int, end: int) -> float | None:
        match = _NUMBER.fullmatch(self.seen, start, end)
        value = Decimal(match[1]) / 10 if match else None
        self.spans["confidence"] = self.span(start, match.end(1) if match else end)
        if value is not None and value <= 1:
            return float(value)
        self.spans["confidence"] = where = self.span(start, end)
        refused = self.text[slice(*where)][:40]
        self.problems.append(f"confidence at character {where[0]} is not 0–10: {refused!r}")
        return None

    def place(self, at: int) -> int:
        """Where in the text a character stands that is seen."""
        if self.places is None:
            return at
        return self.places[at] if at < len(self.places) else len(self.text)

    def span(self, start: int, end: int) -> Span:
        if self.places is None:
            return start, end
        if start >= end:
            return self.place(start), self.place(start)
        return self.place(start), _after(self.text, self.places[end - 1] + 1)


def _after(text: str, end: int) -> int:
    """The end of a value, with what belongs to its last sign."""
    match = _ATTACHED.match(text, end)
    return match.end() if match else end


def _without_labels(text: str) -> str:
    """Join each line that starts with a label to the line before it."""
    reading = _Reading(text)
    starts = [match.start() for match in _LABEL.finditer(reading.seen) if match.start()]
    edges = pairwise([0, *starts, len(reading.seen)])
    lines = [reading.span(a, _strip(reading.seen, a, b)[1]) for a, b in edges]
    return " ".join(text[a:b] for a, b in lines) if starts else text


def _on_scale(confidence: float) -> str:
    value = float(confidence)
    if not (isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"confidence {confidence}: outside [0, 1]; scale it before writing")
    # repr gives the shortest decimal that reads back as this float; -0.0 + 0.0 is 0.0.
    digits = f"{Decimal(repr(value + 0.0)) * 10:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _segments(text: str, start: int, end: int) -> list[_Segment]:
    matches = list(_LABEL.finditer(text, start, end)) or list(_ITEM.finditer(text, start, end))
    ends = [match.start() for match in matches[1:]] + [end]
    # Without labels `ends` still holds the end of the text.
    return [_segment(text, match, end) for match, end in zip(matches, ends, strict=False)]


def _segment(text: str, match: re.Match[str], end: int) -> _Segment:
    name = (match[2] or match[4])[-10:].lower()
    start, end = _strip(text, match.end(), end)
    if match["bold"] and end - start >= 2 and text.endswith("**", start, end):
        start, end = _strip(text, start, end - 2)
    return _Segment(name, match.start(), start, end)


def _strip(text: str, start: int, end: int) -> Span:
    value = text[start:end]
    start += len(value) - len(value.lstrip())
    return start, max(start, start + len(value.strip()))


def _unbold(text: str, start: int, end: int) -> Span:
    """Shrink a stripped range by one pair of enclosing `**`, if the pair encloses all of it."""
    whole = end - start > 4 and text.startswith("**", start) and text.endswith("**", start, end)
    if not whole or text.find("**", start + 2, end - 2) >= 0:
        return start, end
    inner = _strip(text, start + 2, end - 2)
    return inner if inner[0] < inner[1] else (start, end)


def _bare(value: str) -> str:
    """A value as it is read back."""
    reading = _Reading(value)
    start, end = _unbold(reading.seen, *_strip(reading.seen, 0, len(reading.seen)))
    return value[slice(*reading.span(start, end))]


def _block(segments: list[_Segment], problems: list[str]) -> dict[str, _Segment]:
    """Choose one segment of each name by the rules of `parse_reply`."""
    names = [segment.name for segment in segments]
    problems += [f"{name} repeated" for name in dict.fromkeys(names) if names.count(name) > 1]
    first = names.index("answer") if "answer" in names else 0
    block: dict[str, _Segment] = {}
    for segment in segments[first:]:
        if segment.name in block and segment.name != "confidence":
            break
        if segment.name == "reflection":
            block.pop("confidence", None)
        block[segment.name] = segment
    order = list(dict.fromkeys(names))
    if order != [name for name in ("answer", "reflection", "confidence") if name in order]:
        problems.append("labels out of order: " + ", ".join(order))
    return block
