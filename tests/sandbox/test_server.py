"""The sandbox over real sockets: what is served, and faults that break connections for real."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.sandbox.server import Served, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = {"X-Ometria-Auth": "an-api-key-of-a-test"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Served]:
    async with serving("127.0.0.1:0") as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def client(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    served.sandbox.faults.clear()
    for simulator in served.sandbox.simulators.values():
        simulator.reset()
    async with aiohttp.ClientSession(served.url) as session:
        yield session


async def ask(client: aiohttp.ClientSession, method: str, path: str, **more: Any) -> tuple[int, str]:
    async with client.request(method, path, allow_redirects=False, **more) as answer:
        return answer.status, await answer.text()


async def order(client: aiohttp.ClientSession, fault: str, path: str = "*") -> None:
    asked = {"path": path, "fault": fault, "count": 1}
    assert (await ask(client, "POST", "/_sandbox/faults", json=asked))[0] == 201


async def look(client: aiohttp.ClientSession, path: str) -> Any:
    status, text = await ask(client, "GET", path)
    assert status == 200
    return json.loads(text)


async def taken(client: aiohttp.ClientSession) -> int:
    return int((await look(client, "/_sandbox/sink"))["counts"]["received"])


async def test_base_urls_are_paths_on_one_port(client: aiohttp.ClientSession) -> None:
    record = {"@type": "contact", "id": "c1", "email": "ada@example.com"}
    assert (await ask(client, "POST", "/ometria/v2/push", json=[record], headers=KEY))[0] == 202
    assert (await ask(client, "POST", "/sink/any/path", json={"id": "1"}))[0] == 200
    shown = await look(client, "/_sandbox/ometria")
    assert shown["accounts"][0]["received"] == {"contact:default:c1": 1}


async def test_the_sink_takes_requests_at_its_very_path_without_a_redirect(client: aiohttp.ClientSession) -> None:
    assert (await ask(client, "POST", "/sink", json={"id": "1"}))[0] == 200
    assert (await look(client, "/sink"))["counts"]["received"] == 1


async def test_the_index_names_every_simulator(client: aiohttp.ClientSession) -> None:
    shown = await look(client, "/_sandbox")
    assert shown["simulators"]["ometria"]["base_url"] == "/ometria/v2"
    assert (await ask(client, "GET", "/_sandbox/nobody"))[0] == 404


async def test_the_page_shows_what_each_holds_and_escapes_it(client: aiohttp.ClientSession) -> None:
    await order(client, "status", "/<script>")
    _, text = await ask(client, "GET", "/")
    assert "Ometria Data API" in text
    assert "/&lt;script&gt;" in text
    assert 'name="viewport"' in text
    assert "<html" not in (await ask(client, "GET", "/?figures"))[1]


async def test_rules_are_changed_and_what_is_held_is_forgotten_over_http(client: aiohttp.ClientSession) -> None:
    assert (await ask(client, "PATCH", "/_sandbox/sink", json={"status": 202}))[0] == 200
    assert (await ask(client, "POST", "/sink", json={}))[0] == 202
    assert (await ask(client, "PATCH", "/_sandbox/sink", json={"colour": "red"}))[0] == 400
    assert (await ask(client, "PATCH", "/_sandbox/sink", data=b"{"))[0] == 400
    await ask(client, "PATCH", "/_sandbox/sink", json={"status": 200})
    assert (await ask(client, "DELETE", "/_sandbox/sink"))[0] == 204
    assert await taken(client) == 0


async def test_a_reset_before_applying_breaks_the_connection_and_leaves_nothing(client: aiohttp.ClientSession) -> None:
    await order(client, "reset_before", "/sink*")
    with pytest.raises(aiohttp.ClientOSError):
        await ask(client, "POST", "/sink", json={"id": "1"})
    assert await taken(client) == 0


async def test_a_reset_after_applying_breaks_the_connection_though_all_is_done(client: aiohttp.ClientSession) -> None:
    await order(client, "reset_after", "/sink*")
    with pytest.raises(aiohttp.ClientOSError):
        await ask(client, "POST", "/sink", json={"id": "1"})
    assert await taken(client) == 1


async def test_a_cut_answer_ends_half_way(client: aiohttp.ClientSession) -> None:
    await order(client, "cut", "/sink*")
    async with client.post("/sink", json={"id": "1"}) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


@pytest.mark.parametrize(("fault", "applied"), [("hang", 0), ("hang_after", 1)])
async def test_a_hanging_answer_lasts_until_the_client_gives_up(
    client: aiohttp.ClientSession, fault: str, applied: int
) -> None:
    await order(client, fault, "/sink*")
    with pytest.raises(TimeoutError):
        await ask(client, "POST", "/sink", json={"id": "1"}, timeout=aiohttp.ClientTimeout(total=0.05))
    assert await taken(client) == applied


async def test_other_connections_go_on_while_one_is_reset(client: aiohttp.ClientSession) -> None:
    await order(client, "reset_before", "/sink/broken")
    with pytest.raises(aiohttp.ClientOSError):
        await ask(client, "POST", "/sink/broken", json={})
    assert (await ask(client, "POST", "/sink", json={"id": "2"}))[0] == 200


async def test_an_address_that_is_taken_is_an_error(served: Served) -> None:
    with pytest.raises(OSError, match="in use"):
        async with serving(served.url.removeprefix("http://")):
            pass
