"""The wordings of the offline teacher, by cause of uncertainty.

A frame is a lead-in that says nothing of how sure the writer is, and a wording for each of the
STANCES, from the least sure to the surest. All frames begin these with the same seven words of
degree (only, very, rather, half, fairly, quite, perfectly): how sure the reflection sounds is one
choice in one place, as the confidence's digit is, and what is learnt of it in one frame holds in
all of them (docs/lab-notebook.md).
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
                "only a guess",
                "very vague",
                "rather vague",
                "half clear",
                "fairly clear",
                "quite clear",
                "perfectly clear",
            ),
        ),
        (
            "My recall of {s} is ",
            (
                "only a guess",
                "very uncertain",
                "rather uncertain",
                "half certain",
                "fairly certain",
                "quite certain",
                "perfectly certain",
            ),
        ),
        (
            "About {s} I am ",
            (
                "only guessing, for I know nothing",
                "very doubtful of my knowledge",
                "rather unsure of my knowledge",
                "half sure of my knowledge",
                "fairly sure of my knowledge",
                "quite sure of my knowledge",
                "perfectly sure of my knowledge",
            ),
        ),
        (
            "My knowledge of {s} is ",
            (
                "only a guess",
                "very thin",
                "rather thin",
                "half solid",
                "fairly solid",
                "quite solid",
                "perfectly solid",
            ),
        ),
    ),
    COMPLEXITY: (
        (
            "As {s} can mean several things, I am ",
            (
                "only guessing which",
                "very doubtful of mine",
                "rather doubtful of mine",
                "half sure of mine",
                "fairly sure of mine",
                "quite sure of mine",
                "perfectly sure of mine",
            ),
        ),
        (
            "As {s} is ambiguous, my reading of it is ",
            (
                "only a guess",
                "very doubtful",
                "rather doubtful",
                "half certain",
                "fairly certain",
                "quite certain",
                "perfectly certain",
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
                "half sound",
                "fairly sound",
                "quite sound",
                "perfectly sound",
            ),
        ),
        (
            "For {s} my steps are ",
            (
                "only guesses",
                "very doubtful",
                "rather doubtful",
                "half reliable",
                "fairly reliable",
                "quite reliable",
                "perfectly reliable",
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
