"""Group commit: requests that arrive while a commit is under way form the next group, with all that has come by the
time it is offered; nobody waits for a timer.

    request > join > (forming group) > committer > Log.append > every request of the group is told

One group is with the journal at a time. A group has an id of its own and may be offered again: the journal recognises
it. One that took too long is answered 503 and still offered until the journal has said what became of it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from gateway.clock import Chance, Clock
from gateway.errors import Cause, GroupRefused, JournalUnavailable, Rejected
from gateway.journal.base import Log
from gateway.model import Group, Offer, Receipt, Rejection
from gateway.receive.observe import Observer, Quiet

GROUP_BYTES = 16 << 20
"""Bodies that are committed together, at most."""

WAITING_BYTES = 128 << 20
"""Bodies that may wait for a commit, at most."""

FILL_S = 0.005
"""How long a group may grow while requests come faster than they are read."""

REJECTIONS_PER_S = 10
"""Rejected requests kept per source and second; the rest are counted."""

REJECTIONS_WAITING = 500
REJECTIONS_PER_GROUP = 100
REJECTIONS_WITHIN_S = 0.5
"""When no event comes to ride with, rejected requests are written by themselves after this."""

STUCK_WAIT_S = 1.0
"""How long requests wait behind a commit that has taken too long already."""

AGAIN_FIRST_S = 0.05
AGAIN_MAX_S = 2.0

Outcome = Receipt | Rejected
Told = Callable[[list[Outcome]], None]
"""Called once with what became of offers; must not raise."""


class _Shared(asyncio.Future[list[Outcome]]):
    """What many requests wait for: one that is given up must not give it up for the others."""

    def cancel(self, msg: Any = None) -> bool:  # noqa: ARG002  the signature is asyncio's
        return False


class _Forming:
    """A group on its way: its offers, the future of all who wait for it, and who is told without waiting."""

    __slots__ = ("done", "offers", "size_bytes", "timer", "told")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.offers: list[Offer] = []
        self.size_bytes = 0
        self.done = _Shared(loop=loop)
        self.told: list[Told] = []
        self.timer: asyncio.TimerHandle | None = None


class Acceptor:
    """Takes offers, commits them in groups, and gives each its receipt.

    `group_limit`: events in a group; `waiting_limit`: events that may wait; `commit_timeout_s`: from the moment a group
    begins to form until its requests are answered 503.
    """

    def __init__(
        self,
        log: Log,
        clock: Clock,
        chance: Chance,
        *,
        group_limit: int = 512,
        waiting_limit: int = 4096,
        commit_timeout_s: float = 10.0,
        observer: Observer | None = None,
    ) -> None:
        self._log = log
        self._clock = clock
        self._observer = observer or Quiet()
        self._ids = _GroupIds(clock, chance)
        self._group_limit = group_limit
        self._waiting_limit = waiting_limit
        self._commit_timeout_s = commit_timeout_s
        self._queue: deque[_Forming] = deque()
        self._waiting = 0
        self._waiting_bytes = 0
        self._rejections: deque[Rejection] = deque()
        self._kept_now: dict[str, tuple[int, int]] = {}
        self._flush: asyncio.TimerHandle | None = None
        self._work = asyncio.Event()
        self._closing = False
        self._stuck = False
        self._committer: asyncio.Task[None] | None = None

    # --- start and stop ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to commit. Idempotent; needs a running loop."""
        if self._committer is None:
            self._committer = asyncio.get_running_loop().create_task(self._commit_groups(), name="acceptor")

    async def close(self) -> None:
        """Take no more, commit what waits, within one commit's time; then stop. Idempotent."""
        self._closing = True
        self._work.set()
        if self._flush is not None:
            self._flush.cancel()
        if self._committer is None:
            return
        await asyncio.wait({self._committer}, timeout=self._commit_timeout_s)
        self._committer.cancel()
        await asyncio.gather(self._committer, return_exceptions=True)
        for forming in list(self._queue):
            self._expire(forming)

    # --- what requests call ------------------------------------------------------------------------------------------

    async def accept(self, offers: Sequence[Offer]) -> list[Receipt]:
        """Wait until the offers are committed; their receipts, in order. They share a group.

        Raises Rejected: overloaded, journal_unavailable (not committed, or not known to be), body_unreadable (an
        event that can never be stored).
        """
        forming = self._join(offers)
        first = len(forming.offers) - len(offers)
        return receipts_of((await forming.done)[first : first + len(offers)])

    def submit(self, offers: Sequence[Offer], told: Told) -> None:
        """The same without a task that waits: `told` is called with what became of the offers, once. Raises Rejected
        where they are not even taken.
        """
        forming = self._join(offers)
        first = len(forming.offers) - len(offers)
        forming.told.append(lambda outcomes: told(outcomes[first : first + len(offers)]))

    def reject(self, rejection: Rejection) -> None:
        """Keep a refused request with the next group, if its source has not had too many this second."""
        second = int(self._clock.monotonic_s())
        at, count = self._kept_now.get(rejection.source, (second, 0))
        count = count + 1 if at == second else 1
        self._kept_now[rejection.source] = (second, count)
        if count > REJECTIONS_PER_S or len(self._rejections) >= REJECTIONS_WAITING or self._closing:
            self._observer.lost(1)
            return
        self._rejections.append(rejection)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(REJECTIONS_WITHIN_S, self._flush_rejections)

    def _flush_rejections(self) -> None:
        self._flush = None
        self._work.set()

    def _join(self, offers: Sequence[Offer]) -> _Forming:
        """Put offers into the group that is forming, or begin one."""
        if self._closing or self._committer is None:
            raise Rejected(Cause.OVERLOADED, "the gateway is stopping")
        size_bytes = sum([len(offer.body) for offer in offers])
        if self._waiting + len(offers) > self._waiting_limit or self._waiting_bytes + size_bytes > WAITING_BYTES:
            raise Rejected(Cause.OVERLOADED)
        forming = self._queue[-1] if self._queue else None
        if (
            forming is None
            or len(forming.offers) + len(offers) > self._group_limit
            or forming.size_bytes + size_bytes > GROUP_BYTES
        ):
            forming = self._begin()
        forming.offers += offers
        forming.size_bytes += size_bytes
        self._waiting += len(offers)
        self._waiting_bytes += size_bytes
        return forming

    def _begin(self) -> _Forming:
        loop = asyncio.get_running_loop()
        forming = _Forming(loop)
        wait_s = min(self._commit_timeout_s, STUCK_WAIT_S) if self._stuck else self._commit_timeout_s
        forming.timer = loop.call_later(wait_s, self._expire, forming)
        self._queue.append(forming)
        self._work.set()
        return forming

    def _settle(self, forming: _Forming, outcomes: list[Outcome]) -> None:
        """Answer everybody who waits for this group, once."""
        if forming.timer is not None:
            forming.timer.cancel()
        if not forming.done.done():
            self._waiting -= len(forming.offers)
            self._waiting_bytes -= forming.size_bytes
            forming.done.set_result(outcomes)
            for told in forming.told:
                told(outcomes)

    def _expire(self, forming: _Forming) -> None:
        """The time is up. A group that was not offered yet is dropped; one that was goes on until it is known."""
        if forming in self._queue:
            self._queue.remove(forming)
        else:
            self._stuck = True
        self._settle(forming, _all(forming.offers, Cause.JOURNAL_UNAVAILABLE, "the commit took too long"))

    # --- the committer -----------------------------------------------------------------------------------------------

    async def _commit_groups(self) -> None:
        while True:
            if not self._queue and (not self._rejections or self._flush is not None) and not self._closing:
                self._work.clear()
                await self._work.wait()
            if self._queue:
                await self._fill(self._queue[0])
            if self._queue:
                await self._commit(self._queue.popleft())
            elif self._rejections:
                await self._commit(_Forming(asyncio.get_running_loop()))
            elif self._closing:
                return

    async def _fill(self, forming: _Forming) -> None:
        """Let a group grow by what has come already and is being read: until a round of the loop adds nothing to it."""
        until_s = self._clock.monotonic_s() + FILL_S
        size = 0
        while size < len(forming.offers) < self._group_limit and self._clock.monotonic_s() < until_s:
            size = len(forming.offers)
            await asyncio.sleep(0)

    async def _commit(self, forming: _Forming) -> None:
        """Commit one group and answer its requests. Never raises: the next group does not suffer from this one."""
        began_s = self._clock.monotonic_s()
        taken = min(len(self._rejections), REJECTIONS_PER_GROUP)
        rejections = tuple(self._rejections.popleft() for _ in range(taken))
        group = Group(self._ids.next(), tuple(forming.offers), rejections)
        outcomes = _all(group.offers, Cause.JOURNAL_UNAVAILABLE)
        try:
            outcomes = await self._offer(group, forming)
        except Exception as error:  # noqa: BLE001  whatever it is, everybody gets an answer and the loop goes on
            self._observer.failed("commit", error)
        finally:
            self._stuck = False
            self._settle(forming, outcomes)
        self._tell(group, outcomes, self._clock.monotonic_s() - began_s)

    async def _offer(self, group: Group, forming: _Forming) -> list[Outcome]:
        """Offer a group until the journal has said what became of it."""
        wait_s = AGAIN_FIRST_S
        again = True
        while True:
            try:
                async with asyncio.timeout(self._commit_timeout_s):
                    return list(await self._log.append(group))
            except GroupRefused as refused:
                return await self._without(group, refused.faults)
            except (JournalUnavailable, TimeoutError) as error:
                self._observer.failed("commit", error)
                unknown = isinstance(error, TimeoutError) or forming.done.done()
                if not unknown and not again:
                    self._observer.lost(len(group.rejections))
                    return _all(group.offers, Cause.JOURNAL_UNAVAILABLE)
                if unknown:
                    await self._clock.sleep(wait_s)
                    wait_s = min(wait_s * 2, AGAIN_MAX_S)
                again = False
            except Exception as error:  # noqa: BLE001  one bad event never fails its neighbours: each is tried alone
                self._observer.failed("commit", error)
                self._observer.lost(len(group.rejections))
                return [await self._alone(offer) for offer in group.offers]

    async def _without(self, group: Group, faults: dict[int, str]) -> list[Outcome]:
        """Offer the group again without the events that can never be stored."""
        rest = tuple(offer for place, offer in enumerate(group.offers) if place not in faults)
        if len(rest) == len(group.offers) or not rest:
            return [await self._alone(offer) for offer in group.offers]
        taken = iter(await self._offer(Group(self._ids.next(), rest, group.rejections), _Forming(_loop())))
        return [_never() if place in faults else next(taken) for place in range(len(group.offers))]

    async def _alone(self, offer: Offer) -> Outcome:
        """Offer one event by itself."""
        try:
            async with asyncio.timeout(self._commit_timeout_s):
                (receipt,) = await self._log.append(Group(self._ids.next(), (offer,)))
        except GroupRefused:
            return _never()
        except Exception as error:  # noqa: BLE001  it fails alone
            self._observer.failed("commit", error)
            return Rejected(Cause.JOURNAL_UNAVAILABLE)
        return receipt

    def _tell(self, group: Group, outcomes: list[Outcome], took_s: float) -> None:
        accepted: Counter[str] = Counter()
        duplicates: Counter[str] = Counter()
        for offer, outcome in zip(group.offers, outcomes, strict=True):
            if isinstance(outcome, Receipt):
                (duplicates if outcome.duplicate else accepted)[offer.source] += 1
        self._observer.committed(accepted, duplicates, took_s)


def receipts_of(outcomes: Sequence[Outcome]) -> list[Receipt]:
    """The receipts, if there is nothing else among them. Raises Rejected."""
    receipts: list[Receipt] = []
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            raise Rejected(outcome.cause, outcome.detail)
        receipts.append(outcome)
    return receipts


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _all(offers: Sequence[Offer], cause: Cause, detail: str = "") -> list[Outcome]:
    return [Rejected(cause, detail)] * len(offers)


def _never() -> Rejected:
    return Rejected(Cause.BODY_UNREADABLE, "the event can never be stored")


class _GroupIds:
    """16-byte ids in the order of time: 6 bytes of milliseconds, 2 of a count within them, 8 of chance."""

    def __init__(self, clock: Clock, chance: Chance) -> None:
        self._clock = clock
        self._chance = chance
        self._last_ms = 0
        self._count = 0

    def next(self) -> bytes:
        now_ms = self._clock.now_ms()
        if now_ms > self._last_ms:
            self._last_ms, self._count = now_ms, 0
        else:
            self._count += 1
        stamp = (self._last_ms << 16) + self._count
        return stamp.to_bytes(8, "big") + self._chance.nonce(8)
