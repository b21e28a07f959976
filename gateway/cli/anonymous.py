"""Personal data in a payload, replaced by invented data of the same form: the same person is the same in all of it.

What is personal is told by the names of fields and by the form of values (an e-mail address is one wherever it stands);
what was replaced once is replaced wherever it comes again, in other texts too. Ids, amounts, times, countries, regions
and products stay.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

FIRST = ("Ada", "Bruno", "Carla", "Diego", "Elif", "Femi", "Greta", "Hana", "Ivo", "Jana")
LAST = ("Ashby", "Birch", "Calder", "Dunmore", "Elwood", "Fenwick", "Garnet", "Hollis", "Irving", "Juniper")
STREETS = ("Quay Street", "Mill Lane", "Harbour Road", "Orchard Way", "Kiln Hill")
CITIES = ("Northhaven", "Westbury Cross", "Eastlow", "Southmere", "Midford")

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_QUERY = re.compile(r"(https?://[^\s?#]+)[?#]\S+")
_SHORT = 3  # characters; shorter texts are not looked for in others

_PEOPLE = frozenset(
    {"customer", "address", "addresses", "billing", "shipping", "recipient", "buyer", "payer", "receiver", "contact"}
    | {"person", "user", "shopper", "owner", "guest", "destination", "cardholder", "traveller", "client", "details"}
)
"""Objects in which a `name` is a person's."""


class Anonymous:
    """Replaces personal data; one for all that belongs together."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._replaced: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def document(self, value: Any) -> Any:
        """The document with personal data replaced."""
        return self._again(self._walk(value, "", ()))

    def text(self, value: str) -> str:
        """A text on its own."""
        return str(self._again(self._by_form(value)))

    # --- by the names of fields

    def _walk(self, value: Any, name: str, above: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            label = _label(value)
            return {
                key: self._walk(below, label if key == "value" and label else str(key), (*above, name))
                for key, below in value.items()
            }
        if isinstance(value, list):
            return [self._walk(below, name, above) for below in value]
        if value is None or isinstance(value, bool):
            return value
        kind = _kind(name, above)
        if kind is not None and str(value).strip():
            return self._instead(kind, value)
        return self._by_form(value) if isinstance(value, str) else value

    def _instead(self, kind: str, value: Any) -> Any:
        """The invented value that stands for one of this kind, always the same."""
        text = str(value)
        key = (kind, text.casefold())
        if key not in self._known:
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[key] = _INVENTED[kind](text, count - 1)
            if kind in _SOUGHT and len(text) > _SHORT:
                self._replaced[text] = self._known[key]
        found = self._known[key]
        return int(found) if isinstance(value, int) and found.isdecimal() else found

    # --- by the form of values

    def _by_form(self, text: str) -> str:
        text = _EMAIL.sub(lambda match: str(self._instead("email", match[0])), text)
        text = _IPV4.sub(lambda match: str(self._instead("ip", match[0])), text)
        return _QUERY.sub(r"\1", text)

    def _again(self, value: Any) -> Any:
        """What was replaced somewhere, wherever it stands."""
        if isinstance(value, dict):
            return {key: self._again(below) for key, below in value.items()}
        if isinstance(value, list):
            return [self._again(below) for below in value]
        if not isinstance(value, str):
            return value
        for original, invented in sorted(self._replaced.items(), key=lambda pair: -len(pair[0])):
            if original in value:
                value = re.sub(rf"(?<!\w){re.escape(original)}(?!\w)", invented.replace("\\", r"\\"), value)
        return value


def _label(table: Mapping[str, Any]) -> str:
    """What a pair such as `{"name": "phone", "value": ...}` is about."""
    for key in ("name", "key", "label"):
        if "value" in table and isinstance(table.get(key), str):
            return str(table[key])
    return ""


# --- what is personal ------------------------------------------------------------------------------------------------


def _kind(name: str, above: tuple[str, ...]) -> str | None:
    """What kind of personal data a field of this name holds, if any."""
    words = [word.lower() for word in _WORD.findall(name)]
    joined = "".join(words)
    for kind, names in _NAMES.items():
        if joined in names:
            return kind
    if _PARTS.keys() & set(words):
        return next(kind for word, kind in _PARTS.items() if word in words)
    parents = {word.lower() for parent in above for word in _WORD.findall(parent)}
    if joined in _AMONG_PEOPLE and parents & _PEOPLE:
        return _AMONG_PEOPLE[joined]
    return None


_NAMES: Mapping[str, frozenset[str]] = {
    "first": frozenset({"firstname", "givenname", "fname", "forename", "middlename", "firstnamekana"}),
    "last": frozenset({"lastname", "surname", "familyname", "lname", "secondname", "maidenname"}),
    "name": frozenset(
        {"fullname", "displayname", "cardholdername", "recipientname", "holdername", "contactname", "shopowner"}
    ),
    "line": frozenset(
        {"address1", "address2", "line1", "line2", "street", "street1", "street2", "addressline1", "addressline2"}
        | {"streetaddress1", "streetaddress2", "streetname", "streetaddress", "housenumber", "additionaladdressinfo"}
    ),
    "city": frozenset({"town", "locality", "dependentlocality"}),
    "postcode": frozenset({"zip", "zipcode", "postcode", "postalcode"}),
    "birthday": frozenset({"birthday", "birthdate", "dob", "dateofbirth", "dateofbirthday"}),
    "note": frozenset({"note", "notes", "customernote", "giftmessage", "deliveryinstructions", "comment", "comments"}),
    "ip": frozenset({"ip", "ipaddress", "browserip", "customeripaddress", "remoteip", "clientip"}),
    "agent": frozenset({"useragent", "customeruseragent", "browseruseragent"}),
    "place": frozenset({"latitude", "longitude", "lat", "lng", "lon"}),
    "digits": frozenset(
        {"last4", "lastfour", "cardnumber", "iban", "accountnumber", "creditcardnumber", "cardsummary"}
    ),
    "user": frozenset({"username", "nickname", "login"}),
}
"""Names of fields, without what joins their words."""

_PARTS = {"phone": "phone", "mobile": "phone", "telephone": "phone", "msisdn": "phone", "fax": "phone"}
_PARTS |= {"vat": "digits", "tin": "digits", "ssn": "digits", "cpf": "digits", "cnpj": "digits", "password": "note"}
"""Words anywhere in a name."""

_AMONG_PEOPLE = {"name": "name", "company": "company", "city": "city", "organisation": "company", "email": "email"}
"""Names that are personal inside of a person or an address."""

_SOUGHT = frozenset({"first", "last", "name", "phone", "line", "city", "company", "user", "postcode", "email"})
"""Kinds that are looked for in other texts too."""


# --- what stands for it ----------------------------------------------------------------------------------------------


def _phone(text: str, count: int) -> str:
    """A number of the same country where that is known, else digits of the same length."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(text))
        example = phonenumbers.example_number(region) if region else None
        written = phonenumbers.format_number(example, PhoneNumberFormat.E164) if example else ""
    except NumberParseException:
        written = ""
    if written:
        return f"{written[:-2]}{(int(written[-2:]) + count) % 100:02}"
    kept = iter("0" * sum(sign.isdigit() for sign in text))
    digits = f"{count % 100:02}"
    made = "".join(next(kept, "0") if sign.isdigit() else sign for sign in text)
    ends = [place for place, sign in enumerate(made) if sign.isdigit()][-2:]
    starts = [place for place, sign in enumerate(text) if sign.isdigit()][:2]
    signs = list(made)
    for place in starts:
        signs[place] = text[place]
    for place, digit in zip(ends, digits, strict=False):
        signs[place] = digit
    return "".join(signs)


