"""What GeoNames leaves out about countries and currencies: aliases, articles, dependence.

A model that writes "USA" knows the answer as well as one that writes "United States"; a city of
Puerto Rico is rightly placed in the United States too. These tables say so once, for the program
that builds the embedded questions. Codes are ISO 3166-1 alpha-2 and ISO 4217.
"""

from __future__ import annotations

# fmt: off


def _codes(text: str) -> list[str]:
    return text.split()


ALIASES: dict[str, tuple[str, ...]] = {
    "AE": ("UAE", "Emirates"),
    "AX": ("Aland", "Aland Islands", "Åland Islands"),
    "BA": ("Bosnia", "Bosnia-Herzegovina", "Bosnia & Herzegovina"),
    "BL": ("St. Barthelemy", "St. Barts"),
    "BN": ("Brunei Darussalam",),
    "BS": ("The Bahamas",),
    "CD": (
        "DR Congo", "DRC", "D.R. Congo", "Congo-Kinshasa", "Congo", "Zaire",
        "Democratic Republic of Congo", "Congo, Democratic Republic of the",
    ),
    "CF": ("CAR",),
    "CG": ("Congo", "Congo-Brazzaville", "Republic of Congo"),
    "CI": ("Côte d'Ivoire", "Cote d'Ivoire"),
    "CN": ("People's Republic of China", "PRC", "Mainland China"),
    "CV": ("Cape Verde",),
    "CZ": ("Czech Republic", "The Czech Republic"),
    "DE": ("Federal Republic of Germany",),
    "FK": ("Falklands", "Islas Malvinas"),
    "FM": ("Federated States of Micronesia",),
    "FO": ("Faroes", "Faeroe Islands"),
    "GB": (
        "UK", "U.K.", "Great Britain", "Britain", "England", "Scotland", "Wales",
        "Northern Ireland",
    ),
    "GM": ("The Gambia",),
    "HK": ("Hong Kong SAR",),
    "IE": ("Republic of Ireland", "Eire"),
    "IR": ("Islamic Republic of Iran",),
    "KN": ("St. Kitts and Nevis", "St Kitts and Nevis", "Saint Kitts", "St. Kitts"),
    "KP": ("Democratic People's Republic of Korea", "DPRK"),
    "KR": ("Republic of Korea", "Korea", "ROK"),
    "LA": ("Lao", "Lao PDR"),
    "LC": ("St. Lucia", "St Lucia"),
    "MD": ("Republic of Moldova",),
    "MF": ("St. Martin",),
    "MK": ("Macedonia",),
    "MM": ("Burma",),
    "MO": ("Macau",),
    "NL": ("The Netherlands", "Holland"),
    "PN": ("Pitcairn Islands",),
    "PS": (
        "Palestinian Territory", "State of Palestine", "Palestinian Territories", "West Bank",
        "Gaza",
    ),
    "RE": ("La Réunion",),
    "RU": ("Russian Federation",),
    "SA": ("Kingdom of Saudi Arabia", "KSA"),
    "SH": ("St. Helena",),
    "ST": ("Sao Tome",),
    "SX": ("St. Maarten", "Saint Martin"),
    "SY": ("Syrian Arab Republic",),
    "SZ": ("Swaziland",),
    "TL": ("Timor-Leste", "Timor Leste"),
    "TR": ("Türkiye", "Turkiye"),
    "TT": ("Trinidad", "Trinidad & Tobago"),
    "TW": ("Republic of China",),
    "US": ("USA", "US", "U.S.", "U.S.A.", "United States of America", "America"),
    "VA": ("Vatican City", "Holy See"),
    "VC": ("St. Vincent and the Grenadines", "Saint Vincent"),
    "VI": ("US Virgin Islands", "United States Virgin Islands"),
    "VN": ("Viet Nam",),
}

NAMES: dict[str, str] = {
    "AX": "Åland", "BL": "Saint Barthélemy", "CW": "Curaçao", "NL": "Netherlands",
    "PS": "Palestine", "RE": "Réunion", "ST": "São Tomé and Príncipe", "TL": "East Timor",
}
"""Names that read better in a question than those in the data."""

WITH_ARTICLE = frozenset(
    _codes("AE BS CC CD CF CG CK DO FK FO GB GM IM KM KY MH MP MV NL PH SB SC TC US VA VG VI")
)
"""Countries that take "the" in a sentence."""

SOVEREIGN: dict[str, str] = {
    territory: sovereign
    for sovereign, territories in {
        "US": "AS GU MP PR VI", "FR": "BL GF GP MF MQ NC PF PM RE WF YT",
        "GB": "AI BM FK GG GI IM JE KY MS PN SH TC VG IO", "NL": "AW BQ CW SX",
        "CN": "HK MO", "DK": "FO GL", "FI": "AX", "NO": "SJ", "AU": "CC CX NF", "NZ": "CK NU TK",
    }.items()
    for territory in _codes(territories)
}
"""Dependent territories: the sovereign state is a right answer to "in which country" too."""

