"""What several pages show: the overview's figures, and what is known of a destination."""

from typing import Any

from msgspec import Struct
from starlette.requests import Request

from gateway.admin import accounts, views
from gateway.admin.api import Call, Room
from gateway.journal.base import DeadFilter


class DestinationView(Struct, frozen=True):
    """A destination: its vendor, the account it sends under, its lanes, its dead letters by reason, and what went wrong
    there lately.
    """

    name: str
    vendor: str
    paused: bool
    account: accounts.AccountView | None
    lanes: tuple[views.LaneView, ...]
    dead: tuple[views.DeadGroupView, ...]
    troubles: tuple[accounts.TroubleView, ...]

    def total(self, figure: str) -> int:
        """A figure of all its lanes."""
        return sum(getattr(lane, figure) for lane in self.lanes)


class Destinations(Struct, frozen=True):
    """Every configured destination."""

    destinations: tuple[DestinationView, ...]


async def list_destinations(room: Room, _: Request) -> Destinations:
    return Destinations(await destinations(room))


async def figures(room: Room) -> dict[str, Any]:
    """What the overview tells, and keeps telling while somebody looks on."""
    status = room.status()
    lanes = views.lanes(await room.desk.lane_rows(), room.clock.now_ms(), status).lanes
    rejects = views.rejected(await room.desk.rejected(None, 5)).rejected
    shown = accounts.accounts(status).accounts
    return {"status": status, "lanes": lanes, "accounts": shown, "rejected": rejects}


async def destinations(room: Room) -> tuple[DestinationView, ...]:
    """Every configured destination."""
    status = room.status()
    lanes = views.lanes(await room.desk.lane_rows(), room.clock.now_ms(), status).lanes
    groups = views.dead_groups(await room.desk.dead_groups(DeadFilter())).groups
    shown = accounts.accounts(status).accounts
    return tuple(
        DestinationView(
            name=name,
            vendor=settings.vendor,
            paused=settings.paused,
            account=(account := next((one for one in shown if name in one.destinations), None)),
            lanes=tuple(lane for lane in lanes if lane.destination == name and not lane.ended),
            dead=tuple(group for group in groups if group.destination == name),
            troubles=tuple(one for one in (account.troubles if account else ()) if one.destination == name),
        )
        for name, settings in sorted(status.destinations.items())
    )


CALLS = (
    Call(
        "GET",
        "/destinations",
        "destinations",
        "Every destination: its account, its lanes, what was given up and what went wrong lately.",
        Destinations,
        list_destinations,
    ),
)
