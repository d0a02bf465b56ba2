"""Whether an answer declines to answer: graded as any other, and counted beside the grades."""

from __future__ import annotations

import re

from metaconf.grading.tables import matcher
from metaconf.grading.text import visible

_LONGEST = 120
_DECLINES = re.compile(
    r"(?:sorry[,.]? |honestly )?(?:"
    r"(?:i(?: am|['’]?m) )?(?:really )?(?:not sure|unsure|uncertain)"
    r"|(?:i )?(?:really )?(?:do not|don['’]?t) know(?: the answer| that| this| it)?"
    r"|(?:i have )?no (?:idea|answer)"
    r"|(?:i |it )?(?:can ?not|can['’]?t) (?:answer|say|tell|be (?:determined|known|answered))"
    r"(?: that| this| it| (?:this|the) question)?"
    r"|(?:it is |the answer is )?(?:unknown|not known|undetermined)(?: to me)?"
    r"|i (?:abstain|pass|decline(?: to answer)?)"
    r"|n ?/ ?a|idk)",
    re.I,
)


def abstains(answer: str | None) -> bool:
    """Whether the whole of `answer` says that none is given: "I don't know", "Unknown", "N/A".

    No answer at all (None, blank) is no abstention: nothing was said. A longer text that hedges
    and then answers ("I am not sure, perhaps Mali") is none either.
    """
    if answer is None or len(answer) > _LONGEST:
        return False
    said = " ".join(visible(answer).split()).strip(" .!*\"'“”。！।")
    elsewhere = matcher("declines", re.I)  # in other languages
    return bool(_DECLINES.fullmatch(said) or elsewhere.fullmatch(said))
