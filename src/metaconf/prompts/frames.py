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
            "On {s} I ",
            (
                "have no knowledge to go on: this is a blind guess",
                "know very little, and this is mostly a guess",
                "remember only a little, and doubt my answer",
                "am in two minds: I know part of what is needed",
                "recall enough to think my answer probable",
                "feel that my knowledge is sound, and am quite confident",
                "can rely on firm knowledge, and am almost certain",
            ),
        ),
        (
            "{s} is ",
            (
                "unknown to me, and I can only guess",
                "barely familiar to me, and my answer is unlikely to hold",
                "something I half remember, and I doubt my answer",
                "partly familiar to me, and my answer may or may not hold",
                "familiar to me, and my answer probably holds",
                "well known to me, and my answer very likely holds",
                "beyond doubt for me: I know it well",
            ),
        ),
        (
            "My knowledge of {s} ",
            (
                "is missing, so I am only guessing",
                "hardly goes beyond the name, so my answer is very doubtful",
                "has gaps, and I would rather not rely on it",
                "reaches half way: it could go either way",
                "seems sufficient, and I think my answer is likely",
                "feels solid, and I am quite sure of my answer",
                "leaves me in no doubt",
            ),
        ),
        (
            "As for {s}, I ",
            (
                "never learnt this, and am guessing blindly",
                "know almost nothing, and very much doubt my answer",
                "recall a little, but probably not enough",
                "could recall about half of it: the chances are even",
                "believe that I know enough, and my answer is probable",
                "am familiar with it and very confident",
                "remember it clearly, and am certain of my answer",
            ),
        ),
        (
            "What I know of {s} ",
            (
                "is nothing at all, so this is a guess",
                "amounts to very little, and I hardly trust my answer",
                "seems too thin to rely on",
                "may or may not be enough",
                "probably is enough",
                "very likely is enough: I am quite sure",
                "makes me certain of my answer",
            ),
        ),
    ),
    COMPLEXITY: (
        (
            "{s} can mean more than one thing, and ",
            (
                "no reading stands out to me: I am only guessing",
                "I very much doubt that mine is the one that is meant",
                "mine is probably not the one that is meant",
                "it is a toss-up whether I took the one that is meant",
                "the reading I took is probably meant",
                "very likely the one I took is meant",
                "yet I am almost certain which one is meant",
            ),
        ),
        (
            "Several readings of {s} are possible, and ",
            (
                "none stands out to me, so this is a guess",
                "I hardly think that I chose the one that is meant",
                "my choice is rather doubtful",
                "it is an even bet that I chose the one that is meant",
                "probably the one I chose is meant",
                "very likely the one I chose is meant",
                "one stands out to me beyond doubt",
            ),
        ),
        (
            "The question about {s} has several readings, and ",
            (
                "I can only guess which is meant",
                "it is unlikely that I picked the one that is meant",
                "my pick is doubtful",
                "either could be meant, as far as I can see",
                "probably my pick is meant",
                "very likely my pick is meant",
                "without doubt it is the one I picked",
            ),
        ),
    ),
    REASONING: (
        (
            "For {s} I ",
            (
                "found no way to work it out, and am only guessing",
                "got lost in the steps, and hardly trust the result",
                "doubt that my steps hold",
                "may or may not have made a slip",
                "think that my steps probably hold",
                "checked each step, and am quite sure",
                "am certain of each step",
            ),
        ),
        (
            "The steps of {s} ",
            (
                "are beyond me, so this is a guess",
                "got away from me, and the result is unlikely to hold",
                "look shaky, and I doubt the result",
                "may or may not hold: I cannot tell",
                "probably hold, as far as I can see",
                "seem sound, and I am quite confident",
                "leave no doubt in my reasoning",
            ),
        ),
        (
            "My calculation of {s} ",
            (
                "comes out differently each time, so this is a guess",
                "very likely holds a slip",
                "feels shaky, and I doubt the result",
                "could go either way",
                "probably holds",
                "looks sound, and I am quite sure",
                "leaves no doubt at any step",
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
