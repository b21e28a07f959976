"""The loop of one account, while its lease is held: read, plan, send what may leave, settle what came back.

A thin loop around `account.py`: it waits, and everything it decides is decided there. A retry is a row with a due time;
nothing sleeps for it here.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from gateway.clock import Clock
from gateway.deliver import tell
from gateway.deliver.account import Account
from gateway.deliver.drops import Asking
from gateway.deliver.exchange import Exchange
from gateway.deliver.lane import LaneWork
from gateway.deliver.newer import is_newer
from gateway.deliver.plan import Planned, Prepared, Setup
from gateway.deliver.queue import Now
from gateway.deliver.reader import Reader
from gateway.deliver.replay import Survey
from gateway.deliver.settle import masked, row_of_death, row_waiting
from gateway.deliver.signal import Signal
from gateway.deliver.stored import Illegible, unpack
from gateway.deliver.token import Tokens
from gateway.errors import JournalConflict, JournalUnavailable, Reason
from gateway.journal.base import Journal, Page
from gateway.model import Attempt, Event, ParkedRow, Settlement, State
from gateway.vendors.base import Batch, Record, Refused

SETTLE_EVERY_S = 0.05
"""Settles are grouped: the journal's writer belongs to the receiver first."""
IDLE_S = 5.0
SLICE = 10
"""Events planned between two looks at everything else: a few milliseconds, or what is to leave leaves late."""
STAGE = 100
"""Events that are normalised before the first of them is mapped: work of one kind stays in the processor's caches."""
TURN_S = 0.002
"""A turn of the loop costs as much as a small request: at a fast pace two or three leave in one."""
SOON_S = 0.005
"""Where the next request leaves that soon anyway, an answer does not begin a turn."""
TOGETHER = 500
"""Records that leave in one turn: filling their batches takes milliseconds, and what was filled is sent meanwhile."""
RETRY_ROWS = 200
NOT_SENT = (State.DEAD, State.DISCARDED, State.FILTERED)
"""What became of events that the destination has not heard of."""
JOURNAL_WAIT_S, JOURNAL_WAIT_MAX_S = 0.25, 5.0


