"""Fetched tokens: who shares one, when it is fetched, and what happens when it cannot be."""

import asyncio
from typing import Any

import pytest

from gateway.deliver.outbound import Left
from gateway.deliver.token import AGAIN_S, CLIENTS_MAX, IN_TURN, Tokens
from gateway.errors import Reason
from gateway.vendors.base import Answer, Failure, Outcome, Request, Response, Retry, Vendor
from tests.simulation.virtual import VirtualClock, simulate
from tests.vendors.samples import a_batch, a_vendor, an_event

LIVES_S = 100
ROUND_S = 1.0


def it_left() -> None:
    """Nobody looks on."""


class Api:
    """Issues tokens `t1`, `t2` ... and takes those that it has not revoked. Each answer takes a second."""

    def __init__(self) -> None:
        self.issued = 0
        self.revoked: set[str] = set()
        self.away = False
        self.asked_at_once = self._asking = 0
        self.used: list[str] = []

    async def send(self, request: Request, timeout_s: float, left: Left = None) -> Answer:  # noqa: ARG002  the door's form
        if request.url.endswith("/oauth2/token"):
            return await self._token()
        await asyncio.sleep(ROUND_S)
        self.used.append(dict(request.headers)["Authorization"].removeprefix("Bearer "))
        return Response(401 if self.used[-1] in self.revoked else 202, {}, b"")

    async def _token(self) -> Answer:
        self._asking += 1
        self.asked_at_once = max(self.asked_at_once, self._asking)
        await asyncio.sleep(ROUND_S)
        self._asking -= 1
        if self.away:
            return Failure(Reason.TIMEOUT, "no answer")
        self.issued += 1
        return Response(200, {}, f'{{"access_token": "t{self.issued}", "expires_in": {LIVES_S}}}'.encode())


class Play:
    """An API, and what a process's tokens are to its destinations."""

    def __init__(self) -> None:
        self.api = Api()
        self.tokens = Tokens(self.api, VirtualClock(asyncio.get_running_loop()))

    async def send(self, vendor: Vendor, left: Left = None) -> Answer | Outcome:
        request = vendor.request(a_batch(vendor, an_event(), [{"id": "1"}]))
        return await self.tokens.send(vendor, request, 5.0, left)


def destination(**changed: Any) -> Vendor:
    given = {"tenant": "acme", "client_id": "id-1", "client_secret": "s-1", "streams": {"customer": "is-1"}}
    return a_vendor("amperity", **{**given, **changed})


def test_two_destinations_of_one_client_share_a_token_and_another_client_has_its_own() -> None:
    async def play() -> Play:
        it = Play()
        alike = [destination(), destination(streams={"customer": "is-2"}, account="other")]
        await asyncio.gather(*(it.send(one) for one in alike * 5))
        await it.send(destination(client_id="id-2"))
        return it

    it = simulate(play())
    assert it.api.used == ["t1"] * 10 + ["t2"]
    assert it.api.asked_at_once == 1


def test_a_token_is_fetched_anew_at_four_fifths_of_its_life_and_nobody_waits_for_it() -> None:
    async def play() -> tuple[Play, float]:
        it = Play()
        await it.send(destination())
        await asyncio.sleep(0.8 * LIVES_S)
        began_s = asyncio.get_running_loop().time()
        renewing = asyncio.create_task(it.send(destination()))
        await asyncio.sleep(0)
        await it.send(destination())
        took_s = asyncio.get_running_loop().time() - began_s
        await renewing
        await it.send(destination())
        return it, took_s

    it, took_s = simulate(play())
    assert took_s == ROUND_S
    assert it.api.used == ["t1", "t1", "t2", "t2"]


def test_a_token_that_still_lives_is_used_while_no_other_can_be_had() -> None:
    async def play() -> tuple[Play, list[Answer | Outcome]]:
        it = Play()
        await it.send(destination())
        it.api.away = True
        await asyncio.sleep(0.8 * LIVES_S)
        told = [await it.send(destination()), await it.send(destination())]
        it.api.away = False
        await asyncio.sleep(AGAIN_S)
        told.append(await it.send(destination()))
        it.api.away = True
        await asyncio.sleep(LIVES_S)
        return it, [*told, await it.send(destination())]

    it, told = simulate(play())
    assert it.api.used == ["t1", "t1", "t1", "t2"]
    assert isinstance(told[-1], Retry)


def test_requests_that_are_refused_together_fetch_one_token_together() -> None:
    async def play() -> Play:
        it = Play()
        await it.send(destination())
        it.api.revoked.add("t1")
        told = await asyncio.gather(*(it.send(destination()) for _ in range(5)))
        assert {one.status for one in told if isinstance(one, Response)} == {202}
        return it

    it = simulate(play())
    assert it.api.issued == 2
    assert it.api.used[1:] == ["t1"] * 5 + ["t2"] * 5


def test_what_waits_for_a_token_in_an_account_with_limits_leaves_in_its_turn() -> None:
    async def play() -> tuple[Play, list[Answer | Outcome]]:
        it = Play()
        told = list(await asyncio.gather(*(it.send(destination(), it_left) for _ in range(2))))
        it.api.revoked.add("t1")
        told += await asyncio.gather(*(it.send(destination(), it_left) for _ in range(3)))
        return it, [*told, await it.send(destination(), it_left)]

    it, told = simulate(play())
    assert [getattr(one, "status", one) for one in told] == [202, IN_TURN, IN_TURN, IN_TURN, IN_TURN, 202]
    assert it.api.used == ["t1"] * 4 + ["t2"]
    assert it.api.issued == 2


@pytest.mark.parametrize("left", [None, it_left])
def test_a_token_that_is_refused_right_after_another_says_so_and_the_next_call_has_one_of_its_own(left: Left) -> None:
    async def play() -> tuple[Play, list[Answer | Outcome]]:
        it = Play()
        await it.send(destination())
        it.api.revoked |= {"t1", "t2"}
        return it, [await it.send(destination(), left) for _ in range(5)]

    it, told = simulate(play())
    statuses = [one.status for one in told if one != IN_TURN and isinstance(one, Response)]
    assert statuses == [401] + [202] * (3 if left else 4)
    assert it.api.used[:5] == ["t1", "t1", "t2", "t3", "t3"]


def test_what_is_not_used_any_more_is_forgotten() -> None:
    async def play() -> Play:
        it = Play()
        for number in range(3):
            clients = [destination(client_secret=f"s-{number}-{one}") for one in range(CLIENTS_MAX)]
            await asyncio.gather(*(it.send(one) for one in clients))
            await asyncio.sleep(2 * LIVES_S)
        return it

    assert len(simulate(play()).tokens._clients) <= 2 * CLIENTS_MAX


@pytest.mark.parametrize("status", [401, 403])
def test_a_client_that_is_refused_suspends_and_sends_nothing(status: int) -> None:
    class Refusing(Api):
        async def _token(self) -> Answer:
            return Response(status, {}, b'{"message": "no"}')

    async def play() -> tuple[Play, Answer | Outcome]:
        it = Play()
        it.api = Refusing()
        it.tokens = Tokens(it.api, VirtualClock(asyncio.get_running_loop()))
        return it, await it.send(destination())

    it, told = simulate(play())
    assert (type(told).__name__, it.api.used) == ("Suspended", [])
