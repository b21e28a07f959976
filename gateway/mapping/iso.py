"""ISO's tables as the types want them: countries by their spellings, currencies and their smallest amounts.

Each is built on first use: the countries cost 20 ms.
"""

from decimal import Decimal
from functools import cache

import pycountry

_OTHER_COUNTRIES = {"uk": "GB", "el": "GR", "xk": "XK", "kosovo": "XK", "great britain": "GB"}
"""In wide use and not in ISO 3166-1: the EU's UK and EL, and XK (user-assigned; Shopify and the EU send it)."""


@cache
def countries() -> dict[str, str]:
    """Every spelling of a country in lower case, and alpha-2 itself -> alpha-2."""
    found: dict[str, str] = {}
    for entry in pycountry.countries:
        spellings = (
            getattr(entry, key, None) for key in ("alpha_2", "alpha_3", "name", "official_name", "common_name")
        )
        found.update((spelling.lower(), entry.alpha_2) for spelling in spellings if spelling)
        found[entry.alpha_2] = entry.alpha_2
    return found | _OTHER_COUNTRIES


@cache
def currencies() -> frozenset[str]:
    """Their codes, in capital letters."""
    return frozenset(entry.alpha_3 for entry in pycountry.currencies)


_MINOR_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}


@cache
def quanta() -> dict[str, Decimal]:
    """Every currency's smallest amount."""
    found = dict.fromkeys(currencies(), Decimal("0.01"))
    for places, codes in _MINOR_DIGITS.items():
        found.update(dict.fromkeys(codes.split(), Decimal(1).scaleb(-places)))
    return found
