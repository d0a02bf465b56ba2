"""The letter that an answer to multiple choice states, however it is dressed.

A letter may be a number, where the choices are numbered. English is read clause by clause; other
languages by the sentences of carriers.py ("答案是B", "Die Antwort ist B").
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from metaconf.grading.carriers import carried
from metaconf.grading.short import affirm
from metaconf.grading.text import fold, visible
from metaconf.grading.text import undressed as without_marks

_DRESS = re.compile(r"\*\*|__|`+|\\[()\[\],;! ]|\\(?:left|right)\b")
_QUOTES = "\"“”„‟‚«»‹›「」『』〝〞‘’'*_$<>"
_QUOTED = re.compile(rf"(?<!\w)[{_QUOTES}]+\s*(\(?(?:[A-Za-z]|\d\d?)\)?[.:]?)\s*[{_QUOTES}]+(?!\w)")
_BRACKETS = str.maketrans(
    {
        **dict.fromkeys("【〔〖［[{〈《⟨", "("),
        **dict.fromkeys("】〕〗］]}〉》⟩", ")"),
        "。": ".",
        "、": ",",
    }
)
_ROUND = str.maketrans("[]{}", "()()")
_ONE = r"(?:[A-Za-z]|\d\d?)"
_SURE = (
    r"(?i:i (?:think|guess|believe|suppose|reckon|would say|am sure)|i'd say|i'm sure|for sure"
    r"|probably|definitely|certainly|most likely|of course|obviously)"
)
ALONE = re.compile(
    r"(?:\s*(?:[-•#>]\s+|>))?[\s(*]*"
    r"(?:(?i:most likely|definitely|probably|likely|certainly|clearly|surely|maybe|perhaps)"
    rf"[,:]?\s+\(?)?({_ONE})[\s)*.:,!;?]*(?:(?<=[\s,;]){_SURE}[\s.!]*)?"
)
_LEADING = re.compile(
    rf"[\s*]*(?:\(({_ONE})\)|({_ONE})"
    r"(?:(?:[).:]|\s+-+)(?=\s)|,?\s+(?=(?:because|since)\b)))\s*(.*)",
    re.DOTALL,
)
_NEXT = re.compile(
    r"[\s,;/&|+]*(?:(?i:and|or)\b.*|\(?([A-HJ-Z])\)?(?=[\s,.;:)]|$).*"
    r"|\(?([AI])\)?(?=\s*(?:[,.;:)]|$)).*|\(([a-z])\).*)",
    re.DOTALL,
)
_LISTED = re.compile(rf"(?:^|\n)\s*\(?({_ONE})[).:]\s|\(([A-Z])\)")
_NOUN = r"(?i:option|choice|letter|answer|alternative)"
_LIKELY = (
    r"(?i: (?:most |very )?(?:likely|probably|clearly|definitely|certainly|therefore|thus|simply"
    r"|just|indeed|still|actually|obviously|maybe|perhaps|possibly))?"
)
_IS = (
    r"(?i: is| are| was|'s|s| seems?(?: to be)?| appears?(?: to be)?| looks? (?:like|to be)"
    r"| (?:might|may|must|would|should|could|will|can|has to|ought to)(?: have)?(?: be(?:en)?)?"
    r"| remains|ed|\s?:)?"
)
_STRONG = (
    r"(?i:answer|option|choice|letter|alternative|response|solution|say|choose|chose|pick|select"
    r"|guess|think|believe|conclude"
    r"|(?:go|going|went|stick|settle|opt|lean|leaning|vote|goes)(?: (?:with|for|on|to|towards?))?)"
)
_WEAK = r"(?i:it|that|this|so|therefore|thus|hence|be|is)"
_ENDS = r"(?=\)*\s*(?:$|[.,;!?:)\n]|-+\s|(?i:or|and|because|since|as|given|due|though|but)\b))"
_STATED = re.compile(
    rf"\b(?:{_STRONG}|{_WEAK}){_IS}{_LIKELY}(?: (?i:the )?{_NOUN})?:?\s*\(*([A-Z]|\d\d?){_ENDS}"
)
_SMALL_STATED = re.compile(
    rf"\b(?:{_NOUN})(?i: is| would be| must be|:)?{_LIKELY}(?: (?i:the )?{_NOUN})?:?\s*"
    rf"\(*([a-z]){_ENDS}"
)
_CLAIMED = re.compile(
    r"(?<![\w'’.])\(?([A-Z]|\d\d?)\)?,?"
    r"(?i: (?:is|was|seems|appears|looks|would be|must be|should be|has to be|will be|might be"
    r"|may be|could be|remains)(?: to be)?(?: (?:the|my|a|clearly|definitely|probably|most likely"
    r"|likely|also|indeed|therefore|thus|final|only|most|best|single))*"
    r" (?:correct|right|true|best|answer|choice|option|one|accurate|appropriate|likely|fits?)\b"
    r"| it is\b)"
)
_MENTION = re.compile(
    r"\(([A-Za-z])\)|(?<![\w'’])([B-HJ-Z])(?![\w'’])"
    r"|(?<![\w'’])([AI])(?=\s*(?:$|[.,;:!?)\n]|(?:or|and)\b))"
)
_JOINED = re.compile(
    rf"\b(?:or|and|nor)\s+\(?({_ONE})\)?(?=\s*(?:$|[.,;:!?)\n]))|/\s*\(?({_ONE})\b"
)
_CHOICE_WORD = re.compile(
    r"(?i)^(?:(?:la|el|die|das|de|a|o|l'|the)\s*)?(?:opción|opção|opzione|option|choix|lettre|letra|"
    r"lettera|buchstabe|antwort|respuesta|réponse|risposta|resposta|alternativa|вариант|буква|ответ|"
    r"optie|letter|odpowiedź|opcja|svar|pilihan|opsi|şık|seçenek|đáp án|chọn|ข้อ|คําตอบ(?:คือ)?|"
    r"选项|選項|[应應故]?[选選]|選択肢|선택지|الخيار|विकल्प)\s*:?\s*"
)
_CHOICE_BEHIND = re.compile(
    r"(?i)(?:选项|選項|项|項)?(?:是)?(?:正确|正確)?的?[\s。.!]*$|が(?:正しい|正解)(?:です)?[\s。.!]*$"
    r"|\s(?:ist richtig|es correcta|es la correcta|est correcte|è corretta|está correta)[\s.!]*$"
)
_RATHER = re.compile(
    rf"(.+?),?\s+(?:rather than|instead of|(?:and )?not)\s+(?:option )?\(?{_ONE}\)?[\s.!]*"
)
SEVERAL = ""


@lru_cache(maxsize=4096)
def undressed(answer: str) -> str:
    r"""An answer in plain letters: "\text{B}", "**B**", "$B$", "“B”", "【Ｂ】" are B."""
    if answer.isalnum() and answer.isascii():
        return answer
    text = visible(without_marks(answer))
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_BRACKETS)).translate(_BRACKETS)
    text = _DRESS.sub(" " if "\\" in text else "", text).translate(_ROUND)
    return _QUOTED.sub(r"\1", text.replace("’", "'")).strip()


@lru_cache(maxsize=65536)
def read_letter(answer: str, known: frozenset[str]) -> tuple[str | None, str]:
    """(letter, the text beside it); letter "" if several are named, None if none is."""
    whole = ALONE.fullmatch(answer)
    if whole:
        return (whole[1].upper() if whole[1].upper() in known else None), ""
    leading = _LEADING.match(answer)
    if leading and (letter := (leading[1] or leading[2]).upper()) in known:
        return _with_rest(letter, leading[3], known)
    named = _CHOICE_BEHIND.sub("", _CHOICE_WORD.sub("", answer))
    alone = ALONE.fullmatch(named) if named != answer else None
    if alone and alone[1].upper() in known:
        return alone[1].upper(), ""
    if preferred := _RATHER.fullmatch(answer):
        return read_letter(preferred[1], known)
    kept = affirmed(answer)
    if kept != answer:
        return read_letter(kept, known)
    inside = carried(answer)
    if inside:
        found = read_letter(re.sub(_CHOICE_WORD, "", inside[-1]), known)
        if found[0] is not None:
            return found
    return _stated(answer, known)


def _with_rest(letter: str, rest: str, known: frozenset[str]) -> tuple[str | None, str]:
    """A leading letter, unless what follows leads with, lists or states another."""
    after = _NEXT.match(rest)
    led = {one.upper() for one in after.groups() if one} if after else set[str]()
    if after and (not led or led & known - {letter}):
        return SEVERAL, ""
    kept = affirmed(rest)
    others = {(m[1] or m[2]).upper() for m in _LISTED.finditer(f"\n{kept}")}
    others |= _statements(kept)
    return (SEVERAL, "") if others & known - {letter} else (letter, rest)


def _statements(text: str) -> set[str]:
    stated = {m[1] for pattern in (_STATED, _CLAIMED) for m in pattern.finditer(text)}
    return stated | {m[1].upper() for m in _SMALL_STATED.finditer(text)}


def _stated(answer: str, known: frozenset[str]) -> tuple[str | None, str]:
    stated = _statements(answer) & known
    if not stated:
        mentioned = {(m[1] or m[2] or "").upper() for m in _MENTION.finditer(answer)} & known
        return (SEVERAL, "") if len(mentioned) > 1 else _beside_text(answer, known)
    mentioned = {(m[1] or m[2] or m[3]).upper() for m in _MENTION.finditer(answer)}
    joined = {(m[1] or m[2]).upper() for m in _JOINED.finditer(answer)}
    if len(stated | mentioned & known | joined & known) > 1:
        return SEVERAL, ""
    letter = stated.pop()
    return letter, re.sub(rf"\(?\b{letter}\b\)?", ";", answer)


def _beside_text(answer: str, known: frozenset[str]) -> tuple[str | None, str]:
    """The letter in brackets behind a text: "neck (B)"."""
    match = re.fullmatch(rf"(\S.*?)\s*\(({_ONE})\)[\s.!]*", answer, re.DOTALL)
    if match and match[2].upper() in known:
        others = {(m[1] or m[2] or m[3]).upper() for m in _MENTION.finditer(match[1])}
        if others & known - {match[2].upper()}:
            return SEVERAL, ""
        return match[2].upper(), match[1]
    return None, ""


def affirmed(answer: str) -> str:
    """The clauses of an answer that deny nothing, in their own case; all of it if none denies."""
    clauses = [clause.strip() for clause in re.split(r"(?<=[,;.])\s|\b[Bb]ut\b", answer)]
    kept = [clause for clause in clauses if affirm(fold(clause)).strip() == fold(clause).strip()]
    return answer if len(kept) == len(clauses) else " ".join(kept)
