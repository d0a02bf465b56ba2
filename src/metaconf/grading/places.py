"""Which places contain which kinds of places, so that "Mali, West Africa" is one answer.

"Mali, Niger" names two countries, a hedge; "Quito, Ecuador" names one city and where it lies. The
level of a place tells the two apart: 1 US state, 2 country, 3 continent or region of the world.
"""

from __future__ import annotations

import re

_STATES = """alabama|alaska|arizona|arkansas|california|colorado|connecticut|delaware|florida
georgia|hawaii|idaho|illinois|indiana|iowa|kansas|kentucky|louisiana|maine|maryland|massachusetts|michigan
minnesota|mississippi|missouri|montana|nebraska|nevada|new hampshire|new jersey|new mexico|new york
north carolina|north dakota|ohio|oklahoma|oregon|pennsylvania|rhode island|south carolina
south dakota|tennessee|texas|utah|vermont|virginia|washington|west virginia|wisconsin|wyoming"""

_COUNTRIES = """afghanistan|albania|algeria|andorra|angola|antigua and barbuda|argentina|armenia
australia|austria|azerbaijan|bahamas|bahrain|bangladesh|barbados|belarus|belgium|belize|benin|bhutan
bolivia|bosnia and herzegovina|bosnia|botswana|brazil|brunei|bulgaria|burkina faso|burundi|cambodia
cameroon|canada|cape verde|central african republic|chad|chile|china|colombia|comoros|congo
costa rica|croatia|cuba|cyprus|czech republic|czechia|democratic republic of congo|denmark|djibouti
dominica|dominican republic|east timor|ecuador|egypt|el salvador|england|equatorial guinea|eritrea
estonia|eswatini|ethiopia|fiji|finland|france|gabon|gambia|georgia|germany|ghana|greece|greenland
grenada|guatemala|guinea|guinea bissau|guyana|haiti|honduras|hong kong|hungary|iceland|india
indonesia|iran|iraq|ireland|israel|italy|ivory coast|jamaica|japan|jordan|kazakhstan|kenya|kiribati
kosovo|kuwait|kyrgyzstan|laos|latvia|lebanon|lesotho|liberia|libya|liechtenstein|lithuania|luxembourg
macau|madagascar|malawi|malaysia|maldives|mali|malta|mauritania|mauritius|mexico|moldova|monaco
mongolia|montenegro|morocco|mozambique|myanmar|burma|namibia|nepal|netherlands|new zealand|nicaragua
niger|nigeria|north korea|north macedonia|macedonia|northern ireland|norway|oman|pakistan|palestine
panama|papua new guinea|paraguay|peru|philippines|poland|portugal|puerto rico|qatar|romania|russia
rwanda|samoa|saudi arabia|scotland|senegal|serbia|seychelles|sierra leone|singapore|slovakia
slovenia|somalia|south africa|south korea|korea|south sudan|soviet union|spain|sri lanka|sudan
suriname|sweden|switzerland|syria|taiwan|tajikistan|tanzania|thailand|togo|tonga
trinidad and tobago|tunisia|turkey|turkiye|turkmenistan|tuvalu|uganda|ukraine|united arab emirates
united kingdom|united states|uruguay|usa|uk|us|uzbekistan|vanuatu|vatican city|venezuela|vietnam
wales|yemen|zambia|zimbabwe"""

_LEVELS: dict[str, frozenset[int]] = {}
for _level, _names in ((1, _STATES), (2, _COUNTRIES)):
    for _name in re.split(r"[|\n]", _names):
        _LEVELS[_name] = _LEVELS.get(_name, frozenset()) | {_level}

_REGION = re.compile(
    r"(?:(?:north|south|east|west|central|middle|latin|southeast|northeast|northwest|southwest"
    r"|northern|southern|eastern|western|sub saharan|subsaharan|far|near)\s)*"
    r"(?:africa|asia|europe|america|americas|oceania|east|caribbean|balkans|scandinavia|polynesia"
    r"|micronesia|melanesia|maghreb|sahel|middle east|world)"
)


def levels(form: str) -> frozenset[int]:
    """The levels at which a normal form names a place (Georgia has two); empty if at none."""
    return _LEVELS.get(form) or frozenset({3} if _REGION.fullmatch(form) else ())
