"""How sure a reflection sounds, in [0, 1], read from its words alone.

The field calls it decisiveness (Yona et al. 2024). The reader sees neither question, answer,
stated number nor grade. `cues.txt` lists English wording of sureness with its strength, `cues.py`
handles negation, degree and what is called wrong, and here clauses are weighed against each other.
Cues tell most of a short text. Longer ones imply their sureness ("the check fails"): there
`fitted.py` adds weights of words and phrases. The scale is that of 123 people who put numbers to
probability words (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from metaconf.grading.reading.cues import BREAKS, hits
from metaconf.grading.reading.fitted import fitted
from metaconf.grading.reading.lexicon import lexicon, words_of

LONGEST = 4000
"""Characters of a reflection that are read: they bound the time."""
ANSWER, SUBJECT, ASIDE = 3.0, 2.0, 0.6
"""Weight of a cue about the answer itself, of one about subject, steps or attempts, and of a mere
mention of other answers or readings."""
_WEIGHTS = {"share": 3 * ANSWER, "sure": ANSWER, "alone": ANSWER, "view": ANSWER, "aside": ASIDE}
AFTER_BUT, LEADING, TRAILING, EXCEPTION = 2.5, 0.35, 0.6, 0.25
"""A clause's weight after "but", in "although …,", in "…, although …" and in "…, unless …"."""
DOUBT = 2.0
"""How much more the greatest doubt counts than the greatest assurance."""
EXCEPTED = 0.75
"""What an exception sounds like, whatever it names: "unless I made a mistake"."""
CONTRARY = 0.5
"""How far a clause after "but" without a cue ("but not its capital") says the contrary."""
ASKED = 0.3
"""What a question in a reflection sounds like: "Was it Brahms?"."""
SHORT, SPAN, MOST = 10, 20, 0.65
"""Up to SHORT words only cues are read; the weight of the fitted part grows by 1 in SPAN more
words, up to MOST."""
NEUTRAL, TELLING = 0.47, 0.2
"""The fitted value of a text that tells nothing; how far from it a text without cues must lie."""
_ENDS = frozenset(".!?;:\n")


class _Clause(NamedTuple):
    """Words of a sentence up to a contrast; how much they count; the role they began with."""

    weight: float
    role: str
    words: Sequence[str]
    asked: bool


def reading(reflection: str | None) -> float | None:
    """How sure the writer of `reflection` sounds, in [0, 1]; None where its words do not tell.

    English only; at most LONGEST characters are read.
    """
    words = words_of((reflection or "")[:LONGEST])
    cues = by_cues(words)
    main = words if cues is None else _without_additions(words)
    weighed = min(max(fitted(main), 0.0), 1.0)
    if cues is None:
        tells = len(words) > SHORT and abs(weighed - NEUTRAL) > TELLING
        return round(weighed, 4) if tells else None
    share = min(max(len(main) - SHORT, 0) / SPAN, MOST)
    return round((1 - share) * cues + share * weighed, 4)


def by_cues(words: Sequence[str]) -> float | None:
    """The sureness that cues tell, in [0, 1]; None without a cue."""
    read: list[tuple[float, float]] = []
    conceded = False
    for clause in _clauses(words):
        found = _sureness(clause)
        contrasted = clause.role == "but" or (read and conceded)
        conceded = clause.role == "though"
        if found is None and contrasted and read and len(clause.words) > 2:
            found = SUBJECT, 0.5 - CONTRARY * (read[-1][1] - 0.5)
        if found is not None:
            read.append((clause.weight * found[0], found[1]))
    return _mean(read) if read else None


def _without_additions(words: Sequence[str]) -> list[str]:
    """The words without what follows a semicolon and holds no cue, as where other answers are
    named."""
    kept, added = list[str](), False
    for sentence in _sentences(words):
        kept += sentence if not added or hits(sentence) else []
        added = sentence[-1] == ";"
    return kept


def _mean(read: Sequence[tuple[float, float]]) -> float:
    """Mean of the values of (weight, value), where a doubt counts more than an assurance."""
    weights = [weight * (1 + DOUBT * (1 - value)) for weight, value in read]
    return sum(w * value for w, (_, value) in zip(weights, read, strict=True)) / sum(weights)


def _sureness(clause: _Clause) -> tuple[float, float] | None:
    """(weight, value) of a clause; None where it holds no cue."""
    if clause.role == "unless" and clause.words:
        return SUBJECT, EXCEPTED
    found = hits(clause.words)
    if not found:
        return (SUBJECT, ASKED) if clause.asked and len(clause.words) > 1 else None
    weights = [_WEIGHTS.get(hit.kind, SUBJECT) for hit in found]
    value = _mean([(w, hit.value) for w, hit in zip(weights, found, strict=True)])
    roles = lexicon().roles
    if clause.asked and clause.words[0] in roles["asking"]:
        value = min(value, ASKED)
    return max(weights), min(value, 0.5) if roles["cap"].intersection(clause.words) else value


def _clauses(words: Sequence[str]) -> Iterator[_Clause]:
    for sentence in _sentences(words):
        for role, weight, part in _parts(sentence):
            yield _Clause(weight, role, part, sentence[-1] == "?")


def _sentences(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Words up to a mark that ends a sentence, the mark included."""
    start = 0
    for place, word in enumerate([*words, "."]):
        if word in _ENDS:
            if place > start:
                yield words[start : place + 1]
            start = place + 1


def _parts(sentence: Sequence[str]) -> Iterator[tuple[str, float, Sequence[str]]]:
    """(role, weight, words) of the parts of a sentence, cut where contrast or concession begins."""
    role, weight, start = "", 1.0, 0
    for place, word in enumerate(sentence):
        opens = place == start or sentence[place - 1] in BREAKS
        begins = _role(word, opens)
        if begins:
            yield role, weight, sentence[start:place]
            leading = place == 0
            weight = {"but": AFTER_BUT, "unless": EXCEPTION}.get(
                begins, LEADING if leading else TRAILING
            )
            role, start = begins, place + 1
        elif word == "," and (role == "unless" or (role == "though" and start == 1)):
            yield role, weight, sentence[start:place]
            role, weight, start = "", 1.0, place + 1
    yield role, weight, sentence[start:]


def _role(word: str, opens: bool) -> str:
    """ "but", "though" or "unless" where the word begins such a clause; `opens`: where it may stand
    for itself, as "still" does."""
    roles = lexicon().roles
    if word in roles["but"] or (opens and word in roles["opens"]):
        return "but"
    return next((role for role in ("though", "unless") if word in roles[role]), "")
