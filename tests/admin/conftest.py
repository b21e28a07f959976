from collections.abc import Callable

import pytest

from gateway.admin.app import build
from gateway.admin.status import Role, Status
from gateway.config.schema import DestinationSettings, Route, Source
from gateway.config.values import Secret
from gateway.deliver.standing import AccountStanding
from gateway.errors import Fault
from gateway.model import Event
from tests.admin.asgi import Client
from tests.admin.shelf import NOW_MS, Shelf, Still

TOKEN = "correct-horse-battery"


class Gateway:
    """What the supervisor would know, and a test can change."""

    def __init__(self) -> None:
        self.roles = [Role("receiver", ready=True, since_ms=NOW_MS), Role("dispatcher", ready=True, since_ms=NOW_MS)]
        self.refused: tuple[Fault, ...] = ()
        self.sources = {"uk-shop": Source(preset="shopify")}
        self.settings = DestinationSettings(vendor="ometria")
        self.routes = [Route(events=["order.*"], when="data.total > `0`", to=["ometria-uk"])]
        self.standings: tuple[AccountStanding, ...] = ()

    def status(self) -> Status:
        return Status(
            roles=tuple(self.roles),
            digest="3f9c2a",
            revision=7,
            started_at_ms=NOW_MS,
            sources=self.sources,
            routes=tuple(self.routes),
            destinations={"ometria-uk": self.settings},
            accounts={"ometria:abc": ("ometria-uk",)},
            standings=self.standings,
            refused=self.refused,
        )


def type_of(_: Event) -> str | None:
    return "order.paid"


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def desk() -> Shelf:
    return Shelf()


@pytest.fixture
def clock() -> Still:
    return Still()


@pytest.fixture
def stranger(desk: Shelf, gateway: Gateway, clock: Still) -> Client:
    """Somebody without the token."""
    return Client(build(desk, gateway.status, Secret(TOKEN), clock=clock, type_of=type_of))


@pytest.fixture
def operator(stranger: Client) -> Client:
    """Somebody with the token."""
    return Client(stranger.app, {"authorization": f"Bearer {TOKEN}"})


Making = Callable[[Secret | None], Client]


@pytest.fixture
def with_token(desk: Shelf, gateway: Gateway, clock: Still) -> Making:
    def making(token: Secret | None) -> Client:
        return Client(build(desk, gateway.status, token, clock=clock))

    return making
