"""Normal forms of short answers: what counts as the same words and the same number.

Starts from SQuAD's normalisation (lower case, no punctuation, no articles) and mends what it gets
wrong: signs, decimal points and lists of numbers survive ("-3" is not "3", "2,5" is not "25"),
"twenty-one", "21" and "21.0" are one number, "C++" is not "C". What writers may leave out does not
matter: Latin and Greek accents, Arabic and Hebrew vowel points, the dots of Russian "ё". Every
other mark is part of its word: Thai "ปู่" is not "ปู", Russian "мой" is not "мои".
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import regex

from metaconf.grading.numbers import decimal_fractions, plain_numbers
from metaconf.grading.spelled import in_digits, is_number, plain
from metaconf.grading.units import spell_cased_units
from metaconf.safe_text import INVISIBLE

_LETTERS = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–−﹣－", "-"),
        **dict.fromkeys("—―", " - "),
        **dict.fromkeys("'’‘ʼʻ`´", ""),
        **{"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"},
        **{"♯": "#", "ی": "ي", "ک": "ك"},  # Persian keyboards' letters, the same to the eye
    }
)
_HAN_OR = re.compile(r"(?<=[\dA-Za-z])\s*或者?\s*(?=[\dA-Za-z])")
_DIGIT = re.compile(r"\d")
_CHILLU = {"ണ്": "ൺ", "ന്": "ൻ", "ര്": "ർ", "ല്": "ൽ", "ള്": "ൾ", "ക്": "ൿ"}
"""Malayalam letters that were written with a joiner before they had a character of their own."""
_ERAS = re.compile(
    r"(?<=\d)\s*(?:v\.? ?chr\b\.?|av\.? ?j\.?-?c\b\.?|a\. ?c\."
    r"|(?:г(?:од[ау]?|\.)?,? ?)?до н\. ?э\.?"
    r"|p\.? ?n\.? ?e\b\.?|π\. ?χ\.)",
    re.IGNORECASE,
)
_ERA_FIRST = re.compile(r"(?<!\d)(?<!\d )\bBC[E]? (\d{1,4})(?![\w.,]\d|\w)")
_HALF_DAY = re.compile(r"(?<=\d)\s*([ap])\. ?m\b\.?", re.IGNORECASE)
_ERAS_BEFORE = re.compile(r"(?:公元前|紀元前|기원전)\s*(\d+)")
_TAGS = re.compile(
    r"<(answer|b|big|center|code|div|em|font|h[1-6]|i|li|mark|p|small|span|strong|u)"
    r"(?:\s[^<>]{0,200})?>(\s*[^<>\s][^<>]*)</\1>",
    re.IGNORECASE,
)
_LATEX = re.compile(
    r"\\(?:f?boxed|text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf|tt)|mbox|bf|rm|boldsymbol)\s*"
    r"\{([^{}]*)\}"
)
_STRUCK = re.compile(r"~~[^~]+~~|<(s|del|strike)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_BOLD = re.compile(r"(?<!\*)\*\*(?=[^\s*])([^\n]{1,200}?)\*\*(?!\*)")
_INVISIBLE = regex.compile(rf"[\p{{Cf}}{INVISIBLE}]+")
# Marks that writers leave out. Elsewhere a mark is a vowel, a tone or another letter.
_OPTIONAL = regex.compile(
    r"(?<!\p{Cyrillic})[\u0300-\u036f]|(?<=\p{Cyrillic})\u0301|(?<=[еЕ])\u0308"
    r"|[\u064b-\u0652\u0670\u0640]|[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"
)
_DIGITS = (
    r"(?<![\w.])-?[$€£]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:st\b|nd\b|rd\b|th\b|s\b)?"
    r"|(?<![\w])\.\d+"
)
# Signs behind a word make another name: C++, C#, B♭, Na+, and A-, O- behind one or two letters.
# Three patterns: only `regex` counts marks as parts of words, and `re` is faster on plain text.
_SIGNED = r"|(?<![^\W_])[a-z]{1,2}-(?![\w-])|(?<![\w*])[a-z]\*(?![\w*])|[^\W_]+\+{1,2}(?![\w+])"
_WORD = r"|[^\W_]+|[%&]"
_PLAIN_TOKEN = re.compile(_DIGITS + _WORD)
_SIGNED_TOKEN = re.compile(_DIGITS + _SIGNED + r"|[^\W_]+#(?!\w)" + _WORD)
_UNICODE_TOKEN = regex.compile(
    _DIGITS + _SIGNED + r"|[^\W_]+[#♭](?!\w)" + _WORD + r"|[\ue000-\uf8ff]"
)
_SIGN = re.compile(r"[^\W_][-+#*](?!\w)")
_ARTICLES = frozenset(("a", "an", "the"))
_WORDS = {"&": "and", "%": "percent", "saint": "st", "mount": "mt", "bce": "bc"}

_MEASURES = {
    **dict.fromkeys(("m", "metre", "metres", "meters"), "meter"),
    **dict.fromkeys(("km", "kilometre", "kilometres", "kilometers"), "kilometer"),
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeters"), "centimeter"),
    **dict.fromkeys(("kg", "kilogram", "kilogrammes", "kilograms"), "kilogram"),
    **{"ft": "foot", "feet": "foot", "mi": "mile", "miles": "mile"},
}
"""Spellings of a unit behind a number."""
# Not I, V and X, which stand for other things too.
_NUMERALS = "_ _ ii iii iv _ vi vii viii ix _ xi xii xiii xiv xv xvi xvii xviii xix xx"
_ROMAN = {word: str(i) for i, word in enumerate(_NUMERALS.split()) if word != "_"}
_SAME = {
    **dict.fromkeys(("usa", "us", "us of", "united states of america", "america"), "united states"),
    **dict.fromkeys(("uk", "great britain", "britain"), "united kingdom"),
    **{"uae": "united arab emirates", "drc": "democratic republic of congo"},
    **{"holland": "netherlands", "czechia": "czech republic", "ussr": "soviet union"},
}


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """Lower case, numbers in plain ASCII, no optional marks, apostrophes or invisible characters.

    Every dash is a hyphen; NFKC otherwise.
    """
    text = plain_numbers(_HAN_OR.sub(" or ", visible(text)))
    if _DIGIT.search(text):
        text = spell_cased_units(decimal_fractions(text))
        if "." in text or "hr" in text or "av" in text:
            text = _ERAS.sub(" bc", text)
        if "BC" in text:
            text = _ERA_FIRST.sub(r"\1 bc", text)
        if "m." in text or "M." in text:
            text = _HALF_DAY.sub(r" \1m", text)
    if text.isascii():
        return text.lower().replace("'", "").replace("`", "")
    text = _ERAS_BEFORE.sub(r"\1 bc", text)
    bare = _OPTIONAL.sub("", unicodedata.normalize("NFKD", text.translate(_LETTERS)))
    return unicodedata.normalize("NFKC", bare).casefold().translate(_LETTERS)


def other_accents(gold: str, answer: str) -> bool:
    """Whether a word of both is written with accents in each, and with others ("má", "mà").

    A word without any agrees with every spelling: accents are often left out when typing.
    """
    if gold.isascii() or answer.isascii():
        return False
    wanted: dict[str, set[str]] = {}
    for word, bare in _accented(gold):
        wanted.setdefault(bare, set()).add(word)
    return any(
        word != bare and bare in wanted and not wanted[bare] & {word, bare}
        for word, bare in _accented(answer)
    )


def _accented(text: str) -> list[tuple[str, str]]:
    """Each word of a text with its accents and without."""
    words = regex.findall(r"[^\W\d_]+", unicodedata.normalize("NFD", visible(text).casefold()))
    return [(word, _OPTIONAL.sub("", word)) for word in words]


def undressed(text: str) -> str:
    r"""The text without mark-up: "\boxed{\text{Quito}}", "<b>Quito</b>", "**Quito**" are Quito.

    What is struck out ("~~Quito~~") is not said.
    """
    if not ("\\" in text or "<" in text or "**" in text or "~~" in text):
        return text
    text = _STRUCK.sub(" ", text)
    for _ in range(3):  # one in another
        text = _LATEX.sub(r"\1", _TAGS.sub(r"\2", text))
    return _BOLD.sub(r"\1", text)


def visible(text: str) -> str:
    """The text without characters that cannot be seen: joiners, direction and format marks."""
    if text.isascii():
        return text
    if "\u200d" in text:
        for written, letter in _CHILLU.items():
            text = text.replace(written + "\u200d", letter)
    return _INVISIBLE.sub("", text)


@lru_cache(maxsize=65536)
def normalise(text: str) -> str:
    """The normal form of an answer: words and numbers, single spaces.

    Dropped: case, optional accents, punctuation, articles before a word, "AD". Unified: dashes,
    "&"/"and", "%"/"percent", thousands commas, trailing decimal zeros, spelled numbers and
    ordinals, Roman numerals after a word, units behind a number ("5 km"), "Saint"/"St", initials
    ("J. K." is "jk"), common names of a few countries when they are the whole answer.
    """
    return normal_form(fold(text))


@lru_cache(maxsize=65536)
def normal_form(folded: str) -> str:
    """The normal form of folded text, or of a part of a normal form.

    Numbers are taken as they stand: "12 345" that was once "12, 345" stays two.
    """
    form = " ".join(words(folded))
    return _SAME.get(form, form)


def words(folded: str) -> list[str]:
    """The normalised words of folded text, in order."""
    tokens = [_WORDS.get(token, token) for token in _tokens(folded)]
    if len(tokens) > 1:
        last = len(tokens) - 1
        tokens = [t for i, t in enumerate(tokens) if t not in _ARTICLES or i == last]
        tokens = _join_initials(tokens)
    return _tidy(in_digits(tokens))


def _signed(folded: str) -> bool:
    return any(sign in folded for sign in "-+#*") and _SIGN.search(folded) is not None


def _tokens(folded: str) -> list[str]:
    if not folded.isascii():
        return _UNICODE_TOKEN.findall(folded)
    return (_SIGNED_TOKEN if _signed(folded) else _PLAIN_TOKEN).findall(folded)


def numbers(tokens: list[str]) -> list[str]:
    """The numbers among normalised words; a percent sign or BC stays with its number."""
    found: list[str] = []
    for i, token in enumerate(tokens):
        if is_number(token):
            after = tokens[i + 1] if i + 1 < len(tokens) else ""
            found.append(f"{token} {after}" if after in ("percent", "bc") else token)
    return found


def _tidy(tokens: list[str]) -> list[str]:
    tidy: list[str] = []
    for i, token in enumerate(tokens):
        if token[-1:].isdigit():
            token = plain(token)
        elif token == "ad" and _beside_number(tokens, i):
            continue
        elif token == "cent" and tidy[-1:] == ["per"]:
            tidy[-1] = "percent"
            continue
        elif token in _MEASURES and tidy and is_number(tidy[-1]):
            token = _MEASURES[token]
        elif token in _ROMAN and i:
            token = _ROMAN[token]
        elif token[:1] in "-$€£":
            token = token.lstrip("-$€£")
        tidy.append(token)
    return tidy


def _beside_number(tokens: list[str], i: int) -> bool:
    return any(token[-1:].isdigit() for token in tokens[max(0, i - 1) : i + 2])


def _join_initials(tokens: list[str]) -> list[str]:
    joined: list[str] = []
    run = 0
    for token in tokens:
        single = len(token) == 1 and "a" <= token <= "z"
        if single and run:
            joined[-1] += token
        else:
            joined.append(token)
        run = single
    return joined
