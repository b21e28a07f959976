"""Leases: one holder at a time, told apart by owner and token, watched by renewals."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gateway.errors import JournalConflict
from gateway.journal.base import Journal
from gateway.model import Intent, Lease
from tests.journal.making import Lanehand, accept


async def test_a_free_account_is_claimed(journal: Journal) -> None:
    assert await journal.claim("acme", "me", None) == Lease("acme", "me", 1, 0)
    assert await journal.leases() == (Lease("acme", "me", 1, 0),)


async def test_a_held_lease_is_not_taken_by_who_has_not_seen_it(journal: Journal) -> None:
    await journal.claim("acme", "me", None)
    assert await journal.claim("acme", "you", None) is None
    assert await journal.claim("acme", "you", Lease("acme", "me", 0, 0)) is None


async def test_a_lease_that_stands_still_is_taken_with_a_higher_token(journal: Journal) -> None:
    seen = await journal.claim("acme", "me", None)
    taken = await journal.claim("acme", "you", seen)
    assert taken is not None
    assert (taken.owner, taken.token) == ("you", 2)


async def test_a_lease_renewed_meanwhile_is_not_taken(journal: Journal) -> None:
    seen = await journal.claim("acme", "me", None)
    assert seen is not None
    (renewed,) = await journal.renew([seen])
    assert renewed.renewals == seen.renewals + 1
    assert await journal.claim("acme", "you", seen) is None
    assert await journal.claim("acme", "you", renewed) is not None


async def test_a_released_lease_is_free_at_once(journal: Journal) -> None:
    held = await journal.claim("acme", "me", None)
    assert held is not None
    (released,) = await journal.renew([held], release=True)
    assert released.owner == ""
    taken = await journal.claim("acme", "you", None)
    assert taken is not None
    assert taken.token == held.token + 1


async def test_what_is_noted_of_an_account_is_told_to_who_comes_next(journal: Journal) -> None:
    held = await journal.claim("acme", "me", None)
    assert held is not None
    assert held.note == ""
    (renewed,) = await journal.renew([replace(held, note='{"a": 1}')])
    assert renewed.note == '{"a": 1}'
    assert await journal.leases() == (renewed,)
    taken = await journal.claim("acme", "you", renewed)
    assert taken == Lease("acme", "you", 2, 0, '{"a": 1}')
    assert await journal.renew([replace(held, note="late")]) == ()
    (released,) = await journal.renew([replace(taken, note="")], release=True)
    assert (released.owner, released.note) == ("", "")


async def test_a_lost_lease_is_neither_renewed_nor_released(journal: Journal) -> None:
    mine = await journal.claim("acme", "me", None)
    assert mine is not None
    other = await journal.claim("acme", "you", mine)
    assert await journal.renew([mine]) == ()
    assert await journal.renew([mine], release=True) == ()
    assert await journal.leases() == (other,)


async def test_only_what_is_still_held_comes_back_from_a_renewal(journal: Journal) -> None:
    one, two = await journal.claim("one", "me", None), await journal.claim("two", "me", None)
    assert one is not None
    assert two is not None
    await journal.claim("one", "you", one)
    assert [lease.account for lease in await journal.renew([one, two])] == ["two"]


async def test_of_many_claims_one_succeeds(journal: Journal) -> None:
    claims = await asyncio.gather(*(journal.claim("acme", f"owner-{number}", None) for number in range(20)))
    assert sum(one is not None for one in claims) == 1


def _intent(
    key: bytes, account: str = "acme", step: str = "upload", at_ms: int = 1, lanes: Sequence[int] = (1,)
) -> Intent:
    members = tuple((lane, 2, "order") for lane in lanes)
    return Intent(key, account, "crm", "steps", step, "u-1", at_ms, members, b"payload")


async def test_an_intent_is_found_by_the_lanes_of_its_members_whatever_their_account(journal: Journal) -> None:
    lease = await journal.claim("acme", "me", None)
    assert lease is not None
    one, two, both = _intent(b"a"), _intent(b"b", "other", at_ms=2, lanes=[2]), _intent(b"c", at_ms=3, lanes=[2, 1, 1])
    await journal.intend(lease, [two, one, both])
    assert await journal.intents([1]) == (one, both)
    assert await journal.intents([2, 7]) == (two, both)
    assert await journal.intents([1, 2]) == (one, two, both)
    assert await journal.intents([7]) == ()
    assert await journal.intents([]) == ()


async def test_an_intent_moves_on_by_its_key(journal: Journal) -> None:
    lease = await journal.claim("acme", "me", None)
    assert lease is not None
    await journal.intend(lease, [_intent(b"a")])
    await journal.intend(lease, [_intent(b"a", step="process")])
    assert [one.step for one in await journal.intents([1])] == ["process"]


async def test_who_has_lost_the_lease_intends_nothing(journal: Journal) -> None:
    lease = await journal.claim("acme", "me", None)
    assert lease is not None
    await journal.claim("acme", "you", lease)
    with pytest.raises(JournalConflict):
        await journal.intend(lease, [_intent(b"a")])
    assert await journal.intents([1]) == ()


# --- whose lane it is ------------------------------------------------------------------------------------------------


async def _two(journal: Journal) -> tuple[Lanehand, Lease, Lease]:
    """A lane, and two accounts: the one that it had, and the one that it has from now on."""
    hand = await Lanehand.on(journal)
    after = await journal.claim("after", "you", None)
    assert after is not None
    return hand, hand.lease, after


async def _held(journal: Journal, lease: Lease, lanes: Sequence[int]) -> tuple[int, ...]:
    """The lanes that are the account's: as the journal gives them, so they stand."""
    held = await journal.hold(lease, lanes)
    assert [one for one in await journal.lanes() if one.account == lease.account] == list(held)
    return tuple(lane.id for lane in held)


