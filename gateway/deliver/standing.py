"""How an account stands, as its dispatcher tells those who watch. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.deliver.account import Account
from gateway.deliver.drops import Drop
from gateway.deliver.gate import Standing
from gateway.deliver.lessons import Trouble
from gateway.deliver.queue import Now

TOLD = 100
"""Accounts that are told of, at most: those first that are not plainly open."""
DETAIL_CHARS = 160


class AccountStanding(Struct, frozen=True):
    """An account: what it is and why, when it is tried again (whole seconds since the epoch; 0: it is open), the
    requests a second that its limits allow, and those that it was found to take; the requests that are under way, and
    what went wrong lately, the newest first. `drops`: what the vendor took and dropped, where it tells; else why not
    (`drops_unknown`).
    """

    account: str
    standing: str
    reason: str = ""
    detail: str = ""
    opens_at_s: int = 0
    allowed_per_s: float | None = None
    found_per_s: float | None = None
    in_flight: int = 0
    troubles: tuple[Trouble, ...] = ()
    drops: tuple[Drop, ...] = ()
    drops_unknown: str = ""


def standing_of(account: Account, now: Now) -> AccountStanding:
    """How an account stands now."""
    gate = account.gate
    standing = gate.standing(now.s)
    is_open = standing is Standing.OPEN
    found = account.pace.found_per_s()
    return AccountStanding(
        account=account.name,
        standing=standing,
        reason="" if is_open or gate.why is None else gate.why,
        detail="" if is_open else gate.detail[:DETAIL_CHARS],
        opens_at_s=0 if gate.opens_s(now.s) <= now.s else round(now.ms / 1000 + gate.opens_s(now.s) - now.s),
        allowed_per_s=account.pace.rate_per_s(),
        found_per_s=None if found is None else float(f"{found:.2g}"),
        in_flight=account.in_flight,
        troubles=tuple(account.troubles),
        drops=tuple(account.drops.latest),
        drops_unknown=account.drops.unknown,
    )


def told(standings: Sequence[AccountStanding]) -> list[AccountStanding]:
    """Those that there is room to tell of."""
    return sorted(standings, key=lambda one: (one.standing == Standing.OPEN, one.account))[:TOLD]
