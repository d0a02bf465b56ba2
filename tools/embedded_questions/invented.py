"""Questions on things that do not exist: nobody can know the answer, whatever it is.

A model that has only seen questions of the kinds it knows says of a strange question what it says
of the others. These teach, and measure, that what one has never heard of is beyond one's knowledge.
The names are made of syllables and are checked against the place names of the other questions. The
split "unknowable" asks in other forms than the training split, and of other names.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator

from metaconf.records import Target
from tools.embedded_questions.draft import KNOWLEDGE, Draft, fold

FAMILY = "invented"
TRAINED, UNKNOWABLE = "stage1", "unknowable"
UNKNOWN = Target(("unknown", "I do not know", "it does not exist", "nobody knows"))
"""The one right reply."""

FORMS: dict[str, tuple[str, ...]] = {
    TRAINED: (
        "Who wrote the novel {T}?",
        "who sang the song {T}",
        "In which year was {P} born?",
        "when did the film {T} come out",
        "Who won the {N} Cup in {Y}?",
        "who played {P} in the television series {T}",
        "Who founded the {N} company?",
        "who discovered comet {N}",
        "When was the battle of {N} fought?",
        "Who painted {T}?",
        "how many people live in the village of {N}",
        "who is the mayor of {N}",
        "what is the name of the dog in {T}",
        "Which river flows past {N} castle?",
        "For which team did {P} play in {Y}?",
        "Who composed the opera {T}?",
        "where is the {N} festival held",
        "What was the first name of Doctor {N}?",
        "how many seasons of {T} are there",
        "who wrote the lyrics of {T} by {P}",
    ),
    UNKNOWABLE: (
        "Who directed the play {T}?",
        "what language do the {N} people speak",
        "When did the {N} bridge open?",
        "who invented the {N} engine",
        "Which prize did {P} receive in {Y}?",
        "where was {P} buried",
        "who was the teacher of {P}",
        "What is the main export of the island of {N}?",
        "which magazine first printed the story {T}",
        "Who was king of {N} in {Y}?",
    ),
}
NUMBERS = {TRAINED: 440, UNKNOWABLE: 200}
_FIRST = (
    "Alder", "Tomas", "Mirel", "Joran", "Edda", "Silas", "Petra", "Ovin", "Hanne", "Caleb",
    "Lucette", "Bram", "Ingrid", "Dorian", "Maeve", "Anselm",
)  # fmt: skip
_ONSETS = ("b", "br", "d", "dr", "f", "g", "gr", "h", "k", "kl", "l", "m", "n", "p", "qu", "r",
           "s", "sk", "st", "t", "th", "tr", "v", "w", "z")  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "ae", "ei", "ou")
_CODAS = ("", "l", "n", "r", "rn", "sk", "th", "v", "x", "nd", "m")
_ENDS = ("dale", "ock", "ivar", "une", "esh", "orin", "ath", "ulle", "ix", "mere")
_ADJECTIVES = ("Crimson", "Hollow", "Last", "Silent", "Ninth", "Paper", "Salt", "Winter", "Blind")
_NOUNS = ("Orchard", "Ferry", "Lantern", "Clockmaker", "Harbour", "Sparrow", "Machine", "Meadow")


def invented(known: Collection[str]) -> Iterator[tuple[Draft, str]]:
    """Drafts and their split. No name is used twice, and none is among `known` folded words."""
    rng, used = random.Random(11), set(known)
    for split, number in NUMBERS.items():
        for i in range(number):
            form = FORMS[split][i % len(FORMS[split])]
            name = _fresh(rng, used)
            yield _draft(form, name, rng), split


def _draft(form: str, name: str, rng: random.Random) -> Draft:
    title = f"The {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)} of {name}"
    lower = form[0].islower()
    fills = {
        "N": name,
        "P": f"{rng.choice(_FIRST)} {name}",
        "T": rng.choice((title, f"{name} {rng.choice(_NOUNS)}")),
        "Y": str(rng.randrange(1902, 2015)),
    }
    prompt = form.format(**{key: text.lower() if lower else text for key, text in fills.items()})
    key = f"{FAMILY} {fold(name)}"
    return Draft(FAMILY, fold(prompt), name, prompt, (UNKNOWN,), (key,), KNOWLEDGE)


def _fresh(rng: random.Random, used: set[str]) -> str:
    """A name that is not in `used`, and is from now on."""
    while True:
        middle = rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
        name = (middle + rng.choice(_ENDS)).capitalize()
        if fold(name) not in used:
            used.add(fold(name))
            return name
