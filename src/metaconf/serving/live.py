"""The part of an answer that can be sent while the reply is still being written."""

from __future__ import annotations

from dataclasses import dataclass

from metaconf.reply import parse_reply

LONGEST = 20_000
"""Of longer texts the answer comes at the end: each piece is read from the start."""


@dataclass(slots=True)
class LiveAnswer:
    """What has been sent of the answer. A draft in a block of thinking is never sent; neither is a
    line that may still become a label, nor what may still be unwrapped from `**`."""

    sent: str = ""
    ended: bool = False

    def more(self, text: str) -> str:
        """What can be added to `sent`, from the text so far."""
        if self.ended or len(text) > LONGEST:
            return ""
        span = parse_reply(text).spans.get("answer")
        if span is None:
            return ""
        answer = text[slice(*span)]
        self.ended = bool(text[span[1] :].strip())  # the next label has come
        if not self.ended:
            answer = answer.rpartition("\n")[0] if "\n" in answer else answer
            answer = answer.rstrip("\ufffd")  # half of a sign that is still to come
            if answer.startswith(("*", "_")):
                return ""
        return self.added(answer)

    def rest(self, content: str) -> str:
        """What is left to send of the final answer; nothing where it is another than was begun."""
        self.ended = True
        return self.added(content)

    def added(self, answer: str) -> str:
        """What `answer` holds beyond `sent`; nothing where it begins otherwise."""
        if not answer.startswith(self.sent):
            self.ended = True
            return ""
        added, self.sent = answer[len(self.sent) :], answer
        return added
