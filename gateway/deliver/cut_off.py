"""Batches that a crash cut off, as their intents tell. Pure."""

from collections.abc import Container, Iterator, Mapping

from msgspec import Struct

from gateway.deliver.intent import ONCE, batch_of
from gateway.deliver.lane import LaneWork
from gateway.deliver.stored import Illegible
from gateway.model import Intent
from gateway.vendors.base import Batch


class Found(Struct, frozen=True):
    """An intent and its batch; `batch` is None where what is stored of it cannot be read (`why`)."""

    intent: Intent
    batch: Batch | None
    why: str = ""

    @property
    def again(self) -> Batch | None:
        """The batch, if it may go again."""
        return None if self.intent.kind == ONCE else self.batch


class CutOff:
    """What was intended and not done, oldest first."""

    def __init__(self) -> None:
        self._found: dict[bytes, Found] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, intent: Intent) -> None:
        """One more."""
        try:
            self._found[intent.key] = Found(intent, batch_of(intent))
        except Illegible as error:
            self._found[intent.key] = Found(intent, None, f"; {error}")

    def remove(self, found: Found) -> None:
        """It goes on, or is given up."""
        del self._found[found.intent.key]

    def ready(self, works: Mapping[int, LaneWork], still: Container[str]) -> Iterator[Found]:
        """Those whose lanes have come to their members."""
        for found in list(self._found.values()):
            members = ((works.get(lane), seq, part) for lane, seq, part in found.intent.members)
            come = all(work is None or work.has_come_to(seq, part) for work, seq, part in members)
            if come and found.intent.destination not in still:
                yield found
