"""Who may serve an account: leases by renewal counts, judged on each process's own monotonic clock.

The holder renews every 2 s and plans no send when its last renewal is older than 8 s. Another takes over when it has
seen the count unchanged for 12 s. An owner that ran on this very machine and is gone is taken over at once.

Who has two accounts more than another dispatcher that lives lets one go, and then the next (`spread.py`).
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.deliver import tell
from gateway.deliver.lessons import without_pace
from gateway.deliver.spread import to_claim, to_give
from gateway.journal.base import Delivery
from gateway.model import Lease

RENEW_EVERY_S = 2.0
FRESH_S = 8.0
TAKE_OVER_S = 12.0
GIVE_EVERY_S = 4.0
"""Between two accounts that are let go of for somebody who has fewer."""
GRACE_S = 5.0
"""For so long a free account is left to whom it falls to; then anybody claims it."""
SOON_S = 0.01
PRESENCE = "@dispatcher-"
"""What the leases are called by which dispatchers know of each other: no account's name begins so."""


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


class _Seen(NamedTuple):
    """A row as it was seen last, since when it stands still, and whether its owner was ever seen to renew it."""

    row: Lease
    since_s: float
    moves: bool


class LeaseKeeper:
    """The leases of one process: those it holds, and those it watches.

    It holds one more, by which the others know that it lives though it may have no account. There are as many of these
    rows as dispatchers ever lived at once.
    """

    def __init__(self, delivery: Delivery, owner: str, clock: Clock) -> None:
        self._delivery = delivery
        self._owner = owner
        self._clock = clock
        self._held: dict[str, Lease] = {}
        self._renewed_s: dict[str, float] = {}
        self._seen: dict[str, _Seen] = {}
        self._free_since_s: dict[str, float] = {}
        self._leaving = ""
        self._left: set[str] = set()
        self._left_s = clock.monotonic_s()
        self._unwanted: set[str] = set()
        self._others: set[str] = set()
        self._one_at_a_time = asyncio.Lock()

    def held(self, account: str) -> Lease | None:
        """The lease on an account, if it is held and fresh enough to plan a send."""
        lease = self._held.get(account)
        if lease is None or self._clock.monotonic_s() - self._renewed_s[account] > FRESH_S:
            return None
        return lease

    def holds(self, account: str) -> bool:
        """Whether the lease was held when the journal was last asked."""
        return account in self._held

    def leaves(self, account: str) -> bool:
        """Whether the account is to be given up for somebody who has fewer."""
        return account == self._leaving

    def next_s(self) -> float:
        """For how long to wait until the next turn: it renews in time, and takes what stands still when it may."""
        now_s = self._clock.monotonic_s()
        due_s = [seen.since_s + TAKE_OVER_S + SOON_S - now_s for seen in self._seen.values() if seen.row.owner]
        return min([RENEW_EVERY_S, *(one for one in due_s if one > 0)])

    async def turn(self, accounts: Sequence[str]) -> None:
        """Renew what is held, claim a share of what is free or left behind, and choose what to leave to others.

        `accounts`: all that this process could serve, those first that are best left to others. Empty: it wants none.
        """
        async with self._one_at_a_time:
            await self._renew()
            rows = {lease.account: lease for lease in await self._delivery.leases()}
            self._watch(rows)
            if accounts:
                await self._be_there(rows)
                await self._share(accounts, rows)
            else:
                await self._let_go([name for name in self._held if name.startswith(PRESENCE)])

    async def release(self) -> None:
        """Let go of everything."""
        async with self._one_at_a_time:
            await self._let_go(list(self._held))

    async def give_up(self, account: str) -> None:
        """Let go of one account."""
        async with self._one_at_a_time:
            if self.leaves(account):
                self._left.add(account)
                self._left_s = self._clock.monotonic_s()
            await self._let_go([account])

    async def clear(self, account: str) -> bool:
        """See to it that nobody serves an account that was left behind, and let go of it; whether it was."""
        async with self._one_at_a_time:
            rows = {lease.account: lease for lease in await self._delivery.leases()}
            self._watch(rows)
            row = rows.get(account)
            if row is None or account in self._held or not self._is_free(row):
                return False
            await self._claim(account, row)
            await self._let_go([account])
            return True

    def note(self, account: str, text: str) -> None:
        """The next renewal tells this of the account to whoever comes next."""
        lease = self._held.get(account)
        if lease is not None:
            self._held[account] = replace(lease, note=text)

    def drop(self, account: str) -> None:
        """The journal says that the lease is another's."""
        self._held.pop(account, None)

    async def _let_go(self, names: Sequence[str]) -> None:
        leases = [lease for name in names if (lease := self._held.pop(name, None)) is not None]
        if leases:
            await self._delivery.renew(leases, release=True)

    async def _renew(self) -> None:
        if not self._held:
            return
        asked_s = self._clock.monotonic_s()
        still = {lease.account: lease for lease in await self._delivery.renew(tuple(self._held.values()))}
        for account in self._held.keys() - still.keys():
            if not account.startswith(PRESENCE):
                tell.lost(account)
        self._held = still
        self._renewed_s.update(dict.fromkeys(still, asked_s))

    async def _claim(self, account: str, row: Lease | None) -> None:
        asked_s = self._clock.monotonic_s()
        lease = await self._delivery.claim(account, self._owner, row)
        if lease is not None:
            was_let_go = row is None or not row.owner
            self._held[account] = lease if was_let_go else replace(lease, note=without_pace(lease.note))
            self._renewed_s[account] = asked_s

    # --- the others -------------------------------------------------------------------------------------------------

    def _watch(self, rows: Mapping[str, Lease]) -> None:
        """Since when each row stands still, by this process's own clock."""
        now_s = self._clock.monotonic_s()
        for name, row in rows.items():
            seen = self._seen.get(name)
            if seen is None or seen.row != row:
                moves = seen is not None and (seen.row.owner, seen.row.token) == (row.owner, row.token)
                self._seen[name] = _Seen(row, now_s, moves)

    def _is_free(self, row: Lease | None) -> bool:
        """Whether nobody holds it, or who did has not moved for long or is surely gone."""
        if row is None or not row.owner or is_gone(row.owner):
            return True
        return self._clock.monotonic_s() - self._seen[row.account].since_s >= TAKE_OVER_S

    def _living(self, rows: Mapping[str, Lease], *, surely: bool = False) -> set[str]:
        """The dispatchers that are there. Surely: a row that was left behind a moment ago does not pass for one."""
        present = [row for name, row in rows.items() if name.startswith(PRESENCE) and not self._is_free(row)]
        return {self._owner, *(row.owner for row in present if self._seen[row.account].moves or not surely)}

    async def _be_there(self, rows: Mapping[str, Lease]) -> None:
        """Hold a lease of presence: the first that nobody needs, or a new one where all others are surely needed."""
        if any(name.startswith(PRESENCE) for name in self._held):
            return
        known = sorted(name for name in rows if name.startswith(PRESENCE))
        unused = [name for name in known if rows[name].owner == self._owner or self._is_free(rows[name])]
        if unused:
            await self._claim(unused[0], rows[unused[0]])
        elif all(self._seen[name].moves for name in known):
            await self._claim(f"{PRESENCE}{len(known) + 1:04}", None)

    # --- an even share ----------------------------------------------------------------------------------------------

    async def _share(self, accounts: Sequence[str], rows: Mapping[str, Lease]) -> None:
        now_s = self._clock.monotonic_s()
        free = [name for name in accounts if name not in self._held and self._is_free(rows.get(name))]
        self._free_since_s = {name: self._free_since_s.get(name, now_s) for name in free}
        fall_to_me = to_claim(self._owner, self._living(rows), self._holders(rows), free)
        for name in free:
            if name in fall_to_me or now_s - self._free_since_s[name] >= GRACE_S:
                await self._claim(name, rows.get(name))
                if name in self._left and name not in fall_to_me:
                    self._unwanted.add(name)
        self._leave(accounts, rows, [name for name in free if name not in self._held])

    def _leave(self, accounts: Sequence[str], rows: Mapping[str, Lease], free: Sequence[str]) -> None:
        """Choose the next account to be given up, if there is one too many. What nobody took is kept, until there are
        others than there were.
        """
        living = self._living(rows, surely=True)
        if living != self._others:
            self._others = living
            self._unwanted.clear()
        self._left &= set(free)
        if self._leaving in self._held:
            return
        self._leaving = ""
        if self._clock.monotonic_s() - self._left_s < GIVE_EVERY_S:
            return
        if to_give(self._owner, living, self._holders(rows), free):
            mine = (name for name in accounts if name in self._held and name not in self._unwanted)
            self._leaving = next(mine, "")

    def _holders(self, rows: Mapping[str, Lease]) -> dict[str, str]:
        """Who holds each account."""
        held = {name: row.owner for name, row in rows.items() if not self._is_free(row)}
        held |= dict.fromkeys(self._held, self._owner)
        return {name: owner for name, owner in held.items() if not name.startswith(PRESENCE)}
