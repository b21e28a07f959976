"""Identities on PostgreSQL: buckets that have had their time are told from filters, and nothing is told wrongly."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.journal.memory import MemoryJournal
from gateway.journal.postgres import PostgresJournal
from gateway.journal.postgres.filters import Bucket, Hints
from gateway.model import Offer
from tests.journal import databases
from tests.journal.databases import EmptyPostgres
from tests.journal.making import DAY_MS, NOW_MS, accept, group, keep_all, offer, opened, rules
from tests.receive.knock import until

HOUR_MS = 3_600_000
WINDOW_MS = 6 * HOUR_MS
"""A bucket takes half of it."""


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[PostgresJournal]:
    async with opened(EmptyPostgres(tmp_path)) as one:
        assert isinstance(one, PostgresJournal)
        yield one


@pytest.fixture
async def session(journal: PostgresJournal) -> AsyncIterator[Any]:
    await journal.head()
    connection = await asyncpg.connect(databases.url())
    yield connection
    await connection.close()


async def _ready(journal: PostgresJournal) -> None:
    """Every filter is there that is to come."""
    reading = journal._filters._reading
    if reading is not None:
        await asyncio.wait((reading,))


def _kin(number: int) -> bytes:
    """An identity that has the page and the mark of three others."""
    return (number // 4).to_bytes(5, "big") + number.to_bytes(11, "big")


def _offers(rng: random.Random, at_ms: int) -> list[Offer]:
    return [
        offer(
            source=rng.choice(("shop", "erp")),
            identity=rng.choice((None, _kin(rng.randrange(60)), _kin(rng.randrange(60)))),
            identity_window_ms=rng.choice((WINDOW_MS, WINDOW_MS, 2 * HOUR_MS)),
            received_at_ms=at_ms + rng.randrange(-1000, 1000),
        )
        for _ in range(rng.randint(1, 8))
    ]


@pytest.mark.parametrize("seed", range(2))
async def test_replicas_with_filters_and_without_recognise_what_the_reference_does(
    journal: PostgresJournal, seed: int
) -> None:
    rng = random.Random(seed)
    async with opened(PostgresJournal(databases.url())) as other, opened(MemoryJournal()) as reference:
        most = 0
        for step in range(40):
            if rng.random() < 0.5:
                await _ready(journal)
            most = max(most, len(journal._filters._in_use))
            one = group(*_offers(rng, NOW_MS + step * HOUR_MS // 2))
            expected = await reference.append(one)
            assert await rng.choice((journal, journal, other)).append(one) == expected
            if rng.random() < 0.1:
                journal._filters.doubt()
            if rng.random() < 0.2:
                await keep_all(journal, rules(NOW_MS + step * HOUR_MS // 2, identities_ms=WINDOW_MS))
        assert most > 1, "there were filters"


async def test_a_bucket_that_has_had_its_time_is_asked_only_for_what_it_may_hold(
    journal: PostgresJournal, session: Any
) -> None:
    old, young = ([_scattered(n, at_ms) for n in range(100)] for at_ms in (NOW_MS, NOW_MS + 4 * DAY_MS))
    receipts = await journal.append(group(*old[:50]))
    await journal.append(group(_scattered(-1, NOW_MS + 4 * DAY_MS)))
    await _ready(journal)
    await session.execute("ALTER TABLE gateway.identities_1 RENAME TO hidden")
    await journal.append(group(*young[50:]))
    async with opened(PostgresJournal(databases.url())) as other:
        for one, what in ((journal, young[0]), (other, _scattered(101, NOW_MS))):
            with pytest.raises(asyncpg.UndefinedTableError):
                await one.append(group(what))
    await session.execute("ALTER TABLE gateway.hidden RENAME TO identities_1")
    assert [one.id for one in await journal.append(group(*young[:50]))] == [one.id for one in receipts]


def _scattered(number: int, at_ms: int) -> Offer:
    """An offer whose identity is like no other's."""
    return offer(identity=random.Random(number).randbytes(16), received_at_ms=at_ms)


