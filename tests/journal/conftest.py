from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.journal.base import Journal
from tests.journal.engines import DURABLE, ENGINES
from tests.journal.making import Lanehand, opened


@pytest.fixture(params=sorted(ENGINES))
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    """An empty journal of each engine."""
    async with opened(ENGINES[request.param](tmp_path)) as one:
        yield one


@pytest.fixture(params=sorted(DURABLE))
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """An engine that outlives its process, by name, and the folder of its files."""
    return request.param, tmp_path


@pytest.fixture
async def hand(journal: Journal) -> Lanehand:
    """A lane from `shop` to `crm`, registered on an empty journal, and whoever settles it."""
    return await Lanehand.on(journal)
