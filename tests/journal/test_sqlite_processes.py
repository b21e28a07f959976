"""Several processes on one SQLite file, and processes that die."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from gateway.journal.sqlite import SqliteJournal
from tests.journal.making import Lanehand, accept, group, offer, opened

WRITER = """
import asyncio, json, sys
from gateway.journal.sqlite import SqliteJournal
from tests.journal.making import offer
from gateway.model import Group

async def main(path, name, groups):
    journal = SqliteJournal(path)
    await journal.open()
    for number in range(groups):
        offers = tuple(offer(f"{name}-{number}-{place}") for place in range(5))
        mark = (name.encode() + str(number).encode()).rjust(16, b"0")
        receipts = await journal.append(Group(mark, offers))
        print(json.dumps([[number, one.seq, one.id] for one in receipts]), flush=True)
    await journal.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""

FULL = """
import asyncio, resource, signal, sys
from gateway.errors import JournalUnavailable
from gateway.journal.sqlite import SqliteJournal
from tests.journal.making import group, offer

def room(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

async def main(path):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    journal = SqliteJournal(path)
    await journal.open()
    taken, refused = 0, 0
    room(400_000)
    for number in range(60):
        one = group(offer(f"n{number}", body=bytes(str(number) * 9, "ascii") + __import__("os").urandom(20_000)))
        try:
            await journal.append(one)
            taken += 1
        except JournalUnavailable:
            refused += 1
            if refused == 3:
                room(resource.RLIM_INFINITY)
                assert not (await journal.append(one))[0].duplicate
                taken += 1
    assert (await journal.head()).seq == taken, (taken, refused)
    events = (await journal.read(0, limit=1_000, limit_bytes=1 << 30)).events
    assert [event.seq for event in events] == list(range(1, taken + 1))
    await journal.close()
    print(taken, refused)

asyncio.run(main(sys.argv[1]))
"""

ROOT = Path(__file__).parents[2]


async def _python(script: str, *args: object) -> Process:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *map(str, args), stdout=PIPE, stderr=PIPE, env=environment
    )


async def _done(process: Process) -> str:
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_two_journals_on_one_file_see_each_others_events_at_once(tmp_path: Path) -> None:
    async with (
        opened(SqliteJournal(tmp_path / "journal.db")) as one,
        opened(SqliteJournal(tmp_path / "journal.db")) as other,
    ):
        seen = await other.head()
        waiting = asyncio.create_task(other.wait(seen, 30))
        await asyncio.sleep(0.05)
        begun = asyncio.get_running_loop().time()
        await accept(one, 1)
        assert (await waiting).seq == 1
        assert asyncio.get_running_loop().time() - begun < 0.05
        (first,) = await one.append(group(offer("a")))
        (again,) = await other.append(group(offer("a")))
        assert (again.seq, again.duplicate) == (first.seq, True)


async def test_what_one_process_registers_and_settles_another_sees(tmp_path: Path) -> None:
    async with (
        opened(SqliteJournal(tmp_path / "journal.db")) as one,
        opened(SqliteJournal(tmp_path / "journal.db")) as other,
    ):
        hand = await Lanehand.on(one)
        await accept(other, 3)
        await hand.deliver(1, 3)
        assert await other.lanes() == (hand.lane,)
        assert [audited.balanced for audited in await other.audit()] == [True]


@pytest.mark.slow
async def test_two_processes_write_one_file_and_every_event_has_its_own_seq(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    processes = [await _python(WRITER, path, name, 60) for name in ("one", "two")]
    said = [json.loads(line) for one in processes for line in (await _done(one)).splitlines()]
    seqs = sorted(seq for receipts in said for _, seq, _ in receipts)
    assert seqs == list(range(1, 601))
    async with opened(SqliteJournal(path)) as journal:
        events = (await journal.read(0, limit=10_000)).events
        assert {(event.seq, event.id) for event in events} == {
            (seq, name) for receipts in said for _, seq, name in receipts
        }


@pytest.mark.slow
async def test_what_was_acknowledged_before_a_kill_is_there_and_recognised(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    acknowledged: dict[str, int] = {}
    for round_ in range(5):
        process = await _python(WRITER, path, f"round{round_}", 100_000)
        assert process.stdout is not None
        for _ in range(20 + round_ * 7):
            receipts = json.loads(await process.stdout.readline())
            acknowledged |= {f"round{round_}-{number}-{place}": seq for place, (number, seq, _) in enumerate(receipts)}
        process.send_signal(signal.SIGKILL)
        rest, _ = await process.communicate()
        for line in rest.decode().splitlines():
            if line.endswith("]]"):
                receipts = json.loads(line)
                acknowledged |= {
                    f"round{round_}-{number}-{place}": seq for place, (number, seq, _) in enumerate(receipts)
                }
    async with opened(SqliteJournal(path)) as journal:
        names = list(acknowledged)
        for first in range(0, len(names), 400):
            chunk = names[first : first + 400]
            receipts = await journal.append(group(*(offer(name) for name in chunk)))
            assert [one.duplicate for one in receipts] == [True] * len(chunk)
            assert [one.seq for one in receipts] == [acknowledged[name] for name in chunk]


@pytest.mark.slow
async def test_a_disk_without_room_is_survived(tmp_path: Path) -> None:
    taken, refused = map(int, (await _done(await _python(FULL, tmp_path / "journal.db"))).split())
    assert refused == 3
    assert taken == 58