async def test_a_bucket_takes_a_million_seqs_at_most(journal: PostgresJournal, session: Any) -> None:
    (first,) = await journal.append(group(offer("a")))
    await session.execute("UPDATE gateway.identity_buckets SET from_seq = from_seq - 1048575")
    await journal.append(group(offer("b")))
    assert await session.fetchval("SELECT count(*) FROM gateway.identity_buckets") == 2
    assert await session.fetchval("SELECT count(*) FROM gateway.identities_2") == 1
    await _ready(journal)
    receipts = await journal.append(group(offer("a"), offer("b"), offer("c")))
    assert [one.duplicate for one in receipts] == [True, True, False]
    assert receipts[0].id == first.id


async def test_the_next_bucket_waits_for_nobody_who_reads_the_view_of_the_newest(
    journal: PostgresJournal, session: Any
) -> None:
    (first,) = await journal.append(group(offer("a")))
    await session.execute("UPDATE gateway.identity_buckets SET from_seq = from_seq - 1048576")
    reader = session.transaction()
    await reader.start()
    await session.fetch("SELECT * FROM gateway.newest_identities")
    async with asyncio.timeout(1):
        receipts = await journal.append(group(offer("a"), offer("b")))
    assert [one.duplicate for one in receipts] == [True, False]
    assert await session.fetchval("SELECT count(*) FROM gateway.identity_buckets") == 1
    await reader.rollback()
    again = await journal.append(group(offer("a"), offer("b"), offer("c")))
    assert [one.id for one in again[:2]] == [first.id, receipts[1].id]
    assert await session.fetchval("SELECT count(*) FROM gateway.newest_identities") == 1
    assert await session.fetchval("SELECT until_ms IS NOT NULL FROM gateway.identity_buckets WHERE id = 1")


async def test_a_dump_does_not_hold_up_the_next_bucket(journal: PostgresJournal, session: Any) -> None:
    await journal.append(group(offer("a")))
    await session.execute("UPDATE gateway.identity_buckets SET from_seq = from_seq - 1048576")
    dump = session.transaction()
    await dump.start()
    await session.execute("LOCK TABLE gateway.identities_1, gateway.identity_buckets IN ACCESS SHARE MODE")
    assert "identities_1" in await session.fetchval("SELECT pg_get_viewdef('gateway.newest_identities'::regclass)")
    async with asyncio.timeout(1):
        await journal.append(group(offer("b")))
    assert await session.fetchval("SELECT count(*) FROM gateway.identity_buckets") == 2
    await dump.rollback()


async def test_replicas_write_to_the_bucket_that_another_has_begun(journal: PostgresJournal, session: Any) -> None:
    """A connection keeps the plans of what it sends: they follow the view."""
    async with opened(PostgresJournal(databases.url())) as other:
        for number, one in enumerate((journal, other, journal, other)):
            await one.append(group(offer(f"{number}")))
            await session.execute("UPDATE gateway.identity_buckets SET from_seq = from_seq - 1048576")
            assert await session.fetchval("SELECT count(*) FROM gateway.newest_identities") == 1
            assert await session.fetchval("SELECT count(*) FROM gateway.identity_buckets") == number + 1
        receipts = await other.append(group(*(offer(f"{number}") for number in range(5))))
    assert [one.duplicate for one in receipts] == [True] * 4 + [False]


async def test_a_database_that_was_away_is_asked_again_what_its_buckets_are(
    journal: PostgresJournal, session: Any
) -> None:
    """What comes back may be a backup, whose first bucket went on in another way."""
    later = NOW_MS + 4 * DAY_MS
    await journal.append(group(_scattered(1, NOW_MS)))
    await journal.append(group(_scattered(2, later)))
    await _ready(journal)
    await session.execute("UPDATE gateway.identity_buckets SET until_ms = until_ms + 1 WHERE id = 1")
    await session.execute(
        "INSERT INTO gateway.identities_1 (hash, source_id, seq, tail, at_ms)"
        " SELECT $1, source_id, seq, tail, at_ms FROM gateway.identities_1",
        _scattered(3, later).identity,
    )
    await session.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await until(lambda: all(one.is_closed() for _, one in journal._db._idle))
    for _ in range(2):
        (receipt,) = await journal.append(group(_scattered(3, later)))
        assert receipt.duplicate
        await _ready(journal)


