"""Who may serve an account: leases by renewal counts, judged on each process's own monotonic clock.

The holder renews every 2 s and plans no send when its last renewal is older than 8 s. Another takes over when it has
seen the count unchanged for 12 s. An owner that ran on this very machine and is gone is taken over at once.
"""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gateway.clock import Clock
from gateway.journal.base import Delivery
from gateway.model import Lease

RENEW_EVERY_S = 2.0
FRESH_S = 8.0
TAKE_OVER_S = 12.0


def this_owner() -> str:
    """The name of this process, by which others on the machine can tell whether it lives."""
    return f"{_place()}:{os.getpid()}:{_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether the owner surely no longer lives: it ran here, and its process is not there any more."""
    place, _, process = owner.partition(":")
    pid, _, started = process.partition(":")
    if place != _place() or not pid.isdecimal() or not started:
        return False
    return _started(int(pid)) != started


@cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}".replace(":", "=")
    except OSError:
        return f"unknown-{os.getpid()}"


def _started(pid: int) -> str:
    """When a process began, in ticks since boot; empty when there is none (or it only waits to be reaped)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


class LeaseKeeper:
    """The leases of one process: those it holds, and those it watches."""

    def __init__(self, delivery: Delivery, owner: str, clock: Clock) -> None:
        self._delivery = delivery
        self._owner = owner
        self._clock = clock
        self._held: dict[str, Lease] = {}
        self._renewed_s: dict[str, float] = {}
        self._seen: dict[str, tuple[Lease, float]] = {}

    def held(self, account: str) -> Lease | None:
        """The lease on an account, if it is held and fresh enough to plan a send."""
        lease = self._held.get(account)
        if lease is None or self._clock.monotonic_s() - self._renewed_s[account] > FRESH_S:
            return None
        return lease

    def holds(self, account: str) -> bool:
        """Whether the lease was held when the journal was last asked."""
        return account in self._held

    async def turn(self, accounts: Sequence[str]) -> None:
        """Renew what is held, and claim what is free or left behind."""
        await self._renew()
        rows = {lease.account: lease for lease in await self._delivery.leases()}
        for account in accounts:
            if account not in self._held and self._free(account, rows.get(account)):
                await self._claim(account, rows.get(account))

    async def release(self) -> None:
        """Let go of everything."""
        held = tuple(self._held.values())
        self._held.clear()
        if held:
            await self._delivery.renew(held, release=True)

    async def give_up(self, account: str) -> None:
        """Let go of one account."""
        lease = self._held.pop(account, None)
        if lease is not None:
            await self._delivery.renew((lease,), release=True)

    def drop(self, account: str) -> None:
        """The journal says that the lease is another's."""
        self._held.pop(account, None)

    async def _renew(self) -> None:
        if not self._held:
            return
        asked_s = self._clock.monotonic_s()
        still = {lease.account: lease for lease in await self._delivery.renew(tuple(self._held.values()))}
        self._held = still
        self._renewed_s.update(dict.fromkeys(still, asked_s))

    def _free(self, account: str, row: Lease | None) -> bool:
        if row is None or not row.owner or is_gone(row.owner):
            return True
        now_s = self._clock.monotonic_s()
        seen, since_s = self._seen.get(account, (None, now_s))
        if seen != row:
            self._seen[account] = (row, now_s)
            return False
        return now_s - since_s >= TAKE_OVER_S

    async def _claim(self, account: str, row: Lease | None) -> None:
        asked_s = self._clock.monotonic_s()
        lease = await self._delivery.claim(account, self._owner, row)
        if lease is not None:
            self._held[account] = lease
            self._renewed_s[account] = asked_s
            self._seen.pop(account, None)
