"""What a disk may hold after a power cut, from the record of what was written to it and synced (`disk.py`).

What was written before a file's last sync is there. What came after it may be there or not, each sector of 512 bytes
by itself and in any order. When a sync fails, any of what it was to sync is lost for good, though whoever reads the
file finds it there: later syncs know nothing of it. A file that was removed stays removed once anything was synced
after it: file systems keep the order of their own journals.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.whole.disk import FILES, Step, steps

SECTOR = 512
WAYS = ("nothing", "everything", "a beginning", "some writes", "some sectors")
"""What is left of the writes that were not synced."""


class Platter:
    """The journal's files as the disk has them: what is certain, and what is on its way."""

    def __init__(self, chance: random.Random, *, heeds_syncs: bool = True) -> None:
        self._certain: list[bytearray | None] = [None] * len(FILES)
        self._open: list[list[Step]] = [[] for _ in FILES]
        self._chance = chance
        self._heeds_syncs = heeds_syncs

    def take(self, step: Step) -> None:
        """The next step of the record."""
        if step.kind == b"F":
            self._settle(step.file, _left(self._open[step.file], self._chance.choice(WAYS), self._chance))
            self._open[step.file] = []
        elif step.kind != b"S":
            self._open[step.file].append(step)
        elif self._heeds_syncs:
            self._settle(step.file, self._open[step.file])
            self._open[step.file] = []
            for file, waiting in enumerate(self._open):
                gone = max((place for place, one in enumerate(waiting) if one.kind == b"D"), default=-1) + 1
                self._settle(file, waiting[:gone])
                self._open[file] = waiting[gone:]

    def cut(self, folder: Path, name: str) -> str:
        """Write the files as they may be when the power comes back; says what is left of what was not synced."""
        way = self._chance.choice(WAYS)
        for file, ending in enumerate(FILES):
            certain = self._certain[file]
            content = None if certain is None else bytearray(certain)
            for step in _left(self._open[file], way, self._chance):
                content = _applied(content, step)
            if content is not None:
                (folder / f"{name}{ending}").write_bytes(content)
        return way

    def _settle(self, file: int, done: Sequence[Step]) -> None:
        for step in done:
            self._certain[file] = _applied(self._certain[file], step)


def cuts(
    record: bytes, count: int, chance: random.Random, *, heeds_syncs: bool = True
) -> Iterator[tuple[int, Platter]]:
    """Random moments of a record, each with how much of it had happened, and the disk. The disk goes on from moment to
    moment.
    """
    ends = [end for end, _ in steps(record)]
    moments = set(chance.sample(ends, min(count, len(ends))))
    platter = Platter(chance, heeds_syncs=heeds_syncs)
    for end, step in steps(record):
        platter.take(step)
        if end in moments:
            yield end, platter


def _left(waiting: Sequence[Step], way: str, chance: random.Random) -> list[Step]:
    """Which of the steps that nobody synced have reached the disk after all."""
    if way == "nothing":
        return []
    if way == "everything":
        return list(waiting)
    if way == "some writes":
        some = [step for step in waiting if step.kind == b"D" or chance.random() < 0.5]
        return chance.sample(some, len(some)) if not any(step.kind != b"W" for step in some) else some
    if way == "some sectors":
        return [part for step in waiting for part in _sectors(step) if chance.random() < 0.5]
    some = list(waiting[: chance.randint(0, len(waiting))])
    if some and some[-1].kind == b"W":
        torn = chance.randrange(0, len(some[-1].data) + 1, SECTOR) if len(some[-1].data) > SECTOR else 0
        some[-1] = some[-1]._replace(data=some[-1].data[:torn])
    return some


def _sectors(step: Step) -> Iterator[Step]:
    """A write, cut where the disk's sectors end."""
    if step.kind != b"W":
        yield step
        return
    place = 0
    while place < len(step.data):
        size = SECTOR - (step.at + place) % SECTOR
        yield step._replace(at=step.at + place, data=step.data[place : place + size])
        place += size


def _applied(content: bytearray | None, step: Step) -> bytearray | None:
    if step.kind == b"D":
        return None
    content = bytearray() if content is None else content
    if step.kind == b"T":
        del content[step.at :]
    elif step.data:
        content.extend(bytes(max(0, step.at - len(content))))
        content[step.at : step.at + len(step.data)] = step.data
    return content