NO_FACTS = frozenset(_codes("AN AQ BV CS GS HM IO TF UM"))
"""Dissolved states and uninhabited places: asking for their capital or money makes no sense."""

CONTINENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_codes("AM AZ CY GE KZ RU TR"), ("Europe", "Asia")),
    **dict.fromkeys(_codes("BZ CR GT HN NI PA SV"), ("North America", "Central America")),
    "CC": ("Oceania", "Asia"), "CX": ("Oceania", "Asia"), "TL": ("Asia", "Oceania"),
}
"""Where two continents are defensible, or a finer name is usual; else GeoNames' own."""

CAPITALS: dict[str, tuple[str, ...]] = {
    "BJ": ("Porto-Novo", "Cotonou"), "BO": ("Sucre", "La Paz"),
    "CI": ("Yamoussoukro", "Abidjan"), "CM": ("Yaoundé",), "GQ": ("Malabo", "Ciudad de la Paz"),
    "BR": ("Brasília",), "EH": ("Laayoune", "El-Aaiún"), "KI": ("Tarawa", "South Tarawa"),
    "KZ": ("Astana", "Nur-Sultan"), "LK": ("Sri Jayawardenepura Kotte", "Kotte", "Colombo"),
    "MM": ("Naypyidaw", "Nay Pyi Taw", "Naypyitaw"), "MN": ("Ulaanbaatar", "Ulan Bator"),
    "MS": ("Plymouth", "Brades"), "MY": ("Kuala Lumpur", "Putrajaya"),
    "NL": ("Amsterdam", "The Hague"), "PS": ("East Jerusalem", "Jerusalem", "Ramallah"),
    "PW": ("Ngerulmud", "Melekeok"), "SZ": ("Mbabane", "Lobamba"),
    "TZ": ("Dodoma", "Dar es Salaam"), "UA": ("Kyiv", "Kiev"),
    "US": ("Washington", "Washington, D.C.", "Washington DC"),
    "ZA": ("Pretoria", "Cape Town", "Bloemfontein"), "YE": ("Sanaa", "Sana'a"),
    "MV": ("Malé",), "GD": ("St. George's", "Saint George's"),
    "AG": ("St. John's", "Saint John's"), "GU": ("Hagåtña", "Agana"),
    "TD": ("N'Djamena", "Ndjamena"), "CH": ("Bern", "Berne"),
    "GG": ("St. Peter Port", "Saint Peter Port"), "JE": ("St. Helier", "Saint Helier"),
}
"""Second seats of government, usual spellings, and names newer than the data."""

CURRENCIES: dict[str, tuple[str, ...]] = {
    "BAM": ("Convertible mark", "Mark", "Marka"), "BGN": ("Lev", "Leva", "Euro"),
    "BYN": ("Ruble", "Rouble"), "RUB": ("Ruble", "Rouble"), "CNY": ("Yuan", "Renminbi"),
    "CRC": ("Colón",), "CZK": ("Koruna", "Koruny", "Crown"), "DKK": ("Krone", "Kroner", "Crown"),
    "NOK": ("Krone", "Kroner", "Crown"), "SEK": ("Krona", "Kronor", "Crown"),
    "ISK": ("Krona", "Kronur", "Crown"), "GBP": ("Pound", "Pound sterling", "Sterling"),
    "ILS": ("Shekel",), "KHR": ("Riel",), "LSL": ("Loti", "Maloti"), "MDL": ("Leu", "Lei"),
    "RON": ("Leu", "Lei"), "MNT": ("Tugrik", "Tögrög"), "NIO": ("Córdoba",),
    "PLN": ("Zloty", "Złoty"), "PYG": ("Guaraní",), "SZL": ("Lilangeni", "Emalangeni"),
    "TOP": ("Pa'anga", "Paanga"), "VES": ("Bolívar", "Bolivar Soberano"), "THB": ("Baht",),
    "USD": ("Dollar", "US dollar", "United States dollar"), "XAF": ("Franc", "CFA franc"),
    "XOF": ("Franc", "CFA franc"), "XPF": ("Franc", "CFP franc"),
    "XCD": ("Dollar", "Eastern Caribbean dollar"), "XCG": ("Guilder", "Caribbean guilder"),
    "CHF": ("Franc", "Swiss franc"), "AUD": ("Dollar", "Australian dollar"),
    "NZD": ("Dollar", "New Zealand dollar"), "PEN": ("Sol", "Soles"), "BRL": ("Real", "Reais"),
}
"""Spellings by currency code where GeoNames' one word does not do."""
