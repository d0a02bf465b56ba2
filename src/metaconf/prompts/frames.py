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
    False: (
        "; my next thought after {o} is {a}",
        "; my second thought after {o} is {a}",
        "; my other thought beside {o} is {a}",
    ),
    True: (
        "; just as often as {o}, I think of {a}",
        "; just as often as {o}, I say {a}",
        "; just as readily as {o}, I say {a}",
    ),
}
"""One other answer, by whether it came at least as often as the answer itself, {o}. These wordings
say nothing of how sure the writer is, so that the frame alone decides it. Their first word decides
between the two. Where the answer was not said again, a quarter of the replies named it as the other
one (docs/lab-notebook.md)."""
TWO = {
    False: (
        "; my next thoughts after {o} are {a}, then {b}",
        "; my other thoughts beside {o} are {a}, then {b}",
    ),
    True: (
        "; just as often as {o}, I think of {a}, and then of {b}",
        "; just as often as {o}, I say {a}, and also {b}",
        "; just as readily as {o}, I say {a}, and also {b}",
    ),
}
