"""What goes for every test."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _the_log_stays_as_it_was() -> Iterator[None]:
    """A test that sets the log up leaves nothing of it to the next."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
