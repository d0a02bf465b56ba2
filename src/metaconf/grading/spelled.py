"""Numbers spelled in English among normalised words: "one hundred and five" is 105."""

from __future__ import annotations

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
_UNITS += " fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
CARDINALS = {word: i for i, word in enumerate(_UNITS.split())}
CARDINALS |= {word: 20 + 10 * i for i, word in enumerate(_TENS.split())}
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_ORDINALS += " thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
ORDINALS = {word: i + 1 for i, word in enumerate(_ORDINALS.split())}
ORDINALS |= {word[:-1] + "ieth": 20 + 10 * i for i, word in enumerate(_TENS.split())}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MINUS = ("minus", "negative")
_WORDS = frozenset([*CARDINALS, *_SCALES, *ORDINALS])


def is_spelled_number(word: str) -> bool:
    """Whether a word is one of those that numbers are spelled with."""
    return word.lower() in _WORDS


def is_number(token: str) -> bool:
    """Whether a normalised word is a number (ordinals and decades are not)."""
    return token[-1:].isdigit() and token.lstrip("-").replace(".", "", 1).isdecimal()


def plain(token: str) -> str:
    """A number without marks of thousands and currency, and without zeros at its end."""
    token = token.translate({ord(mark): None for mark in ",$€£"})
    if token[:1] == ".":
        token = "0" + token
    return token.rstrip("0").rstrip(".") if "." in token else token


def in_digits(tokens: list[str]) -> list[str]:
    """The words, each run of number words ("one hundred and five", "1.5 million") in digits."""
    if _WORDS.isdisjoint(tokens):
        return tokens
    out: list[str] = []
    i = 0
    while i < len(tokens):
        minus = tokens[i] in _MINUS and not (out and is_number(out[-1]))
        end, value = _read_number(tokens, i + minus)
        if value is not None:
            out.append(f"-{value}" if minus else value)
            i = end
        else:
            ordinal = ORDINALS.get(tokens[i])
            out.append(ordinal_form(ordinal) if ordinal else tokens[i])
            i += 1
    return out


def ordinal_form(value: int) -> str:
    """1 → "1st", 12 → "12th"."""
    teen = value % 100 in (11, 12, 13)
    return f"{value}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(value % 10, 'th')}"


def _read_number(tokens: list[str], start: int) -> tuple[int, str | None]:
    """Read number words from `start`: (index after them, digits), or (start, None)."""
    total, current, i, last = 0.0, 0.0, start, ""  # at most 10^27, so never infinite
    while i < len(tokens):
        token = tokens[i]
        if token in CARDINALS and _may_follow(last, CARDINALS[token]):
            current += CARDINALS[token]
        elif token in _SCALES and (last or i == start) and current < 10**15:
            current = max(current, 1) * _SCALES[token]
            if token != "hundred":
                total, current = total + current, 0
        elif i == start and is_number(plain(token)) and i + 1 < len(tokens):
            if tokens[i + 1] not in _SCALES:
                return start, None
            current = float(plain(token)) if len(token) < 18 else 0
        elif token == "and" and last in _SCALES and CARDINALS.keys() & tokens[i + 1 : i + 2]:
            i += 1
            continue
        elif ORDINALS.get(token, 10) < 10 and CARDINALS.get(last, 0) >= 20:
            return i + 1, ordinal_form(int(total + current) + ORDINALS[token])
        else:
            break
        last, i = token, i + 1
    if i == start:
        return start, None
    value = total + current
    return i, str(int(value)) if value == int(value) else str(value)


def _may_follow(last: str, value: int) -> bool:
    """Whether a small number word continues the number: after a scale, or a unit after tens."""
    return not last or last in _SCALES or (CARDINALS.get(last, 0) >= 20 and 0 < value < 10)
