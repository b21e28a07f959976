"""What takes the place of a request that is answered leaves at once, whatever its account is busy with."""

import asyncio
from typing import Any

from gateway.journal.base import Page
from gateway.journal.memory import MemoryJournal
from gateway.vendors.base import Limit
from tests.deliver.town import Town
from tests.simulation.virtual import simulate

FAST = Limit(allow=10_000, per_s=1.0)
PAGE = 200
SLOW_S = 60.0


class Slow(MemoryJournal):
    """Tells the first events at once; of those behind them, after a minute, how many the vendor had by then."""

    town: Town
    had: int = 0

    async def read(self, after_seq: int, **how: Any) -> Page:
        if after_seq >= PAGE:
            await asyncio.sleep(SLOW_S)
            self.had = self.had or len(self.town.applied())
        return await super().read(after_seq, **how)


def test_requests_go_on_while_the_journal_is_slow_to_tell_what_comes_next() -> None:
    async def act() -> None:
        town = Town(FAST, concurrency=2, batch={"records": 1})
        town.journal = journal = Slow()
        journal.town = town
        async with town:
            await town.close()
            seqs = await town.events(*({"key": f"k{n}", "n": n} for n in range(1, PAGE + 11)))
            town.open()
            await town.settled()
        assert journal.had == PAGE
        assert sorted(town.applied()) == seqs

    simulate(act())
