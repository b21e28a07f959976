"""Fetched tokens: one fetch at a time for a destination, early enough, and once more when the vendor refuses one."""

import asyncio
from http import HTTPStatus

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.deliver.outbound import Left, Outbound
from gateway.vendors.base import TOKEN, Answer, Outcome, Request, Response, Token, TokenVendor

EARLY = 0.8
"""The share of its life after which a token is fetched anew."""


class Tokens:
    """The tokens of a process, by destination."""

    def __init__(self, outbound: Outbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock
        self._held: dict[str, tuple[Token, float]] = {}
        self._fetching: dict[str, asyncio.Lock] = {}

    async def send(
        self,
        destination: str,
        vendor: TokenVendor,
        request: Request,
        timeout_s: float,
        left: Left = None,
    ) -> Answer | Outcome:
        """Send a request under a token. An Outcome: there is no token to be had, and what that means for the batch."""
        token = await self._token(destination, vendor, timeout_s, refused=None)
        if not isinstance(token, Token):
            return token
        answer = await self._outbound.send(_under(request, token), timeout_s, left)
        if not isinstance(answer, Response) or answer.status != HTTPStatus.UNAUTHORIZED:
            return answer
        fresh = await self._token(destination, vendor, timeout_s, refused=token)
        return await self._outbound.send(_under(request, fresh), timeout_s) if isinstance(fresh, Token) else fresh

    async def _token(
        self, destination: str, vendor: TokenVendor, timeout_s: float, *, refused: Token | None
    ) -> Token | Outcome:
        async with self._fetching.setdefault(destination, asyncio.Lock()):
            held = self._held.get(destination)
            if held is not None and held[0] != refused and self._clock.monotonic_s() < held[1]:
                return held[0]
            found = vendor.token_of(await self._outbound.send(vendor.token_request(), timeout_s))
            if isinstance(found, Token):
                self._held[destination] = (found, self._clock.monotonic_s() + EARLY * found.lives_s)
            return found


def _under(request: Request, token: Token) -> Request:
    headers = tuple((name, value.replace(TOKEN, token.text.reveal())) for name, value in request.headers)
    return replace(request, headers=headers)