async def test_marks_of_buckets_that_are_gone_are_let_go(journal: PostgresJournal) -> None:
    for step in range(6):
        await journal.append(
            group(*(offer(f"{step}-{n}", received_at_ms=NOW_MS + step * 4 * DAY_MS) for n in range(50)))
        )
        await _ready(journal)
    assert _marks(journal) == 5 * 50
    await keep_all(journal, rules(NOW_MS + 20 * DAY_MS, identities_ms=7 * DAY_MS))
    await journal.append(group(offer("last", received_at_ms=NOW_MS + 24 * DAY_MS)))
    await _ready(journal)
    left = await _closed(journal)
    assert 0 < left < 5
    assert _marks(journal) == left * 50
    assert _bits(journal) <= _marks(journal) * 2


async def test_an_identity_is_recognised_whatever_else_was_let_go(journal: PostgresJournal) -> None:
    ids: list[str] = []
    for step in range(8):
        at_ms = NOW_MS + step * 4 * DAY_MS
        others = (_scattered(step * 50 + n, at_ms) for n in range(50))
        (first, *_) = await journal.append(group(offer(f"told-{step}", received_at_ms=at_ms), *others))
        await _ready(journal)
        await keep_all(journal, rules(at_ms, identities_ms=7 * DAY_MS))
        for before in ids[-1:]:
            (again,) = await journal.append(group(offer(f"told-{step - 1}", received_at_ms=at_ms)))
            assert (again.duplicate, again.id) == (True, before)
        ids.append(first.id)


async def test_marks_are_read_while_groups_follow_each_other_without_a_pause(journal: PostgresJournal) -> None:
    for number in range(100):
        at_ms = NOW_MS + (number > 10) * 4 * DAY_MS
        await journal.append(group(_scattered(number, at_ms)))
    assert len(journal._filters._in_use) == 1


async def test_marks_that_could_not_be_read_are_read_later(
    journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.journal.postgres.filters.AGAIN_S", 0.05)
    await journal.append(group(_scattered(0, NOW_MS)))
    await _ready(journal)
    journal._desk._closed = True
    for number in range(1, 4):
        await journal.append(group(_scattered(number, NOW_MS + 4 * DAY_MS)))
    await _ready(journal)
    journal._desk._closed = False
    await journal.append(group(_scattered(4, NOW_MS + 4 * DAY_MS)))
    await _ready(journal)
    assert len(journal._filters._in_use) == 1


async def test_while_a_bucket_is_read_the_others_are_not_asked(journal: PostgresJournal) -> None:
    for step in range(3):
        await journal.append(group(_scattered(step, NOW_MS + step * 4 * DAY_MS)))
        await _ready(journal)
    filters = journal._filters
    filters._closed.insert(0, Bucket(3, NOW_MS + 12 * DAY_MS))
    filters._use()
    hints = filters.look([_scattered(0, NOW_MS).identity, None, _scattered(9, NOW_MS).identity])
    assert hints == Hints(known_from=1, known_to=2, places=[1], buckets=[1])


def _bits(journal: PostgresJournal) -> int:
    return int.from_bytes(journal._filters._bits).bit_count()


def _marks(journal: PostgresJournal) -> int:
    return sum(map(len, journal._filters._pages)) // 4


async def _closed(journal: PostgresJournal) -> int:
    async with journal._db.one(5) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM gateway.identity_buckets WHERE until_ms > 0"))


async def test_what_many_offer_at_once_is_accepted_once_while_buckets_change(journal: PostgresJournal) -> None:
    async with opened(PostgresJournal(databases.url())) as other:
        for step in range(8):
            at_ms = NOW_MS + step * 4 * HOUR_MS
            names = [f"{one}" for one in range(step * 5, step * 5 + 20)]
            offers = [offer(name, received_at_ms=at_ms, identity_window_ms=WINDOW_MS) for name in names]
            told = await asyncio.gather(*(one.append(group(each)) for each in offers for one in (journal, other)))
            pairs = list(zip(told[::2], told[1::2], strict=True))
            assert [{one[0].id, other_[0].id} for one, other_ in pairs if one[0].id != other_[0].id] == []
    await accept(journal, 1)
