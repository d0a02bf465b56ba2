"""The wordings of the offline teacher, by cause of uncertainty.

A frame is a lead-in that says nothing of how sure the writer is, and a wording for each of the
STANCES, from the least sure to the surest. Wordings of one frame begin with different words: how
sure the reflection sounds is decided in one place, as the confidence's digit is.
"""

from __future__ import annotations

from metaconf.prompts.causes import COMPLEXITY, KNOWLEDGE, REASONING

STANCES = (0.03, 0.12, 0.29, 0.5, 0.68, 0.83, 0.95)
"""The confidence that each wording of a frame stands for."""

Frame = tuple[str, tuple[str, ...]]
FRAMES: dict[str, tuple[Frame, ...]] = {
    KNOWLEDGE: (
        (
            "My knowledge of {s} is ",
            (
                "nothing but a guess",
                "very thin",
                "rather thin",
                "about half of what is needed",
                "probably enough",
                "solid",
                "certain",
            ),
        ),
        (
            "{s} is ",
            (
                "unknown to me",
                "barely known to me",
                "only vaguely familiar to me",
                "half familiar to me",
                "fairly familiar to me",
                "very familiar to me",
                "something I know for certain",
            ),
        ),
        (
            "About {s} I am ",
            (
                "only guessing, for I know nothing",
                "very doubtful of what I know",
                "rather unsure of what I know",
                "in two minds about what I know",
                "fairly sure of what I know",
                "quite sure of what I know",
                "certain of what I know",
            ),
        ),
        (
            "Of {s} I know ",
            (
                "nothing, so I am guessing",
                "very little",
                "rather little",
                "about half of what is needed",
                "probably enough",
                "quite enough",
                "for certain what is asked",
            ),
        ),
    ),
    COMPLEXITY: (
        (
            "{s} can mean several things, and I ",
            (
                "can only guess which",
                "very much doubt mine",
                "rather doubt mine",
                "am torn between them",
                "think mine is likely",
                "feel quite sure of mine",
                "hold mine for certain",
            ),
        ),
        (
            "Several readings of {s} come to my mind, and mine is ",
            (
                "only a guess",
                "very doubtful",
                "rather doubtful",
                "as likely as not",
                "probably meant",
                "quite surely meant",
                "certainly meant",
            ),
        ),
    ),
    REASONING: (
        (
            "My calculation of {s} is ",
            (
                "only a guess",
                "very shaky",
                "rather shaky",
                "as likely sound as not",
                "probably sound",
                "quite surely sound",
                "certain at each step",
            ),
        ),
        (
            "For {s} my steps are ",
            (
                "a mere guess",
                "very doubtful",
                "rather doubtful",
                "half sound",
                "likely sound",
                "quite sound",
                "certain",
            ),
        ),
    ),
}

ONE = {
    False: ("; I might also say {a}", "; I would also consider {a}", "; {a} comes to mind too"),
    True: (
        "; {a} comes to mind about as often",
        "; I say {a} about as often",
        "; just as often I think of {a}",
    ),
}
"""One other answer, by whether it came to mind about as often as the answer."""
TWO = {
    False: (
        "; I might also say {a} or {b}",
        "; I would also consider {a} or {b}",
        "; {a} and {b} come to mind too",
    ),
    True: (
        "; {a} comes to mind about as often, and sometimes {b}",
        "; I say {a} about as often, now and then {b}",
        "; just as often I think of {a}, sometimes of {b}",
    ),
}
NONE = ("", "; no other answer comes to mind", "; I see no other answer")
