"""Leases: one holder at a time, told apart by owner and token, watched by renewals."""

import asyncio

import pytest

from gateway.errors import JournalConflict
from gateway.journal.base import Journal
from gateway.model import Intent, Lease


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


def _intent(key: bytes, account: str = "acme", step: str = "upload", at_ms: int = 1) -> Intent:
    return Intent(key, account, "crm", "steps", step, "u-1", at_ms, ((1, 2, "order"),), b"payload")


async def test_an_intent_is_found_again(journal: Journal) -> None:
    lease = await journal.claim("acme", "me", None)
    assert lease is not None
    await journal.intend(lease, [_intent(b"b", at_ms=2), _intent(b"a"), _intent(b"c", account="other")])
    assert await journal.intents("acme") == (_intent(b"a"), _intent(b"b", at_ms=2))


async def test_an_intent_moves_on_by_its_key(journal: Journal) -> None:
    lease = await journal.claim("acme", "me", None)
    assert lease is not None
    await journal.intend(lease, [_intent(b"a")])
    await journal.intend(lease, [_intent(b"a", step="process")])
    assert [one.step for one in await journal.intents("acme")] == ["process"]


async def test_who_has_lost_the_lease_intends_nothing(journal: Journal) -> None:
    lease = await journal.claim("acme", "me", None)
    assert lease is not None
    await journal.claim("acme", "you", lease)
    with pytest.raises(JournalConflict):
        await journal.intend(lease, [_intent(b"a")])
    assert await journal.intents("acme") == ()
