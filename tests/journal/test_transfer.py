"""A journal copied into another, of any engine: what the one holds the other does, and goes on from there."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway import app
from gateway.errors import JournalError
from gateway.journal import transfer
from gateway.journal.base import DeadFilter, EventFilter, Journal
from gateway.journal.transfer import TABLES, Copy, at_rest, differences
from gateway.model import Intent, LaneSpec, Replay
from tests import postgres
from tests.journal.bookkeeper import Bookkeeper
from tests.journal.databases import make
from tests.journal.making import NOW_MS, Lanehand, accept, by, dead_ids, group, keep_all, offer, rejection, rules

_numbers = count()
Url = Callable[[], str]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> Url:
    return lambda: f"sqlite:///{tmp_path}/journal-{next(_numbers)}.db"


@pytest.fixture
def urls(sqlite_url: Url) -> Callable[[str], str]:
    """Of an engine, a journal that is not there yet."""

    def url(engine: str) -> str:
        if engine == "sqlite":
            return sqlite_url()
        name = f"transfer_{os.getpid()}_{next(_numbers)}"
        asyncio.run(make(name))
        return postgres.database_url(name)

    return url


@asynccontextmanager
async def _open(url: str, *, copying: bool = False) -> AsyncIterator[Journal]:
    journal = app.open_journal(url, create=True, copying=copying)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


async def _lived(url: str, seed: int = 7) -> None:
    """A journal that has seen something of everything."""
    rng = random.Random(seed)
    async with _open(url) as journal:
        hand = await Lanehand.on(journal)
        books = Bookkeeper(journal, hand)
        often = [books.take] * 4 + [books.settle] * 5 + [books.attempt, books.retry, books.discard]
        for step in (*rng.choices(often, k=20), books.skip, books.keep, *rng.choices(often, k=30)):
            await step([rng.randint(0, 1_000) for _ in range(rng.randint(1, 5))])
        await journal.append(group(offer("again"), offer("once"), rejections=[rejection(), rejection("erp")]))
        await journal.append(
            group(offer("new"), offer("again"), offer("again", source="erp"), offer("last"), id_=MIXED)
        )
        await journal.register([LaneSpec("erp", "crm"), LaneSpec("shop", "warehouse")])
        specs = [LaneSpec("shop", "crm", "rpl_1", 0, 3)]
        await journal.replay(Replay("rpl_1", NOW_MS, "ada", note="wieder"), specs, by("replay", subject="rpl_1"))
        intent = Intent(b"k" * 16, hand.lease.account, "crm", "steps", "upload", "u-1", 1, ((1, 2, "a"),), b"payload")
        await journal.intend(hand.lease, [intent])
        await hand.seen()
        await hand.settle(versions=[(b"v" * 16, 5), (b"w" * 16, 6)])
        await journal.revise("digest", 12)
        await journal.change_lane(hand.lane.id, by("pause"))


MIXED = b"m" * 16


async def _everything(url: str) -> dict[str, Any]:
    """All that a journal tells."""
    async with _open(url) as journal:
        head = await journal.head()
        lanes = await journal.lanes()
        views = [await journal.view(seq) for seq in range(1, head.seq + 1)]
        refs = {lane.id: [(one.seq, one.part) for one in await journal.parked(lane.id)] for lane in lanes}
        return {
            "head": head,
            "lanes": lanes,
            "rows": await journal.lane_rows(),
            "audit": await journal.audit(),
            "events": (await journal.read(0, limit=10_000)).events,
            "newest": await journal.events(EventFilter(limit=1_000)),
            "views": views,
            "parked": {lane: await journal.parked(lane, wanted) for lane, wanted in refs.items()},
            "dead": [one async for one in journal.dead(DeadFilter())],
            "rejected": await journal.rejected(None),
            "replays": await journal.replays(),
            "intents": await journal.intents([1]),
            "versions": await journal.versions(1, [b"v" * 16, b"w" * 16]),
            "leases": [(one.account, one.token) for one in await journal.leases()],
        }


async def _copy(source: str, target: str, *, slices: int | None = None) -> int:
    """Copy as the command does; with `slices`, break off after so many."""
    async with _open(target, copying=True):
        pass
    async with app.open_shelf(source) as one, app.open_shelf(target) as other:
        work = Copy(one, other)
        await work.begin()
        rows = 0
        while more := await work.step():
            rows += more
            if slices is not None and (slices := slices - 1) == 0:
                return rows
        assert rows == work.total
        await work.end()
        await work.release()
    return rows


ENGINES = ("sqlite", "postgres")


@pytest.mark.parametrize("source", ENGINES)
@pytest.mark.parametrize("target", ENGINES)
def test_a_copy_tells_what_the_original_tells_and_goes_on(source: str, target: str, urls: Callable[[str], str]) -> None:
    one, other = urls(source), urls(target)
    asyncio.run(_lived(one))
    asyncio.run(_copy(one, other))
    before, after = asyncio.run(_everything(one)), asyncio.run(_everything(other))
    assert all(value for name, value in before.items()), "there is something of everything"
    assert after == before
    assert differences(before["audit"], after["audit"]) == []
    assert asyncio.run(_goes_on(other)) == asyncio.run(_goes_on(one))


async def _goes_on(url: str) -> Any:
    """What becomes of the journal when it is used."""
    async with _open(url) as journal:
        repeated = await journal.append(group(offer("again"), offer("last"), offer("once"), offer("other")))
        whole = [offer("new"), offer("again"), offer("again", source="erp"), offer("last")]
        assert len(await journal.append(group(*whole, id_=MIXED))) == 4
        await accept(journal, 3)
        (lease,) = [one for one in await journal.leases() if one.account == "account-of-crm"]
        taken = await journal.claim("account-of-crm", "me", lease)
        assert taken is not None
        assert taken.token == lease.token + 1
        hand = Lanehand(journal, (await journal.lanes())[0], taken)
        await hand.settle(intents_done=(b"k" * 16,))
        letters = await dead_ids(journal)
        await journal.discard(DeadFilter(ids=tuple(letters[:1])), by("discard"))
        (fresh,) = await journal.register([LaneSpec("erp", "warehouse")])
        await keep_all(journal, rules(NOW_MS + 1, attempts_ms=0, keep_ms=0))
        audit = await journal.audit()
        assert all(row.balanced for row in audit)
        return [one.duplicate for one in repeated], fresh, letters, await journal.revise("digest"), audit


@pytest.mark.parametrize("engine", ENGINES)
def test_a_copy_that_is_killed_goes_on_where_it_was(
    engine: str, urls: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {name: table._replace(at_once=2) for name, table in TABLES.items()}
    for name, table in small.items():
        monkeypatch.setitem(TABLES, name, table)
    one, other = urls("sqlite"), urls(engine)
    asyncio.run(_lived(one))
    for slices in (1, 2, 5, 4, 7, 3):
        asyncio.run(_copy(one, other, slices=slices))
        with pytest.raises(JournalError, match="is a copy that is not complete: `gateway journal copy "):
            asyncio.run(_everything(other))
    asyncio.run(_copy(one, other))
    assert asyncio.run(_everything(other)) == asyncio.run(_everything(one))


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_in_the_way_is_refused(engine: str, urls: Callable[[str], str]) -> None:
    one, other = urls("sqlite"), urls(engine)
    asyncio.run(_lived(one))
    asyncio.run(_copy(one, other, slices=3))
    asyncio.run(_more(one))
    with pytest.raises(JournalError, match="not what it was"):
        asyncio.run(_copy(one, other))
    third = urls(engine)
    asyncio.run(_lived(third))
    with pytest.raises(JournalError, match="not empty: it has"):
        asyncio.run(_copy(one, third))


async def _more(url: str) -> None:
    async with _open(url) as journal:
        await accept(journal, 1)


def test_a_source_that_changes_while_it_is_copied_is_told(urls: Callable[[str], str]) -> None:
    one, other = urls("sqlite"), urls("sqlite")

    async def story() -> None:
        async with _open(other):
            pass
        async with app.open_shelf(one) as source, app.open_shelf(other) as target:
            work = Copy(source, target)
            await work.begin()
            await work.step()
            await _more(one)
            while await work.step():
                pass
            with pytest.raises(JournalError, match="has changed while"):
                await work.end()

    asyncio.run(_lived(one))
    asyncio.run(story())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gateway_that_runs_on_either_is_seen(
    engine: str, urls: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "WATCH_S", 0.3)
    url = urls(engine)

    async def story() -> None:
        rests = urls("sqlite")
        async with _open(rests), _open(url) as journal, app.open_shelf(url) as shelf, app.open_shelf(rests) as other:
            await at_rest(shelf, other)
            lease = await journal.claim("acme", "me", None)
            assert lease is not None
            for where, both in (("source", (shelf, other)), ("target", (other, shelf))):
                for change in (journal.probe(), journal.renew([lease])):
                    seen = asyncio.create_task(at_rest(*both))
                    await asyncio.sleep(0.1)
                    await change
                    with pytest.raises(JournalError, match=f"a gateway is running on the {where}"):
                        await seen

    asyncio.run(story())


def test_every_column_is_copied_or_known_to_follow_from_others(urls: Callable[[str], str]) -> None:
    """A column that a migration adds must be thought of here."""
    told_anew = {("lanes", "account"), ("intents", "lanes")}
    follow = {
        "sqlite": {("sources", "bytes")},
        "postgres": {("batches", one) for one in ("bytes_before", "size_bytes", "places", "seqs", "tails")}
        | {("lanes", "stamp")},
    }
    no_copy = {
        "migrations",
        "identity_buckets",
        "event_tables",
        "identity_lists",
        "identity_pages",
        "identity_runs",
        "identity_merge",
        "sqlite_sequence",
    }
    copied = {(name, column) for name, table in TABLES.items() if name != "identities" for column in table.columns}
    for engine in ENGINES:
        there = {one for one in asyncio.run(_columns(urls(engine))) if one[0] not in no_copy}
        missing = there - copied - follow[engine] - told_anew
        assert missing == set(), engine
        assert copied - there - {("batches", "duplicates")} == set(), engine


async def _columns(url: str) -> Sequence[tuple[str, str]]:
    async with _open(url):
        pass
    if url.startswith("sqlite"):
        async with app.open_shelf(url) as shelf:
            held: Any = shelf
            query = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'"
            found: list[tuple[str, str]] = held._now.execute(query).fetchall()
            return found
    connection = await asyncpg.connect(url)
    try:
        query = (
            "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
            " USING (table_schema, table_name) WHERE table_schema = 'gateway' AND table_type = 'BASE TABLE'"
        )
        return [(row[0], row[1]) for row in await connection.fetch(query)]
    finally:
        await connection.close()
