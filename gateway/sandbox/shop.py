"""A simulated Shopify shop at work: people sign up, order, change their minds, and every delivery goes out signed, some
of them twice, some three times at once, some late and out of order. The same seed makes the same traffic.
"""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

import aiohttp
from msgspec import Struct

from gateway import document
from gateway.clock import Chance, Clock, SystemChance
from gateway.sandbox import shopify, sign
from gateway.sandbox.shopify import Line, Order, Person

STEP_MS = 400
"""How far the shop's own time moves from one merchant action to the next."""

PEOPLE_FIRST = 3
"""Who must have signed up before anybody orders."""

PAYS_AT_ONCE, HAS_A_CODE, CANCELS = 0.8, 0.3, 0.3
"""How likely: an order is paid at once, has a discount, and a change of mind is a cancellation."""

AGAIN_S = 0.35
LATE_S = (1.0, 2.5)
TRIES = 8
"""As Shopify: eight tries (shopify.dev, "Updates to webhook retry mechanism")."""

FIRST_WAIT_S = 0.25
TIMEOUT_S = 5.0
AT_ONCE = 64

_CARDS = ("once",) * 13 + ("twice",) * 3 + ("thrice",) * 2 + ("late",) * 2


class Happening(Struct, frozen=True):
    """A webhook's content: what happened, when, and the merchant action it belongs to."""

    topic: str
    payload: dict[str, Any]
    at_ms: int
    event: str


class Delivery(Struct, frozen=True):
    """One request as the shop sends it. `number` counts what happened (the same for each copy), `due_s` is when it
    leaves, from the beginning; `why` is first, again, at_once or late.
    """

    number: int
    due_s: float
    topic: str
    body: bytes
    names: sign.Names
    at_ms: int
    why: str


class Tally(Struct):
    """What came of the traffic. `events` are the distinct ones, `taken` those that got a 2xx at least once,
    `recognised` the answers that said duplicate.
    """

    events: int = 0
    requests: int = 0
    taken: int = 0
    recognised: int = 0
    failed: int = 0
    statuses: Counter[int] = Counter()


