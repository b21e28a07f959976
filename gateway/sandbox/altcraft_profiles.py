"""What the simulated Altcraft holds in one database: profiles, and the ways to find them."""

import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from gateway.clock import Chance

PROFILES_MAX = 500_000
MATCHINGS = ("email", "email_profile", "phone", "profile_id", "custom")

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PHONE = re.compile(r"\+?[1-9]\d{6,14}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_CHANNELS = ("email", "sms", "push", "telegram_bot", "whatsapp", "viber")

TEXTS = {
    0: "Successful operation",
    400: "Incorrect request",
    401: "Token is required",
    402: "Tariff limit is reached",
    403: "No rights for the operation",
    404: "Object is not found",
    409: "Duplicate of a unique attribute",
    413: "The database is not available in the resource",
    415: "Unsupported content type",
    435: "Ambiguous search: several objects are found",
    441: "The object belongs to another group",
    450: "Validation error",
    500: "Internal error",
    501: "No such method",
}
"""The body's codes and what they say (meanings: Altcraft requests format; the words are ours)."""


class Wrong(Exception):  # noqa: N818  a code of the vendor's
    """An error of the API. `code` stands in the body."""

    def __init__(self, code: int, detail: str = "", rule: str = "") -> None:
        self.code = code
        self.text = f"{TEXTS[code]}: {detail}" if detail else TEXTS[code]
        self.rule = rule
        super().__init__(self.text)


class Query(Struct, frozen=True):
    """How a profile is looked for: the matching, the field it looks at, and the value."""

    matching: str
    value: str
    name: str = ""

    @property
    def index(self) -> str:
        return f"custom:{self.name}" if self.matching == "custom" else self.matching


def query_of(item: dict[str, Any], matching: str) -> Query:
    """How this item is to be matched. Raises Wrong (400) without what the matching needs."""
    if matching not in MATCHINGS:
        raise Wrong(400, f"matching {matching}", "incorrect_request")
    if matching == "custom":
        name, value = item.get("field_name"), item.get("field_value")
        if not isinstance(name, str) or not isinstance(value, str | int) or isinstance(value, bool):
            raise Wrong(400, "field_name and field_value are required", "incorrect_request")
        return Query(matching, str(value), name)
    field = "email" if matching == "email_profile" else matching
    value = item.get(field)
    if not isinstance(value, str) or not value:
        raise Wrong(400, f"{field} is required", "incorrect_request")
    check = {"email": _EMAIL, "phone": _PHONE}.get(field)
    if check is not None and check.fullmatch(value) is None:
        raise Wrong(450, field, "invalid_value")
    return Query(matching, value.lower() if field == "email" else value)


def check(data: Any) -> dict[str, Any]:
    """A profile's data. Raises Wrong: 400 where it is no object, 450 for a value that is not valid."""
    if not isinstance(data, dict):
        raise Wrong(400, "data is required", "incorrect_request")
    for name, value in data.items():
        if value is not None and not _fits(name, value):
            raise Wrong(450, name, "invalid_value")
    return data


def _fits(name: str, value: Any) -> bool:
    if name == "email":
        return isinstance(value, str) and _EMAIL.fullmatch(value) is not None
    if name == "phones":
        return isinstance(value, list) and all(isinstance(one, str) and _PHONE.fullmatch(one) for one in value)
    if name == "_sex":
        return str(value) in ("0", "1")
    if name in ("_bdate", "_regdate"):
        return isinstance(value, str) and _RFC3339.fullmatch(value) is not None
    if name == "subscriptions":
        return isinstance(value, list) and all(_is_subscription(one) for one in value)
    if name == "_status":
        return str(value).isdigit()
    if name == "_country":
        return isinstance(value, str) and re.fullmatch("[A-Za-z]{2}", value) is not None
    return not name.startswith("_") or (isinstance(value, str | int) and not isinstance(value, bool))


def _is_subscription(one: Any) -> bool:
    if (
        not isinstance(one, dict)
        or one.get("channel") not in _CHANNELS
        or not str(one.get("resource_id", "")).isdigit()
    ):
        return False
    address = {"email": ("email", _EMAIL), "sms": ("phone", _PHONE)}.get(one["channel"])
    return address is None or address[1].fullmatch(str(one.get(address[0], ""))) is not None


class Profiles:
    """The profiles of one database. `unique`: fields that no two profiles may share."""

    def __init__(self, chance: Chance, unique: tuple[str, ...]) -> None:
        self._chance = chance
        self._unique = unique
        self._profiles: dict[str, dict[str, Any]] = {}
        self._indexes: dict[str, dict[str, set[str]]] = {"email": {}, "email_profile": {}, "phone": {}}

    def __len__(self) -> int:
        return len(self._profiles)

    def items(self) -> Iterable[tuple[str, dict[str, Any]]]:
        return self._profiles.items()

    def get(self, name: str) -> dict[str, Any]:
        """A profile by its id. Raises Wrong (404)."""
        if name not in self._profiles:
            raise Wrong(404, "profile", "not_found")
        return self._profiles[name]

    def find(self, query: Query) -> str | None:
        """The one profile that the query finds. Raises Wrong (435) for several."""
        if query.matching == "profile_id":
            return query.value if query.value in self._profiles else None
        found = self._index(query.index).get(query.value, set())
        if len(found) > 1:
            raise Wrong(435, f"{len(found)} profiles", "ambiguous")
        return next(iter(found), None)

    def write(self, query: Query, data: dict[str, Any], way: str) -> str:
        """Import (create or update), add (create) or update; returns the profile's id."""
        name = self.find(query)
        if name is None and (way == "update" or query.matching == "profile_id"):
            raise Wrong(404, "profile", "not_found")
        if name is not None and way == "add":
            raise Wrong(409, query.index, "duplicate")
        data = {**_known_by(query), **data} if name is None else data
        self._refuse_twins(name, data)
        if name is None:
            name = self._chance.nonce(12).hex()
            if len(self._profiles) >= PROFILES_MAX:
                self.delete(next(iter(self._profiles)))
            self._profiles[name] = {}
        self._rewrite(name, data)
        return name

    def delete(self, name: str) -> None:
        self.get(name)
        for index, names in self._indexes.items():
            self._forget(names, name, index)
        del self._profiles[name]

    def _refuse_twins(self, name: str | None, data: dict[str, Any]) -> None:
        for field in self._unique:
            if data.get(field) is None:
                continue
            index = "email_profile" if field == "email" else f"custom:{field}"
            holders = self._index(index).get(str(data[field]).lower() if field == "email" else str(data[field]), set())
            if holders - {name}:
                raise Wrong(409, field, "duplicate")

    def _rewrite(self, name: str, data: dict[str, Any]) -> None:
        for index, names in self._indexes.items():
            self._forget(names, name, index)
        self._profiles[name].update(data)
        for index, names in self._indexes.items():
            for key in _keys(index, self._profiles[name]):
                names.setdefault(key, set()).add(name)

    def _forget(self, names: dict[str, set[str]], name: str, index: str) -> None:
        for key in _keys(index, self._profiles[name]):
            names.get(key, set()).discard(name)
            if not names.get(key, True):
                del names[key]

    def _index(self, index: str) -> dict[str, set[str]]:
        """An index; one over a custom field is made when it is first asked for."""
        if index not in self._indexes:
            made: dict[str, set[str]] = {}
            for name, profile in self._profiles.items():
                for key in _keys(index, profile):
                    made.setdefault(key, set()).add(name)
            self._indexes[index] = made
        return self._indexes[index]


def _known_by(query: Query) -> dict[str, Any]:
    """What a new profile knows from how it was looked for."""
    if query.matching in ("email", "email_profile"):
        return {"email": query.value}
    return {"phones": [query.value]} if query.matching == "phone" else {query.name: query.value}


def _keys(index: str, profile: dict[str, Any]) -> set[str]:
    """Under what a profile is found in an index."""
    subscriptions = profile.get("subscriptions") or []
    own = str(profile["email"]).lower() if profile.get("email") else ""
    if index == "email_profile":
        return {own} - {""}
    if index == "email":
        return {own, *(str(one.get("email", "")).lower() for one in subscriptions if one["channel"] == "email")} - {""}
    if index == "phone":
        subscribed = (str(one.get("phone", "")) for one in subscriptions if one["channel"] == "sms")
        return {*(profile.get("phones") or ()), *subscribed} - {""}
    value = profile.get(index.removeprefix("custom:"))
    return set() if value is None else {str(value)}
