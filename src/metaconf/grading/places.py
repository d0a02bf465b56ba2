"""Which places contain which kinds of places, so that "Mali, West Africa" is one answer.

"Mali, Niger" names two countries, a hedge; "Quito, Ecuador" names one city and where it lies. The
level of a place tells the two apart: 1 US state, 2 country, 3 continent or region of the world.
"""

from __future__ import annotations

import re
from functools import lru_cache

from metaconf.grading.tables import table

_REGION = re.compile(
    r"(?:(?:north|south|east|west|central|middle|latin|southeast|northeast|northwest|southwest"
    r"|northern|southern|eastern|western|sub saharan|subsaharan|far|near)\s)*"
    r"(?:africa|asia|europe|america|americas|oceania|east|caribbean|balkans|scandinavia|polynesia"
    r"|micronesia|melanesia|maghreb|sahel|middle east|world)"
)


@lru_cache(maxsize=4096)
def levels(form: str) -> frozenset[int]:
    """The levels at which a normal form names a place (Georgia has two); empty if at none."""
    found = frozenset(int(level) for level, names in table("places").items() if form in names)
    return found or frozenset({3} if _REGION.fullmatch(form) else ())
