"""The dispatcher: holds leases on accounts, and runs one loop for each account it holds.

Three thin loops: leases are kept, the log is watched, and every held account is served. A loop that dies starts again
with what the journal says; one account's failure is no other's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence

from msgspec.structs import replace

from gateway.clock import Chance, Clock
from gateway.config.schema import BreakerSetting
from gateway.deliver import tell
from gateway.deliver.account import Account
from gateway.deliver.drops import Drops
from gateway.deliver.gate import DEFAULT, Gate
from gateway.deliver.lane import LaneWork, is_over
from gateway.deliver.lease import LeaseKeeper
from gateway.deliver.lessons import note_of, pace_before, recall
from gateway.deliver.loop import AccountLoop
from gateway.deliver.outbound import Outbound
from gateway.deliver.pace import Pace
from gateway.deliver.plan import Destination, Setup
from gateway.deliver.queue import Now
from gateway.deliver.reader import Reader
from gateway.deliver.replay import Again
from gateway.deliver.revision import StandBack
from gateway.deliver.signal import Signal
from gateway.deliver.standing import AccountStanding, standing_of, told
from gateway.deliver.token import Tokens
from gateway.errors import JournalConflict, JournalUnavailable
from gateway.journal.base import Head, Journal
from gateway.mapping.syntax import ExpressionError
from gateway.model import LIVE, Lane, Lease
from gateway.telemetry import log as logs
from gateway.vendors.base import Limit

RESTART_S = 1.0
RESTART_MAX_S = 30.0
WATCH_S = 1.0
STOP_S = 25.0

log = logs.get("deliver")


class Dispatcher:
    """Everything that delivers in one process, under one configuration."""

    def __init__(
        self,
        journal: Journal,
        setup: Setup,
        outbound: Outbound,
        owner: str,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._journal = journal
        self._setup = setup
        self._tokens = Tokens(outbound, clock)
        self._clock = clock
        self._chance = chance
        self._keeper = LeaseKeeper(journal, owner, clock)
        self._accounts = _accounts(setup)
        self._loops: dict[str, AccountLoop] = {}
        self._known: dict[str, tuple[int, Pace, Gate, Drops]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._head = Head(0, 0)
        self._reader: Reader | None = None
        self._behind = StandBack()
        self._standing_back = False
        self._joining: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wanting: set[str] = set()
        self._unreadable: set[int] = set()
        self._rekeyed: dict[str, str] = {}
        self._asked_s = 0.0
        self._stopping = Signal()
        self._nudge = Signal()
        self.ready = asyncio.Event()

    def stop(self) -> None:
        """Send nothing more and let `run` return."""
        self._stopping.set()
        self._nudge.set()

    def swap(self, setup: Setup) -> None:
        """Another configuration is in force. Each account goes over to it when what is in flight is settled; a
        suspended one is tried again at once.
        """
        before, self._setup = self._setup, setup
        self._accounts = _accounts(setup)
        self._rekeyed |= _rekeyed(before, setup)
        for name, (token, pace, gate, drops) in list(self._known.items()):
            gate.try_now()
            if _breaker(before, name) != _breaker(setup, name):
                gate.obey(_breaker(setup, name))
            if name in self._accounts and _limits(before, name) != _limits(setup, name):
                pace = Pace(_limits(setup, name), spent_at_s=self._clock.monotonic_s())  # noqa: PLW2901  a new one
            self._known[name] = (token, pace, gate, drops)
        if self._reader is not None:
            self._reader.swap(setup.revision)
        for loop in self._loops.values():
            loop.stop()
        self._nudge.set()

    def standings(self) -> list[AccountStanding]:
        """How the accounts stand that this process serves."""
        now = self._now()
        found = [standing_of(loop.account, now) for loop in self._loops.values()]
        for one in found:
            tell.stands(one)
        return told(found)

    async def run(self) -> None:
        """Deliver until `stop`; then what is in flight is finished and settled, and the leases are free."""
        watch = asyncio.create_task(self._watch())
        try:
            while not self._stopping.is_set():
                self._nudge.clear()
                await self._keep_leases()
                await self._nudge.wait(self._keeper.next_s())
        finally:
            await self._stop_loops()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            if self._reader is not None:
                self._reader.close()
            await self._release()

    # --- leases -------------------------------------------------------------------------------------------------

    async def _keep_leases(self) -> None:
        try:
            if self._reader is None:
                self._head = await self._journal.head()
                self._reader = Reader(self._journal, self._head, self._setup.revision)
            self._look_for_newer(self._reader.newest)
            for account in self._loops:
                self._note(account)
            await self._keeper.turn(() if self._standing_back else self._accounts)
        except JournalUnavailable as error:
            self.ready.clear()
            log.error("journal.unavailable", reason=str(error))
            return
        self.ready.set()
        for account, loop in self._loops.items():
            if not self._keeper.holds(account):
                loop.lose()
            elif self._keeper.leaves(account):
                loop.stop()
        for account in self._accounts:
            task = self._tasks.get(account)
            if self._keeper.held(account) is not None and (task is None or task.done()):
                self._tasks[account] = asyncio.create_task(self._serve(account))

    def _look_for_newer(self, newest: int) -> None:
        """Where events of a newer revision have been waiting for long, the accounts are left to who has it."""
        before = self._standing_back
        self._standing_back = self._behind.look(newest, self._setup.revision, self._clock.monotonic_s())
        if self._standing_back and not before:
            log.warning("leases.given_up", revision=self._setup.revision, newest=newest)
            for loop in self._loops.values():
                loop.stop()

    async def _serve(self, account: str) -> None:
        """Serve an account while the lease is held, anew after each change of its lanes and each failure."""
        wait_s = RESTART_S
        while (lease := self._keeper.held(account)) is not None and not self._stopping.is_set():
            try:
                await self._serve_once(account, lease)
                wait_s = RESTART_S
                if self._is_to_go(account):
                    await self._keeper.give_up(account)
                    return
                await self._keeper.turn(self._accounts)
            except JournalConflict:
                self._keeper.drop(account)
            except JournalUnavailable as error:
                log.error("journal.unavailable", account=account, reason=str(error))
                await self._stopping.wait(wait_s)
                wait_s = min(wait_s * 2, RESTART_MAX_S)
            except Exception:  # an account's loop that dies starts again; its reason is in the log
                log.exception("process.failed", loop=f"account {account}", again_in_s=wait_s)
                await self._stopping.wait(wait_s)
                wait_s = min(wait_s * 2, RESTART_MAX_S)

    def _is_to_go(self, account: str) -> bool:
        """Whether the account is another's from now on: of a newer configuration, or of one who has fewer."""
        if self._keeper.leaves(account):
            tell.shared(account)
            return True
        return account not in self._accounts or self._standing_back

    async def _serve_once(self, account: str, lease: Lease) -> None:
        setup, before = self._setup, await self._journal.head()
        opened = await self._open(account, lease)
        if self._setup is not setup:
            opened.close()
            return
        loop = AccountLoop(
            opened,
            setup,
            self._journal,
            self._tail(),
            self._tokens,
            self._clock,
            may_send=lambda: self._keeper.held(account) is not None,
        )
        self._loops[account] = loop
        try:
            if (await self._journal.head()).operations != before.operations:
                await self._operators()
            tell.served(account, loop.account.pace.rate_per_s(), len(loop.account.works))
            await loop.run()
        finally:
            self._note(account, loop.account.pace)
            self._loops.pop(account, None)
            loop.account.close()
            tell.left(account)

    def _note(self, account: str, pace: Pace | None = None) -> None:
        """What the account has learned is told with the next renewal of its lease; its pace when it is let go."""
        gate = self._loops[account].account.gate
        self._keeper.note(account, note_of(gate, self._setup.digest, self._now(), pace))

    def _now(self) -> Now:
        return Now(self._clock.now_ms(), self._clock.monotonic_s())

    async def _open(self, name: str, lease: Lease) -> Account:
        """The account as the journal knows it, with the pace, the gate and the drops that it had under this lease."""
        known = self._known.get(name)
        if known is None or known[0] != lease.token:
            known = (lease.token, self._pace(name, lease), Gate(_breaker(self._setup, name)), Drops())
            recall(known[2], lease.note, self._setup.digest, self._now())
            self._known[name] = known
        _, pace, gate, drops = known
        account = Account(name, lease, pace, gate, self._chance, drops)
        async with self._joining[name]:
            await self._join(account, await self._journal.lanes())
        return account

    async def _join(self, account: Account, lanes: Sequence[Lane]) -> None:
        """The account's lanes join it, where there is something to do on them, or may be. One that another account
        still has (the destination's key was changed) joins when that one has settled what it had in flight.
        """
        new = self._new(account, lanes)
        held = [lane for lane in await self._hold(account, new) if lane.id in new]
        works = [work for lane in held if (work := await self._work(lane, new[lane.id])) is not None]
        intents = await self._journal.intents([work.id for work in works])
        for work in works:
            account.add(work)
        for intent in intents:
            destination = next(new[lane] for lane, *_ in intent.members if lane in new)
            account.resume(replace(intent, destination=destination.name))
            tell.resumed(intent)

    def _new(self, account: Account, lanes: Sequence[Lane]) -> dict[int, Destination]:
        """The destinations of those lanes that are the account's, are not served yet, and are not over."""
        unknown = [lane for lane in lanes if not (lane.id in account.works or account.is_past(lane) or is_over(lane))]
        return {lane.id: found for lane in unknown if (found := self._mine(lane, account.name)) is not None}

    async def _hold(self, account: Account, new: Collection[int]) -> tuple[Lane, ...]:
        """Those lanes that are the account's from now on, of new ones and those that it has."""
        numbers = [*account.works, *new]
        held = await self._journal.hold(account.lease, numbers)
        if len(held) < len(numbers) and await self._left_behind(numbers):
            held = await self._journal.hold(account.lease, numbers)
        self._wanting.discard(account.name)
        if len(held) < len(numbers):
            self._wanting.add(account.name)
        return held

    async def _left_behind(self, numbers: Sequence[int]) -> bool:
        """Whether somebody who has gone away had one of these lanes: who would come after them must not wait."""
        had = {lane.account for lane in await self._journal.lanes() if lane.id in numbers and lane.account}
        return any([await self._keeper.clear(one) for one in sorted(had)])

    async def _work(self, lane: Lane, destination: Destination) -> LaneWork | None:
        """A lane with what is parked on it. None for that of a replay that cannot be read: it stands still."""
        parked = await self._journal.parked(lane.id) if lane.counts.parked else ()
        again = None
        if lane.kind != LIVE:
            self._tail().forget()
            replays = {one.id: one for one in await self._journal.replays()}
            first_seq = min((row.seq for row in parked), default=lane.cursor + 1)
            head = await self._journal.head()
            try:
                again = Again(replays[lane.kind], lane, first_seq - 1, max(head.seq, self._tail().high))
            except ExpressionError as error:
                self._tell_unreadable(lane, error)
                return None
        return LaneWork(lane, destination, parked, again)

    def _tell_unreadable(self, lane: Lane, error: ExpressionError) -> None:
        if lane.id not in self._unreadable:
            self._unreadable.add(lane.id)
            tell.unreadable(lane, error)

    def _pace(self, name: str, lease: Lease) -> Pace:
        """The pace goes on where it was when the account was let go. It starts as if the windows had just been used up
        after a crash, and not where nobody ever held the lease before. An account whose key was changed is another to
        us and the same to its vendor: it goes on with the pace that it had.
        """
        was, limits, now_s = self._rekeyed.get(name, ""), _limits(self._setup, name), self._clock.monotonic_s()
        if lease.token <= 1 and was in self._known:
            return self._known[was][1]
        before = pace_before(lease.note, limits, now_s) if not was else None
        fresh = lease.token <= 1 and not was
        return Pace(limits, spent_at_s=None if fresh else now_s, before=before)

    def _mine(self, lane: Lane, account: str) -> Destination | None:
        destination = self._setup.destinations.get(lane.destination)
        if (
            destination is None
            or destination.account != account
            or lane.ended
            or lane.source not in self._setup.sources
        ):
            return None
        return destination

    def _tail(self) -> Reader:
        if self._reader is None:
            raise JournalUnavailable("the log has not been read yet")
        return self._reader

    # --- the log ------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Follow the log's head and what operators do, and wake the accounts."""
        while True:
            if self._reader is None:
                await self._stopping.wait(0.05)
                if self._stopping.is_set():
                    return
                continue
            try:
                head = await self._journal.wait(self._head, WATCH_S)
                if head != self._head:
                    await self._news(head, self._reader)
                if self._wanting & self._loops.keys() and self._clock.monotonic_s() >= self._asked_s + WATCH_S:
                    await self._operators()
            except JournalUnavailable as error:
                log.error("journal.unavailable", reason=str(error))
                await self._clock.sleep(WATCH_S)
            except Exception:  # without its watch the dispatcher hears of nothing any more; the reason is in the log
                log.exception("process.failed", loop="watch", again_in_s=RESTART_S)
                await self._clock.sleep(RESTART_S)

    async def _news(self, head: Head, reader: Reader) -> None:
        await reader.advance(head)
        if head.operations != self._head.operations:
            await self._operators()
        self._head = head
        for loop in list(self._loops.values()):
            loop.wake()

    async def _operators(self) -> None:
        """An operator paused or resumed a lane, retried or discarded what is dead, or began a replay; or a lane that an
        account waits for was let go of.
        """
        self._asked_s = self._clock.monotonic_s()
        lanes = await self._journal.lanes()
        for name, loop in list(self._loops.items()):
            async with self._joining[name]:
                if self._loops.get(name) is loop:
                    try:
                        await self._hear(loop.account, lanes)
                    except JournalConflict:
                        loop.lose()
                    loop.wake()

    async def _hear(self, account: Account, lanes: Sequence[Lane]) -> None:
        """What has become of an account's lanes."""
        if self._new(account, lanes):
            await self._join(account, lanes)
        for lane in lanes:
            work = account.works.get(lane.id)
            if work is not None and lane.changed > work.lane.changed:
                work.operated(lane, await self._journal.parked(lane.id))

    # --- the end ------------------------------------------------------------------------------------------------

    async def _stop_loops(self) -> None:
        for loop in self._loops.values():
            loop.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _release(self) -> None:
        try:
            await self._keeper.release()
        except JournalUnavailable as error:
            log.warning("journal.unavailable", reason=str(error))


def _accounts(setup: Setup) -> list[str]:
    """All accounts, those first that others take over soonest: with the shortest windows, which begin as used up."""
    windows_s = {
        one.account: max((limit.per_s for limit in one.limits), default=0.0) for one in setup.destinations.values()
    }
    return sorted(windows_s, key=lambda account: (windows_s[account], account))


def _rekeyed(before: Setup, setup: Setup) -> dict[str, str]:
    """The accounts that stand where others are gone, with the same limits (mostly a key was changed); and whose."""
    was = {name: one.account for name, one in before.destinations.items()}
    now = {one.account: was[name] for name, one in setup.destinations.items() if name in was}
    gone = set(_accounts(before)) - set(_accounts(setup))
    return {new: old for new, old in now.items() if old in gone and _limits(before, old) == _limits(setup, new)}


def _limits(setup: Setup, account: str) -> tuple[Limit, ...]:
    return next((one.limits for one in setup.destinations.values() if one.account == account), ())


def _breaker(setup: Setup, account: str) -> BreakerSetting | None:
    """The rule of the account's first destination that says anything of it."""
    told = [one.settings for one in setup.destinations.values() if one.account == account]
    return next((one.breaker for one in told if "breaker" in one.model_fields_set), DEFAULT)
