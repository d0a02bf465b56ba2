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
            "My memory of {s} is ",
            (
                "blank",
                "very vague",
                "vague",
                "half clear",
                "fairly good",
                "good",
                "perfectly clear",
            ),
        ),
        (
            "{s} is ",
            (
                "unknown to me",
                "hardly known to me",
                "vaguely familiar to me",
                "half familiar to me",
                "fairly familiar to me",
                "very familiar to me",
                "perfectly known to me",
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
            "As {s} can mean several things, I ",
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
                "as likely right as wrong",
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
                "as likely right as wrong",
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
                "as likely right as wrong",
                "likely sound",
                "quite sound",
                "certain",
            ),
        ),
    ),
}

ONE = {
    False: ("; my next thought is {a}", "; I also think of {a}", "; {a} is my next thought"),
    True: (
        "; I think of {a} about as often",
        "; just as often I think of {a}",
        "; I say {a} about as often",
    ),
}
"""One other answer, by whether it came at least as often as the answer itself. These wordings say
nothing of how sure the writer is, so that the frame alone decides it."""
TWO = {
    False: (
        "; my next thoughts are {a} and {b}",
        "; I also think of {a} or {b}",
        "; {a} and {b} are my next thoughts",
    ),
    True: (
        "; I think of {a} about as often, and of {b}",
        "; just as often I think of {a}, and then of {b}",
        "; I say {a} about as often, and also {b}",
    ),
}
NONE = ("", "; it is my only thought", "; I think of this answer alone")