def _of(names: tuple[str, ...]) -> Callable[[str, int], str]:
    def invented(_text: str, count: int) -> str:
        again = count // len(names)
        return f"{names[count % len(names)]}{again + 1 if again else ''}"

    return invented


def _masked(text: str, _count: int) -> str:
    """Digits and letters of the same form."""
    return re.sub(r"[A-Za-z]", "X", re.sub(r"\d", "0", text))


_INVENTED: Mapping[str, Callable[[str, int], str]] = {
    "email": lambda _text, count: f"person{count + 1}@example.com",
    "phone": _phone,
    "first": _of(FIRST),
    "last": _of(LAST),
    "name": lambda _text, count: f"{FIRST[count % len(FIRST)]} {LAST[count % len(LAST)]}",
    "company": lambda _text, count: f"Company {count + 1}",
    "line": lambda _text, count: f"{count + 1} {STREETS[count % len(STREETS)]}",
    "city": _of(CITIES),
    "postcode": _masked,
    "birthday": lambda _text, _count: "1990-01-01",
    "note": lambda _text, count: f"a note ({count + 1})",
    "ip": lambda _text, count: f"192.0.2.{count % 254 + 1}",
    "agent": lambda _text, _count: "Mozilla/5.0",
    "place": lambda _text, _count: "0",
    "digits": _masked,
    "user": lambda _text, count: f"user{count + 1}",
}
