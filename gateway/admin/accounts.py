"""How accounts stand, as operators read it: the shape that the API and the pages share."""

from msgspec import Struct

from gateway.admin.status import Status
from gateway.admin.views import moment
from gateway.deliver.standing import AccountStanding


class TroubleView(Struct, frozen=True):
    """A batch that did not go through, or not all of it."""

    at: str
    destination: str
    reason: str
    detail: str


class DropView(Struct, frozen=True):
    """Records, at least so many, that the vendor took and dropped later, for one reason."""

    at: str
    count: int
    detail: str


class AccountView(Struct, frozen=True):
    """What limits count over: its destinations, how it stands and why, when it is tried again (`opens_at`), requests a
    second that its limits allow or that it was found to take, requests under way, and what went wrong lately, the
    newest first. `drops`: what the vendor took and dropped later, where it tells; `drops_unknown`: why it does not.
    `standing` is empty where another replica serves it.
    """

    account: str
    destinations: tuple[str, ...]
    standing: str
    reason: str
    detail: str
    opens_at: str | None
    allowed_per_s: float | None
    found_per_s: float | None
    in_flight: int
    troubles: tuple[TroubleView, ...]
    drops: tuple[DropView, ...]
    drops_unknown: str


class Accounts(Struct, frozen=True):
    """Every account."""

    accounts: tuple[AccountView, ...]


def accounts(status: Status) -> Accounts:
    """The accounts of the configuration, those first that are not plainly open."""
    known = {one.account: one for one in status.standings}
    found = (_account(name, names, known.get(name)) for name, names in status.accounts.items())
    return Accounts(tuple(sorted(found, key=lambda one: (one.standing in ("", "open"), one.account))))


def _account(name: str, destinations: tuple[str, ...], told: AccountStanding | None) -> AccountView:
    one = told or AccountStanding(name, "")
    return AccountView(
        account=name,
        destinations=destinations,
        standing=one.standing,
        reason=one.reason,
        detail=one.detail,
        opens_at=moment(one.opens_at_s * 1000) if one.opens_at_s else None,
        allowed_per_s=one.allowed_per_s,
        found_per_s=one.found_per_s,
        in_flight=one.in_flight,
        troubles=tuple(TroubleView(moment(t.at_s * 1000), t.destination, t.reason, t.detail) for t in one.troubles),
        drops=tuple(DropView(moment(drop.at_s * 1000), drop.count, drop.detail) for drop in one.drops),
        drops_unknown=one.drops_unknown,
    )