class Told(Struct, frozen=True):
    """What the receiver said to one request. `status` 0: nothing came back. `duplicate`: None where it does not say."""

    delivery: Delivery
    status: int
    duplicate: bool | None
    id: str = ""

    @property
    def taken(self) -> bool:
        """Whether Shopify counts it as a success: any 2xx, no redirect."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


class Shop:
    """The shop: what it knows, and the next thing that happens in it."""

    def __init__(self, seed: int = 1, start_ms: int = 1_760_000_000_000, domain: str = shopify.DOMAIN) -> None:
        self.domain = domain
        self._draw = random.Random(seed)
        self._now_ms = start_ms
        self._people: list[Person] = []
        self._orders: list[Order] = []
        self._stock = dict.fromkeys(range(len(shopify.GOODS)), 60)
        self._opened = False
        self._bag: list[str] = []
        self._numbers = 0
        self._left_s = 0.0

    # --- what happens ------------------------------------------------------------------------------------------------

    def happenings(self) -> Iterator[Happening]:
        """Without end: first the catalogue, then life."""
        if not self._opened:
            self._opened = True
            for good in range(len(shopify.GOODS)):
                yield from self._action(("products/create", self._product(good)))
        while True:
            yield from self._action(*self._next())

    def _action(self, *webhooks: tuple[str, dict[str, Any]]) -> Iterator[Happening]:
        """One merchant action: all its webhooks carry one Event-Id."""
        event = str(uuid.UUID(int=self._draw.getrandbits(128), version=4))
        self._now_ms += STEP_MS
        for topic, payload in webhooks:
            yield Happening(topic, payload, self._now_ms, event)

    def _next(self) -> list[tuple[str, dict[str, Any]]]:
        if len(self._people) < PEOPLE_FIRST:
            return self._sign_up()
        ways = (self._sign_up, self._buy, self._buy, self._buy, self._pay_or_send, self._change_mind, self._reprice)
        return self._draw.choice(ways)()

    def _sign_up(self) -> list[tuple[str, dict[str, Any]]]:
        consent = self._draw.choice(("subscribed", "subscribed", "not_subscribed", "pending"))
        person = Person(
            number=len(self._people),
            email_consent=consent,
            sms_consent=self._draw.choice(("subscribed", "not_subscribed")),
            consent_at_ms=self._now_ms if consent == "subscribed" else 0,
            created_at_ms=self._now_ms,
            tags=self._draw.choice(((), ("newsletter",), ("newsletter", "vip"))),
        )
        self._people.append(person)
        return [("customers/create", shopify.customer(person, self._now_ms))]

    def _buy(self) -> list[tuple[str, dict[str, Any]]]:
        order = self._basket()
        self._orders.append(order)
        order.person.orders += 1
        order.person.spent_pence += order.total_pence()
        for line in order.lines:
            self._stock[line.good] = max(0, self._stock[line.good] - line.quantity)
        created = shopify.order(order, self._now_ms)
        customer = shopify.customer(order.person, self._now_ms)
        product = self._product(order.lines[0].good)
        webhooks = [("orders/create", created), ("customers/update", customer), ("products/update", product)]
        if order.paid:
            webhooks.insert(1, ("orders/paid", created))
        return webhooks

    def _basket(self) -> Order:
        goods = self._draw.sample(range(len(shopify.GOODS)), self._draw.randint(1, 4))
        lines = tuple(
            Line(good, self._draw.randrange(len(shopify.sizes_of(good))), self._draw.randint(1, 3)) for good in goods
        )
        person = self._draw.choice(self._people)
        paid = self._draw.random() < PAYS_AT_ONCE
        order = Order(len(self._orders) + 1, person, lines, self._now_ms, paid=paid)
        if self._draw.random() < HAS_A_CODE:
            order.discount_pence = order.items_pence() // 10
        return order

    def _pay_or_send(self) -> list[tuple[str, dict[str, Any]]]:
        waiting = [one for one in self._orders if not one.fulfilled and not one.cancelled_at_ms]
        if not waiting:
            return self._buy()
        order = waiting[0]
        topic = "orders/fulfilled" if order.paid else "orders/paid"
        if order.paid:
            order.fulfilled = True
        order.paid = True
        body = shopify.order(order, self._now_ms)
        return [(topic, body), ("orders/updated", body)]

    def _change_mind(self) -> list[tuple[str, dict[str, Any]]]:
        open_orders = [one for one in self._orders if not one.fulfilled and not one.cancelled_at_ms]
        if open_orders and self._draw.random() < CANCELS:
            order = open_orders[-1]
            order.cancelled_at_ms = self._now_ms
            body = shopify.order(order, self._now_ms)
            return [("orders/cancelled", body), ("orders/updated", body)]
        person = self._draw.choice(self._people)
        person.email_consent = "unsubscribed" if person.email_consent == "subscribed" else "subscribed"
        person.consent_at_ms = self._now_ms
        return [("customers/update", shopify.customer(person, self._now_ms))]

    def _reprice(self) -> list[tuple[str, dict[str, Any]]]:
        good = self._draw.randrange(len(shopify.GOODS))
        pence = shopify.GOODS[good][3] - self._draw.choice((0, 50, 100, 250))
        return [("products/update", self._product(good, pence))]

    def _product(self, good: int, pence: int | None = None) -> dict[str, Any]:
        return shopify.product(good, self._now_ms, pence=pence, stock=self._stock[good])

    # --- how it is delivered -----------------------------------------------------------------------------------------

    def plan(self, events: int, rate_per_s: float = 20.0) -> list[Delivery]:
        """The deliveries of the next `events` distinct webhooks, in the order they leave. May be called again for
        more; the times go on from the last one's.
        """
        deliveries: list[Delivery] = []
        source = self.happenings()
        for _ in range(events):
            self._left_s += 1 / rate_per_s
            deliveries.extend(self._copies(next(source)))
        return sorted(deliveries, key=lambda one: one.due_s)

    def _copies(self, what: Happening) -> Iterator[Delivery]:
        self._numbers += 1
        body = document.dump(what.payload)
        names = sign.Names(self.domain, what.event, self._nonce())

        def at(due_s: float, why: str, names: sign.Names = names) -> Delivery:
            return Delivery(self._numbers, due_s, what.topic, body, names, what.at_ms, why)

        card = self._card()
        if card == "late":
            yield at(self._left_s + self._draw.uniform(*LATE_S), "late")
            return
        yield at(self._left_s, "first")
        if card == "twice":
            yield at(self._left_s + AGAIN_S, "again")
        if card == "thrice":
            twin = sign.Names(self.domain, what.event, self._nonce())
            yield at(self._left_s, "at_once")
            yield at(self._left_s, "at_once", twin)

    def _card(self) -> str:
        """Fate, from a bag that is refilled: of twenty, three go twice, two thrice at once, two late."""
        if not self._bag:
            self._bag = list(_CARDS)
            self._draw.shuffle(self._bag)
        return self._bag.pop()

    def _nonce(self) -> str:
        return str(uuid.UUID(int=self._draw.getrandbits(128), version=4))


async def paced(deliveries: Iterable[Delivery], clock: Clock) -> AsyncIterator[Delivery]:
    """The deliveries, each when it is due."""
    began_s = clock.monotonic_s()
    for delivery in deliveries:
        wait_s = began_s + delivery.due_s - clock.monotonic_s()
        if wait_s > 0:
            await clock.sleep(wait_s)
        yield delivery


class Sender:
    """Sends a shop's deliveries as Shopify does: signed, five seconds for the answer, eight tries with the same bytes
    (waits shortened from hours to seconds).
    """

    def __init__(self, url: str, secret: str, clock: Clock, tell: Callable[[Told], None] | None = None) -> None:
        self.tally = Tally(statuses=Counter())
        self._url = url
        self._secret = secret
        self._clock = clock
        self._tell = tell
        self._chance: Chance = SystemChance()
        self._seen: set[int] = set()
        self._taken: set[int] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def send(self, deliveries: AsyncIterator[Delivery]) -> Tally:
        """Send all of them; returns when each has its answer, or has been given up."""
        limits = aiohttp.TCPConnector(limit=AT_ONCE)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=limits, timeout=timeout) as session, asyncio.TaskGroup() as sending:
            async for delivery in deliveries:
                await self._room.acquire()
                sending.create_task(self._deliver(session, delivery))
        return self.tally

    async def _deliver(self, session: aiohttp.ClientSession, delivery: Delivery) -> None:
        self._seen.add(delivery.number)
        self.tally.events = len(self._seen)
        try:
            for attempt in range(TRIES):
                if attempt:
                    await self._clock.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
                told = await self._post(session, delivery)
                self._count(told)
                if told.taken:
                    return
            self.tally.failed += 1
        finally:
            self._room.release()

    async def _post(self, session: aiohttp.ClientSession, delivery: Delivery) -> Told:
        headers = sign.sign(
            "shopify",
            delivery.body,
            delivery.topic,
            self._secret,
            url=self._url,
            now_ms=delivery.at_ms,
            chance=self._chance,
            names=delivery.names,
        )
        try:
            async with session.post(self._url, data=delivery.body, headers=headers, allow_redirects=False) as answer:
                return _told(delivery, answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError):
            return Told(delivery, 0, None)

    def _count(self, told: Told) -> None:
        self.tally.requests += 1
        self.tally.statuses[told.status] += 1
        self.tally.recognised += told.duplicate is True
        if told.taken:
            self._taken.add(told.delivery.number)
            self.tally.taken = len(self._taken)
        if self._tell is not None:
            self._tell(told)


def _told(delivery: Delivery, status: int, body: bytes) -> Told:
    try:
        said = document.parse(body)
    except document.Unreadable:
        said = None
    if not isinstance(said, dict):
        return Told(delivery, status, None)
    duplicate = said.get("duplicate")
    return Told(delivery, status, duplicate if isinstance(duplicate, bool) else None, str(said.get("id", "")))


async def send(
    url: str,
    secret: str,
    *,
    events: int,
    clock: Clock,
    shop: Shop | None = None,
    rate_per_s: float = 20.0,
    tell: Callable[[Told], None] | None = None,
) -> Tally:
    """Let the shop's next `events` webhooks happen and send them to `url`, signed with `secret`. `tell` hears of every
    answer as it comes.
    """
    deliveries = (shop or Shop()).plan(events, rate_per_s)
    return await Sender(url, secret, clock, tell).send(paced(deliveries, clock))
