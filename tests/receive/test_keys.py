"""Published keys: fetched once for all who ask, kept while the platform is away, bounded."""

import asyncio

import pytest

from gateway.errors import Cause, Rejected
from gateway.receive import keys as module
from gateway.receive.keys import AGAIN_AFTER_S, FETCHES_PER_MINUTE, KEYS_AT_MOST, RENEW_AFTER_S, KeyNeeded, Keys
from tests.receive.knock import StillClock, Told, until

URL = "https://keys.example/1"


class Publisher:
    """Answers fetches, and fails when it is told to."""

    def __init__(self) -> None:
        self.text = b"one"
        self.fetched: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        await self.gate.wait()
        if not self.text:
            raise OSError("away")
        return self.text


def parse(text: bytes) -> str:
    if text == b"garbage":
        raise ValueError("no key")
    return text.decode()


async def had(keys: Keys, url: str = URL) -> str:
    try:
        return str(keys.get(url, parse))
    except KeyNeeded as needed:
        await keys.fetch(needed)
        return str(keys.get(url, parse))


async def test_a_key_is_fetched_once_for_all_who_ask() -> None:
    publisher = Publisher()
    publisher.gate.clear()
    keys = Keys(StillClock(), publisher.fetch)
    asking = [asyncio.create_task(had(keys)) for _ in range(20)]
    await asyncio.sleep(0)
    publisher.gate.set()
    assert await asyncio.gather(*asking) == ["one"] * 20
    assert publisher.fetched == [URL]


@pytest.mark.parametrize("text", [b"", b"garbage"])
async def test_a_key_that_cannot_be_had_is_503_and_not_asked_for_again_at_once(text: bytes) -> None:
    publisher, clock, told = Publisher(), StillClock(), Told()
    publisher.text = text
    keys = Keys(clock, publisher.fetch, told)
    for _ in range(5):
        with pytest.raises(Rejected) as refused:
            await had(keys)
        assert refused.value.cause is Cause.KEY_UNAVAILABLE
    assert publisher.fetched == [URL]
    assert [what for what, _ in told.failures] == ["key"]
    publisher.text = b"two"
    clock.mono_s += AGAIN_AFTER_S
    assert await had(keys) == "two"


async def test_a_key_that_does_not_fit_is_looked_for_once_more_but_not_at_once() -> None:
    publisher, clock = Publisher(), StillClock()
    keys = Keys(clock, publisher.fetch)
    assert await had(keys) == "one"
    keys.stale(URL, parse)
    clock.mono_s += AGAIN_AFTER_S
    with pytest.raises(KeyNeeded) as needed:
        keys.stale(URL, parse)
    publisher.text = b"two"
    await keys.fetch(needed.value)
    assert await had(keys) == "two"


async def test_the_loop_fetches_what_is_expected_and_renews_it_and_keeps_the_last_good_one() -> None:
    publisher, clock = Publisher(), StillClock()
    keys = Keys(clock, publisher.fetch)
    keys.expect(URL, parse)
    keys.start()
    keys.start()
    await until(lambda: publisher.fetched and not keys._under_way)
    assert keys.get(URL, parse) == "one"
    clock.mono_s += RENEW_AFTER_S
    publisher.text = b""
    await until(lambda: len(publisher.fetched) > 1 and not keys._under_way)
    assert keys.get(URL, parse) == "one"
    await keys.close()
    await keys.close()


async def test_strangers_cannot_make_us_call_without_end() -> None:
    publisher, clock = Publisher(), StillClock()
    keys = Keys(clock, publisher.fetch)
    for number in range(FETCHES_PER_MINUTE):
        await had(keys, f"{URL}{number}")
    with pytest.raises(Rejected) as refused:
        await had(keys, f"{URL}-more")
    assert refused.value.cause is Cause.KEY_UNAVAILABLE
    clock.mono_s += 61
    assert await had(keys, f"{URL}-more") == "one"


async def test_keys_are_bounded_and_those_in_use_stay() -> None:
    publisher, clock = Publisher(), StillClock()
    keys = Keys(clock, publisher.fetch)
    await had(keys)
    for number in range(2 * KEYS_AT_MOST):
        clock.mono_s += 61
        await had(keys, f"{URL}/{number}")
        assert keys.get(URL, parse) == "one"
    assert len(keys._entries) <= KEYS_AT_MOST


async def test_a_visit_that_fails_is_told_and_no_more() -> None:
    publisher, told = Publisher(), Told()
    publisher.text = b""
    keys = Keys(StillClock(), publisher.fetch, told)
    keys.visit(URL)
    keys.visit(URL)
    await until(lambda: told.failures)
    assert publisher.fetched == [URL]


async def serve(answer: bytes) -> tuple[asyncio.Server, str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/key"


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers))
    return head.encode() + b"\r\n" + body


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (http("200 OK", b"one"), True),
        (http("404 Not Found", b"one"), False),
        (http("302 Found", b"", "location: http://127.0.0.1:1/"), False),
        (http("200 OK", b"x" * (module.KEY_BYTES + 1)), False),
        (b"garbage\r\n\r\n", False),
    ],
    ids=["good", "missing", "redirect", "large", "garbage"],
)
async def test_the_client_takes_a_plain_answer_and_nothing_else(answer: bytes, good: bool) -> None:  # noqa: FBT001  a table's column
    server, url = await serve(answer)
    async with server:
        keys = Keys(StillClock())
        if good:
            assert await had(keys, url) == "one"
        else:
            with pytest.raises(Rejected):
                await had(keys, url)