async def test_a_lane_is_one_accounts_at_a_time(journal: Journal) -> None:
    hand, before, after = await _two(journal)
    assert await _held(journal, before, [hand.lane.id]) == (hand.lane.id,)
    assert await _held(journal, before, [hand.lane.id]) == (hand.lane.id,)
    assert await _held(journal, after, [hand.lane.id]) == ()


async def test_a_lane_that_its_account_holds_no_longer_is_free_and_that_is_heard_of(journal: Journal) -> None:
    hand, before, after = await _two(journal)
    await journal.hold(before, [hand.lane.id])
    seen = await journal.head()
    assert await _held(journal, before, []) == ()
    assert (await journal.head()).operations > seen.operations
    assert await _held(journal, after, [hand.lane.id]) == (hand.lane.id,)
    assert await _held(journal, before, [hand.lane.id]) == ()


async def test_a_lane_whose_accounts_lease_is_free_goes_over(journal: Journal) -> None:
    hand, before, after = await _two(journal)
    await journal.hold(before, [hand.lane.id])
    await journal.renew([before], release=True)
    assert await _held(journal, after, [hand.lane.id]) == (hand.lane.id,)


async def test_holding_what_is_held_already_changes_nothing(journal: Journal) -> None:
    hand, before, _ = await _two(journal)
    await journal.hold(before, [hand.lane.id])
    seen, lane = await journal.head(), await hand.seen()
    await journal.hold(before, [hand.lane.id])
    assert (await journal.head(), await hand.seen()) == (seen, lane)


async def test_who_has_lost_the_lease_holds_no_lane(journal: Journal) -> None:
    hand, before, _ = await _two(journal)
    await journal.claim(before.account, "you", before)
    with pytest.raises(JournalConflict):
        await journal.hold(before, [hand.lane.id])


async def test_a_lane_that_is_anothers_is_not_settled(journal: Journal) -> None:
    hand, before, after = await _two(journal)
    await accept(journal, 2)
    await journal.hold(before, [hand.lane.id])
    await hand.deliver(1, 1)
    await journal.hold(before, [])
    assert await _held(journal, after, [hand.lane.id]) == (hand.lane.id,)
    with pytest.raises(JournalConflict):
        await hand.deliver(2, 2)
    later = Lanehand(journal, await hand.seen(), after)
    assert (await later.deliver(2, 2)).cursor == 2
