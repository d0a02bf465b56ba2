"""The markers by which chat templates tell a draft from a reply.

`<think>` is one of dozens: other words, brackets and name spaces, pairs of special tokens, the
channels of gpt-oss and Gemma, sentences. Tags are told by the words in them, since every new model
brings a new spelling; listed is only what names neither thinking nor an end of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["open", "close", "final", "end"]
_BLANK = r"[ \t\r\n]{0,3}"
_NEW_MESSAGE = (
    rf"<\|(?:start|im_start|begin)\|>{_BLANK}assistant|<\|assistant\|>|<start_of_turn>model"
    r"|<\|start_header_id\|>assistant<\|end_header_id\|>"
)
_HEADER = rf"(?:(?:{_NEW_MESSAGE}){_BLANK})?"
_CHANNEL = r"[^<>\n]{0,80}(?:<\|constrain\|>[^<>\n]{0,40})?<\|message\|>"
_AT_BRACKET = re.compile(  # bounded repeats keep a text of brackets linear
    rf"""(?P<final>{_HEADER}(?:<\|channel\|>{_BLANK}final{_CHANNEL}|to=user{_BLANK}<\|message\|>
        |<\|content(?:_text)?\|>)|<\|(?:im_)?start\|>{_BLANK}(?:answer|final|response)\b|<\|open\|>{_BLANK}response{_BLANK}<\|sep\|>
        |\[BEGIN[ ]FINAL[ ]RESPONSE\])
    |(?P<channel>{_HEADER}(?:<\|channel\|>{_CHANNEL}|to=[\w.-]{{1,60}}{_BLANK}<\|message\|>)
        |<\|(?:im_)?start\|>{_BLANK}(?:think|thinking|thought|reasoning|analysis)\b
        |<\|channel>{_BLANK}\w{{0,20}}|<unused94>(?:thought)?|\[unused16\]|<\|content_thinking\|>
        |<\|open\|>{_BLANK}think{_BLANK}<\|sep\|>)
    |(?P<close><channel\|>|<unused95>|\[unused17\]|<\|close\|>{_BLANK}think{_BLANK}<\|sep\|>)
    |(?P<message>{_NEW_MESSAGE})
    |(?P<end>(?P<part><\|(?:end|eom|end_message)\|>)|<\|(?:eot|return|call|stop|end_of_msg|im_end
        |eot_id|end_?of_?turn|end_?of_?text)\|>|<end_of_turn>|<turn\|>|</s>|<eos>
        |<\|end▁of▁sentence\|>|<\|close\|>\w{{1,20}}<\|sep\|>|\[END[ ]FINAL[ ]RESPONSE\])
    |(?P<tag>(?:<|&lt;|[\[◁【‹])[ \t\r\n/|\\]{{0,4}}(?P<name>[^\W\d_][\w:.|▁-]{{0,60}}+)(?P<rest>
        (?:[ \t\r\n/\\][^<>\[\]◁▷【】‹›&]{{0,200}})?)(?:>|&gt;|[\]▷】›]))""",
    re.IGNORECASE | re.VERBOSE,
)
_BRACKET = re.compile(r"[<\[◁&【‹]")
_ASCII_BRACKET = re.compile(r"[<\[&]")
_SENTENCE = re.compile(
    r"""\A\s*+(?:(?P<channel>(?-i:thought)(?=[ \t]*+\n)|(?-i:analysis|commentary)(?=[A-Z]|[ \t]*+\n)
            |to=(?!user)[\w.-]{1,60}[ ]?<\|message\|>)|(?P<slash>/think(?=[ \t]*+\n)))
    |^[ \t]*+(?:\*\*)?(?P<process>here(?:['’]s|[ ]is|[ ]are)[ ](?:my|the)[ ](?:thought[ ]process
        |thinking(?:[ ]process)?|thoughts|reasoning(?:[ ](?:steps|process))?)[ \t]*+:)
    |^[ \t]*+(?P<head>(?:\#{1,6}[ ]*+|\*\*)(?:thought(?:s|[ ]process)?|thinking(?:[ ]process)?
        |reasoning))[ \t:*]*+$
    |^[ \t]*+(?:\*\*)?(?P<muses>thinking\.\.\.|thoughts?[ \t]*+:)[ \t*]*+$
    |^[ \t]*+(?P<mused>\.\.\.done[ ]thinking\.?)
    |^[ \t]*+(?:\*\*)?(?P<told>final(?:[ ]answer)?:[ \t*]*+)
        (?=\s++\**+answer[ \t*]*+:)
    |^[ \t]*+(?P<answered>(?:\#{1,6}[ ]*+|\*\*)(?:final[ ]answer|(?:final[ ])?(?:response|reply)))
        [ \t:*]*+$
    |^[ \t]*+(?:\*\*)?(?P<response>here(?:['’]s|[ ]is)[ ](?:my|the)[ ](?:final[ ])?(?:response
        |answer|reply)[ \t]*+:)
    |(?P<bare>(?-i:assistant[ ]?final)(?=\W|[A-Z]|\Z))""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
_HINTS = (
    *("here", "assistant", "#", "**thought", "**think", "**reason", "**final", "**resp"),
    *("thought:", "thoughts:", "thinking..", "done thinking", "final:", "final answer:"),
)
_FENCE = re.compile(r"^[ \t]*+```[ \t]*+([\w-]{0,30})[ \t]*+$", re.MULTILINE)
_STARTS = re.compile(r"\s*+(?:thought|/think|analysis|commentary|to=)")
_THINKS = re.compile(
    r"think|thought|reason|scratch_?pad|monologue|deliberat|(?<![a-z])cot(?![a-z])"
    r"|inner_(?:pre|suf)fix|contemplat|introspect|ponder|musing|思考|思维|思維|推理|推論|考え|생각|추론"
    r"|(?<![a-z])(?:denk|nachdenk|überleg|pens[eéa]|pensier|razon|racioc|raison|ragion|düşün)"
    r"|размышл|мысл|рассужд|تفكير"
)
_MAY_THINK = re.compile(
    r"analy[sz]|rational|reflect|critique|plan|draft|brainstorm|verif|review|notes|details|internal"
)
_FINAL = re.compile(r"answer|response|final|solution|output|reply")
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_GLUED = re.compile(r"^(begin|start|end)(?:of)?(?=thi|tho|rea)")
_ENDS = {"end", "close", "stop", "suffix", "finish"}
_BEGINS = {"begin", "start", "open", "prefix", "of"}
_LABEL_NEXT = re.compile(r"\s*+\**+(?:answer|self)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mark:
    """A marker: what it does, for which convention, and where it stands."""

    kind: Kind
    """"final": the reply proper begins; "end": a message or a wrapper ends."""
    key: str
    """What opens and closes one block has one key."""
    start: int
    end: int
    loose: bool = False
    """The end of the message also ends what this opens."""
    plain: bool = False
    """Its word may be mark-up with nothing to do with thinking, or a word of prose."""


def marks(text: str) -> Iterator[Mark]:
    """All markers of `text` in order, none within another; linear in its length."""
    found: list[Mark] = []
    if _may_hold_sentence(text):
        found += [_sentence(match) for match in _SENTENCE.finditer(text)]
    if "```" in text:
        found += _fences(text)
    brackets = _ASCII_BRACKET if text.isascii() else _BRACKET
    found += [
        mark
        for at in brackets.finditer(text)
        if (match := _AT_BRACKET.match(text, at.start())) and (mark := _bracket(match))
    ]
    end = 0
    for mark in sorted(found, key=lambda mark: mark.start):
        if mark.start >= end:
            yield mark
            end = mark.end


def closing_of(opened: str) -> str | None:
    """The text that closes the block opened by the marker `opened` and begins the reply proper,
    as the templates of its convention write it; None where that is not known."""
    for start, closing in _CLOSINGS:
        if re.match(start, opened, re.IGNORECASE):
            return closing
    match = _AT_BRACKET.match(opened)
    if not match or not match["tag"]:
        return None
    if "|" not in opened[:2]:
        return f"{opened[0]}/{match['name']}{opened[-1]}"
    turned = _BEGIN.sub(_turned, opened, count=1)
    return turned if turned != opened else None


_BEGIN = re.compile(r"(?<![a-z])(?:begin|start|prefix|open)(?![a-z])", re.IGNORECASE)
_CLOSINGS = (
    (rf"{_HEADER}<\|channel\|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    (rf"{_HEADER}\s?to=", "<|eom|><|start|>assistant to=user<|message|>"),
    (r"<\|channel>", "<channel|>"),
    (r"<unused94>", "<unused95>"),
    (r"\[unused16\]", "[unused17]"),
    (r"<\|open\|>", "<|close|>think<|sep|><|open|>response<|sep|>"),
    (r"here are my reasoning steps", "[BEGIN FINAL RESPONSE]\n"),
    (r"here is my thought process", "Here is my response:\n"),
    (r"/think", "<|im_end|>\n<|im_start|>assistant\n"),
)
_OTHER = {"begin": "end", "start": "end", "prefix": "suffix", "open": "close"}


def _turned(word: re.Match[str]) -> str:
    other = _OTHER[word[0].lower()]
    return other.upper() if word[0].isupper() else other


def _may_hold_sentence(text: str) -> bool:
    low = text.lower()
    for hint in _HINTS:
        if hint in low:
            return True
    return bool(_STARTS.match(low))


def _fences(text: str) -> list[Mark]:
    """The marks of ```thinking and of the line that closes it, other fences within it aside."""
    found: list[Mark] = []
    depth = 0
    for fence in _FENCE.finditer(text):
        if depth and not fence[1]:
            depth -= 1
            if not depth:
                found.append(Mark("close", "fence", *fence.span()))
        elif depth or _THINKS.search(fence[1].lower()):
            depth += 1
            if depth == 1:
                found.append(Mark("open", "fence", *fence.span()))
    return found


def _sentence(match: re.Match[str]) -> Mark:
    name = match.lastgroup or ""
    start, end = match.span(name)
    if name in ("channel", "slash"):
        return Mark("open", name, start, end, loose=True)
    if name in ("process", "head", "muses"):
        return Mark("open", "process", start, end)
    if name == "mused":
        return Mark("close", "process", start, end, plain=True)
    return Mark("final", "channel" if name == "bare" else "process", start, end)


def _bracket(match: re.Match[str]) -> Mark | None:
    start, end = match.span()
    if match["tag"]:
        return _tag(match)
    if match["channel"]:
        return Mark("open", "channel", start, end, loose=True)
    if match["final"]:
        return Mark("final", "process" if match[0][0] == "[" else "channel", start, end)
    if match["message"]:
        return Mark("final", "message", start, end)
    if match["close"]:
        return Mark("close", "channel", start, end)
    return Mark("end", "channel" if match["part"] else "turn", start, end)


def _tag(match: re.Match[str]) -> Mark | None:
    """A tag by the words in its name; None for one that has nothing to do with thinking."""
    start, end = match.span()
    lead = match.string[start : match.start("name")]
    if match["rest"].rstrip().endswith("\\") and match.string[start - 1 : start] == "\\":
        start -= 1  # escaped for Markdown
    told = _told(lead, match["name"].lower().strip("|"), match["rest"].strip())
    if told is None or told[1]:
        return told and Mark(told[0], told[1], start, end, "|" in lead, told[2])
    # A wrapper, of the reply if a label follows, else of its answer alone.
    special = "|" in lead and "box" not in match["name"].lower()
    wraps = told[0] == "final" and (special or _begins_reply(match.string, start, end))
    return Mark("final" if wraps else "end", "", start, end)


@lru_cache(1000)
def _told(lead: str, name: str, rest: str) -> tuple[Kind, str, bool] | None:
    """Kind and key of a tag, and whether its word may be plain; the key is "" for a wrapper."""
    if lead[0] in "[【" and rest.strip("/\\"):
        return None  # a phrase in brackets
    words = _WORDS.findall(_GLUED.sub(r"\1 ", name))
    closes = "/" in lead or rest.endswith("/") or not _ENDS.isdisjoint(words)
    thinks = bool(_THINKS.search(name))
    if thinks or _MAY_THINK.search(name):
        key = " ".join([lead[0], *(w for w in words if w not in _ENDS and w not in _BEGINS)])
        return ("close" if closes else "open", key, not thinks or lead[0] in "【‹")
    if lead[0] in "[【" or not (_FINAL.search(name) or ("|" in lead and "box" in words)):
        return None
    return ("end" if closes else "final", "", False)


def _begins_reply(text: str, start: int, end: int) -> bool:
    """Whether a line begins at `start`, and a label stands at `end`."""
    before = text[max(0, start - 40) : start].rstrip(" \t")
    return before[-1:] in ("", "\n", ">") and bool(_LABEL_NEXT.match(text, end))
