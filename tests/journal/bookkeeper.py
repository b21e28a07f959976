"""A lane, and beside it what each of its events is, worked out from its parts alone: what a journal's ledger is held
against, whatever happens.
"""

from collections import Counter

from gateway.journal.base import DeadFilter, Journal
from gateway.model import SETTLED, Attempt, Counts, ParkedRow, Ranges, State, state_of_parts
from tests.journal.making import DAY_MS, NOW_MS, Lanehand, by, group, keep_all, offer, row, rules, tried

PARTS = ("a", "b", "c")
OUTCOMES = (State.DELIVERED, State.SUPERSEDED, State.PARKED, State.DEAD)
WITH_ROW = {State.PARKED, State.DEAD}
Ref = tuple[int, str]


class Bookkeeper:
    """Does what dispatchers, operators and time do to a lane. `draw` are numbers to choose by."""

    def __init__(self, journal: Journal, hand: Lanehand) -> None:
        self.journal = journal
        self.hand = hand
        self.now_ms = NOW_MS
        self.waiting: list[int] = []
        self.parts: dict[int, dict[str, State]] = {}
        self.removed: set[Ref] = set()
        """Dead parts whose letters retention has removed."""

    async def check(self) -> None:
        """The lane's counts are those of the events, and a recount finds them."""
        lane = await self.hand.seen()
        counted = Counter(state_of_parts(parts.values()) for parts in self.parts.values())
        assert lane.counts == _counts(counted)
        audited = await self.hand.audited()
        assert audited.balanced, audited.why
        assert audited.waiting == len(self.waiting)
        assert audited.expected == len(self.parts)
        letters = [(one.row.seq, one.row.part) async for one in self.journal.dead(DeadFilter())]
        assert sorted(letters) == sorted(self._refs(State.DEAD))

    async def take(self, draw: list[int]) -> None:
        """New events, some of them of another source."""
        offers = [offer(source="shop" if one % 4 else "erp", received_at_ms=self.now_ms) for one in draw]
        receipts = await self.journal.append(group(*offers))
        both = zip(receipts, offers, strict=True)
        self.waiting += [receipt.seq for receipt, one in both if one.source == "shop"]

    async def settle(self, draw: list[int]) -> None:
        """Some waiting events have outcomes, not always the oldest."""
        chosen = {self.waiting[one % min(len(self.waiting), 8)] for one in draw} if self.waiting else set()
        closed: Counter[State] = Counter()
        rows: list[ParkedRow] = []
        attempts: list[Attempt] = []
        for place, seq in enumerate(sorted(chosen)):
            self.waiting.remove(seq)
            parts = self.parts[seq] = _outcomes(draw[place % len(draw)])
            mine = self._rows(seq, parts)
            attempts += [tried(seq, state, part) for part, state in parts.items()]
            rows += mine
            closed.update([] if mine else [state_of_parts(parts.values())])
        cursor, ahead = await self._progress()
        await self.hand.settle(
            cursor, ahead=ahead, counts=_counts(closed), parked=rows, attempts=attempts, at_ms=self.now_ms
        )

    async def attempt(self, draw: list[int]) -> None:
        """Parked records have another outcome."""
        parked = self._refs(State.PARKED)
        chosen = sorted({parked[one % len(parked)] for one in draw} if parked else set())
        outcomes = {ref: OUTCOMES[(ref[0] + draw[0]) % 4] for ref in chosen}
        for (seq, part), state in outcomes.items():
            self.parts[seq][part] = state
        await self.hand.settle(
            ahead=self.hand.lane.ahead,
            parked=[row(*ref, state, at_ms=self.now_ms) for ref, state in outcomes.items() if state in WITH_ROW],
            resolved=[(*ref, state) for ref, state in outcomes.items() if state not in WITH_ROW],
            attempts=[tried(seq, state, part) for (seq, part), state in outcomes.items()],
            at_ms=self.now_ms,
        )

    async def remap(self, draw: list[int]) -> None:
        """A parked event is mapped anew: a part is new, another no longer exists."""
        parked = self._refs(State.PARKED)
        if parked:
            seq, part = parked[draw[0] % len(parked)]
            new = f"new-{len(self.parts[seq])}"
            self.parts[seq] |= {part: State.SUPERSEDED, new: State.PARKED}
            await self.hand.settle(
                ahead=self.hand.lane.ahead,
                parked=[row(seq, new, at_ms=self.now_ms)],
                resolved=[(seq, part, State.SUPERSEDED)],
                at_ms=self.now_ms,
            )

    async def late(self, _: list[int]) -> None:
        """A dispatcher tells of events that are closed already: an operator was faster."""
        closed = [seq for seq, parts in self.parts.items() if not self._open(seq, parts)][:2]
        await self.hand.settle(
            ahead=self.hand.lane.ahead,
            parked=[row(seq) for seq in closed],
            resolved=[(seq, "a", State.DELIVERED) for seq in closed],
            attempts=[tried(seq) for seq in closed],
            at_ms=self.now_ms,
        )

    async def retry(self, draw: list[int]) -> None:
        """An operator retries some letters, and with them all letters of the same events that are still there."""
        chosen = await self._letters(draw)
        for seq in {seq for seq, _ in chosen.values()}:
            if await self.journal.event(seq) is not None:
                dead = [part for one, part in self._refs(State.DEAD) if one == seq]
                self.parts[seq].update(dict.fromkeys(dead, State.PARKED))
        if chosen:
            await self.journal.retry(DeadFilter(ids=tuple(chosen)), by("retry", self.now_ms))

    async def discard(self, draw: list[int]) -> None:
        """An operator discards some letters."""
        chosen = await self._letters(draw)
        for seq, part in chosen.values():
            self.parts[seq][part] = State.DISCARDED
        if chosen:
            await self.journal.discard(DeadFilter(ids=tuple(chosen)), by("discard", self.now_ms))

    async def skip(self, _: list[int]) -> None:
        """An operator skips what waits."""
        await self.journal.change_lane(self.hand.lane.id, by("skip", self.now_ms))
        self.parts.update({seq: {"": State.DISCARDED} for seq in self.waiting})
        self.waiting = []

    async def keep(self, draw: list[int]) -> None:
        """Time passes: attempts, letters and events that are old go, and what waited too long is dead."""
        self.now_ms += draw[0] % 5 * DAY_MS
        old = 2 * DAY_MS
        wanted = rules(self.now_ms, keep_ms=old, attempts_ms=old, dead_ms=old, keep_at_most_ms=2 * old)
        before = set(self._refs(State.DEAD))
        await keep_all(self.journal, wanted)
        cursor = (await self.hand.seen()).cursor
        expired = [seq for seq in self.waiting if seq <= cursor]
        self.waiting = [seq for seq in self.waiting if seq > cursor]
        self.parts.update({seq: {"": State.DEAD} for seq in expired})
        after = {(one.row.seq, one.row.part) async for one in self.journal.dead(DeadFilter())}
        self.removed |= before - after

    def _rows(self, seq: int, parts: dict[str, State]) -> list[ParkedRow]:
        done = tuple(part for part, state in parts.items() if state is State.DELIVERED)
        return [
            row(seq, part, state, delivered_parts=done, at_ms=self.now_ms)
            for part, state in parts.items()
            if state in WITH_ROW
        ]

    def _open(self, seq: int, parts: dict[str, State]) -> bool:
        return any(state in WITH_ROW and (seq, part) not in self.removed for part, state in parts.items())

    def _refs(self, wanted: State) -> list[Ref]:
        every = ((seq, part, state) for seq, parts in self.parts.items() for part, state in parts.items())
        return [(seq, part) for seq, part, state in every if state is wanted and (seq, part) not in self.removed]

    async def _letters(self, draw: list[int]) -> dict[str, Ref]:
        letters = [one async for one in self.journal.dead(DeadFilter())]
        chosen = [letters[one % len(letters)] for one in draw] if letters else []
        return {one.id: (one.row.seq, one.row.part) for one in chosen}

    async def _progress(self) -> tuple[int, Ranges]:
        if not self.waiting:
            return (await self.journal.head()).seq, ()
        first = self.waiting[0]
        return first - 1, tuple((seq, seq) for seq in sorted(self.parts) if seq > first)


def _outcomes(draw: int) -> dict[str, State]:
    if draw % 7 == 0:
        return {"": State.FILTERED}
    return {part: OUTCOMES[draw // (place + 1) % 4] for place, part in enumerate(PARTS[: 1 + draw % 3])}


def _counts(figures: Counter[State]) -> Counts:
    return Counts(**{str(state): figures[state] for state in SETTLED})
