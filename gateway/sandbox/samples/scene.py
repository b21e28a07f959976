"""What the samples are about: an invented shop's person, goods and amounts, the same whatever the platform writes of
them. Amounts are whole pence; the same number and time make the same scene.
"""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from gateway.sandbox.shopify import FREE_SHIPPING_FROM_PENCE, GOODS, PEOPLE, SHIPPING_PENCE, email_of, money

HOST = "northlight.example.com"
CURRENCY = "GBP"
DAY_MS = 86_400_000

Build = Callable[[int, int], dict[str, Any]]
"""The payload of the n-th sample (from 1) at a time (ms since the epoch)."""


class Platform(Struct, frozen=True):
    """A platform's samples: `topics` to what builds them, and the `short` names that people type."""

    topics: Mapping[str, Build]
    short: Mapping[str, str]


class Item(Struct, frozen=True):
    """A line of an order. `good` is the product's number, from 1."""

    good: int
    sku: str
    title: str
    quantity: int
    pence: int

    @property
    def total_pence(self) -> int:
        return self.pence * self.quantity


class Scene(Struct, frozen=True):
    """The n-th order of the shop, who placed it, and when."""

    number: int
    at_ms: int

    @property
    def person(self) -> "Person":
        first, last, _, phone, street, city, postcode, country = PEOPLE[(self.number - 1) % len(PEOPLE)]
        return Person(first, last, email_of(self.number - 1), phone, street, city, postcode, country)

    @property
    def items(self) -> tuple[Item, ...]:
        return item(self.number, 1), item(self.number + 3, 2)

    @property
    def items_pence(self) -> int:
        return sum(one.total_pence for one in self.items)

    @property
    def shipping_pence(self) -> int:
        return 0 if self.items_pence >= FREE_SHIPPING_FROM_PENCE else SHIPPING_PENCE

    @property
    def total_pence(self) -> int:
        return self.items_pence + self.shipping_pence

    @property
    def tax_pence(self) -> int:
        """What of the total is tax: a sixth, at 20 per cent."""
        return tax_of(self.total_pence)

    @property
    def placed_ms(self) -> int:
        """When the order was placed: a minute before the event."""
        return self.at_ms - 60_000

    @property
    def good(self) -> Item:
        """The n-th product of the catalogue."""
        return item(self.number, 1)

    def event(self) -> str:
        """Sixteen digits that no other event has."""
        return f"{(self.at_ms << 20) | self.number:016x}"

    def uuid(self, kind: str) -> str:
        """The id of the n-th thing of a kind, the same at every time."""
        return identity(kind, self.number)


class Person(Struct, frozen=True):
    """A customer. A phone may be empty."""

    first: str
    last: str
    email: str
    phone: str
    street: str
    city: str
    postcode: str
    country: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


def item(good: int, quantity: int) -> Item:
    """A line with the n-th good, from 1; after the last comes the first."""
    place = (good - 1) % len(GOODS)
    title, _, sku, pence, _, _ = GOODS[place]
    return Item(place + 1, sku, title, quantity, pence)


def listed_pence(one: Item) -> int:
    """The price before the sale; the price itself where there is none."""
    before = GOODS[one.good - 1][4]
    return one.pence if before is None else before


def handle(title: str) -> str:
    """A title as it stands in a URL."""
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def tax_of(pence: int) -> int:
    return pence // 6


def identity(kind: str, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://{HOST}/{kind}/{number}"))


# --- as platforms write it -------------------------------------------------------------------------------------------


def amount(pence: int) -> float:
    """Pounds as a JSON number."""
    return float(money(pence))


def zulu(at_ms: int) -> str:
    """`2026-01-31T09:00:00Z`."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def zulu_ms(at_ms: int) -> str:
    """`2026-01-31T09:00:00.250Z`."""
    return f"{zulu(at_ms)[:-1]}.{at_ms % 1000:03}Z"


def offset(at_ms: int) -> str:
    """`2026-01-31T09:00:00.250+00:00`."""
    return f"{zulu_ms(at_ms)[:-1]}+00:00"


def naive(at_ms: int, between: str = "T") -> str:
    """`2026-01-31T09:00:00`, in UTC and not saying so."""
    return zulu(at_ms)[:-1].replace("T", between)