class AccountLoop:
    """Serves one account until its lease is lost, its lanes must be read anew, or `stop`."""

    def __init__(
        self,
        account: Account,
        setup: Setup,
        journal: Journal,
        reader: Reader,
        tokens: Tokens,
        clock: Clock,
        may_send: Callable[[], bool],
    ) -> None:
        self.account = account
        self._destinations = setup.destinations
        self._planner = setup.planner
        self._config = setup.digest
        self._revision = setup.revision
        self._journal = journal
        self._reader = reader
        self._exchange = Exchange(account.lease, journal, tokens, clock, lambda: reader.high, account.gate)
        self._clock = clock
        self._may_send = may_send
        self._wake = Signal()
        self._sends: set[asyncio.Task[None]] = set()
        self._settle: asyncio.Task[None] | None = None
        self._settled_s = 0.0
        self._journal_fails = False
        self._lost = False
        self._failure: Exception | None = None
        self._stopping = False
        self._next_s: float | None = None

    def wake(self) -> None:
        """There is news: the log has grown, an operator did something."""
        self._wake.set()

    def stop(self) -> None:
        """Send nothing more; `run` returns when what is in flight is settled."""
        self._stopping = True
        self._wake.set()

    def lose(self) -> None:
        """The lease is another's: what is in flight cannot be settled any more."""
        self._lost = True
        self._wake.set()

    async def run(self) -> None:
        """Returns when stopped and settled, or when the lanes or the lease are no longer what they were."""
        try:
            while not self._lost and not self._finished():
                self._wake.clear()
                self._stopping |= self.account.overtaken()
                self.account.look(self._now())
                busy = not (self._stopping or self._journal_fails) and await self._read()
                await self._retry()
                self._ask()
                self._send()
                self._start_settle()
                if not busy:
                    await self._rest()
        finally:
            await self._let_go()
        if self._failure is not None:
            raise self._failure

    def _finished(self) -> bool:
        """Whether it was stopped, and everything that came back is settled."""
        if not self._stopping or self._sends:
            return False
        for work in self.account.works.values():
            work.leave(self._clock.now_ms())
        return self._settle is None and not self.account.dirty()

    def _now(self) -> Now:
        return Now(self._clock.now_ms(), self._clock.monotonic_s())

    # --- read ---------------------------------------------------------------------------------------------------

    async def _read(self) -> bool:
        """One page for each lane that wants more. True when there may be more to read at once."""
        progress = False
        for work in list(self.account.works.values()):
            try:
                if work.survey is not None and not work.survey.surveyed():
                    progress |= await self._survey(work, work.survey)
                if work.read_to < self._reader.high and work.wants_more(self.account.enough(work)):
                    progress |= await self._read_page(work)
            except JournalUnavailable as error:
                self._journal_failed(error)
                return False
        return progress

    async def _survey(self, work: LaneWork, survey: Survey) -> bool:
        """One page of the log for what is about to be done again: which state of each key is the newest. For letters of
        a live lane those count that were sent from it, or are still to be.
        """
        before = survey.surveyed_to
        page = await self._reader.page(work.lane.source, before)
        states = {} if work.again is not None else dict(await self._journal.states(work.id, before, page.read_to))
        for some in _slices(page.events):
            await self._between()
            for event in some:
                if states.get(event.seq) not in NOT_SENT:
                    survey.note(self._planner.plan(event, work.destination, work.id).records)
        survey.surveyed_to = page.read_to
        for ref in survey.waited() if survey.surveyed() else ():
            work.parked.durable(ref)
        return page.read_to > before

    async def _read_page(self, work: LaneWork) -> bool:
        page = await self._reader.page(work.lane.source, work.read_to)
        before = work.read_to
        self.account.reading = work.destination.name
        work.filling = bool(work.destination.settings.coalesce)
        try:
            await self._plan_page(work, page)
        finally:
            self.account.reading, work.filling = "", False
        return work.read_to > before

    async def _plan_page(self, work: LaneWork, page: Page) -> None:
        left = [event for event in page.events if work.within(event.seq)]
        while left:
            if not work.wants_more(self.account.enough(work)):
                return
            room = min(STAGE, work.room(self.account.enough(work)))
            stage, left = left[:room], left[room:]
            if not await self._plan_stage(work, stage, await self._prepared(work, stage)):
                return
        work.has_read_to(page.read_to)

    async def _prepared(self, work: LaneWork, events: Sequence[Event]) -> list[Prepared | None]:
        """These events prepared for planning; None for one that is not planned."""
        stage: list[Prepared | None] = []
        for some in _slices(events):
            if not self._planner.remembers(some[-1]):
                await self._between()
            stage += [self._planner.prepare(event) if self._is_planned(work, event) else None for event in some]
        return stage

    def _is_planned(self, work: LaneWork, event: Event) -> bool:
        return not work.settled_already(event.seq) and (work.again is None or work.again.means(event))

    async def _plan_stage(self, work: LaneWork, events: Sequence[Event], prepared: Sequence[Prepared | None]) -> bool:
        """These events are planned and join their lane. False when it wants no more before all of them have."""
        for place, some in enumerate(_slices(events)):
            await self._between()
            if not work.wants_more(self.account.enough(work)):
                return False
            planned = [
                (event.seq, self._planned(work, event, one))
                for event, one in zip(some, prepared[place * SLICE :], strict=False)
            ]
            if work.destination.settings.stale:
                await self._look_up_versions(work, [record for _, one in planned if one for record in one.records])
            self.account.take(work, planned, self._now())
            work.has_read_to(some[-1].seq)
        return True

    async def _between(self) -> None:
        """Between two slices of events that are planned: a look at everything else."""
        if self.account.may_leave():
            self._send()
        await asyncio.sleep(0)

    def _planned(self, work: LaneWork, event: Event, prepared: Prepared | None) -> Planned | None:
        """What the event is on this lane; None where a settle before a restart has dealt with it."""
        if prepared is None:
            return None if work.settled_already(event.seq) else Planned()
        only = work.again.wants if work.again is not None else None
        return self._planner.plan(event, work.destination, work.id, only=only, prepared=prepared)

    async def _look_up_versions(self, work: LaneWork, records: Sequence[Record]) -> None:
        """What the destination has of these records, where an older one is not to be sent."""
        drops = work.destination.settings.drops_stale
        unknown = work.versions.unknown(record for record in records if record.version_ms and drops(record.entity))
        if unknown:
            work.versions.learn(unknown, await self._journal.versions(work.id, unknown))

    # --- what is due --------------------------------------------------------------------------------------------

    async def _retry(self) -> None:
        """Rows that are due become records again; those that are to be mapped anew are written so first."""
        if self._stopping or self._journal_fails:
            return
        for work in list(self.account.works.values()):
            if not (refs := self.account.due(work, self._now(), RETRY_ROWS)):
                continue
            try:
                await self._retry_rows(work, refs)
            except JournalUnavailable as error:
                self._journal_failed(error)
                return

    async def _retry_rows(self, work: LaneWork, refs: list[tuple[int, str]]) -> None:
        """Each row that was taken becomes a record, is mapped anew, or is given back when the journal fails."""
        left = set(refs)
        try:
            rows = {(row.seq, row.part): row for row in await self._journal.parked(work.id, refs)}
            for ref in reversed(refs):  # each goes before what is queued: in the end the first one first
                row = rows.get(ref)
                if row is None:
                    work.parked.remove(ref)
                elif row.record is None:
                    await self._remap(work, row)
                elif (record := self._unpacked(work, row)) is not None:
                    record = await self._newest_of(work, record)
                    await self._look_up_versions(work, [record])
                    self.account.retry(work, record)
                left.discard(ref)
        finally:
            for ref in left:
                work.parked.durable(ref)

    def _unpacked(self, work: LaneWork, row: ParkedRow) -> Record | None:
        """The record of a parked row. One that cannot be read is dead."""
        try:
            return unpack(work.id, row)
        except Illegible as error:
            work.dead(row, Refused(Reason.UNREADABLE, str(error)), self._clock.now_ms())
            return None

    async def _newest_of(self, work: LaneWork, record: Record) -> Record:
        """Of the states of one entity that are parked, the newest goes for all, where the destination wants that. What
        is held stays so.
        """
        if record.draft.kind != "state" or not work.destination.settings.coalesces(record.entity):
            return record
        newest, ref = record, (record.seq, record.part)
        chain = work.parked.chain(record.draft.key_hash)
        others = [one for one in chain if one != ref and not work.parked.held(one, self._clock.now_ms())][:RETRY_ROWS]
        for row in await self._journal.parked(work.id, others) if others else ():
            if row.record is None or work.parked.busy((row.seq, row.part)):
                continue
            if (other := self._unpacked(work, row)) is None:
                continue
            newest, old = (other, newest) if is_newer(other, newest) else (newest, other)
            work.superseded((old.seq, old.part))
        work.parked.hold((newest.seq, newest.part))
        return newest

    async def _remap(self, work: LaneWork, row: ParkedRow) -> None:
        """A retried dead part: its event is mapped anew as a whole. Delivered parts are not sent again, new ones are
        parked and due; a part that no longer exists, or is a state older than one that was sent, is superseded.
        """
        now_ms = self._clock.now_ms()
        event = await self._journal.event(row.seq)
        if event is None:
            work.dead(row, Refused(Reason.EXPIRED, "the event is no longer in the journal"), now_ms)
            return
        only = work.again.wants if work.again is not None else None
        planned = self._planner.plan(event, work.destination, work.id, row.generation, only)
        ref = (row.seq, row.part)
        judged = not row.every_state and any(record.draft.kind == "state" for record in planned.records)
        if judged and not work.knows_newer(ref, self._reader.high, self._clock.monotonic_s()):
            return
        fresh = [record for record in planned.records if not (judged and work.is_old(record))]
        for death in planned.deaths:
            if death.part == row.part or not row.part:
                attempt = Attempt(row.seq, death.part, State.DEAD, reason=death.reason)
                work.rewrite(row_of_death(row.seq, death, now_ms, row.generation), attempt)
        made = {record.part for record in fresh} | {death.part for death in planned.deaths}
        for record in fresh:
            known = record.part in row.delivered_parts or (record.seq, record.part) in work.parked
            if record.part == row.part or not known:
                waiting = row_waiting(record, now_ms, now_ms, Reason.REDELIVER)
                work.rewrite(waiting)
        if row.part not in made:
            work.superseded(ref)

    # --- send ---------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """What may leave now leaves; of much, some, and the rest with the next turn, which follows at once."""
        self._next_s = None
        records = 0
        while not (self._stopping or self._lost or self._journal_fails) and self._may_send():
            found = self.account.next_batch(self._now())
            if not isinstance(found, Batch):
                self._next_s = found
                return
            self._sends.add(asyncio.create_task(self._deliver(found)))
            records += len(found.records)
            if records >= TOGETHER:
                self._wake.set()
                return

    async def _deliver(self, batch: Batch) -> None:
        """Send one batch and book what came of it. Whatever else happens, what the journal holds must be read again."""
        try:
            await self._deliver_once(batch)
            self._go_on(batch)
        except Exception as error:  # noqa: BLE001  it is raised by `run`: the account starts again
            self._failure = error
            self.lose()
        finally:
            self.account.over(batch, self._now())
            self._sends -= {asyncio.current_task()}

    def _go_on(self, batch: Batch) -> None:
        """What may leave in the place of a request does; a turn begins where it has more to do than that."""
        before_s = self._next_s
        if before_s is None or before_s > self._clock.monotonic_s() + SOON_S:
            self._send()
            if self._next_s != before_s or self._settles() or self._runs_low(batch):
                self._wake.set()

    def _runs_low(self, batch: Batch) -> bool:
        """Whether a lane of the batch has more to read, and room for a good part of what it keeps queued."""
        lanes = {record.lane for record in batch.records} & self.account.works.keys()
        more = [work for lane in lanes if (work := self.account.works[lane]).read_to < self._reader.high]
        return any(work.runs_low(self.account.enough(work), STAGE) for work in more)

    async def _deliver_once(self, batch: Batch) -> None:
        if not self._may_send():  # a process that was frozen since it planned this: the lease may be another's by now
            self.lose()
            return
        destination = self._destinations[batch.destination]
        started_s = self._clock.monotonic_s()
        left = partial(self._left, batch) if self.account.pace.rate_per_s() is not None else None
        step = self.account.step_of(batch)
        try:
            with tell.sending(self.account.name, batch):
                answer, verdict, intended = await self._exchange.of(destination, batch, step, left)
        except JournalConflict as error:
            tell.conflict(self.account.name, error)
            self.lose()
            return
        now = self._now()
        latency_s = now.s - started_s
        if intended:
            self.account.intent_done(batch)
        news = self.account.finished(batch, masked(answer, destination.vendor.secrets()), verdict, latency_s, now)
        tell.sent(batch, answer, verdict, latency_s, now.ms)
        for one in news:
            tell.standing(self.account.name, one, self.account.gate.standing(now.s))

    def _left(self, batch: Batch) -> None:
        """The batch is on the wire: the pace may go by it."""
        if self.account.left(batch, self._now()):
            self._wake.set()

    # --- ask ----------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Now and then the vendor is asked what it dropped of what it had taken."""
        if self._stopping or self._journal_fails or not self._may_send():
            return
        asking = self.account.asking(self._now())
        if asking is not None:
            self._sends.add(asyncio.create_task(self._ask_once(asking)))

    async def _ask_once(self, asking: Asking) -> None:
        def left() -> None:
            asking.departure.left(self._clock.monotonic_s())
            self._wake.set()

        try:
            answer = await self._exchange.ask(asking.destination, asking.request, left)
            tell.dropped(self.account.name, self.account.told(asking, answer, self._now()))
        except Exception as error:  # noqa: BLE001  it is raised by `run`: the account starts again
            self._failure, self._lost = error, True
        finally:
            self._sends -= {asyncio.current_task()}
            left()

    # --- settle -------------------------------------------------------------------------------------------------

    def _settles(self) -> bool:
        due = self._stopping or self._clock.monotonic_s() >= self._settled_s + SETTLE_EVERY_S
        return due and self._settle is None

    def _start_settle(self) -> None:
        now_ms = self._clock.now_ms()
        settlement = self.account.settlement(now_ms, self._config, self._revision) if self._settles() else None
        if settlement is not None:
            self._settle = asyncio.create_task(self._settle_until_done(settlement))

    async def _settle_until_done(self, settlement: Settlement) -> None:
        """Write a settlement; the same one again while the journal cannot. Whatever else happens, what the journal
        holds must be read again.
        """
        wait_s = JOURNAL_WAIT_S
        done = False
        try:
            while not self._lost and not (done := await self._settle_once(settlement)):
                await self._clock.sleep(wait_s)
                wait_s = min(wait_s * 2, JOURNAL_WAIT_MAX_S)
        except JournalConflict as error:
            tell.conflict(self.account.name, error)
        except Exception as error:  # noqa: BLE001  it is raised by `run`: the account starts again
            self._failure = error
        finally:
            self._lost = self._lost or not done
            self._settle = None
            self._settled_s = self._clock.monotonic_s()
            self._wake.set()

    async def _settle_once(self, settlement: Settlement) -> bool:
        began_s = self._clock.monotonic_s()
        try:
            lanes = await self._journal.settle(settlement)
        except JournalUnavailable as error:
            self._journal_failed(error)
            return False
        self.account.settled(lanes)
        self._journal_fails = False
        tell.settled(self.account.name, settlement, lanes, self._clock.monotonic_s() - began_s)
        return True

    def _journal_failed(self, error: JournalUnavailable) -> None:
        if not self._journal_fails:
            tell.journal_failed(self.account.name, error)
        self._journal_fails = True

    # --- rest ---------------------------------------------------------------------------------------------------

    async def _rest(self) -> None:
        """Wait for news, or until something is due by itself."""
        now = self._now()
        until_s = [now.s + IDLE_S]
        if self._next_s is not None:
            until_s.append(max(self._next_s, now.s + TURN_S))
        settle_s = self._settled_s + SETTLE_EVERY_S
        if self._settle is None and (self.account.dirty() or (self._sends and settle_s > now.s)):
            until_s.append(settle_s)
        if self._journal_fails:
            self._journal_fails = self._settle is not None
            until_s.append(now.s + JOURNAL_WAIT_S)
        elif not self._stopping and (due_ms := self.account.next_due_ms(now)) is not None:
            gate_s = self.account.gate.opens_s(now.s)
            until_s.append(max(now.s + (due_ms - now.ms) / 1000, gate_s))
        wait_s = min(until_s) - now.s
        if wait_s <= 0:
            await asyncio.sleep(0)
            return
        await self._wake.wait(wait_s)

    async def _let_go(self) -> None:
        """The lease is lost, the lanes are to be read anew, or the process goes: nothing of ours may stay behind."""
        tasks = [*self._sends, *([self._settle] if self._settle else [])]
        if self._lost and self._sends:
            await asyncio.wait(self._sends)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _slices(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    return (events[place : place + SLICE] for place in range(0, len(events), SLICE))
