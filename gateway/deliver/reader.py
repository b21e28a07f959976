"""Reading the log for many lanes: near the head each event is read once, whatever the number of lanes.

The tail holds the last events of all sources; a lane whose reading has come so far is served from it. A lane that lags
reads its own source from the journal, page by page; the next one while this one is planned. The last pages are kept for
lanes that lag together, and who asks for a page that is being read waits for it.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict, deque

from gateway.journal.base import Head, Log, Page
from gateway.model import Event

TAIL_EVENTS = 5_000
TAIL_BYTES = 32 << 20
PAGE_EVENTS = 200
PAGES = 16
LAG_MAX = PAGES // 2
"""With more sources that lag a page is not read ahead: others would push it out before it is asked for."""


class Reader:
    """The log as the lanes of one dispatcher read it. Events of a revision above `revision` are not given; `newest` is
    the newest of those that were met.
    """

    def __init__(self, log: Log, head: Head, revision: int) -> None:
        self._log = log
        self._revision = revision
        self.newest = 0
        self._low = self._high = head.seq
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._by_source: dict[str, list[Event]] = {}
        self._pages: deque[tuple[str, int, Page]] = deque(maxlen=PAGES)
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ahead: set[asyncio.Task[Page]] = set()

    def swap(self, revision: int) -> None:
        """Events up to this revision are given from now on."""
        self._revision = revision

    @property
    def high(self) -> int:
        """How far the tail has been read."""
        return self._high

    def forget(self) -> None:
        """What was read is read anew: a lane begins that must not have what retention removed before."""
        self._low = self._high
        self._events.clear()
        self._by_source.clear()
        self._pages.clear()
        self._bytes = 0
        self.close()

    def close(self) -> None:
        """Nothing is read ahead any more."""
        for ahead in self._ahead:
            ahead.cancel()

    async def advance(self, head: Head) -> None:
        """Read the tail on to the head."""
        while self._high < head.seq:
            page = await self._log.read(self._high, limit=PAGE_EVENTS * 5)
            if page.read_to <= self._high:
                return
            for event in page.events:
                self._keep(event)
            self._high = page.read_to
            self._trim()

    async def page(self, source: str, after_seq: int) -> Page:
        """The next events of a source."""
        if after_seq >= self._low:
            return self._seen(self._from_tail(source, after_seq))
        page = await self._page(source, after_seq)
        if page.read_to < self._low and self._is_next(source, page.read_to):
            ahead = asyncio.create_task(self._page(source, page.read_to))
            self._ahead.add(ahead)
            ahead.add_done_callback(self._has_read_ahead)
        return self._seen(page)

    async def _page(self, source: str, after_seq: int) -> Page:
        known = self._known(source, after_seq)
        if known is not None:  # whatever is read ahead meanwhile
            return known
        async with self._reading[source]:
            page = self._known(source, after_seq)
            if page is None:
                page = await self._log.read(after_seq, sources=(source,), limit=PAGE_EVENTS)
                if page.events:
                    self._pages.append((source, after_seq, page))
            return page

    def _known(self, source: str, after_seq: int) -> Page | None:
        """What follows in a page that was read."""
        for name, first, page in self._pages:
            if name == source and first <= after_seq < page.read_to:
                return _rest_of(page, after_seq)
        return None

    def _is_next(self, source: str, after_seq: int) -> bool:
        """Whether this page is to be read ahead: nobody reads of this source, and few sources lag."""
        few = len({name for name, _, _ in self._pages}) <= LAG_MAX
        return few and not self._reading[source].locked() and self._known(source, after_seq) is None

    def _has_read_ahead(self, ahead: asyncio.Task[Page]) -> None:
        """A page was read ahead, or could not be: then who asks for it hears why."""
        self._ahead.discard(ahead)
        if not ahead.cancelled():
            ahead.exception()

    def _from_tail(self, source: str, after_seq: int) -> Page:
        events = self._by_source.get(source, [])
        start = bisect_right(events, after_seq, key=_seq)
        found = tuple(events[start : start + PAGE_EVENTS])
        more = start + PAGE_EVENTS < len(events)
        return Page(found, found[-1].seq if more else max(self._high, after_seq))

    def _seen(self, page: Page) -> Page:
        """The page up to the first event that was accepted under a newer configuration."""
        for place, event in enumerate(page.events):
            if event.revision > self._revision:
                self.newest = max(self.newest, event.revision)
                return Page(page.events[:place], event.seq - 1)
        return page

    def _keep(self, event: Event) -> None:
        self._events.append(event)
        self._bytes += len(event.body)
        self._by_source.setdefault(event.source, []).append(event)

    def _trim(self) -> None:
        dropped: dict[str, int] = {}
        while len(self._events) > TAIL_EVENTS or self._bytes > TAIL_BYTES:
            event = self._events.popleft()
            self._bytes -= len(event.body)
            self._low = event.seq
            dropped[event.source] = dropped.get(event.source, 0) + 1
        for source, count in dropped.items():
            events = self._by_source[source]
            del events[:count]
            if not events:
                del self._by_source[source]


def _rest_of(page: Page, after_seq: int) -> Page:
    return Page(page.events[bisect_right(page.events, after_seq, key=_seq) :], page.read_to)


def _seq(event: Event) -> int:
    return event.seq
