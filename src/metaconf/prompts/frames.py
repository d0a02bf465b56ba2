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


def _frame(lead: str, guess: str, unsure: str, sure: str, rather: str = "") -> Frame:
    """A lead-in with its wordings; `rather` stands in the place of `unsure` behind "rather"."""
    steps = [("only", guess), ("very", unsure), ("rather", rather or unsure)]
    steps += [(degree, sure) for degree in ("half", "fairly", "quite", "perfectly")]
    return lead, tuple(f"{degree} {words}" for degree, words in steps)


FRAMES: dict[str, tuple[Frame, ...]] = {
    KNOWLEDGE: (
        _frame("My memory of {s} is ", "a guess", "vague", "clear"),
        _frame("My recall of {s} is ", "a guess", "uncertain", "certain"),
        _frame(
            "About {s} I am ",
            "guessing, for I know nothing",
            "doubtful of my knowledge",
            "sure of my knowledge",
            rather="unsure of my knowledge",
        ),
        _frame("My knowledge of {s} is ", "a guess", "thin", "solid"),
    ),
    COMPLEXITY: (
        _frame(
            "As {s} can mean several things, I am ",
            "guessing which",
            "doubtful of mine",
            "sure of mine",
        ),
        _frame("As {s} is ambiguous, my reading of it is ", "a guess", "doubtful", "certain"),
    ),
    REASONING: (
        _frame("My calculation of {s} is ", "a guess", "shaky", "sound"),
        _frame("For {s} my steps are ", "guesses", "doubtful", "reliable"),
    ),
}

ONE = {
    False: ("; at other times I say {a}", "; my second answer is {a}", "; otherwise I say {a}"),
    True: (
        "; at other times, about as often, I say {a}",
        "; my second answer, about as frequent, is {a}",
        "; asked again, I say {a} about as often",
    ),
}
"""One other answer, by whether it came at least as often as the answer itself. They say of the name
that it is another one before they say it: else the model names its own answer in one reply of six.
They say nothing of how sure the writer is, so that the frame alone decides it."""
TWO = {
    False: (
        "; at other times I say {a} or {b}",
        "; my other answers are {a} and {b}",
        "; otherwise I say {a} or {b}",
    ),
    True: (
        "; at other times, about as often, I say {a}, and then {b}",
        "; my second answer, about as frequent, is {a}, and my third is {b}",
        "; asked again, I say {a} about as often, and also {b}",
    ),
}
