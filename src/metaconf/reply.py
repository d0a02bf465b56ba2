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
from math import isfinite

from metaconf.records import Parsed, Span

_OPEN, _CLOSE = "<think>", "</think>"
_NAME = r"(answer|self[- ]?reflection|confidence)"
_LABEL = re.compile(
    # Possessive quantifiers keep a line of a million blanks linear.
    rf"(?:^|(?<={_CLOSE}))[ \t]*+"
    rf"(?:\*\*(?:{_NAME}[ \t]*+\*\*[ \t]*+:|{_NAME}[ \t]*+:\*\*)|(\*\*)?{_NAME}[ \t]*+:)",
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)
_NUMBER = re.compile(r"(\d{1,2}(?:\.\d*)?|\.\d+)(?: *+(?:/|out of) *+10\.?)?", re.ASCII)
# Only full-width forms: NFKC would also turn "²" into a 2.
_FULL_WIDTH = str.maketrans("０１２３４５６７８９．／", "0123456789./")


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
    "8.5"). Values are written as the parser reads them: outer white space and one pair of
    enclosing `**` removed. A label at the start of a line of the reflection is joined to the line
    before, where it is prose. Raises ValueError for what cannot be read back: an empty answer or
    reflection, an answer of several lines, a think tag inside a value, a confidence off [0, 1].
    """
    answer, reflection = _bare(answer), _bare(_without_labels(reflection.strip()))
    if not answer or "\n" in answer:
        raise ValueError(f"answer {answer[:40]!r}: must be one line that is not empty")
    if not reflection:
        raise ValueError("the reflection is empty; write at least one word")
    for value in (answer, reflection, thinking or ""):
        if _OPEN in value or _CLOSE in value:
            raise ValueError(f"{value[:40]!r}…: holds a think tag, which would end a segment")
    head = "" if thinking is None else f"{_OPEN}{thinking}{_CLOSE}\n"
    scale = _on_scale(confidence)
    return f"{head}Answer: {answer}\nSelf-reflection: {reflection}\nConfidence: {scale}"


def parse_reply(text: str) -> Parsed:
    """Take a reply apart; total: any text gives a Parsed, whose `problems` say what is amiss.

    - Thinking is what stands before the first `</think>`, with or without its opening tag (which
      chat templates may have written already). `<think>` at the start without its end: all the
      text is thinking. Any further think tag is a problem. Labels in the thinking do not count.
    - Labels stand at the start of a line or right after `</think>`, in any case, bold or not
      (`**Answer:** x`, `**Answer**: x`, `**Answer: x**`); a bold value is unwrapped. In the middle
      of a line they are prose. A value reaches to the next label; answer and reflection may span
      lines and hold blank lines.
    - The first answer counts, with the first reflection after it and the last confidence after
      that reflection and before any second answer: answer and confidence come from one block.
      Repeated labels and labels out of order are problems, so such a reply is not well formed.
      A confidence before the reflection is not read; with no reflection at all it is.
    - A confidence is a number from 0 to 10 alone on its line: "7", "8.5", ".5", "10.0", "8/10",
      "8 out of 10", full-width digits. Anything else ("85%", "nan", "-1", "1e3", "²", "11",
      prose) is refused: None with a problem. It is divided by 10, never clamped.
    - Text before the answer (other than thinking) or after the confidence's line is a problem.

    Each span delimits the value itself in `text`, that of the confidence its number or the text
    refused. Nothing is invented: a missing value is None, named in `problems` and without a span.
    """
    problems: list[str] = []
    spans: dict[str, Span] = {}
    body = _thinking(text, spans, problems)
    segments = _segments(text, body)
    block = _block(segments, problems)
    answer = _text(text, block.get("answer"), "answer", spans, problems)
    reflection = _text(text, block.get("reflection"), "reflection", spans, problems)
    confidence = _confidence(text, block.get("confidence"), spans, problems)
    first = segments[0].label if segments else body
    if text[body:first].strip():
        problems.append(f"text before the first label at character {body}")
    thinking = text[slice(*spans["thinking"])] if "thinking" in spans else None
    return Parsed(answer, reflection, confidence, thinking, tuple(problems), spans)


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


def _without_labels(text: str) -> str:
    """Join each line that starts with a label to the line before it."""
    starts = [match.start() for match in _LABEL.finditer(text) if match.start()]
    pieces = [text[a:b] for a, b in zip([0, *starts], [*starts, len(text)], strict=True)]
    return " ".join([*(piece.rstrip() for piece in pieces[:-1]), pieces[-1]])


def _on_scale(confidence: float) -> str:
    value = float(confidence)
    if not (isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"confidence {confidence}: outside [0, 1]; scale it before writing")
    # repr gives the shortest decimal that reads back as this float; -0.0 + 0.0 is 0.0.
    digits = f"{Decimal(repr(value + 0.0)) * 10:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _thinking(text: str, spans: dict[str, Span], problems: list[str]) -> int:
    """Note the thinking and return where the body starts."""
    blank = len(text) - len(text.lstrip())
    start = blank + len(_OPEN) if text.startswith(_OPEN, blank) else 0
    end = text.find(_CLOSE)
    if end < 0 and start:
        problems.append(f"thinking at character {blank} is not closed")
        spans["thinking"] = (start, len(text))
        return len(text)
    body = 0 if end < 0 else end + len(_CLOSE)
    if body:
        start = min(start, end)
        spans["thinking"] = (start, end)
    for where in (text.find(_OPEN, start), text.find(_CLOSE, body)):
        if where >= 0:
            problems.append(f"stray think tag at character {where}")
    return body


def _segments(text: str, body: int) -> list[_Segment]:
    matches = list(_LABEL.finditer(text, body))
    ends = [match.start() for match in matches[1:]] + [len(text)]
    # Without labels `ends` still holds the end of the text.
    return [_segment(text, match, end) for match, end in zip(matches, ends, strict=False)]


def _segment(text: str, match: re.Match[str], end: int) -> _Segment:
    name = (match[1] or match[2] or match[4])[-10:].lower()
    start, end = _strip(text, match.end(), end)
    if match[3] and end - start >= 2 and text.endswith("**", start, end):
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
    return value[slice(*_unbold(value, *_strip(value, 0, len(value))))]


def _block(segments: list[_Segment], problems: list[str]) -> dict[str, _Segment]:
    """Choose one segment of each name by the rules of `parse_reply`."""
    names = [segment.name for segment in segments]
    problems += [f"{name} repeated" for name in dict.fromkeys(names) if names.count(name) > 1]
    first = names.index("answer") if "answer" in names else 0
    rest = (i for i in range(first + 1, len(names)) if names[i] == "answer")
    chosen = segments[first : next(rest, len(names))]
    block: dict[str, _Segment] = {}
    for segment in chosen:
        if segment.name == "reflection":
            if segment.name not in block:
                block.pop("confidence", None)
                block[segment.name] = segment
        else:
            block[segment.name] = segment
    order = list(dict.fromkeys(names))
    if order != [name for name in ("answer", "reflection", "confidence") if name in order]:
        problems.append("labels out of order: " + ", ".join(order))
    return block


def _text(
    text: str, segment: _Segment | None, name: str, spans: dict[str, Span], problems: list[str]
) -> str | None:
    if segment is None:
        problems.append(f"no {name}")
        return None
    start, end = _unbold(text, segment.start, segment.end)
    if start == end:
        problems.append(f"empty {name} at character {segment.label}")
        return None
    spans[name] = (start, end)
    return text[start:end]


def _confidence(
    text: str, segment: _Segment | None, spans: dict[str, Span], problems: list[str]
) -> float | None:
    if segment is None:
        problems.append("no confidence")
        return None
    label_end = text.find("\n", segment.label)
    if segment.start == segment.end or -1 < label_end < segment.start:
        problems.append(f"empty confidence at character {segment.label}")
        return None
    line_end = text.find("\n", segment.start, segment.end)
    if line_end >= 0:
        problems.append(f"text after the confidence at character {line_end + 1}")
    line = segment.end if line_end < 0 else line_end
    start, end = _unbold(text, *_strip(text, segment.start, line))
    match = _NUMBER.fullmatch(text[start:end].translate(_FULL_WIDTH))
    value = Decimal(match[1]) / 10 if match else None
    if match is None or value is None or value > 1:
        spans["confidence"] = (start, end)
        problems.append(f"confidence at character {start} is not 0–10: {text[start:end][:40]!r}")
        return None
    spans["confidence"] = (start, start + match.end(1))
    return float(value)
