"""Accounts are shared out evenly over the dispatchers that live, and seldom move: the plan, and who holds what over
random histories of dispatchers that join, stop, freeze and die.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.deliver.lease import GIVE_EVERY_S, GRACE_S, PRESENCE, RENEW_EVERY_S, TAKE_OVER_S, LeaseKeeper
from gateway.deliver.spread import to_claim, to_give
from gateway.journal.base import Journal
from tests.journal.engines import ENGINES
from tests.journal.making import opened

ACCOUNTS = [f"account-{n}" for n in range(7)]


# --- the plan --------------------------------------------------------------------------------------------------------


def test_who_is_alone_claims_everything() -> None:
    assert to_claim("a", {"a"}, {}, ACCOUNTS) == ACCOUNTS
    assert to_give("a", {"a"}, dict.fromkeys(ACCOUNTS, "a"), []) == 0


def test_a_newcomer_is_given_its_share_by_those_that_have_most() -> None:
    held = dict.fromkeys(ACCOUNTS[:4], "a") | dict.fromkeys(ACCOUNTS[4:], "b")
    assert [to_give(one, {"a", "b", "c"}, held, []) for one in "abc"] == [1, 1, 0]


def test_one_more_than_another_is_even() -> None:
    held = dict.fromkeys(ACCOUNTS[:4], "a") | dict.fromkeys(ACCOUNTS[4:], "b")
    assert to_give("a", {"a", "b"}, held, []) == 0


def test_what_the_dead_hold_counts_for_nobody() -> None:
    held = dict.fromkeys(ACCOUNTS[:5], "dead") | {"account-5": "a"}
    assert to_give("a", {"a", "b"}, held, []) == 0
    assert to_claim("b", {"a", "b"}, held, ["account-6"]) == ["account-6"]


def test_every_free_account_falls_to_one_and_no_more_is_given_than_it_takes() -> None:
    for seed in range(300):
        _even(random.Random(seed))


def _even(rng: random.Random) -> None:
    owners = [f"owner-{n}" for n in range(rng.randint(1, 6))]
    accounts = [f"account-{n}" for n in range(rng.randint(0, 30))]
    held = {one: rng.choice([*owners, "dead", ""]) for one in accounts}
    free = [one for one, owner in held.items() if not owner]
    claims = {one: to_claim(one, owners, held, free) for one in owners}
    assert sorted(account for wanted in claims.values() for account in wanted) == sorted(free)
    held |= {account: owner for owner, wanted in claims.items() for account in wanted}
    gives = {one: to_give(one, owners, held, []) for one in owners}
    counts = {one: sum(owner == one for owner in held.values()) for one in owners}
    left = {one: counts[one] - gives[one] for one in owners}
    low, rest = divmod(sum(counts.values()), len(owners))
    high = low + bool(rest)
    assert max(left.values()) <= high
    too_many = sum(max(0, count - high) for count in counts.values())
    too_few = sum(max(0, low - count) for count in counts.values())
    assert sum(gives.values()) == max(too_many, too_few)


# --- over a journal --------------------------------------------------------------------------------------------------


@pytest.fixture(params=sorted(ENGINES))
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    async with opened(ENGINES[request.param](tmp_path)) as one:
        yield one


class Watch:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def monotonic_s(self) -> float:
        return self.at_s

    def now_ms(self) -> int:
        raise AssertionError("leases know no times of day")

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"a lease keeper sleeps {seconds} s")


class House:
    """Lease keepers over one journal, as their dispatchers turn them. Each sees its turns at moments of its own."""

    def __init__(self, journal: Journal, accounts: list[str]) -> None:
        self.journal = journal
        self.accounts = accounts
        self.clock = Watch()
        self.keepers: dict[str, LeaseKeeper] = {}
        self.next_s: dict[str, float] = {}
        self.known: dict[str, list[str]] = {}
        self.moves: Counter[str] = Counter()
        self._last: dict[str, str] = {}
        self._born = 0

    def join(self, *accounts: str, after_s: float = 0.0) -> str:
        self._born += 1
        name = f"owner-{self._born:03}"
        self.keepers[name] = LeaseKeeper(self.journal, name, self.clock)
        self.next_s[name] = self.clock.at_s + after_s
        self.known[name] = list(accounts) or self.accounts
        return name

    def crash(self, name: str) -> None:
        del self.keepers[name]

    def freeze(self, name: str, seconds: float) -> None:
        """It has no turns for a while, and does not know it."""
        self.next_s[name] = self.clock.at_s + seconds

    async def stop(self, name: str) -> None:
        await self.keepers.pop(name).release()

    async def run(self, seconds: float) -> None:
        """Time passes: whose turn it is has it. What is to be given up is, as by a dispatcher that has settled."""
        until_s = self.clock.at_s + seconds
        while self.keepers:
            name = min(self.keepers, key=lambda one: self.next_s[one])
            if self.next_s[name] > until_s:
                break
            self.clock.at_s = max(self.clock.at_s, self.next_s[name])
            await self._turn(name)
            self.look()
        self.clock.at_s = until_s

    async def _turn(self, name: str) -> None:
        keeper = self.keepers[name]
        await keeper.turn(self.known[name])
        for account in self.known[name]:
            if keeper.leaves(account):
                await keeper.give_up(account)
        self.next_s[name] = self.clock.at_s + keeper.next_s()

    def look(self) -> None:
        """Nobody who lives holds what another holds; how often each account has moved."""
        for account in self.accounts:
            holders = [name for name, keeper in self.keepers.items() if keeper.held(account) is not None]
            assert len(holders) <= 1, f"{account} is held by {holders}"
            for holder in holders:
                self.moves[account] += self._last.get(account, holder) != holder
                self._last[account] = holder

    def shares(self) -> list[int]:
        """How many accounts each that lives holds."""
        return [sum(keeper.held(one) is not None for one in self.accounts) for keeper in self.keepers.values()]

    def even(self) -> bool:
        shares = self.shares()
        return sum(shares) == len(self.accounts) and max(shares) - min(shares) <= 1


async def test_a_newcomer_gets_its_share_one_account_after_the_other(journal: Journal) -> None:
    house = House(journal, ACCOUNTS)
    house.join()
    await house.run(1)
    assert house.shares() == [7]
    house.join()
    seen = []
    for _ in range(10):
        await house.run(GIVE_EVERY_S)
        seen.append(tuple(house.shares()))
    assert seen[-1] == (4, 3)
    assert all(later[1] - earlier[1] <= 1 for earlier, later in pairwise(seen))
    assert sum(house.moves.values()) == 3


async def test_who_stood_still_for_too_long_says_which_accounts_it_has_lost(journal: Journal) -> None:
    house = House(journal, ACCOUNTS[:1])
    frozen = house.join()
    await house.run(10)
    house.join()
    house.freeze(frozen, TAKE_OVER_S + 10)
    with capture_logs() as lines:
        await house.run(TAKE_OVER_S + GRACE_S + 20)

    assert [one["account"] for one in lines if one["event"] == "lease.lost"] == ACCOUNTS[:1]


async def test_what_is_even_stays_where_it_is(journal: Journal) -> None:
    house = House(journal, ACCOUNTS)
    house.join()
    house.join(after_s=0.7)
    house.join(after_s=1.1)
    await house.run(60)
    assert house.even()
    before = house.moves.copy()
    await house.run(200)
    assert house.moves == before


async def test_who_dies_is_replaced_within_fifteen_seconds_and_who_stops_at_once(journal: Journal) -> None:
    house = House(journal, ACCOUNTS)
    first, second, _ = house.join(), house.join(after_s=0.9), house.join(after_s=1.9)
    await house.run(60)
    house.crash(first)
    await house.run(TAKE_OVER_S + RENEW_EVERY_S + 0.5)
    assert house.even()
    await house.stop(second)
    await house.run(RENEW_EVERY_S + 0.1)
    assert house.even()


async def test_what_nobody_else_knows_is_left_once_and_then_kept(journal: Journal) -> None:
    """During a roll-out one dispatcher may know accounts that another does not."""
    house = House(journal, ["new-1", "new-2", "old"])
    house.join("new-1", "new-2", "old")
    await house.run(10)
    house.join("old")
    await house.run(60)
    assert house.shares() == [2, 1]
    await house.run(200)
    assert house.shares() == [2, 1]
    tokens = {lease.account: lease.token for lease in await journal.leases() if not lease.account.startswith(PRESENCE)}
    assert max(tokens.values()) <= 2


async def test_rows_of_presence_are_used_again(journal: Journal) -> None:
    house = House(journal, ACCOUNTS[:2])
    for _ in range(6):
        one, other = house.join(), house.join()
        await house.run(20)
        house.crash(one)
        await house.stop(other)
    rows = [lease.account for lease in await journal.leases() if lease.account.startswith(PRESENCE)]
    assert len(rows) == 2


async def _random(journal: Journal, seed: int) -> None:
    """Dispatchers join, stop, freeze and die at random; left in peace, the accounts are even, and have not moved more
    often than that takes.
    """
    rng = random.Random(seed)
    house = House(journal, ACCOUNTS[: rng.randint(1, 7)])
    house.join()
    changes = 0
    for _ in range(rng.randint(3, 10)):
        what = rng.choice(["join", "join", "stop", "crash", "freeze"])
        changes += 1
        if what == "join" and len(house.keepers) < 5:
            house.join(after_s=rng.uniform(0, 2))
        elif len(house.keepers) > 1:
            name = rng.choice(sorted(house.keepers))
            if what == "freeze":
                house.freeze(name, rng.choice([5.0, 9.0, 13.0, 20.0]))
            elif what == "stop":
                await house.stop(name)
            else:
                house.crash(name)
        await house.run(rng.choice([0.5, 3.0, 11.0, 13.0, 30.0]))
    await house.run(TAKE_OVER_S + GRACE_S + (len(house.accounts) + 2) * (GIVE_EVERY_S + RENEW_EVERY_S))
    assert house.even(), house.shares()
    assert sum(house.moves.values()) <= changes * (len(house.accounts) + 1) + 2
    before = house.moves.copy()
    await house.run(120)
    assert house.moves == before


async def test_over_random_histories_nobody_holds_what_another_holds_and_all_end_even(
    journal: Journal, request: pytest.FixtureRequest
) -> None:
    in_memory = "memory" in request.node.name
    for seed in range(40 if in_memory else 2):
        await journal.renew(await journal.leases(), release=True)
        await _random(journal, seed)
