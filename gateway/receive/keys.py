"""Public keys and certificates that platforms publish: fetched apart from the requests, cached, bounded.

A scheme asks for a key by its URL, whose host it has pinned already. What is not there is fetched once for all who ask;
what is there is renewed in the background, and the last good one stays in use while the platform cannot be reached.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gateway.clock import Clock
from gateway.errors import Cause, Rejected
from gateway.receive.observe import Observer, Quiet
from gateway.receive.roots import Roots, web_roots

KEYS_AT_MOST = 64
"""Keys that are kept, over all sources; the one not asked for longest goes first."""

KEY_BYTES = 256 << 10
FETCH_TIMEOUT_S = 4.0
"""Senders wait 5 s at least: an answer has to be possible after it."""

FETCHES_PER_MINUTE = 30
"""URLs stand in requests that nobody has proved yet: they may not make us call without end."""

RENEW_AFTER_S = 3600.0
AGAIN_AFTER_S = 30.0
"""A key that could not be had, or did not know a signature's key id, is not fetched again before this."""

Fetch = Callable[[str], Awaitable[bytes]]
Parse = Callable[[bytes], Any]


class KeyNeeded(Exception):  # noqa: N818  a request, not a failure
    """A key has to be fetched before the request can be judged."""

    def __init__(self, url: str, parse: Parse) -> None:
        self.url = url
        self.parse = parse
        super().__init__(url)


class KeyFailure(Exception):  # noqa: N818  what became of a fetch
    """A key could not be had: whence, and why."""


class _Entry:
    __slots__ = ("asked_s", "parse", "tried_s", "value")

    def __init__(self, parse: Parse) -> None:
        self.parse = parse
        self.value: Any = None
        self.tried_s = float("-inf")
        self.asked_s = float("-inf")


class Keys:
    """The keys of all sources. `fetch` gets a URL's bytes; the default is an HTTPS client that follows no redirect.
    `roots` are those that a certificate may lead to.
    """

    def __init__(
        self, clock: Clock, fetch: Fetch | None = None, observer: Observer | None = None, roots: Roots = web_roots
    ) -> None:
        self.roots = roots
        self._clock = clock
        self._fetch = fetch or _Client().get
        self._observer = observer or Quiet()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._fetched_s: list[float] = []
        self._loop: asyncio.Task[None] | None = None

    def get(self, url: str, parse: Parse) -> Any:
        """The key at a URL. Raises KeyNeeded where it has to be fetched, Rejected (503) where it cannot be had now."""
        entry = self._entries.get(url)
        if entry is None:
            raise KeyNeeded(url, parse)
        self._entries.move_to_end(url)
        entry.asked_s = self._clock.monotonic_s()
        if entry.value is None:
            if entry.asked_s - entry.tried_s >= AGAIN_AFTER_S:
                raise KeyNeeded(url, parse)
            raise Rejected(Cause.KEY_UNAVAILABLE)
        return entry.value

    def stale(self, url: str, parse: Parse) -> None:
        """The key at the URL did not fit: raise KeyNeeded, unless it was fetched a moment ago."""
        entry = self._entries.get(url)
        if entry is None or self._clock.monotonic_s() - entry.tried_s >= AGAIN_AFTER_S:
            raise KeyNeeded(url, parse)

    async def fetch(self, needed: KeyNeeded) -> None:
        """Fetch a key, once for all who ask. Raises Rejected where that may not be done now."""
        if needed.url not in self._under_way:
            self._may_fetch()
        await asyncio.wait({self._renewal(needed.url, needed.parse)})

    def visit(self, url: str) -> None:
        """Call a URL and forget the answer: how some platforms want a subscription confirmed. Raises Rejected."""
        if url not in self._under_way:
            self._may_fetch()
            self._begin(url, self._call(url))

    def _renewal(self, url: str, parse: Parse) -> asyncio.Task[None]:
        """The fetch of a key that is under way, or a new one."""
        return self._under_way.get(url) or self._begin(url, self._renew(url, parse))

    def _begin(self, url: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way[url] = task
        task.add_done_callback(lambda _: self._under_way.pop(url, None))
        return task

    async def _call(self, url: str) -> None:
        try:
            await self._fetch(url)
        except Exception as error:  # noqa: BLE001  a stranger's server may do anything
            self._observer.failed("visit", KeyFailure(f"{url}: {type(error).__name__}: {error}"))

    def _may_fetch(self) -> None:
        now_s = self._clock.monotonic_s()
        self._fetched_s = [at_s for at_s in self._fetched_s if now_s - at_s < 60]  # noqa: PLR2004  a minute
        if len(self._fetched_s) >= FETCHES_PER_MINUTE:
            raise Rejected(Cause.KEY_UNAVAILABLE)
        self._fetched_s.append(now_s)

    async def _renew(self, url: str, parse: Parse) -> None:
        """Fetch and read one key; a failure leaves the last good one."""
        entry = self._entries.setdefault(url, _Entry(parse))
        while len(self._entries) > KEYS_AT_MOST:
            self._entries.popitem(last=False)
        entry.tried_s = self._clock.monotonic_s()
        try:
            entry.value = parse(await self._fetch(url))
        except Exception as error:  # noqa: BLE001  whatever a stranger's server does, the last good key stays
            self._observer.failed("key", KeyFailure(f"{url}: {type(error).__name__}: {error}"))

    # --- the loop ----------------------------------------------------------------------------------------------------

    def expect(self, url: str, parse: Parse) -> None:
        """Let the loop fetch a key ahead of its use."""
        self._entries.setdefault(url, _Entry(parse)).asked_s = self._clock.monotonic_s()

    def start(self) -> None:
        """Fetch what is expected, and renew what is in use. Idempotent; needs a running loop."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._keep_fresh(), name="keys")

    async def close(self) -> None:
        """Stop. Idempotent."""
        tasks = [task for task in (self._loop, *self._under_way.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_fresh(self) -> None:
        while True:
            now_s = self._clock.monotonic_s()
            for url, entry in list(self._entries.items()):
                due_s = AGAIN_AFTER_S if entry.value is None else RENEW_AFTER_S
                if now_s - entry.tried_s >= due_s and now_s - entry.asked_s < 2 * RENEW_AFTER_S:
                    await asyncio.wait({self._renewal(url, entry.parse)})
            await self._clock.sleep(AGAIN_AFTER_S)


class _Client:
    """The way to the platforms' keys: HTTPS, no redirects, bounded in time and size."""

    async def get(self, url: str) -> bytes:
        import aiohttp  # noqa: PLC0415  a sixth of what a command loads, and no command fetches

        timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:  # noqa: PLR2004  anything else is no key
                raise ValueError(f"the answer is {response.status}")
            body = await response.content.read(KEY_BYTES + 1)
            while len(body) <= KEY_BYTES and not response.content.at_eof():
                body += await response.content.read(KEY_BYTES + 1 - len(body))
            if len(body) > KEY_BYTES:
                raise ValueError(f"the answer is larger than {KEY_BYTES} bytes")
            return body
